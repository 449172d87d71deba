"""Proofs that leave time out: the tables say what the model says, and nothing that can happen is left out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import pytest

from model.assumptions.catalogue import ASSUMPTIONS
from model.clerk.policy import POLICIES, PROPOSED, Policy
from model.clerk.state import Client
from model.clerk.transition import step
from model.terms import Runtime, TimerDue
from model.world.course import absorb, begin
from model.world.events import Advance, Event, Freeze, FreezeKind, RestartApp, SwitchOrganization, Touch
from model.world.facts import Fired
from model.world.state import World
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Proved, Violated
from properties.prove.app import App
from properties.prove.canonical import NOW, Memory
from properties.prove.prove import Limits, prove
from properties.prove.untimed import AT_ONCE, BITS, LOW, Product, Reach
from properties.prove.untimed_states import SKEWED
from properties.prove.zone import either_way
from properties.run.run import Run
from properties.system.step import start
from properties.targets.model import ModelTarget
from tests.support import HEADLINE, assuming
from tests.test_prove import wandering

QUIET = PROPOSED["FIX_QUIET_BACKGROUND"]
EVERYTHING = tuple(name for name in ASSUMPTIONS if name != "calm")
TIMELESS = [one for one in INVARIANTS.values() if one.timeless and Runtime.HEADLESS in one.runtimes]


def product(policy: Policy, *names: str) -> tuple[Product, Reach]:
    """All that can be reached; it has an end, or the test is wrong."""
    assumptions = assuming(*names)
    tables = Product(policy, Runtime.HEADLESS, assumptions, App(), Memory.needed(assumptions, history=True), ())
    found = tables.search(seconds=600, states=1_000_000, steps=1_000_000)
    assert found.closed
    return tables, found


# -- the recommended fix ------------------------------------------------------------------------------------


def test_the_recommended_fix_is_proved_under_all_assumptions_together() -> None:
    judged = [INVARIANTS[name] for name in (HEADLINE, "revoked-session-signs-out")]
    found = prove(QUIET, Runtime.HEADLESS, assuming(*EVERYTHING), judged, limits=Limits(seconds=600))
    assert all(isinstance(verdict, Proved) for verdict in found.verdicts.values())


def test_what_holds_by_the_clock_alone_is_left_to_the_zones() -> None:
    cell = ("starvation", "stale-after-expiry")
    guarded = POLICIES["CLERK_JS_6_7_4"]
    assumptions = assuming(*cell)
    tables = Product(
        guarded, Runtime.HEADLESS, assumptions, App(), Memory.needed(assumptions, False), [INVARIANTS[HEADLINE]]
    )
    assert tables.search(seconds=600, states=1_000_000, steps=1_000_000).broken == {HEADLINE}
    (verdict,) = prove(guarded, Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]]).verdicts.values()
    assert isinstance(verdict, Proved)


@pytest.mark.parametrize("name", [one.id for one in TIMELESS])
def test_what_the_zones_break_is_not_proved_without_them(name: str) -> None:
    """Each of these breaks somewhere, so that a pass that sees nothing would show."""
    breaks = {
        HEADLINE: ("CLERK_JS_6_7_1", "rotated-credential"),
        "valid-session-survives": ("CLERK_JS_6_40_0", "rotated-credential"),
        "revoked-session-signs-out": ("CLERK_JS_6_40_0", "revocation"),
        "tokens-never-go-backwards": ("CLERK_JS_6_7_4", "stale-edge"),
        "offline-is-not-signed-out": ("CLERK_JS_6_40_0", "outage"),
        "no-request-storm": ("CLERK_JS_6_40_0", "refused-credential"),
    }
    policy, assumption = breaks[name]
    (verdict,) = prove(
        POLICIES[policy], Runtime.HEADLESS, assuming(assumption), [INVARIANTS[name]]
    ).verdicts.values()
    never_broken = name in ("revoked-session-signs-out", "offline-is-not-signed-out")
    assert isinstance(verdict, Proved if never_broken else Violated)


# -- the tables against the plain functions -----------------------------------------------------------------


def plainly(tables: Product, world: World, client: Client) -> Iterator[int]:
    """Where a state leads, without tables: the model's functions, one after the other."""
    at = SKEWED if tables.assumptions.skews else NOW
    for timer in world.timers:
        rest = world.but(timers=tuple(other for other in world.timers if other is not timer))
        for after, outputs in either_way(partial(step, client, TimerDue(timer.timer), at)):
            yield tables.number(absorb(rest, outputs, wake=False)[0], after)
    freezes = [Freeze(AT_ONCE, kind) for kind in FreezeKind if tables.assumptions.may_freeze]
    for event in [*tables.app.events(world, tables.assumptions), *freezes]:
        begun, _, cue = begin(world, event)
        if cue is None:
            yield tables.number(begun, client)
            continue
        for after, outputs in either_way(partial(step, client, cue.stimulus, at)):
            yield tables.number(absorb(begun, outputs, wake=False)[0], after)


