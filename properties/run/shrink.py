"""The last step of shrinking: drop events from a trace, each with whatever hangs on it.

Hypothesis shrinks the choices behind a trace and stops when 200 tries in a row brought nothing; then a getToken
that changes nothing may still stand in a trace, because the answers to its request would have to go with it,
and later requests would change their numbers. Here that is one move. What remains is a trace from which no event
can be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec.structs import replace

from model.terms import Millis
from model.world.events import Advance, Answer, Event, Freeze
from model.world.facts import Sent
from model.world.state import NotEnabled, World
from properties.invariants.catalogue import Invariant
from properties.run.run import Run, Violation
from properties.system.target import Target
from properties.system.trace import Trace

PLAIN_LENGTHS: dict[type[Event], Millis] = {Advance: 43_000, Freeze: 61_000}
"""What a reader understands at once: the way to the refresh timer; a freeze that outlives a token."""


def reduce(violation: Violation, target: Target, invariant: Invariant) -> Violation:
    """The same violation with as few events as dropping can reach, in as many runs as it takes (tens).

    Raises `TargetError`.
    """
    better: Violation | None = violation
    while better:
        violation = better
        tries = (violates(trace, target, invariant) for trace in _simpler(violation, target))
        better = next((found for found in tries if found), None)
    return violation


def violates(
    trace: Trace, target: Target, invariant: Invariant, *, beyond_assumptions: bool = False
) -> Violation | None:
    """Play `trace`; its violation, if it still has one and the assumptions permit every event of it (or are not
    asked). Raises `TargetError`."""
    run = Run(target, trace.runtime, trace.assumptions, [invariant])
    try:
        for wanted in trace.events:
            event = _readdressed(wanted, run.world)
            if not (beyond_assumptions or trace.assumptions.permit(run.world, event)):
                return None
            run.play(event)
    except Violation as violation:
        return violation
    except NotEnabled:
        return None
    finally:
        target.finish()
    return None


def _readdressed(event: Event, world: World) -> Event:
    """An answer to a request that is not in flight (any more) goes to the oldest one that is."""
    if isinstance(event, Answer) and world.requests and event.request not in [r.request for r in world.requests]:
        return replace(event, request=world.requests[0].request)
    return event


def _simpler(violation: Violation, target: Target) -> Iterator[Trace]:
    """Candidates, the boldest first: without one event, with two lengths of time as one, with a plainer one."""
    trace = violation.trace
    sent = requests_sent(trace, target)
    for place in range(len(trace.events)):
        yield replace(trace, events=without(trace.events, place, sent))
    for place, (event, other) in enumerate(pairwise(trace.events), 1):
        if isinstance(event, Advance) and isinstance(other, Advance):
            whole = Advance(event.ms + other.ms)
            yield replace(trace, events=(*trace.events[: place - 1], whole, *trace.events[place + 1 :]))
    for place, event in enumerate(trace.events):
        if isinstance(event, Advance | Freeze) and event.ms != (ms := PLAIN_LENGTHS[type(event)]):
            yield replace(
                trace, events=(*trace.events[:place], replace(event, ms=ms), *trace.events[place + 1 :])
            )


def requests_sent(trace: Trace, target: Target) -> list[set[int]]:
    """The requests that the target sends in the course of each event."""
    run = Run(target, trace.runtime, trace.assumptions, ())
    steps = [run.play(event) for event in trace.events]
    target.finish()
    return [{fact.request for fact in step.facts if isinstance(fact, Sent)} for step in steps]


def without(events: tuple[Event, ...], place: int, sent: list[set[int]]) -> tuple[Event, ...]:
    """The events but one, but the answers to requests it caused, and so on; later requests numbered anew."""
    gone: set[int] = set()
    kept: list[Event] = []
    for at, event in enumerate(events):
        if at == place or (isinstance(event, Answer) and event.request in gone):
            gone |= sent[at]
        else:
            kept.append(event)
    return tuple(
        replace(event, request=event.request - sum(number < event.request for number in gone))
        if isinstance(event, Answer)
        else event
        for event in kept
    )
