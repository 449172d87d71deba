"""What a pytest run of ours knows: values that the hooks and the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from properties.invariants.verdict import Cell, Findings
from properties.run.counterexample import Counterexample
from properties.run.known import Claim, Finding
from properties.system.target import Target

TARGETS = pytest.StashKey[dict[str, Target]]()
CELLS = pytest.StashKey[list[Cell]]()
KNOWN = pytest.StashKey[tuple[Finding, ...]]()
PROFILE = pytest.StashKey[settings]()
FINDINGS = pytest.StashKey[dict[Cell, Findings]]()
REPORTS = pytest.StashKey[dict[Claim, tuple[Counterexample, list[Path]]]]()
"""Counterexamples by claim, each with the files that it was saved in."""
