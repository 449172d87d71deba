"""The successors of a symbolic state, whose instants are known only by their bounds.

There is one successor for each consistent outcome of the model's comparisons of instants (`zone.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.landmarks import Landmark
from model.assumptions.sets import Assumptions
from model.sdk import Client, Policy
from model.step import Span, Step, at_an_instant, permits
from model.terms import Runtime
from model.world.events import OF_REQUEST, Event, FreezeKind, Lose
from model.world.state import System, World
from properties.prove.canonical import canonical, state_of
from properties.prove.state import Configuration, Memory, State
from properties.prove.zone import NOTHING_KNOWN, Bound, Instant, Zone, every_way
from properties.run.reference import ModelPair
from properties.system.target import started, stepped
from properties.targets.model import ModelTarget


def unlimited(_step: Step) -> bool:
    """No limit."""
    return True


class Problem(Struct, frozen=True):
    """What to prove things about: a model, a runtime, assumptions and an app; which parts of the past to keep
    (`memory`); and the policy of the `reference` client, if an invariant compares two clients. The kind of `zone`
    for the bounds on instants, and what is `known` in it at sign-in. Which steps are `within` limits that are no
    assumption."""

    model: ModelTarget
    runtime: Runtime
    assumptions: Assumptions
    app: App
    memory: Memory
    reference: Policy | None = None
    zone: type[Zone] = Zone
    known: Any = NOTHING_KNOWN
    within: Callable[[Step], bool] = unlimited

    def fresh(self) -> ModelTarget:
        """A new target for this problem."""
        sdk, policy = self.model.sdk, self.model.policy
        return ModelPair(sdk, policy, self.reference) if self.reference else ModelTarget(sdk, policy)

    def at_sign_in(self) -> Configuration:
        """The initial configuration, with numbers as instants."""
        Instant.zone = self.zone(self.known)
        target = self.fresh()
        return started(target, self.runtime), target.client

    def first(self) -> State:
        """The initial state, in canonical form."""
        return state_of(self.model.sdk, self.at_sign_in(), self.memory, self.zone(self.known))


class Successor(Struct, frozen=True):
    """An enabled step, the client after it, and its end in canonical form."""

    step: Step
    client: Client
    state: State


def successors(problem: Problem, state: State) -> Iterator[tuple[Step, State]]:
    """Every enabled step of a state, and the state that it leads to. Instants of the step may be compared until
    the next one is taken."""
    return ((one.step, one.state) for one in successors_at(problem, state.configuration, state.bounds))


def successors_at(
    problem: Problem, configuration: Configuration, bounds: Sequence[Sequence[Bound]]
) -> Iterator[Successor]:
    """Every successor of a configuration under `bounds`. Until the next one is taken, `Instant.zone` has the
    bounds after the step."""
    for option in _options(problem, configuration[0], bounds):
        yield from successors_by(option, problem, configuration, bounds)


def _options(problem: Problem, system: System, bounds: Sequence[Sequence[Bound]]) -> list[Event | Span]:
    """The options that are enabled for some outcome of the comparisons.

    The enabled outcomes of a request may depend on a comparison that is open here: has the last token expired?
    How long a span may be is left open; `permits` checks it later.
    """
    options: dict[Event | Span, None] = {}
    for request in system.world.requests:
        like = Lose(request.request)
        asked = partial(at_an_instant, system, problem.assumptions, problem.app, like)
        for answers in every_way(problem.zone, bounds, lambda _, asked=asked: [*asked()]):  # type: ignore[misc]
            options.update(dict.fromkeys(answers))
    Instant.zone = problem.zone(bounds)
    others = at_an_instant(system, problem.assumptions, problem.app)
    kinds = (None, *FreezeKind) if problem.assumptions.may_freeze else (None,)
    return [
        *options,
        *(one for one in others if not isinstance(one, OF_REQUEST)),
        *(Span(kind, 0) for kind in kinds),
    ]


def successors_by(
    option: Event | Span, problem: Problem, configuration: Configuration, bounds: Sequence[Sequence[Bound]]
) -> Iterator[Successor]:
    """The successors by one option: an event, or the passing of time."""
    system, client = configuration

    def happen(zone: Zone) -> Successor | None:
        event = lasting(option, system.world, zone) if isinstance(option, Span) else option
        if not permits(system, problem.assumptions, event, problem.app):
            return None
        target = problem.fresh()
        target.client = client
        step = stepped(system, event, target)
        if not problem.within(step):
            return None
        if isinstance(target, ModelPair) and target.diverged:
            step = replace(step, diverged=target.diverged)
        return Successor(
            step, target.client, canonical(target.sdk, (step.end, target.client), zone, problem.memory)
        )

    return (one for one in every_way(problem.zone, bounds, happen) if one)


def lasting(span: Span, world: World, zone: Zone) -> Event:
    """The event of a span that ends at a new instant without bounds."""
    now = cast(Any, world.now)
    return span.event(cast(Any, Instant((zone.another(),), now.ups, -now.ms)))


def landmarks(problem: Problem) -> dict[str, Landmark]:
    """The landmarks of the assumptions by name."""
    return {one.name: one for one in (*problem.assumptions.sometimes, *problem.assumptions.faults)}


def look_for(ahead: dict[str, Landmark], step: Step, reached: dict[str, int]) -> None:
    """Move the landmarks that a step may have reached from `ahead` to `reached`."""
    Instant.zone.assume_nothing = True
    for name in [name for name, one in ahead.items() if any(map(one.seen, step.facts))]:
        reached[name] = 1
        del ahead[name]
    Instant.zone.assume_nothing = False
