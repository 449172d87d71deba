"""`pytest properties`: one test for each target, set of assumptions and invariant. See `conftest.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from properties.invariants.catalogue import Invariant
from properties.invariants.verdict import Cell, Findings, Vacuous, Violated
from properties.system.event_kinds import brief


class NoEvidence(Exception):
    """A search never met what it assumes."""


def test_invariant(cell: Cell, invariant: Invariant, explore: Callable[[Cell], Findings]) -> None:
    """The invariant holds in this cell, in all traces of this run."""
    match explore(cell).verdicts[invariant.id]:
        case Violated(trace):
            steps = " -> ".join(map(brief, trace.events))
            pytest.fail(f"{trace.why}: {steps}", pytrace=False)
        case Vacuous(traces, _, never):
            # A known finding expects the failure of a violation (conftest.py), so this has to be another.
            raise NoEvidence(f"vacuous: in {traces} traces never reached: {', '.join(never)}")
        case _:
            pass
