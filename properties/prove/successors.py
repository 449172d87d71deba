"""The successors of a symbolic state, whose instants are known only by their bounds.

There is one successor for each consistent outcome of the model's comparisons of instants (`runs.py`). What a
configuration was found to do under some bounds need not run again under others, or under another policy that
chooses the same (`Known`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
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
from properties.prove.runs import Runs, every_way
from properties.prove.state import Configuration, Memory, State
from properties.prove.zone import NOTHING_KNOWN, Bound, Instant, Zone
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
    assumption. The clients in the states of a problem have no policy: a run gives them the problem's."""

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
    """An enabled step, the client after it, without a policy, and its end in canonical form."""

    step: Step
    client: Client
    state: State


RunsOf = dict[Hashable, Runs[Any]]
"""The runs that began in one configuration: by an option, how it ends; by a request's number, its options; by
None, all other events."""


class Known:
    """The runs of the model by the configuration that they began in, and by what was asked: for one problem, or
    for problems that differ only in policy and limits."""

    MOST = 5_000
    """More configurations are not kept: the runs of one take some ten kB."""

    def __init__(self) -> None:
        self._runs: dict[Configuration, RunsOf] = {}

    def of(self, configuration: Configuration) -> RunsOf:
        """The runs that began in a configuration."""
        runs = self._runs.get(configuration)
        if runs is None:
            runs = {}
            if len(self._runs) < self.MOST:
                self._runs[configuration] = runs
        return runs


def successors(problem: Problem, state: State, known: Known | None = None) -> Iterator[tuple[Step, State]]:
    """Every enabled step of a state, and the state that it leads to. Instants of the step may be compared until
    the next one is taken."""
    return ((one.step, one.state) for one in successors_at(problem, state.configuration, state.bounds, known))


def successors_at(
    problem: Problem,
    configuration: Configuration,
    bounds: Sequence[Sequence[Bound]],
    known: Known | None = None,
) -> Iterator[Successor]:
    """Every successor of a configuration under `bounds`. Until the next one is taken, `Instant.zone` has the
    bounds after the step."""
    runs = known.of(configuration) if known else {}
    for option, enabled in _of_requests(problem, configuration[0], bounds, runs).items():
        yield from _by(option, problem, configuration, bounds, runs, enabled)
    for option in _others(problem, configuration[0], bounds, runs):
        yield from _by(option, problem, configuration, bounds, runs, enabled=True)
    for kind in (None, *FreezeKind) if problem.assumptions.may_freeze else (None,):
        yield from _by(Span(kind, 0), problem, configuration, bounds, runs)


def _of_requests(
    problem: Problem, system: System, bounds: Sequence[Sequence[Bound]], runs: RunsOf
) -> dict[Event, bool]:
    """The events of requests that are enabled for some outcome of the comparisons, and whether they are for every
    one: what may answer a request may depend on whether the last token has expired, which is open here."""
    found: dict[Event, bool] = {}
    policy = problem.model.policy
    asked = partial(at_an_instant, system, problem.assumptions, problem.app)
    for request in system.world.requests:
        like = Lose(request.request)
        about = runs.setdefault(request.request, Runs())
        for answers in every_way(problem.zone, bounds, lambda _, like=like: [*asked(like)], (about, policy)):  # type: ignore[misc]
            found.update(dict.fromkeys(answers, about.one))
    return found


def _others(problem: Problem, system: System, bounds: Sequence[Sequence[Bound]], runs: RunsOf) -> list[Event]:
    """The other events that are enabled now. That depends on no instant."""

    def asked(_zone: Zone) -> list[Event]:
        every = at_an_instant(system, problem.assumptions, problem.app)
        return [one for one in every if not isinstance(one, OF_REQUEST)]

    about = cast(Runs[list[Event]], runs.setdefault(None, Runs()))
    return next(every_way(problem.zone, bounds, asked, (about, problem.model.policy)))


def successors_by(
    option: Event | Span,
    problem: Problem,
    configuration: Configuration,
    bounds: Sequence[Sequence[Bound]],
    known: Known | None = None,
) -> Iterator[Successor]:
    """The successors by one option: an event, or the passing of time."""
    return _by(option, problem, configuration, bounds, known.of(configuration) if known else {})


class _End(Struct, frozen=True):
    """How a run ends: a `Successor` but for the bounds on its `instants`."""

    step: Step
    client: Client
    configuration: Configuration
    instants: tuple[Instant, ...]


def _by(
    option: Event | Span,
    problem: Problem,
    configuration: Configuration,
    bounds: Sequence[Sequence[Bound]],
    runs: RunsOf,
    enabled: bool = False,
) -> Iterator[Successor]:
    system, client = configuration

    def happen(zone: Zone) -> _End | None:
        event = lasting(option, system.world, zone) if isinstance(option, Span) else option
        if not (enabled or permits(system, problem.assumptions, event, problem.app)):
            return None
        target = problem.fresh()
        target.client = replace(client, policy=zone.policy(target.policy))
        step = stepped(system, event, target)
        if not problem.within(step):
            return None
        if isinstance(target, ModelPair) and target.diverged:
            step = replace(step, diverged=target.diverged)
        after = replace(target.client, policy=None)
        return _End(step, after, *canonical(target.sdk, (step.end, after), problem.memory))

    for end in every_way(problem.zone, bounds, happen, (runs.setdefault(option, Runs()), problem.model.policy)):
        if end:
            system_after, client_after = end.configuration
            state = State(system_after, client_after, Instant.zone.onto(end.instants))
            yield Successor(end.step, end.client, state)


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
