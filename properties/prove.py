"""The exhaustive engine: every state that world and model can reach, for every length of time at once.

It works in three passes. The first leaves time out altogether (`timeless.py`): it is fast, and what needs no
clock to hold is proved then. The second asks of the rest *does it hold?* and over-approximates: of states that
differ only in what is known of their instants it keeps the hull, and a hull that grows is widened to the next
length that means something, so that it soon comes to an end (Cousot and Cousot 1977). A graph that is closed then
holds everything that can happen, and more; what nothing in it breaks is proved. A client that gathers ever more
timers has no such graph, and the pass ends when that shows. The third asks *how is it broken?* and is exact:
breadth first, so that the trace it finds has as few events as there can be. Its trace is played with numbers, on
the model, before anybody hears of it.

A search that was cut off proves nothing, and its verdict says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions import Assumptions
from model.client import Client
from model.events import (
    Advance,
    Event,
    Freeze,
    FreezeKind,
)
from model.policy import Policy
from model.terms import Runtime
from model.world import World
from properties.app import App
from properties.beside import Twins, policy_beside
from properties.canonical import Memory, State, canonical, known
from properties.concrete import Path, concrete
from properties.invariants import Invariant
from properties.search import Cell, Findings
from properties.system import Step, play, start
from properties.targets.model_target import ModelTarget
from properties.timeless import Product
from properties.verdict import HeldTo, NotApplicable, Proved, Vacuous, Verdict, Violated
from properties.zone import ENDLESS, Bound, Instant, Zone, at_most, every_way, less_than

Kind: TypeAlias = Event | type[Advance] | FreezeKind
"""An event; time that passes, and a freeze, without their lengths."""


class Limits(Struct, frozen=True):
    """Where one pass gives up: `depth` in events, `seconds` of real time, so many `states` looked at, which
    bounds its memory, or so many `steps` that the model was asked for, which cuts it off at the same place on
    every machine."""

    depth: int = 12
    seconds: float = 60.0
    states: int = 1_000_000
    steps: int = 1_000_000_000


A_LOOK = 5
"""Where the graph is not closed, most of it only says how far nothing breaks: that is worth a fifth of a pass."""


@dataclass(slots=True)
class Graph:
    """What one pass has reached. `parents` leads from a state's number to where it was first reached from."""

    states: list[State] = field(default_factory=list)
    parents: list[tuple[int, Event] | None] = field(default_factory=list)
    transitions: int = 0
    depth: int = 0
    closed: bool = False
    broken: dict[str, Violated | None] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)

    def path(self, number: int, last: Event) -> Path:
        """The states from the beginning to one, and the event that follows each; their lengths are no numbers."""
        path = [(self.states[number], last)]
        while (parent := self.parents[number]) is not None:
            number, event = parent
            path.append((self.states[number], event))
        return tuple(reversed(path))


Tell: TypeAlias = Callable[[str], None]

ONE_CALL = App()


def prove(
    policy: Policy,
    runtime: Runtime,
    assumptions: Assumptions,
    invariants: Sequence[Invariant],
    app: App = ONE_CALL,
    limits: Limits = Limits(),
    tell: Tell = lambda line: None,
) -> Findings:
    """Judge a policy's model in every world that the assumptions allow. A violation's trace is on disk then.

    `tell` is given a line now and then, for progress.
    """
    began = time.perf_counter()
    cell = Cell(f"model@{policy.name}", runtime, assumptions)
    judged = [one for one in invariants if runtime in one.runtimes]
    search = _Search(policy, cell, app, limits, _memory(assumptions, judged, app), tell)
    verdicts: dict[str, Verdict] = {
        one.id: NotApplicable(tuple(one.runtimes)) for one in invariants
    } | search.judge(judged)
    return Findings(cell, verdicts, 0, search.reached, time.perf_counter() - began)


def _memory(assumptions: Assumptions, invariants: Sequence[Invariant], app: App) -> Memory:
    history, waits = any(one.history for one in invariants), any(one.waits for one in invariants)
    return Memory.needed(assumptions, history, waits, app.switches)


def closure(policy: Policy, runtime: Runtime, assumptions: Assumptions, app: App, limits: Limits) -> Graph:
    """Everything that can be reached, as hulls; whether it is whole, the graph says."""
    cell = Cell(f"model@{policy.name}", runtime, assumptions)
    memory = Memory.needed(assumptions, history=False, switches=app.switches)
    graph = Graph()
    _Search(policy, cell, app, limits, memory, lambda line: None).explore(graph, (), hull=True)
    return graph


