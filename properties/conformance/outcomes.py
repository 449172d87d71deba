"""Traces in which each call, and each refresh, ends in every way in which it can.

Random traces seldom have a rare outcome of a rare call, or the same failure many times in a row. Each trace
here begins with a refresh, a call, or the same call twice, perhaps after another event. Its first request has one
outcome, and those after it have one, too, as far as that is permitted, until nothing is pending. Then the world
is healthy, and the next refresh runs. One trace loses every request of a start on a device that is offline, until
the client sends none again. In two the app starts when the device has two sessions, and when the app's has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from model.assumptions.sets import Assumptions
from model.operations import Operation
from model.requests import ENDED, GRANTS, Outcome
from model.terms import Runtime
from model.world.events import (
    Advance,
    Answer,
    Deliver,
    Event,
    Freeze,
    FreezeKind,
    GoOffline,
    RestartApp,
    Revoke,
    Serve,
    StartApp,
)
from model.world.facts import Fact
from model.world.state import Request
from properties.run.lengths import SECOND, outlives_token, to_refresh
from properties.run.run import Run
from properties.system.trace import Trace
from properties.targets.model import ModelTarget

LONGEST = 40
"""The maximum number of events before the world is healthy: more than all retries of a call take."""


def outcome_traces(
    model: ModelTarget, runtime: Runtime, assumptions: Assumptions, known: set[tuple[Fact, ...]] | None = None
) -> Iterator[Trace]:
    """The traces of a model on one runtime, each with facts that are not `known` yet. They are added to these."""
    known = set() if known is None else known

    def begun(*begin: Event) -> Run | None:
        """A run that has begun so, at its first request if it has one; None if it cannot."""
        run = Run(model, runtime, assumptions, ())
        for event in begin:
            if not run.permits(event):
                return None
            run.play(event)
        if _unserved(run) is None:
            _to_next_timer(run)
        return run

    def ended() -> Iterator[Run]:
        for before, calls in _beginnings(Run(model, runtime, assumptions, ())):
            for outcomes in _outcomes(begun, before, calls):
                for newest_first in (False, True):
                    run = begun(*before, *calls)
                    assert run, "its outcomes are known"
                    _answer_all(run, outcomes, newest_first)
                    yield run
        if run := begun(GoOffline(), StartApp()):
            _answer_all(run, (Outcome.LOST,), newest_first=False)
            yield run
        signs_in = next((one for one in model.sdk.operations if one.user is not None), None)
        for last in ((RestartApp(),), (Revoke(), RestartApp())):
            if signs_in and (run := begun(signs_in)) and _start_with_two_sessions(run, last):
                yield run
        for late in (_late_replies(begun, calls) for calls in ((), *((one,) for one in model.sdk.operations))):
            yield from late

    for run in ended():
        if run.facts not in known:
            known.add(run.facts)
            yield run.trace


Beginning: TypeAlias = tuple[tuple[Event, ...], tuple[Operation, ...]]
"""What happens before any call, and the calls."""


def _beginnings(run: Run) -> Iterator[Beginning]:
    """Nothing, an event that is permitted at the start, or time until the token is about to be handed out no
    more, with its refresh in flight; then no call, which means a refresh, or one. Or one call twice."""
    operations, timings = run.target.sdk.operations, run.world.timings
    freezes = (Freeze(outlives_token(timings), kind) for kind in FreezeKind)
    events = [one for one in (*freezes, *run.assumptions.events) if run.permits(one)]
    last = [(timings.lead - timings.cutoff - left) * SECOND for left in (1, 0)]
    expiring = [(Advance(to_refresh(timings)), Advance(ms)) for ms in last if ms > 0]
    for before in ((), *((one,) for one in events), *expiring):
        yield before, ()
        yield from ((before, (operation,)) for operation in operations)
    yield from (((), (operation, operation)) for operation in operations)


def _outcomes(
    begun: Callable[..., Run | None], before: tuple[Event, ...], calls: tuple[Operation, ...]
) -> Iterator[tuple[Outcome, ...]]:
    """The outcomes of the first request and of the later ones. They differ if the first one was honest, or a
    refusal, and another request is in flight then. To a call after another event than a restart all are honest;
    late in a token's life, or to two calls at once, they are tokens."""
    run = begun(*before, *calls)
    if run is None:
        return
    if (request := _unserved(run)) is None:
        yield ()
        return
    honest, *faults = run.assumptions.outcomes(run.world, request)
    if len(calls) > 1:
        faults = [one for one in faults if one in GRANTS]
    once = bool(before and calls and RestartApp() not in before)
    if once:
        faults = [one for one in faults if one in GRANTS and isinstance(before[0], Advance)]
    for first in (honest, *faults):
        run = begun(*before, *calls)
        assert run, "it has begun so before"
        run.play(Answer(request.request, first))
        follows = _unserved(run) if not once and first in (honest, *GRANTS, *ENDED) else None
        rests = run.assumptions.outcomes(run.world, follows) if follows else (first,)
        yield from ((first, rest) for rest in rests if len(calls) < 2 or rest in GRANTS)


def _answer_all(run: Run, outcomes: tuple[Outcome, ...], newest_first: bool) -> None:
    """Answer the requests so, and those of every retry; then let the world be healthy, and a refresh run."""
    wanted = [*outcomes]
    while len(run.steps) < LONGEST:
        if request := _unserved(run, newest_first):
            outcome = wanted.pop(0) if len(wanted) > 1 else wanted[0]
            event = Answer(request.request, outcome)
            run.play(event if run.permits(event) else Answer(request.request, run.world.honest_answer(request)))
        elif not run.world.calls or not _to_next_timer(run):
            break
    run.recover()
    _to_next_timer(run)
    run.recover()


def _start_with_two_sessions(run: Run, last: tuple[Event, ...]) -> bool:
    """Once a sign-in under way has made its session the app's, let `last` happen: the app starts, with that
    session or, if it has ended, with the one that the device has left. False if that is not permitted."""
    _answer_all(run, (Outcome.SESSION,), newest_first=False)
    for event in last:
        if not run.permits(event):
            return False
        run.play(event)
    return True


def _late_replies(begun: Callable[..., Run | None], calls: tuple[Operation, ...]) -> Iterator[Run]:
    """Runs in which a token arrives when it has expired, or has one second left, or just no time for a refresh,
    or just some."""
    run = begun(*calls)
    request = _unserved(run) if run else None
    if run is None or request is None:
        return
    served, lead = Serve(request.request, run.world.honest_answer(request)), run.world.timings.lead
    for left in (0, 1, lead, lead + 1):
        late = begun(*calls)
        assert late, "it has begun so before"
        way = (served, Advance((run.world.timings.lifetime - left) * SECOND), Deliver(request.request))
        if all(late.permits(event) and late.play(event) for event in way):
            _answer_all(late, (Outcome.GRANTED,), newest_first=False)
            yield late


def _unserved(run: Run, newest: bool = False) -> Request | None:
    unserved = [request for request in run.world.requests if request.reply is None]
    return unserved[-1 if newest else 0] if unserved else None


def _to_next_timer(run: Run) -> bool:
    """Let time pass to the next timer, if there is one and that is permitted."""
    event = Advance(min((timer.due - run.world.now for timer in run.world.timers), default=0))
    if permitted := event.ms > 0 and run.permits(event):
        run.play(event)
    return permitted
