"""Shrinking: drop events from a trace, together with the events that depend on them.

Hypothesis would shrink the bytes behind a trace, and knows nothing of dependencies: to drop a call also means to
drop the answers to its requests, and to renumber the later requests. Here that is one move. The result is a trace
from which no event can be dropped.

Most of it happens on the model, where a trace takes a tenth of the time, and where there is time to drop two
events at once, or one while another changes. What comes of that is shrunk further on the target.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, combinations, count, pairwise, takewhile
from typing import TypeAlias

from msgspec.structs import replace

from model.operations import Operation
from model.step import Step
from model.terms import Millis, RequestId, Timings
from model.world import facts
from model.world.events import OF_REQUEST, Advance, Answer, Deliver, Event, Freeze, FreezeKind, Serve
from model.world.possible import NotEnabled
from model.world.state import World
from properties.invariants.invariant import Invariant
from properties.run.lengths import menu, outlives_token, to_refresh
from properties.run.reference import model_like
from properties.run.run import Counts, Run, Violation, always
from properties.run.speculation import speculating
from properties.system.target import Target, TargetError
from properties.system.trace import Trace
from properties.targets.model import as_model


def reduce(violation: Violation, target: Target, invariant: Invariant, counts: Counts = always) -> Violation:
    """The same violation with a locally minimal trace, through violations that count. Takes some tens of runs.

    Raises `TargetError`.
    """
    if model := model_like(target, violation.trace.runtime):
        again = violates(violation.trace, model, invariant, counts=counts)
        short = again and _minimal(again, model, invariant, counts)
        violation = (short and violates(short.trace, target, invariant, counts=counts)) or violation
    return _minimal(violation, target, invariant, counts)


def _minimal(violation: Violation, target: Target, invariant: Invariant, counts: Counts) -> Violation:
    """The violation with a trace that no move makes simpler."""
    tried: set[tuple[Event, ...]] = set()
    better: Violation | None = violation
    is_model, alone = as_model(target) is not None, model_like(target, violation.trace.runtime) is None
    while better:
        violation, better = better, None
        events, sent = violation.trace.events, requests_sent(violation.trace, target)
        near = ((moved, False) for moved in _near(violation.trace, sent, target))
        quick = is_model or (alone and len(events) <= FEW)
        far = ((moved, True) for moved in _far(violation.trace, sent, target)) if quick else ()
        for moved, skips in chain(near, far):
            if moved in tried:
                continue
            tried.add(moved)
            trace = replace(violation.trace, events=moved)
            found = violates(trace, target, invariant, skips=skips, counts=counts)
            if found and (not skips or len(found.trace.events) < len(events)):
                better = found
                break
    return violation


def violates(
    trace: Trace,
    target: Target,
    *invariants: Invariant,
    beyond_assumptions: bool = False,
    skips: bool = False,
    counts: Counts = always,
    speculates: bool = True,
) -> Violation | None:
    """Play `trace`. Returns its first violation that counts; None if there is none, or if the assumptions do not
    permit some event. `beyond_assumptions` leaves that check out, and `skips` leaves out such an event. Unless
    this `speculates`, a build is asked one step at a time. Raises `TargetError`."""
    play = partial(permitted, trace, beyond_assumptions=beyond_assumptions, skips=skips)
    if speculates:
        run = begun(trace, target, invariants, counts, play)
    else:
        run = Run(target, trace.runtime, trace.assumptions, invariants, counts)
    try:
        play(run)
    except Violation as violation:
        return violation.with_traceback(None)
    finally:
        run.target.finish()
    return None


def begun(
    trace: Trace,
    target: Target,
    invariants: Collection[Invariant],
    counts: Counts,
    play: Callable[[Run], list[Step]],
) -> Run:
    """A run for a trace, which `play` plays. Its steps are foreseen if the target does what its model does."""
    cell = trace.runtime, trace.assumptions
    on = speculating(target, trace.runtime)(lambda model: play(Run(model, *cell, ())))
    return Run(on, *cell, invariants, counts)


def permitted(trace: Trace, run: Run, *, beyond_assumptions: bool = False, skips: bool = False) -> list[Step]:
    """Play a trace as far as the assumptions permit, or as far as it can happen (`beyond_assumptions`), or
    without what they do not permit (`skips`). Returns its steps. Raises `TargetError` and `Violation`."""
    with suppress(NotEnabled):
        for wanted in trace.events:
            event = readdressed(wanted, run.world)
            if beyond_assumptions or run.permits(event):
                run.play(event)
            elif not skips:
                break
    return run.steps


def readdressed(event: Event, world: World) -> Event:
    """The event; one of a request that is not in flight goes to the oldest request that is."""
    if isinstance(event, OF_REQUEST) and world.requests and not world.request(event.request):
        return replace(event, request=world.requests[0].request)
    return event


Sent: TypeAlias = Sequence[Collection[RequestId]]
"""The requests that a target sends in the step of each event of a trace."""


def _near(trace: Trace, sent: Sent, target: Target) -> Iterator[tuple[Event, ...]]:
    """The simplest first: some events in a row dropped, one event dropped, two advances merged, a request
    answered at one instant, a duration made round, or one event dropped and one later call changed."""
    events = trace.events
    for size in takewhile(bool, (len(events) >> halvings for halvings in count(1))):
        for place in range(0, len(events), size):
            yield without(events, range(place, place + size), sent)
    for place, (event, other) in enumerate(pairwise(events), 1):
        if isinstance(event, Advance) and isinstance(other, Advance):
            yield (*events[: place - 1], Advance(event.ms + other.ms), *events[place + 1 :])
    for place, event in enumerate(events):
        if (
            isinstance(event, Freeze) and event.kind is not FreezeKind.STARVED
        ):  # a timer may run at thaw, not later
            starved = replaced(events, place, Freeze(event.ms))
            yield from (_dropped(starved, other) for other in range(len(events)) if other != place)
        if isinstance(event, Serve):
            for heard in range(place + 1, len(events)):
                if events[heard] == Deliver(event.request):
                    answer = Answer(event.request, event.outcome)
                    yield _dropped(replaced(events, place, answer), heard)
                    yield _dropped(replaced(events, heard, answer), place)
    for place, event in enumerate(events):
        if isinstance(event, Advance | Freeze) and event.ms != (
            ms := _plain(event, target.timings(trace.runtime))
        ):
            yield replaced(events, place, replace(event, ms=ms))
    # A trace from which no event can be dropped may still be longer than another of the same kind, in which the
    # app asks for something else: one event fewer, and one later call with other arguments.
    for place in range(len(events)):
        fewer = without(events, [place], sent)
        for later in range(place, len(fewer)):
            for other in alternatives(fewer[later], target.sdk.operations):
                yield replaced(fewer, later, other)


def _far(trace: Trace, sent: Sent, target: Target) -> Iterator[tuple[Event, ...]]:
    """Moves for which only a model is fast enough, or a few events: a call replaced wherever it is made, one
    event dropped and an earlier call replaced or another event of another length, a call replaced and all before
    it dropped, two events dropped, and of a short trace two dropped and a call replaced. What they make
    impossible is to be skipped."""
    events, operations, timings = trace.events, target.sdk.operations, target.timings(trace.runtime)
    for call in dict.fromkeys(event for event in events if isinstance(event, Operation)):
        for other in operations:
            yield tuple(other if event == call else event for event in events)
    for place in range(len(events)):
        for earlier, other in ((at, one) for at in range(place) for one in alternatives(events[at], operations)):
            yield without(replaced(events, earlier, other), [place], sent)
        fewer = _dropped(events, place)  # its requests may be sent in the step of another
        for at, lasts in enumerate(fewer):
            if isinstance(lasts, Advance | Freeze):
                for longer in _otherwise(lasts, events[place], timings):
                    yield replaced(fewer, at, longer)
        if isinstance(events[place], Operation):
            fewer = without(events, [place], sent)
            for at, lasts in enumerate(fewer):
                if isinstance(lasts, Advance):
                    yield from (replaced(fewer, at, Advance(ms)) for ms in menu(timings, freezes=False))
    for place in (at for at, event in enumerate(events) if isinstance(event, Operation)):
        yield from (without(replaced(events, place, other), range(place), sent) for other in operations)
    pairs = [without(events, pair, sent) for pair in combinations(range(len(events)), 2)]
    yield from pairs
    if len(events) <= FEW:
        for fewer in pairs:
            for at, event in enumerate(fewer):
                yield from (replaced(fewer, at, other) for other in alternatives(event, operations))


FEW = 9
"""The number of events of a trace for which there are not too many moves of three events, nor too many of two on
a build without a model."""


def _otherwise(event: Advance | Freeze, dropped: Event, timings: Timings) -> Iterator[Event]:
    """The event with another duration, and another kind of freeze, that may do for a `dropped` one."""
    if isinstance(event, Freeze):
        yield from (Freeze(_plain(event, timings), kind) for kind in FreezeKind)
    elif isinstance(dropped, Advance):
        yield from map(Advance, menu(timings, freezes=False))
    if isinstance(dropped, Advance | Freeze):
        yield replace(event, ms=event.ms + dropped.ms)


def _plain(event: Advance | Freeze, timings: Timings) -> Millis:
    """The duration of such an event that a reader understands at once."""
    return to_refresh(timings) if isinstance(event, Advance) else outlives_token(timings)


def alternatives(event: Event, operations: tuple[Operation, ...]) -> list[Operation]:
    """The same call with other arguments."""
    if not isinstance(event, Operation):
        return []
    return [other for other in operations if type(other) is type(event) and other != event]


def replaced(events: tuple[Event, ...], place: int, event: Event) -> tuple[Event, ...]:
    """The events with `event` at index `place`."""
    return (*events[:place], event, *events[place + 1 :])


def _dropped(events: tuple[Event, ...], place: int) -> tuple[Event, ...]:
    """The events without the one at index `place` alone."""
    return (*events[:place], *events[place + 1 :])


def requests_sent(trace: Trace, target: Target) -> Sent:
    """The requests that the target sends in the step of each event. Raises `TargetError`, also if the trace
    cannot be replayed: then the target is not deterministic."""
    run = Run(target, trace.runtime, trace.assumptions, ())
    try:
        steps = [run.play(event) for event in trace.events]
    except NotEnabled as error:
        raise TargetError(f"{trace}: found once and not again ({error}): not deterministic") from error
    finally:
        target.finish()
    return [{fact.request for fact in step.facts if isinstance(fact, facts.Sent)} for step in steps]


def without(events: tuple[Event, ...], places: Collection[int], sent: Sent) -> tuple[Event, ...]:
    """The events without those at `places`, and without those of the requests that they caused, transitively; the
    later requests are renumbered."""
    gone: set[int] = set()
    kept: list[Event] = []
    for at, event in enumerate(events):
        if at in places or (isinstance(event, OF_REQUEST) and event.request in gone):
            gone.update(sent[at])
        else:
            kept.append(event)
    return tuple(
        replace(event, request=event.request - sum(number < event.request for number in gone))
        if isinstance(event, OF_REQUEST)
        else event
        for event in kept
    )
