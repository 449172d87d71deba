"""Proofs that leave time out: the tables say what the model says, and nothing that can happen is left out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from model.app import App
from model.assumptions.sets import everything
from model.clerk.sdk import CLERK
from model.clerk.terms import PERSONAL, GetToken, SwitchOrganization, Touch
from model.clerk.transition import step
from model.io import Replied, Stimulus, TimerDue, TimerSet, TokenAnnounced
from model.sdk import Client, Reaction, Sdk, Turn
from model.step import Span, enabled
from model.terms import Millis, Runtime, Token
from model.world.course import begin, without_timer
from model.world.events import Advance, Event, Freeze, FreezeKind, RestartApp
from model.world.facts import Answered, TimerFired
from model.world.outputs import absorb
from model.world.state import System
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Proved, Violated
from properties.prove.prove import Limits, most_timers, prove
from properties.prove.runs import either_way
from properties.prove.state import NOW, Memory
from properties.prove.successors import Problem
from properties.prove.untimed import ANY_LENGTH, BITS, LOW, Product, UntimedResult
from properties.prove.untimed_states import DEVICE_TIME
from properties.prove.zone import Instant, UntimedZone
from properties.run.run import Run
from properties.targets.model import ModelTarget
from tests.support import HEADLINE, assuming, model, proposed
from tests.support import app as calling
from tests.test_prove import ONE_CALL, wandering
from tests.toy import sdk as toy
from tests.toy.sdk import TOY, Policy

QUIET = proposed("FIX_QUIET_BACKGROUND")
APART = (
    "calm",
    "late-replies",
    "lean-touch",
    "foreign-token",
    "retry-after",
    "several-sessions",
    "banned-user",
    "session-gone",
)
"""Beside others these would make the graph of all together too large, or break what is proved: they have proofs
of their own."""
EVERYTHING = tuple(name for name in everything(CLERK, Runtime.HEADLESS).names if name not in APART)
TIMELESS = [one for one in INVARIANTS.values() if one.timeless and Runtime.HEADLESS in one.runtimes]


def tables_of(
    target: ModelTarget,
    *names: str,
    runtime: Runtime = Runtime.HEADLESS,
    app: App = ONE_CALL,
    history: bool = True,
    judged: Sequence[Invariant] = (),
) -> Product:
    """The tables of a proof, with nothing in them."""
    assumptions = assuming(*names)
    memory = Memory.needed(assumptions, app, history, waits=history)
    return Product(Problem(target, runtime, assumptions, app, memory), most_timers(CLERK, app), judged)


def product(target: ModelTarget, *names: str) -> tuple[Product, UntimedResult]:
    """All that can be reached; it has an end, or the test is wrong."""
    tables = tables_of(target, *names)
    found = tables.search(seconds=600, states=1_000_000, steps=1_000_000)
    assert found.closed
    return tables, found


# -- the recommended fix ------------------------------------------------------------------------------------


def test_the_recommended_fix_is_proved_under_all_assumptions_together() -> None:
    judged = [INVARIANTS[name] for name in (HEADLINE, "revoked-session-signs-out")]
    found = prove(QUIET, Runtime.HEADLESS, assuming(*EVERYTHING), judged, limits=Limits(seconds=600))
    assert all(isinstance(verdict, Proved) for verdict in found.verdicts.values())


@pytest.mark.parametrize("apart", ["late-replies", "lean-touch", "foreign-token", "retry-after"])
def test_so_it_is_with_what_the_rest_leaves_out(apart: str) -> None:
    """An app that touches its session; the device starved, and its credential stale."""
    assumptions = assuming("starvation", "stale-for-good", "rotated-credential", apart)
    found = prove(QUIET, Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]], calling(Touch()))
    assert isinstance(found.verdicts[HEADLINE], Proved)


def test_what_holds_by_the_clock_alone_is_left_to_the_zones() -> None:
    cell = ("starvation", "stale-after-expiry")
    guarded, judged = model("6.7.4"), [INVARIANTS[HEADLINE]]
    tables = tables_of(guarded, *cell, history=False, judged=judged)
    assert tables.search(seconds=600, states=1_000_000, steps=1_000_000).broken == {HEADLINE}
    (verdict,) = prove(guarded, Runtime.HEADLESS, assuming(*cell), judged).verdicts.values()
    assert isinstance(verdict, Proved)


@pytest.mark.parametrize("name", [one.id for one in TIMELESS])
def test_what_the_zones_break_is_not_proved_without_them(name: str) -> None:
    """Each of these breaks somewhere, so that a pass that sees nothing would show."""
    breaks = {
        HEADLINE: ("6.7.1", "rotated-credential"),
        "valid-session-survives": ("6.40.0", "rotated-credential"),
        "revoked-session-signs-out": ("6.40.0", "revocation"),
        "tokens-never-go-backwards": ("6.7.4", "stale-edge"),
        "no-token-of-another-user": ("6.40.0", "foreign-token"),
        "nothing-uncaught": ("6.40.0", "revocation"),
        "offline-is-not-signed-out": ("6.40.0", "outage"),
        "no-request-storm": ("6.40.0", "refused-credential"),
        "start-recovers": ("6.40.0", "failing-start"),
        "left-session-stays-left": ("6.40.0", "several-sessions"),
        "only-the-app-signs-out": ("6.40.0", "several-sessions"),
    }
    release, assumption = breaks[name]
    found = prove(model(release), Runtime.HEADLESS, assuming(assumption), [INVARIANTS[name]])
    (verdict,) = found.verdicts.values()
    never_broken = name in (
        *("revoked-session-signs-out", "nothing-uncaught", "offline-is-not-signed-out"),
        *("start-recovers", "left-session-stays-left", "only-the-app-signs-out"),
    )
    assert isinstance(verdict, Proved if never_broken else Violated)


# -- the tables against the plain functions -----------------------------------------------------------------


def plainly(tables: Product, system: System, client: Client) -> Iterator[int]:
    """Where a state leads, without tables: the model's functions, one after the other."""
    assumptions, app = tables.problem.assumptions, tables.problem.app
    at = DEVICE_TIME if assumptions.skews else NOW
    for timer in system.world.timers:
        rest = without_timer(system, timer.timer)
        for after, outputs in either_way(partial(step, client, TimerDue(timer.timer), at)):
            yield tables.number(absorb(rest, outputs)[0], after)
    Instant.zone = UntimedZone()
    Instant.zone.assume_nothing = True
    freezes = [Freeze(ANY_LENGTH, kind) for kind in FreezeKind if assumptions.may_freeze]
    options = [one for one in enabled(system, assumptions, app) if not isinstance(one, Span)]
    for event in [*options, *freezes]:
        for begun, _, cue in either_way(partial(begin, system, event)):
            if cue is None:
                yield tables.number(begun, client)
                continue
            for after, outputs in either_way(partial(step, client, cue.stimulus, at)):
                yield tables.number(absorb(begun, outputs)[0], after)


