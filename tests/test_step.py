"""One transition relation for every engine: what they draw, expand and relieve is what `enabled` has."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from model import step as relation
from model.app import App
from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions, everything
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken
from model.operations import Load, Operation
from model.requests import Outcome
from model.step import Span, Step, enabled, permits
from model.terms import Runtime
from model.world.events import OF_REQUEST, Advance, Answer, Deliver, Event, Freeze, Lose, Serve, StartApp
from model.world.state import System
from properties.conformance.plan import Label, label
from properties.prove.canonical import request_names, state_of
from properties.prove.parameters import SENSIBLE, ParametricZone
from properties.prove.state import Memory
from properties.prove.successors import Problem, successors
from properties.run.lengths import worth_trying
from properties.run.run import Run
from properties.search.generate import CHOICES, KINDS, SWARM, WIDTH, Kind, Place, kinds_of, read
from properties.targets.model import ModelTarget
from tests.support import assuming, model, proposed

APP = App(CLERK.operations)
"""Everything that an app can call."""

TARGETS = (model("6.7.1"), model("6.40.0"), proposed("FIX_QUIET_BACKGROUND"))
CELLS = (
    ("calm",),
    ("starvation", "stale-on-arrival", "stale-edge"),
    ("outage", "locked-keychain", "revocation"),
    ("clock-skew", "restart", "refused-credential"),
    everything(CLERK, Runtime.HEADLESS).names,
)

EVERYWHERE = [
    pytest.param(target, runtime, assuming(*names), id=f"{target.name}-{runtime}-{','.join(names)[:40]}")
    for target in TARGETS
    for runtime in CLERK.runtimes
    for names in CELLS
]
"""Every target, on every runtime, in every cell."""

everywhere = pytest.mark.parametrize(("target", "runtime", "assumptions"), EVERYWHERE)


# -- states that can be reached -------------------------------------------------------------------------------


def copied(run: Run) -> ModelTarget:
    """A target of its own in the same state."""
    target = run.target
    assert isinstance(target, ModelTarget)
    copy = ModelTarget(target.sdk, target.policy)
    copy.client = target.client
    return copy


def walk(target: ModelTarget, runtime: Runtime, assumptions: Assumptions, seed: int, steps: int) -> Iterator[Run]:
    """A random trace, before each of its events. It ends long before the session, which has no end in a proof."""
    draw = random.Random(seed)
    run = Run(ModelTarget(target.sdk, target.policy), runtime, assumptions, ())
    for _ in range(steps):
        yield run
        options = [*enabled(run.system, assumptions, APP)]
        now = [one for one in options if not isinstance(one, Span)]
        passing: list[Event] = [
            one.event(ms)
            for one in options
            if isinstance(one, Span)
            for ms in worth_trying(one, run.world)
            if run.world.now + ms < run.world.timings.session // 4
        ]
        run.play(draw.choice(draw.choice([some for some in (now, now, passing) if some])))


def some_states(target: ModelTarget, runtime: Runtime, assumptions: Assumptions, many: int) -> Iterator[Run]:
    """States of several traces, early and late."""
    for seed in range(many):
        *_, run = walk(target, runtime, assumptions, seed, 2 + 5 * seed)
        yield run


def labels(run: Run) -> set[Label]:
    """What is enabled, whatever its length."""
    possible = [one for one in enabled(run.system, run.assumptions, APP) if not isinstance(one, Span)]
    lasting = [one.event(1) for one in spans(run.system, run.assumptions) if one.longest > 0]
    return {label(event) for event in (*possible, *lasting)}


def spans(system: System, assumptions: Assumptions) -> list[Span]:
    return [one for one in enabled(system, assumptions, APP) if isinstance(one, Span)]


def lengths(span: Span, run: Run) -> list[Event]:
    """The edges of a span, and the lengths in it that mean something."""
    inside = worth_trying(span, run.world)[:5]
    return [span.event(ms) for ms in (1, *inside, span.longest) if span.longest > 0]


# -- what is enabled is permitted, and the other way round ----------------------------------------------------


@everywhere
def test_what_is_enabled_is_permitted_and_can_be_played(
    target: ModelTarget, runtime: Runtime, assumptions: Assumptions
) -> None:
    for run in some_states(target, runtime, assumptions, 15):
        for option in enabled(run.system, assumptions, APP):
            for event in lengths(option, run) if isinstance(option, Span) else [option]:
                assert permits(run.system, assumptions, event, APP), (event, run.events)
                relation.next(run.system, event, copied(run).feed)


@everywhere
def test_what_is_permitted_is_enabled(target: ModelTarget, runtime: Runtime, assumptions: Assumptions) -> None:
    """Of everything that may happen in any world; and of time, to the millisecond."""
    kinds = [event for one in ASSUMPTIONS.values() for event in one.events]
    permitted = 0
    for run in some_states(target, runtime, assumptions, 15):
        requests = {one.request for one in run.world.requests} | {0, 99}
        answers: list[Event] = [Answer(request, outcome) for request in requests for outcome in Outcome]
        answers += [Serve(request, outcome) for request in requests for outcome in Outcome]
        answers += [kind(request) for request in requests for kind in (Deliver, Lose)]
        options = [*enabled(run.system, assumptions, APP)]
        for event in (*kinds, *relation.RELIEFS, *CLERK.operations, *answers):
            may = permits(run.system, assumptions, event, APP)
            assert may is (event in options), (event, run.events)
            permitted += may
        for span in spans(run.system, assumptions):
            for ms in (-1, 0, 1, span.longest, span.longest + 1):
                may = permits(run.system, assumptions, span.event(ms), APP)
                assert may is (0 < ms <= span.longest), (ms, span, run.events)
    assert permitted


def test_what_the_app_does_not_do_is_not_permitted() -> None:
    run = Run(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), ())
    ask, other = GetToken(), GetToken("api")
    assert permits(run.system, run.assumptions, ask, App((ask,)))
    assert not permits(run.system, run.assumptions, other, App((ask,)))
    assert not permits(run.system, run.assumptions, ask, App((ask,), calls=0))
    run.play(other)
    assert not permits(run.system, run.assumptions, ask, App((ask,), calls=1))
    assert permits(run.system, run.assumptions, ask, App((ask,), calls=2))


def test_an_app_loads_a_client_as_often_as_it_may() -> None:
    run = Run(model("6.40.0"), Runtime.HEADLESS, assuming("failing-start"), ())
    run.play(StartApp())
    assert permits(run.system, run.assumptions, Load())
    assert not permits(run.system, run.assumptions, Load(), App(loads=1))


# -- the random search ----------------------------------------------------------------------------------------


@everywhere
def test_the_search_draws_what_is_enabled_and_all_of_it(
    target: ModelTarget, runtime: Runtime, assumptions: Assumptions
) -> None:
    """Over all numbers: every call, every answer, every fault; of each span of time some length."""
    for run in some_states(target, runtime, assumptions, 10):
        drawn = options(run)
        for event in drawn:
            assert permits(run.system, assumptions, event, APP), (event, run.events)
        possible = {one for one in enabled(run.system, assumptions, APP) if not isinstance(one, Span)}
        assert {one for one in drawn if not isinstance(one, Advance | Freeze)} == possible, run.events
        for span in spans(run.system, assumptions):
            within = [one for one in drawn if span.contains(one) and span.event(1) in alike(one)]
            assert bool(within) is (span.longest > 0), (span, run.events)


def options(run: Run) -> set[Event]:
    """Everything that some number chooses."""
    place = Place(run, APP)
    kinds = kinds_of(run.assumptions, APP, run.world.runtime)
    return {one for kind in kinds for number in range(CHOICES) for one in kind.options(place, number)}


def alike(event: Event) -> list[Event]:
    """The same kind of time that passes, for 1 ms."""
    match event:
        case Advance():
            return [Advance(1)]
        case Freeze(_, kind):
            return [Freeze(1, kind)]
        case _:
            return []


def test_every_kind_is_needed_somewhere_and_calm_needs_three() -> None:
    calm = kinds_of(assuming("calm"), APP, Runtime.HEADLESS)
    assert {kind.name for kind in calm} == {"time passes", "a request is answered", "the app makes a call"}
    every = assuming(*ASSUMPTIONS)
    needed = {kind.name for runtime in Runtime for kind in kinds_of(every, APP, runtime)}
    assert needed == {kind.name for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_that_is_not_needed_has_no_options(kind: Kind) -> None:
    run = Run(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), ())
    if not kind.needed(run.assumptions, APP, Runtime.HEADLESS):
        assert not any(kind.options(Place(run, APP), number) for number in range(CHOICES))


def test_a_trace_depends_on_nothing_but_its_bytes() -> None:
    drawn = random.Random(7).randbytes(SWARM + 30 * WIDTH)

    def events() -> list[Event]:
        run = Run(model("6.7.1"), Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"), ())
        return [run.play(event).event for event in read(drawn, run, APP)]

    assert events() == events()
    assert len(events()) > 20


# -- the proofs -----------------------------------------------------------------------------------------------


@everywhere
def test_a_proof_expands_what_is_enabled(target: ModelTarget, runtime: Runtime, assumptions: Assumptions) -> None:
    """By what the app calls, by request and outcome of an answer, by kind of everything else."""
    problem = Problem(target, runtime, assumptions, APP, Memory.needed(assumptions, APP, history=True))
    for run in some_states(target, runtime, assumptions, 15):
        place = run.system, copied(run).client
        named = request_names(CLERK, place)
        wanted = {renamed(one, named) for one in labels(run)}
        expanded = {label(step.event) for step, _ in successors(problem, state_of(CLERK, place, problem.memory))}
        assert expanded == wanted, run.events


def renamed(found: Label, named: dict[int | None, int]) -> Label:
    """What an event is, with a request by its name in canonical form."""
    return label(found[1], named) if found[0] in OF_REQUEST else found


@pytest.mark.parametrize(("target", "runtime", "assumptions"), EVERYWHERE[5:10])
def test_a_condition_expands_what_is_enabled(
    target: ModelTarget, runtime: Runtime, assumptions: Assumptions
) -> None:
    """Every comparison asks z3: so on one target, and of few states."""
    memory = Memory.needed(assumptions, APP, history=True)
    problem = Problem(target, runtime, assumptions, APP, memory, zone=ParametricZone, known=SENSIBLE)
    for run in some_states(target, runtime, assumptions, 6):
        place = run.system, copied(run).client
        named = request_names(CLERK, place)
        state = state_of(CLERK, place, memory, ParametricZone(SENSIBLE))
        expanded = {label(step.event) for step, _ in successors(problem, state)}
        assert expanded == {renamed(one, named) for one in labels(run)}, run.events


# -- the healthy end ------------------------------------------------------------------------------------------


class Watched(Run):
    """A run that plays what is permitted, or fails."""

    def play(self, event: Event) -> Step:
        assert self.permits(event), (event, self.events)
        return super().play(event)


@everywhere
def test_the_healthy_end_of_a_trace_is_permitted_and_heals(
    target: ModelTarget, runtime: Runtime, assumptions: Assumptions
) -> None:
    for run in some_states(target, runtime, assumptions, 20):
        watched = Watched(ModelTarget(target.sdk, target.policy), runtime, assumptions, ())
        for event in run.events:
            watched.play(event)
        before = len(watched.steps)
        watched.recover()
        assert not watched.world.locked
        assert not watched.world.offline
        assert not watched.world.requests
        played = [step.event for step in watched.steps[before:]]
        assert sum(isinstance(event, Operation) for event in played) <= 1
        assert not [event for event in played if isinstance(event, Advance | Freeze)]
