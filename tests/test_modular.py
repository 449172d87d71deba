"""Proofs that follow each part of a client on its own: nothing is left out, and what breaks is not proved."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from model.app import App
from model.assumptions.sets import everything
from model.clerk import canonical, session
from model.clerk.policy import Policy
from model.clerk.sdk import CLERK
from model.clerk.session import NOBODY
from model.clerk.state import Call, Flight, Purpose, Turn
from model.clerk.terms import (
    PERSONAL,
    GetToken,
    SignIn,
    SignOut,
    SwitchOrganization,
    SwitchSession,
    TokenId,
    Touch,
)
from model.io import TimerDue
from model.operations import Operation
from model.parts import OF_ANOTHER
from model.requests import Outcome
from model.terms import CallId, Runtime
from model.world.events import OF_REQUEST, Advance, Answer, Deliver, Event, Freeze, RestartApp, Serve, SetClock
from model.world.facts import Answered, Origin, TimerFired
from model.world.state import System
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import HeldTo, Proved, Violated
from properties.prove.apart import Change, Core, Renamed, Thread, Told
from properties.prove.halves import Apart, ApartClient, ApartSystem, Calls
from properties.prove.modular import Modular, Option
from properties.prove.prove import Limits, prove
from properties.prove.state import Memory
from properties.prove.successors import Problem
from properties.run.run import Run
from properties.targets.model import ModelTarget
from tests.support import HEADLINE, HOUR, assuming, model, proposed
from tests.support import app as calling
from tests.test_mutants import tells_only_who_asked
from tests.test_prove import ONE_CALL
from tests.test_timeless import TIMELESS, busy_event, tables_of

ORGANIZATIONS = [GetToken(organization="org_b"), GetToken(organization=PERSONAL)]
SWITCHES = [SwitchOrganization("org_b"), SwitchOrganization(None)]
SESSIONS = [SignOut(), SignIn(1), SignIn(2), SwitchSession()]
GRANTED, SESSION = Outcome.GRANTED, Outcome.SESSION
QUIET = proposed("FIX_QUIET_BACKGROUND")


def modular(
    target: ModelTarget,
    *names: str,
    runtime: Runtime = Runtime.HEADLESS,
    app: App = ONE_CALL,
    kinds: bool = True,
) -> Modular:
    """The pass over one problem, with nothing in it."""
    assumptions = assuming(*names)
    memory = replace(Memory.needed(assumptions, app, history=True, waits=True), kinds=kinds)
    return Modular(Problem(target, runtime, assumptions, app, memory), TIMELESS)


# -- two organizations ------------------------------------------------------------------------------------------

TWO_ORGANIZATIONS = calling(*ORGANIZATIONS, *SWITCHES)


@pytest.mark.parametrize("release", ["6.7.1", pytest.param("6.40.0", marks=pytest.mark.slow)])
def test_an_app_with_two_organizations_is_proved(release: str) -> None:
    found = prove(
        model(release),
        Runtime.HEADLESS,
        assuming("calm"),
        [INVARIANTS[HEADLINE]],
        TWO_ORGANIZATIONS,
        Limits(seconds=600, steps=20_000),
    )
    assert isinstance(found.verdicts[HEADLINE], Proved)


def test_so_is_the_recommended_fix_where_the_device_starves() -> None:
    assumptions = assuming("starvation", "stale-after-expiry")
    limits = Limits(seconds=600, steps=20_000)
    found = prove(QUIET, Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]], calling(*SWITCHES), limits)
    assert isinstance(found.verdicts[HEADLINE], Proved)


def test_an_outage_makes_it_no_harder() -> None:
    limits = Limits(seconds=600, steps=20_000)
    found = prove(
        model("6.40.0"), Runtime.HEADLESS, assuming("outage"), [INVARIANTS[HEADLINE]], TWO_ORGANIZATIONS, limits
    )
    assert isinstance(found.verdicts[HEADLINE], Proved)


@pytest.mark.parametrize(
    ("target", "names", "operations"),
    [
        (model("6.7.1"), "calm", SWITCHES),
        (QUIET, "starvation,stale-after-expiry", SWITCHES[:1]),
        pytest.param(QUIET, "starvation,stale-after-expiry", SWITCHES, marks=pytest.mark.slow),
        pytest.param(model("6.40.0"), "calm", [*ORGANIZATIONS, *SWITCHES], marks=pytest.mark.slow),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_two_calls_at_a_time_are_proved(target: ModelTarget, names: str, operations: list[Operation]) -> None:
    app, limits = calling(*operations, calls=2), Limits(seconds=600, steps=100_000)
    found = prove(target, Runtime.HEADLESS, assuming(*names.split(",")), [INVARIANTS[HEADLINE]], app, limits)
    assert isinstance(found.verdicts[HEADLINE], Proved)


def test_what_breaks_with_two_organizations_is_not_proved() -> None:
    assumptions = assuming("starvation", "stale-after-expiry")
    limits = Limits(seconds=600, steps=20_000)
    found = prove(
        model("6.7.1"), Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]], TWO_ORGANIZATIONS, limits
    )
    assert isinstance(found.verdicts[HEADLINE], Violated)


def test_a_search_that_is_cut_short_proves_nothing() -> None:
    limits = Limits(depth=2, seconds=600, steps=500)
    found = prove(
        model("6.7.1"), Runtime.HEADLESS, assuming("calm"), [INVARIANTS[HEADLINE]], TWO_ORGANIZATIONS, limits
    )
    assert isinstance(found.verdicts[HEADLINE], HeldTo)


# -- against the product ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (model("6.7.1"), "starvation,stale-after-expiry"),
        (model("6.7.4"), "rotated-credential,revocation"),
        (model("6.40.0"), "outage"),
        (model("6.40.0"), "foreign-token"),
        (QUIET, "starvation,stale-for-good,revocation"),
    ],
    ids=lambda one: str(getattr(one, "name", one)),
)
def test_what_the_product_breaks_the_parts_break(target: ModelTarget, names: str) -> None:
    compare(target, *names.split(","))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (model("6.7.4"), "rotated-credential"),
        (model("6.40.0"), "revocation"),
        pytest.param(QUIET, "starvation,stale-for-good,revocation", marks=pytest.mark.slow),
    ],
    ids=lambda one: str(getattr(one, "name", one)),
)
def test_so_it_is_with_two_calls_at_a_time(target: ModelTarget, names: str) -> None:
    compare(target, *names.split(","), app=calling(calls=2))


@pytest.mark.parametrize("names", ["foreign-token", "revocation"])
def test_so_it_is_without_the_kinds_of_tokens(names: str) -> None:
    compare(model("6.24.0"), names, app=calling(*ORGANIZATIONS), kinds=False)


def compare(target: ModelTarget, *names: str, app: App = ONE_CALL, kinds: bool = True) -> None:
    """The product breaks and reaches nothing else than the parts."""
    exact = tables_of(target, *names, judged=TIMELESS, app=app).search(600, 1_000_000, 1_000_000)
    found = modular(target, *names, app=app, kinds=kinds).search(600, 1_000_000, 1_000_000)
    assert exact.closed and found.closed
    assert exact.broken <= found.broken
    assert exact.reached.keys() <= found.reached.keys()


def a_switch_waits_for_a_template(patch: pytest.MonkeyPatch) -> None:
    """A mistake by which the app gets the Session object on which it called setActive."""
    right = session.touched

    def touched(turn: Turn, flight: Flight, failure: Outcome | None = None) -> Turn:
        if flight.purpose is Purpose.TOUCH or failure or flight.cause is None:
            return right(turn, flight, failure)
        of_template = Call(flight.cause, TokenId("api"), skip_cache=False, holder=flight.holder, switches=True)
        return session.attempt(turn, of_template)

    patch.setattr(session, "touched", touched)


def test_a_held_token_that_takes_the_place_of_a_newer_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without times nothing but the object that has it tells the one from the other."""
    backwards = INVARIANTS["tokens-never-go-backwards"]
    target, app = model("6.40.0"), calling(SwitchOrganization(None))
    (right,) = prove(target, Runtime.HEADLESS, assuming("outage"), [backwards], app).verdicts.values()
    assert isinstance(right, Proved)
    a_switch_waits_for_a_template(monkeypatch)
    (verdict,) = prove(target, Runtime.HEADLESS, assuming("outage"), [backwards], app).verdicts.values()
    assert isinstance(verdict, Violated)
    assert not any(isinstance(event, Serve | Deliver) for event in verdict.trace.events)
    for kinds in (True, False):
        assert backwards.id in modular(target, "outage", app=app, kinds=kinds).search(60, 10_000, 10_000).broken