@pytest.mark.parametrize(
    ("target", "assumptions"),
    [
        (QUIET, ("outage", "locked-keychain", "revocation")),
        (model("6.40.0"), ("starvation", "stale-edge", "clock-skew")),
        (model("6.7.4"), ("rotated-credential", "revocation")),
    ],
    ids=["quiet", "6.40.0", "6.7.4"],
)
def test_the_tables_have_the_states_and_edges_of_the_plain_functions(
    target: ModelTarget, assumptions: tuple[str, ...]
) -> None:
    tables, found = product(target, *assumptions)
    reached = tables.number(*tables.problem.at_sign_in())
    seen, stack, edges = {reached}, [reached], 0
    while stack:
        state = stack.pop()
        system = tables.worlds.all[state >> BITS]
        client = tables.clients.all[state & LOW]
        plain = sorted({*plainly(tables, system, client)})
        assert plain == sorted({*tables.successors(state >> BITS, [state & LOW])})
        edges += len(plain)
        stack += [one for one in plain if one not in seen]
        seen.update(plain)
    assert seen == tables.states
    assert len(seen) == found.states
    assert 0 < edges <= found.transitions


# -- nothing is left out ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [QUIET, pytest.param(model("6.40.0"), marks=pytest.mark.slow)], ids=["quiet", "6.40.0"]
)
def test_random_traces_stay_within_the_graph(target: ModelTarget) -> None:
    tables, _ = product(target, *EVERYTHING)
    for run, client in wandering(target, assuming(*EVERYTHING), traces=30):
        assert tables.number(run.system, client) in tables.states, run.events


