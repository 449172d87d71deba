"""The bench: a finding is searched for by us and by another tool, side by side."""

from __future__ import annotations

import subprocess
import sys

import pytest

from properties.cli.power import findings, measured
from properties.targets.names import built_in
from tests.support import needs_builds

FINDING = "frozen-in-flight-6.40.0"


@pytest.mark.slow
def test_a_finding_is_found_by_both_and_shrunk_to_what_the_prover_knows() -> None:
    needs_builds()
    (path,) = findings(built_in(), [FINDING])
    power = measured(built_in(), path, 2, 1000, lambda line: None)
    assert [one.length for one in power.ours] == [power.known] * 2
    assert power.proved == power.known
    assert len(power.other) == 2
    assert all(one.length and one.length >= power.known and one.first for one in power.other)
    assert power.replayed is not None


def test_an_unknown_finding_is_told_in_one_line() -> None:
    words = [sys.executable, "-m", "properties.cli.bench", "--finding=rain"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: unknown finding 'rain' (known: 401-then-403-6.40.0, ")
    assert done.stderr.count("\n") == 1
