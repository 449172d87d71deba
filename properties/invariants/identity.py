"""The identity of a violation: its invariant, and the kinds of facts that led to it.

Two violations of an invariant in one cell are one finding if they have the same *cause*: the marks of the facts
in the causal chain (`FactKind.marks`), whatever the lengths of time and the order of unrelated events are. A
known cause explains every violation that has all of its marks: what else led there is a detour. So a known cause
is one of a trace from which no event can be dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct

from model.requests import FAILURES
from model.step import Step
from model.world.facts import Fact, Sent, TimerFired
from properties.invariants.breach import Breach
from properties.invariants.causes import causal_chain
from properties.system.fact_kind import Before, DependencyKind
from properties.system.fact_kinds import facts_of, reaction, row_of

Cause: TypeAlias = tuple[str, ...]
"""The marks of a violation, each once, in causal order. Never empty."""

NOTHING_UNUSUAL = "nothing unusual"
ANY_FAILURE = "failed"
CALL_WAITS, REQUEST_HANGS, SENDS_NOTHING = "a call waits", "a request hangs", "sends nothing"


def cause_of(played: Sequence[Step], breach: Breach) -> Cause:
    """The cause of the breach in the last of these steps."""
    facts = facts_of(played)
    chain = causal_chain(played, breach)
    told = [facts[index] for index in chain.facts]
    answered = {one for fact in told for one in row_of(fact).needs(fact) if one.kind is DependencyKind.REQUEST}
    marks: list[str] = []
    for place, (index, fact) in enumerate(zip(chain.facts, told, strict=True)):
        row = row_of(fact)
        if answered.isdisjoint(row.brings(fact)):  # else its answer says what it was
            marks += row.marks(fact, Before(facts[:index], told[:place]))
            marks += [SENDS_NOTHING] * _idle(index, facts)
    marks += [CALL_WAITS if one.call is not None else REQUEST_HANGS for one in chain.waiting]
    return tuple(dict.fromkeys(marks)) or (NOTHING_UNUSUAL,)


def _idle(index: int, facts: Sequence[Fact]) -> bool:
    """Is this a timer that ran, and the client sent nothing then?"""
    ran = isinstance(facts[index], TimerFired)
    return ran and not any(isinstance(fact, Sent) for fact in reaction(facts[index + 1 :]))


def explains(known: Collection[str], cause: Cause) -> bool:
    """Is a violation with this cause the known finding?"""
    return set(known) <= {*cause, *with_any_failure(cause)}


def with_any_failure(cause: Cause) -> Cause:
    """The cause with one word for whichever way a request failed: `mint in the background: failed`."""
    parted = ((mark, *mark.rpartition(": ")) for mark in cause)
    marks = (f"{what}: {ANY_FAILURE}" if how in FAILURES else mark for mark, what, _, how in parted)
    return tuple(dict.fromkeys(marks))


def explained(known: Iterable[Collection[str]], cause: Cause) -> bool:
    """Does any of the known causes explain it?"""
    return any(explains(one, cause) for one in known)


class Difference(Struct, frozen=True):
    """How a violation differs from a known one of the same invariant: the marks that only one of them has."""

    only_new: Cause
    only_known: Cause


def difference(known: Cause, new: Cause) -> Difference:
    """The marks in which two causes differ."""
    return Difference(
        tuple(mark for mark in new if mark not in known), tuple(mark for mark in known if mark not in new)
    )