def busy_event(run: Run, draw: random.Random, app: App) -> Event | None:
    """Something that this app, or the world, may do now; as often as not, time, until the next timer runs."""
    options = enabled(run.system, run.assumptions, app)
    now: list[Event] = [one for one in options if not isinstance(one, Span)]
    due = min((timer.due for timer in run.world.timers), default=0) - run.world.now
    passing: list[Event] = [Advance(max(due, 1000)), Freeze(max(due, 1000), draw.choice([*FreezeKind]))]
    passing = [event for event in passing if run.permits(event)]
    either = [some for some in (now, passing) if some]
    return draw.choice(draw.choice(either)) if either else None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        (QUIET, Runtime.HEADLESS),
        (model("6.40.0"), Runtime.HEADLESS),
        (model("6.0.0"), Runtime.BROWSER_LIKE),
    ],
    ids=["quiet", "6.40.0", "6.0.0"],
)
def test_each_step_of_an_app_that_switches_is_in_the_tables(model: ModelTarget, runtime: Runtime) -> None:
    """Too much for a test is all that such an app can reach: so each step is looked for where it began."""
    organizations = [GetToken(organization="org_b"), GetToken(organization=PERSONAL)]
    switches = [SwitchOrganization("org_b"), SwitchOrganization(None)]
    app = calling(*organizations, Touch(), *switches, calls=2)
    tables, draw = tables_of(model, *EVERYTHING, runtime=runtime, app=app), random.Random(1)
    played: set[type[Event]] = set()
    for _ in range(40):
        target = tables.problem.fresh()
        run = Run(target, runtime, tables.problem.assumptions, ())
        for _ in range(20):
            reached = {tables.number(run.system, target.client)}
            if (event := busy_event(run, draw, app)) is None:
                break
            facts = run.play(event).facts
            fired = sum(isinstance(fact, TimerFired) for fact in facts)
            steps = fired + (not isinstance(event, Advance))
            if steps > 2:  # any timer may run next, so that there are ever more ways
                continue
            played.add(type(event))
            prompt = sum(isinstance(fact, Answered) for fact in facts) if isinstance(event, RestartApp) else 0
            for _ in range(steps + prompt):
                reached = {
                    after for state in reached for after in tables.successors(state >> BITS, [state & LOW])
                }
            assert tables.number(run.system, target.client) in reached, run.events
    assert {SwitchOrganization, RestartApp, Touch, Advance, Freeze} <= played


# -- two tokens that only their age tells apart ---------------------------------------------------------------


class Two(toy.Client, frozen=True):
    """A client with a token to spare."""

    spare: Token | None = None


def two(policy: Policy, runtime: Runtime, token: Token) -> Reaction:
    """It asks for a second token at once."""
    turn = toy.send(Turn(Two(policy, token, timer=1), 0), None).put(TimerSet(1, 20_000, None))
    return turn.client, turn.outputs


def swapping(client: Client, stimulus: Stimulus, at: Millis) -> Reaction:
    """Says nothing of a token that arrives, and takes the other one whenever its timer runs."""
    assert isinstance(client, Two)
    turn = Turn(client, at)
    match stimulus:
        case Replied(token=Token() as token):
            turn = turn.but(spare=token, waiting=())
        case TimerDue():
            turn = turn.put(TimerSet(1, at + 20_000, None))
            if client.spare and not client.spare.is_same(client.token):
                turn = turn.but(token=client.spare, spare=client.token)
                turn = turn.put(TokenAnnounced(client.spare, client.token))
    return turn.client, turn.outputs


SWAPS = Sdk("swaps", TOY.operations, TOY.policies, two, swapping)


def test_what_needs_the_order_of_two_tokens_is_not_proved_without_times() -> None:
    """Without times either may be the newer one."""
    judged = [INVARIANTS["tokens-never-go-backwards"]]
    target = ModelTarget(SWAPS, TOY.policies["TOY_1"])
    found = prove(target, Runtime.HEADLESS, assuming("late-replies"), judged, App((), calls=0))
    (verdict,) = found.verdicts.values()
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) == 4
