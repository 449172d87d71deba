"""The traces in which each call, and each refresh, ends in every way in which it can."""

from __future__ import annotations

import contextlib

import pytest

from model.assumptions.sets import everything
from model.clerk.sdk import CLERK
from model.clerk.terms import OPERATIONS, GetToken, SwitchOrganization
from model.operations import Load, Operation
from model.requests import Endpoint, Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, GoOffline, StartApp
from model.world.facts import Answered, Uncaught
from properties.conformance.outcomes import outcome_traces
from properties.run.lockstep import LockStep, conforms
from properties.run.run import Run
from properties.run.shrink import violates
from properties.system.trace import Trace
from properties.targets.clerk.target import clerk_js_target
from tests.support import assuming, model, of_kind, ready, run

NEWEST = model("6.40.0")
TRACES = [*outcome_traces(NEWEST, Runtime.HEADLESS, everything(CLERK, Runtime.HEADLESS))]


def answers(trace: Trace) -> list[Outcome]:
    """The outcomes of the requests of a trace, in order."""
    return [event.outcome for event in trace.events if isinstance(event, Answer)]


def sends(operation: Operation) -> bool:
    """Does this call at the start send a request? It may be answered from the cache, or be impossible."""
    started = Run(NEWEST, Runtime.HEADLESS, everything(CLERK, Runtime.HEADLESS), ())
    if started.permits(operation):
        started.play(operation)
    return bool(started.world.requests)


@pytest.mark.parametrize("operation", [*filter(sends, OPERATIONS)], ids=str)
def test_what_a_call_sends_meets_every_outcome_of_its_endpoint(operation: Operation) -> None:
    started = Run(NEWEST, Runtime.HEADLESS, everything(CLERK, Runtime.HEADLESS), ())
    started.play(operation)
    second = (trace.events[1] for trace in TRACES if trace.events[0] == operation)
    met = {event.outcome for event in second if isinstance(event, Answer)}
    assert met == set(started.assumptions.outcomes(started.world, started.world.requests[0]))


def test_the_question_after_a_401_meets_every_outcome_too() -> None:
    touched = [trace for trace in TRACES if str(trace.events[0]) == "touch()"]
    met = {answers(trace)[1] for trace in touched if answers(trace)[0] is Outcome.UNAUTHORIZED}
    server = set(CLERK.server.outcomes(Endpoint.INTROSPECT))
    assert met == server


def test_a_failure_lasts_until_the_call_gives_up() -> None:
    broken = next(trace for trace in TRACES if answers(trace)[:2] == [Outcome.BROKEN] * 2)
    assert answers(broken)[:9] == [Outcome.BROKEN] * 9


def test_every_event_is_permitted_and_no_two_traces_have_the_same_facts() -> None:
    seen = set()
    for trace in TRACES:
        ran = Run(NEWEST, trace.runtime, trace.assumptions, ())
        for event in trace.events:
            assert ran.permits(event), (event, trace)
            ran.play(event)
        assert ran.facts not in seen
        seen.add(ran.facts)


def test_a_runtime_that_can_be_offline_has_traces_of_its_own() -> None:
    seen = {run(NEWEST, *trace.events).facts for trace in TRACES}
    runtime = Runtime.BROWSER_LIKE
    more = [*outcome_traces(NEWEST, runtime, everything(CLERK, runtime), seen)]
    assert 0 < len(more) < len(TRACES) / 2
    assert any(GoOffline() in trace.events for trace in more)


# -- what they have found -----------------------------------------------------------------------------------

NOBODY_WAITS: tuple[Event, ...] = (
    *(SwitchOrganization("org_b"), Answer(1, Outcome.UNAUTHORIZED)),
    *(Answer(2, Outcome.SESSION), Answer(3, Outcome.GATEWAY_PAGE), GetToken()),
)


@pytest.mark.parametrize(("release", "throws"), [("6.0.0", False), ("6.1.0", False), ("6.7.1", True)])
def test_whether_a_page_for_a_recovery_that_nobody_waits_for_is_uncaught(release: str, throws: bool) -> None:
    """The network layer takes it for the answer null where React Native takes itself for offline (until #8084).
    The model threw before."""
    ran = run(model(release), *NOBODY_WAITS)
    assert of_kind(Answered, ran.facts)
    assert bool(of_kind(Uncaught, ran.facts)) is throws
    with contextlib.closing(clerk_js_target(release, lambda line: None)) as build:
        pair = LockStep(ready(build), model(release))
        trace = Trace(build.name, Runtime.HEADLESS, assuming("outage"), NOBODY_WAITS)
        assert violates(trace, pair, conforms(pair), beyond_assumptions=True) is None


A_LATER_TIMER: tuple[Event, ...] = (
    *(SwitchOrganization("org_b"), Answer(1, Outcome.SESSION)),
    *(Advance(43_000), Answer(3, Outcome.UNAUTHORIZED), Answer(4, Outcome.SESSION)),
)


def test_what_follows_from_a_timer_is_not_compared_by_the_call_in_whose_course_it_was_set() -> None:
    """The switch still waits for its token while the refresh runs: a build counts that among what it does."""
    with contextlib.closing(clerk_js_target("6.40.0", lambda line: None)) as build:
        pair = LockStep(ready(build), NEWEST)
        trace = Trace(build.name, Runtime.HEADLESS, assuming("outage"), A_LATER_TIMER)
        assert violates(trace, pair, conforms(pair), beyond_assumptions=True) is None


A_REFRESH_DURING_LOAD: tuple[Event, ...] = (
    *(StartApp(), Load(), Answer(4, Outcome.SESSION), Advance(43_000), Answer(3, Outcome.SETTINGS)),
)


def test_a_load_does_not_wait_for_the_refresh_of_a_token_that_it_has_brought() -> None:
    with contextlib.closing(clerk_js_target("6.40.0", lambda line: None)) as build:
        pair = LockStep(ready(build), NEWEST)
        trace = Trace(build.name, Runtime.HEADLESS, assuming("outage"), A_REFRESH_DURING_LOAD)
        assert violates(trace, pair, conforms(pair), beyond_assumptions=True) is None


@pytest.mark.slow
@pytest.mark.parametrize("release", ["6.0.0", "6.1.0", "6.7.1", "6.7.4", "6.24.0", "6.40.0"])
@pytest.mark.parametrize("runtime", CLERK.runtimes)
def test_builds_do_what_their_models_do_in_all_of_them(release: str, runtime: Runtime) -> None:
    with contextlib.closing(clerk_js_target(release, lambda line: None)) as build:
        pair = LockStep(ready(build, runtime), model(release))
        for trace in outcome_traces(model(release), runtime, everything(CLERK, runtime)):
            assert violates(trace, pair, conforms(pair)) is None