@pytest.mark.parametrize(
    ("policy", "assumptions"),
    [
        (QUIET, ("outage", "locked-keychain", "revocation")),
        (POLICIES["CLERK_JS_6_40_0"], ("starvation", "stale-edge", "clock-skew")),
        (POLICIES["CLERK_JS_6_7_4"], ("rotated-credential", "revocation")),
    ],
    ids=["quiet", "6.40.0", "6.7.4"],
)
def test_the_tables_have_the_states_and_edges_of_the_plain_functions(
    policy: Policy, assumptions: tuple[str, ...]
) -> None:
    tables, found = product(policy, *assumptions)
    reached = tables.number(*first(policy))
    seen, stack, edges = {reached}, [reached], 0
    while stack:
        state = stack.pop()
        world = tables.worlds.all[state >> BITS]
        client = tables.clients.all[state & LOW]
        plain = sorted({*plainly(tables, world, client)})
        assert plain == sorted({*tables.successors(state >> BITS, [state & LOW])})
        edges += len(plain)
        stack += [one for one in plain if one not in seen]
        seen.update(plain)
    assert seen == tables.states
    assert len(seen) == found.states
    assert 0 < edges <= found.transitions


def first(policy: Policy) -> tuple[World, Client]:
    target = ModelTarget(policy)
    world = start(target, Runtime.HEADLESS)
    assert target.client is not None
    return world, target.client


# -- nothing is left out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [QUIET, POLICIES["CLERK_JS_6_40_0"]], ids=["quiet", "6.40.0"])
def test_random_traces_stay_within_the_graph(policy: Policy) -> None:
    assumptions = assuming(*EVERYTHING)
    tables, _ = product(policy, *EVERYTHING)
    for run, client in wandering(policy, assumptions, traces=30):
        assert tables.number(run.world, client) in tables.states, run.events


def busy_event(run: Run, draw: random.Random, app: App) -> Event | None:
    """Something that this app, or the world, may do now; as often as not, time, until the next timer runs."""
    now: list[Event] = [*app.events(run.world, run.assumptions)]
    due = min((timer.due for timer in run.world.timers), default=0) - run.world.now
    passing: list[Event] = [Advance(max(due, 1000)), Freeze(max(due, 1000), draw.choice([*FreezeKind]))]
    passing = [event for event in passing if run.assumptions.permit(run.world, event)]
    either = [some for some in (now, passing) if some]
    return draw.choice(draw.choice(either)) if either else None


@pytest.mark.parametrize(
    ("policy", "runtime"),
    [
        (QUIET, Runtime.HEADLESS),
        (POLICIES["CLERK_JS_6_40_0"], Runtime.HEADLESS),
        (POLICIES["CLERK_JS_6_0_0"], Runtime.BROWSER_LIKE),
    ],
    ids=["quiet", "6.40.0", "6.0.0"],
)
def test_each_step_of_an_app_that_switches_is_in_the_tables(policy: Policy, runtime: Runtime) -> None:
    """Too much for a test is all that such an app can reach: so each step is looked for where it began."""
    app, assumptions = App(calls=2, touches=True, organizations=True, switches=True), assuming(*EVERYTHING)
    memory = Memory.needed(assumptions, history=True, switches=True)
    tables, draw = Product(policy, runtime, assumptions, app, memory, ()), random.Random(1)
    played: set[type[Event]] = set()
    for _ in range(40):
        target = ModelTarget(policy)
        run = Run(target, runtime, assumptions, ())
        for _ in range(20):
            assert target.client is not None
            reached = {tables.number(run.world, target.client)}
            if (event := busy_event(run, draw, app)) is None:
                break
            fired = sum(isinstance(fact, Fired) for fact in run.play(event).facts)
            steps = fired + (not isinstance(event, Advance))
            if steps > 2:  # any timer may run next, so that there are ever more ways
                continue
            played.add(type(event))
            for _ in range(steps):
                reached = {
                    after for state in reached for after in tables.successors(state >> BITS, [state & LOW])
                }
            assert tables.number(run.world, target.client) in reached, run.events
    assert {SwitchOrganization, RestartApp, Touch, Advance, Freeze} <= played