@dataclass(slots=True)
class _Search:
    """All passes over the same system."""

    policy: Policy
    cell: Cell
    app: App
    limits: Limits
    memory: Memory
    tell: Tell
    reached: dict[str, int] = field(default_factory=dict)

    def judge(self, invariants: Sequence[Invariant]) -> dict[str, Verdict]:
        """A verdict for each of `invariants`."""
        proved = self.without_instants([one for one in invariants if one.timeless])
        return proved | self.with_instants([one for one in invariants if one.id not in proved])

    def without_instants(self, invariants: Sequence[Invariant]) -> dict[str, Verdict]:
        """What can be proved however much time passes."""
        if not invariants:
            return {}
        memory = _memory(self.cell.assumptions, invariants, self.app)
        product = Product(self.policy, self.cell.runtime, self.cell.assumptions, self.app, memory, invariants)
        found = product.search(
            self.limits.seconds,
            self.limits.states,
            self.limits.steps,
            lambda states: self._say("leaving time out", states),
        )
        self.reached = found.reached
        if not found.closed or any(not found.reached.get(one.name) for one in self.cell.assumptions.sometimes):
            return {}
        proof = Proved(found.states, found.transitions)
        return {one.id: proof for one in invariants if one.id not in found.broken}

    def with_instants(self, invariants: Sequence[Invariant]) -> dict[str, Verdict]:
        """What can be proved of every length of time, and what is broken."""
        if not invariants:
            return {}
        self.memory = _memory(self.cell.assumptions, invariants, self.app)
        closure, exact = Graph(), Graph()
        self.explore(closure, invariants, hull=True)
        open_ones = [one for one in invariants if not closure.closed or one.id in closure.broken]
        if open_ones:
            self.explore(exact, open_ones, hull=False, share=1 if closure.closed else A_LOOK)
        self.reached = self.reached | closure.reached
        never = tuple(one.name for one in self.cell.assumptions.sometimes if not closure.reached.get(one.name))
        verdicts: dict[str, Verdict] = {}
        for one in invariants:
            graph = exact if one in open_ones else closure
            if found := exact.broken.get(one.id):
                found.trace.save()
                verdicts[one.id] = found
            elif not graph.closed:
                verdicts[one.id] = HeldTo(exact.depth, len(exact.states))
            elif never:
                verdicts[one.id] = Vacuous(len(graph.states), graph.transitions, never, "states")
            else:
                verdicts[one.id] = Proved(len(graph.states), graph.transitions)
        return verdicts

    def _say(self, what: str, states: int) -> None:
        self.tell(f"{self.cell.target}, assuming {self.cell.assumptions}: {what}, {states:,} states")

    def _concrete(self, path: Path, invariant: Invariant) -> Violated | None:
        return concrete(path, self.policy, self.cell, invariant, self.memory)

    def explore(self, graph: Graph, invariants: Sequence[Invariant], hull: bool, share: int = 1) -> None:
        """One pass, level by level: the hull of what can be reached until that is closed, or exactly what can be
        reached until every invariant has its counterexample. A `share` of 5 is a fifth of the limits."""
        seconds, steps = self.limits.seconds / share, self.limits.steps // share
        began = said = time.perf_counter()
        assumptions, beside = self.cell.assumptions, policy_beside(self.policy, invariants)
        sometimes = {one.name: one for one in (*assumptions.sometimes, *assumptions.faults)}
        add = _Hulls(graph).add if hull else Zones(graph).add
        add(beginning(self.policy, self.cell.runtime, self.memory), None)
        level, looked_at = [0], 0
        while level:
            following: dict[int, None] = {}
            for number in level:
                if looked_at == self.limits.states or graph.transitions >= steps:
                    return
                looked_at += 1
                for step, after in transitions(graph.states[number], assumptions, self.app, self.memory, beside):
                    graph.transitions += 1
                    for one in invariants:
                        if graph.broken.get(one.id) is None and one.check(step):
                            path = graph.path(number, step.event)
                            graph.broken[one.id] = None if hull else self._concrete(path, one)
                    Instant.zone.lenient = True
                    for name, landmark in sometimes.items():
                        if any(map(landmark.seen, step.facts)):
                            graph.reached[name] = graph.reached.get(name, 0) + 1
                    Instant.zone.lenient = False
                    if (new := add(after, (number, step.event))) is not None:
                        following[new] = None
                        if hull and len(after.world.timers) > self.app.timers:
                            return
                now = time.perf_counter()
                if now - said > 1:
                    said = now
                    self._say(
                        "closing the graph" if hull else "looking for the shortest trace", len(graph.states)
                    )
                if now - began > seconds:
                    return
            graph.depth += 1
            found_all = not hull and all(graph.broken.get(one.id) for one in invariants)
            if found_all or (not hull and graph.depth >= self.limits.depth):
                return
            level = list(following)
        graph.closed = True


