"""Which violations are new, what shrinking may make of one, and how wide its cause is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TypeAlias

from msgspec.structs import replace

from model.requests import FAILURES
from model.world.events import Answer
from properties.invariants.identity import Cause, explained, explains, with_any_failure
from properties.invariants.invariant import Invariant
from properties.run.run import Counts, Violation
from properties.run.shrink import replaced, violates
from properties.system.target import Target

Known: TypeAlias = Mapping[str, Collection[Cause]]
"""The known causes by invariant."""

NOTHING: Known = MappingProxyType({})


def new(known: Known, aim: Cause = ()) -> Counts:
    """Counts violations that no known cause explains, and that `aim` does."""

    def counts(violation: Violation) -> bool:
        trace = violation.trace
        return explains(aim, trace.cause) and not explained(known.get(str(trace.invariant), ()), trace.cause)

    return counts


def simpler(than: Violation, known: Known, aim: Cause = ()) -> Counts:
    """Counts what a violation may be shrunk to: a new one of the same invariant without any other mark, which
    `aim` explains. So no trace slips into another invariant or another cause on the way."""
    is_new = new(known, aim)

    def counts(violation: Violation) -> bool:
        same = violation.trace.invariant == than.trace.invariant
        return same and explains(violation.trace.cause, than.trace.cause) and is_new(violation)

    return counts


def widened(violation: Violation, target: Target, invariant: Invariant) -> Violation:
    """The violation, with the cause of any failure if it does not matter how a request failed: if each other
    failure in its place leads to the same. Takes four runs for each. Raises `TargetError`."""
    trace = violation.trace
    wide = with_any_failure(trace.cause)
    if wide == trace.cause:
        return violation
    for place, event in enumerate(trace.events):
        if isinstance(event, Answer) and event.outcome in FAILURES:
            for outcome in FAILURES:
                events = replaced(trace.events, place, replace(event, outcome=outcome))
                other = violates(replace(trace, events=events), target, invariant)
                if other is None or with_any_failure(other.trace.cause) != wide:
                    return violation
    return Violation(replace(trace, cause=wide), violation.played)