# -- a property that is stronger ---------------------------------------------------------------------------------

SETTLES = INVARIANTS["every-call-settles"]


def test_that_every_call_settles_needs_no_times_to_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    app, limits = replace(TWO_ORGANIZATIONS, calls=2), Limits(steps=20_000)
    for verdict in (Proved, Violated):
        found = prove(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), [SETTLES], app, limits)
        assert isinstance(found.verdicts[SETTLES.id], verdict)
        tells_only_who_asked(monkeypatch)


@pytest.mark.parametrize("names", ["outage", "calm", "late-replies", "failing-start"])
def test_what_breaks_with_times_breaks_what_is_stronger(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the whole and in some part."""
    tells_only_who_asked(monkeypatch)
    app = calling(*ORGANIZATIONS, *SWITCHES, calls=3)
    problem, draw, broken = modular(model("6.40.0"), names, app=app).problem, random.Random(1), 0
    for _ in range(100):
        build = problem.fresh()
        run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
        while len(run.events) < 25 and (event := busy_event(run, draw, app)) is not None:
            if SETTLES.check(step := run.play(event)):
                broken += 1
                assert SETTLES.may_break(step, [step.end], problem.assumptions), run.events
                assert SETTLES.may_break(step, in_parts(problem, run, build), problem.assumptions), run.events
    assert broken


def in_parts(problem: Problem, run: Run, build: ModelTarget) -> list[System]:
    """The parts of a system, each by itself."""
    half = ApartClient.of(CLERK, problem.memory, build.client, Calls.of(run.system))
    return ApartSystem.of(run.system, half.effect, problem.memory).each


# -- nothing is left out ----------------------------------------------------------------------------------------


@dataclass
class Following(Modular):
    """Takes only the steps of timers, of answers at once, and of events like one that was played."""

    played: Event | None = None

    def options(self, core: Core, thread: Thread | None) -> list[Option]:
        return [one for one in super().options(core, thread) if isinstance(one, TimerDue) or self.is_like(one)]

    def is_like(self, option: Any) -> bool:
        """Is this the event that was played, but for the number of its request and for how long it lasts?"""
        if isinstance(self.played, RestartApp) and isinstance(option, Answer):
            return True
        if type(option) is not type(self.played):
            return False
        if isinstance(option, OF_REQUEST) and isinstance(self.played, OF_REQUEST):
            return replace(option, request=0) == replace(self.played, request=0)
        return isinstance(option, Freeze) or option == self.played

    def follow(self, before: Apart, event: Event, steps: int) -> None:
        """Explore from one configuration, so many steps."""
        for known in (self.threads, self.changes, self.waiting):
            known.clear()
        self.played = event
        self.reach(before.core, before.threads)
        for _ in range(steps):
            for core in [*self.waiting]:
                del self.waiting[core]
                self.expand(core)

    def has(self, configuration: Apart) -> bool:
        """Was this reached, but for the order of the core's Session objects?"""
        return any(
            core in self.threads and all(one in self.threads[core] for one in threads)
            for core, threads in reordered(configuration)
        )


def reordered(configuration: Apart) -> Iterator[tuple[Core, list[Thread]]]:
    """The same with the core's Session objects in each order. Which is older is not known of one that was a
    part's, and no rule reads it."""
    core, form = configuration.core, Renamed()
    client = core.client
    for order in permutations(range(len(client.holders))):
        at = dict.fromkeys((NOBODY,), NOBODY) | {old: new for new, old in enumerate(order)}
        other = replace(
            client,
            holders=tuple(client.holders[old] for old in order),
            listed=tuple(at[one] for one in client.listed),
            chosen=None if client.chosen is None else at[client.chosen],
            cache=tuple(canonical.of_entry(one, form, at) for one in client.cache),
            flights=tuple(canonical.of_flight(one, form, at) for one in client.flights),
            calls=tuple(canonical.of_call(one, form, at) for one in client.calls),
            resends=tuple((timer, canonical.of_flight(one, form, at)) for timer, one in client.resends),
        )
        threads = (
            replace(
                one, part=one.part.named(form, {own: at.get(own, own) for own in one.part.holders}, one.part.own)
            )
            for one in configuration.threads
        )
        yield replace(core, client=other), [*threads]


def followed(steps_of: Following, run: Run, build: ModelTarget, event: Event) -> bool:
    """Play an event. Is what it leads to among the steps of the parts, and what it breaks?"""
    memory = steps_of.problem.memory
    before = Apart(CLERK, memory, run.system, build.client)
    step = run.play(event)
    facts = step.facts
    steps = sum(isinstance(fact, TimerFired) for fact in facts) + (not isinstance(event, Advance))
    if isinstance(event, RestartApp):
        steps += sum(isinstance(fact, Answered) for fact in facts)
    if steps > MOST_STEPS:
        return True
    steps_of.follow(before, event, steps)
    broken = {one.id for one in steps_of.invariants if one.check(step)}
    return broken <= steps_of.broken and steps_of.has(Apart(CLERK, memory, run.system, build.client))


MOST_STEPS = 3
"""Any timer may run next, so that there are ever more ways."""

EVERYTHING = everything(CLERK, Runtime.HEADLESS).names


@pytest.mark.parametrize(
    ("target", "runtime", "names", "operations", "calls", "kinds"),
    [
        (model("6.40.0"), Runtime.HEADLESS, ("outage", "starvation"), SWITCHES, 2, True),
        (model("6.7.1"), Runtime.HEADLESS, ("rotated-credential", "outage"), SWITCHES, 2, True),
        (model("6.24.0"), Runtime.HEADLESS, ("several-sessions", "revocation", "lean-touch"), SESSIONS, 2, True),
        pytest.param(
            QUIET, Runtime.HEADLESS, EVERYTHING, [*SWITCHES, *SESSIONS], 1, True, marks=pytest.mark.slow
        ),
        (model("6.40.0"), Runtime.HEADLESS, ("outage", "locked-keychain"), SWITCHES, 3, False),
        (model("6.7.4"), Runtime.HEADLESS, ("several-sessions", "rotated-credential"), SESSIONS, 2, False),
        pytest.param(
            model("6.40.0"),
            Runtime.HEADLESS,
            EVERYTHING,
            [*SWITCHES, *SESSIONS],
            2,
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            model("6.0.0"),
            Runtime.BROWSER_LIKE,
            EVERYTHING,
            [*SWITCHES, *SESSIONS],
            2,
            True,
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_each_step_of_a_trace_is_one_of_its_parts(
    target: ModelTarget,
    runtime: Runtime,
    names: Sequence[str],
    operations: list[Operation],
    calls: int,
    kinds: bool,
) -> None:
    """Too much for a test is all that such an app can reach: so each step is looked for where it began."""
    app = calling(*ORGANIZATIONS, Touch(), *operations, calls=calls)
    problem, draw = modular(target, *names, runtime=runtime, app=app, kinds=kinds).problem, random.Random(1)
    steps_of = Following(problem, TIMELESS)
    played: set[type[Event]] = set()
    for _ in range(60):
        build = problem.fresh()
        run = Run(build, runtime, problem.assumptions, ())
        while len(run.events) < 25 and (event := busy_event(run, draw, app)) is not None:
            played.add(type(event))
            assert followed(steps_of, run, build, event), run.events
    assert {type(operations[0]), Advance, Answer} <= played


@pytest.mark.parametrize("policy", [*CLERK.policies.values(), *CLERK.proposed.values()], ids=lambda one: one.name)
def test_so_it_is_for_each_policy(policy: Policy) -> None:
    """A policy may read of a part what none did before."""
    target = ModelTarget(CLERK, policy)
    app = calling(*ORGANIZATIONS, Touch(), *SWITCHES, calls=2)
    problem = modular(target, "outage", "starvation", "rotated-credential", app=app).problem
    steps_of, draw = Following(problem, TIMELESS), random.Random(2)
    for _ in range(20):
        build = problem.fresh()
        run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
        while len(run.events) < 25 and (event := busy_event(run, draw, app)) is not None:
            assert followed(steps_of, run, build, event), run.events


def test_parts_that_share_a_session_object_see_what_becomes_of_it() -> None:
    """A token of the personal workspace that was fetched before a switch is refreshed for the old Session object,
    and becomes its last active one. A token by a template has that object too."""
    template, again = GetToken(template="api"), GetToken(skip_cache=True)
    problem = modular(model("6.40.0"), "calm", app=calling(again, template, *SWITCHES)).problem
    build, steps_of = problem.fresh(), Following(problem, ())
    run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
    asked: list[Event] = [again, Answer(1, GRANTED), template, Answer(2, GRANTED)]
    switched: list[Event] = [SwitchOrganization("org_b"), Answer(3, SESSION), Advance(43_000)]
    last_active = []
    for event in [*asked, *switched, *(Answer(number, GRANTED) for number in (4, 5, 6))]:
        assert followed(steps_of, run, build, event), run.events
        last_active.append(str(build.client.holders[0].token.token_id))
    assert last_active[-4:] == ["org_b", "", "", ""], last_active


def test_a_part_that_is_only_read_stays() -> None:
    """Until #8004 a switch goes on if the server cannot be told of it, with the token that is cached."""
    problem = modular(model("6.0.0"), "outage", app=calling(*ORGANIZATIONS, *SWITCHES)).problem
    build, steps_of = problem.fresh(), Following(problem, ())
    run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
    told = Answer(2, Outcome.LOST)
    for event in (GetToken(organization="org_b"), Answer(1, GRANTED), SwitchOrganization("org_b"), told):
        assert followed(steps_of, run, build, event), run.events
    assert not build.client.calls


def test_a_promise_that_comes_late_renews_the_token_in_its_slot() -> None:
    problem = modular(model("6.40.0"), "outage", app=calling(*ORGANIZATIONS, *SWITCHES)).problem
    build, steps_of = problem.fresh(), Following(problem, ())
    run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
    overtaken: list[Event] = [Advance(43_000), GetToken(skip_cache=True), Answer(1, GRANTED), Advance(43_000)]
    refreshed = []
    for event in [*overtaken, Answer(2, GRANTED)]:
        assert followed(steps_of, run, build, event), run.events
        refreshed.append([entry.refresh for entry in build.client.cache if entry.token])
    assert refreshed[-2] == [None]
    assert refreshed[-1] not in ([], [None])


def test_so_does_one_whose_reply_came_late() -> None:
    """Its token and the one that was cached meanwhile are two, though nothing tells them apart without times."""
    problem = modular(model("6.40.0"), "late-replies", app=calling(GetToken(skip_cache=True))).problem
    build, steps_of = problem.fresh(), Following(problem, ())
    run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
    overtaken: list[Event] = [Advance(43_000), GetToken(skip_cache=True), Answer(1, GRANTED), Advance(43_000)]
    for event in [*overtaken, Serve(2, GRANTED), Deliver(2)]:
        assert followed(steps_of, run, build, event), run.events
    (cached,) = build.client.cache
    assert cached.token == run.world.token
    assert cached.refresh is not None


def a_switch_that_went_on() -> tuple[Following, Run, ModelTarget]:
    """A switch that was answered 401 goes on, and nobody waits for what asks then whether there is a session. It
    goes on with a request if tokens seem to have expired."""
    assumed = ("rotated-credential", "outage", "clock-skew")
    problem = modular(model("6.40.0"), *assumed, app=calling(*SWITCHES)).problem
    build = problem.fresh()
    run = Run(build, Runtime.HEADLESS, problem.assumptions, ())
    refused = Answer(1, Outcome.UNAUTHORIZED)
    for event in (SetClock(HOUR), SwitchOrganization("org_b"), refused, Answer(2, SESSION)):
        run.play(event)
    return Following(problem, ()), run, build


def test_a_call_is_lied_to_by_an_answer_to_another_part() -> None:
    """By then it was lied to in any case: that is forgotten here."""
    steps_of, run, build = a_switch_that_went_on()
    run.system = run.system.noting(run.system.monitor.each(lied_to=False))
    assert followed(steps_of, run, build, Answer(3, Outcome.BROKEN))
    assert [record.lied_to for record in run.system.monitor.calls] == [True]


def test_what_another_part_does_is_in_the_background_once_the_call_has_settled() -> None:
    steps_of, run, build = a_switch_that_went_on()
    assert run.world.origin(run.world.requests[0].cause) is Origin.FOREGROUND
    assert followed(steps_of, run, build, Answer(4, GRANTED))
    assert run.world.origin(run.world.requests[0].cause) is Origin.BACKGROUND


def test_a_part_that_a_step_has_made_may_be_caused_by_a_call_that_was_chosen() -> None:
    steps_of, run, build = a_switch_that_went_on()
    threads = Apart(CLERK, steps_of.problem.memory, run.system, build.client).threads
    asking = next(one for one in threads if causes(one) == [OF_ANOTHER, OF_ANOTHER])
    nothing = Change((), (), (None, OF_ANOTHER), frozenset(), frozenset(), (), False, (), (), 0, Told())
    assert [causes(one) for one in nothing.made(asking)] == [[None, None], [OF_ANOTHER, OF_ANOTHER]]


def causes(thread: Thread) -> list[CallId | None]:
    """What its request is caused by, for the client and for the world."""
    part: Any = thread.part
    return [one.cause for one in (part.flight, thread.world.request) if one]