class Zones:
    """Takes a state into the graph unless all that is possible in it is possible in one that is there."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[World, Client], list[Zone]] = {}

    def add(self, state: State, parent: tuple[int, Event] | None) -> int | None:
        """The number of the state if it is new."""
        zone = state.zone
        zones = self._known.setdefault((state.world, state.client), [])
        if any(zone.within(other) for other in zones):
            return None
        zones.append(zone)
        self._graph.states.append(state)
        self._graph.parents.append(parent)
        return len(self._graph.states) - 1


class _Hulls:
    """Takes a state into the one that has the same fields; that one grows until it holds both."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[World, Client], int] = {}

    def add(self, state: State, parent: tuple[int, Event] | None) -> int | None:
        """The number of the state if it is new, or has grown."""
        states = self._graph.states
        number = self._known.setdefault((state.world, state.client), len(states))
        if number == len(states):
            states.append(state)
            self._graph.parents.append(parent)
            return number
        old = states[number].bounds
        grown = tuple(
            tuple(one if mine <= one else _widened(mine) for mine, one in zip(row, its, strict=True))
            for row, its in zip(state.bounds, old, strict=True)
        )
        if grown == old:
            return None
        states[number] = replace(states[number], bounds=grown)
        return number


LANDMARKS_S = (0, 5, 15, 17, 43, 60, 61)
"""Lengths that mean something to a client with tokens of 60 s, in s: widening stops at these."""

STOPS: tuple[Bound, ...] = tuple(
    bound
    for seconds in sorted({sign * length for length in LANDMARKS_S for sign in (1, -1)})
    for bound in (less_than(seconds * 1000), at_most(seconds * 1000))
)


def _widened(bound: Bound) -> Bound:
    return next((stop for stop in STOPS if bound <= stop), ENDLESS)


# -- states and steps ---------------------------------------------------------------------------------------


def beginning(policy: Policy, runtime: Runtime, memory: Memory) -> State:
    """Just signed in."""
    target = ModelTarget(policy)
    world = start(target, runtime)
    assert target.client is not None
    return known(world, target.client, memory)


def transitions(
    state: State, assumptions: Assumptions, app: App, memory: Memory, beside: Policy | None = None
) -> Iterator[tuple[Step, State]]:
    """Every step that is possible in a state, and where it leads. Whoever takes one may compare its instants."""
    place = state.world, state.client
    return ((way.step, way.state) for way in ways(place, state.bounds, assumptions, app, memory, beside))


class Way(Struct, frozen=True):
    """A step that is possible: where it leads, as it is and in canonical form."""

    step: Step
    client: Client
    state: State


def ways(
    place: tuple[World, Client],
    bounds: Sequence[Sequence[Bound]],
    assumptions: Assumptions,
    app: App,
    memory: Memory,
    beside: Policy | None = None,
) -> Iterator[Way]:
    """Every step that is possible where `bounds` are known of the instants. Until the next one is taken, the
    zone of the run is what is known after it. A client of the policy `beside` takes each step too, if given."""
    world, client = place
    Instant.zone = Zone(bounds)
    kinds: list[Kind] = [*app.events(world, assumptions)]
    kinds += [Advance, *(kind for kind in FreezeKind if assumptions.may_freeze)]

    def let(kind: Kind) -> Callable[[Zone], Way | None]:
        def happen(zone: Zone) -> Way | None:
            event = kind if isinstance(kind, Event) else _lasting(kind, world, zone)
            if not assumptions.permit(world, event):
                return None
            target = Twins(client.policy, beside) if beside else ModelTarget(client.policy)
            target.client = client
            step = play(world, event, target)
            if isinstance(target, Twins) and target.parted:
                step = replace(step, parted=target.parted)
            return Way(step, target.client, canonical(step.after, target.client, zone, memory))

        return happen

    for kind in kinds:
        yield from (way for way in every_way(bounds, let(kind)) if way)


def _lasting(kind: type[Advance] | FreezeKind, world: World, zone: Zone) -> Event:
    """Time that passes until an instant of which nothing is known yet."""
    now = cast(Any, world.now)
    length = cast(Any, Instant((zone.another(),), now.ups, -now.ms))
    return Freeze(length, kind) if isinstance(kind, FreezeKind) else Advance(length)
