"""The last pass of shrinking: drop events from a trace, together with the events that depend on them.

Hypothesis shrinks the choices behind a trace, and stops after 200 attempts in a row without progress. A redundant
call may remain, because dropping it also means dropping the answers to its requests and renumbering the later
requests. Here that is one move. The result is a trace from which no event can be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec.structs import replace

from model.terms import Operation
from model.world.course import NotEnabled
from model.world.events import OF_REQUEST, Advance, Event, Freeze
from model.world.facts import Sent
from model.world.state import World
from properties.invariants.catalogue import Invariant
from properties.run.lengths import outlives_token, to_refresh
from properties.run.run import Counts, Run, Violation, always
from properties.system.target import Target, TargetError
from properties.system.trace import Trace


def reduce(violation: Violation, target: Target, invariant: Invariant, counts: Counts = always) -> Violation:
    """The same violation with a locally minimal trace, through violations that count. Takes some tens of runs.

    Raises `TargetError`.
    """
    better: Violation | None = violation
    while better:
        violation = better
        tries = (violates(trace, target, invariant, counts=counts) for trace in _simpler(violation, target))
        better = next((found for found in tries if found), None)
    return violation


def violates(
    trace: Trace,
    target: Target,
    *invariants: Invariant,
    beyond_assumptions: bool = False,
    counts: Counts = always,
) -> Violation | None:
    """Play `trace`. Returns its first violation that counts; None if there is none, or if the assumptions do not
    permit some event. `beyond_assumptions` skips that check. Raises `TargetError`."""
    run = Run(target, trace.runtime, trace.assumptions, invariants, counts)
    try:
        for wanted in trace.events:
            event = _readdressed(wanted, run.world)
            if not (beyond_assumptions or run.permits(event)):
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
    """The event; one of a request that is not in flight goes to the oldest request that is."""
    if isinstance(event, OF_REQUEST) and world.requests and not world.request(event.request):
        return replace(event, request=world.requests[0].request)
    return event


def _simpler(violation: Violation, target: Target) -> Iterator[Trace]:
    """Simpler traces, the simplest first: one event dropped, two advances merged, a duration made round, or one
    event dropped and one later call changed."""
    trace = violation.trace
    sent = requests_sent(trace, target)
    for place in range(len(trace.events)):
        yield replace(trace, events=without(trace.events, place, sent))
    for place, (event, other) in enumerate(pairwise(trace.events), 1):
        if isinstance(event, Advance) and isinstance(other, Advance):
            whole = Advance(event.ms + other.ms)
            yield replace(trace, events=(*trace.events[: place - 1], whole, *trace.events[place + 1 :]))
    timings = target.timings(trace.runtime)
    plain = {
        Advance: to_refresh(timings),
        Freeze: outlives_token(timings),
    }  # durations that a reader understands at once
    for place, event in enumerate(trace.events):
        if isinstance(event, Advance | Freeze) and event.ms != (ms := plain[type(event)]):
            yield replace(trace, events=replaced(trace.events, place, replace(event, ms=ms)))
    # A trace from which no event can be dropped may still be longer than another of the same kind, in which the
    # app asks for something else: one event fewer, and one later call with other arguments.
    for place in range(len(trace.events)):
        fewer = without(trace.events, place, sent)
        for later in range(place, len(fewer)):
            for other in alternatives(fewer[later], target.sdk.operations):
                yield replace(trace, events=replaced(fewer, later, other))


def alternatives(event: Event, operations: tuple[Operation, ...]) -> list[Operation]:
    """The same call with other arguments."""
    if not isinstance(event, Operation):
        return []
    return [other for other in operations if type(other) is type(event) and other != event]


def replaced(events: tuple[Event, ...], place: int, event: Event) -> tuple[Event, ...]:
    """The events with `event` at index `place`."""
    return (*events[:place], event, *events[place + 1 :])


def requests_sent(trace: Trace, target: Target) -> list[set[int]]:
    """The requests that the target sends in the step of each event. Raises `TargetError`, also if the trace
    cannot be replayed: then the target is not deterministic."""
    run = Run(target, trace.runtime, trace.assumptions, ())
    try:
        steps = [run.play(event) for event in trace.events]
    except NotEnabled as error:
        raise TargetError(f"{trace}: found once and not again ({error}): not deterministic") from error
    finally:
        target.finish()
    return [{fact.request for fact in step.facts if isinstance(fact, Sent)} for step in steps]


def without(events: tuple[Event, ...], place: int, sent: list[set[int]]) -> tuple[Event, ...]:
    """The events without the one at `place`, and without those of the requests that it caused, transitively; the
    later requests are renumbered."""
    gone: set[int] = set()
    kept: list[Event] = []
    for at, event in enumerate(events):
        if at == place or (isinstance(event, OF_REQUEST) and event.request in gone):
            gone |= sent[at]
        else:
            kept.append(event)
    return tuple(
        replace(event, request=event.request - sum(number < event.request for number in gone))
        if isinstance(event, OF_REQUEST)
        else event
        for event in kept
    )
