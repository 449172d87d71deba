"""A tour: traces that together take every transition of a policy's graph, for the build to be held against.

Random search hopes; a tour knows. The exhaustive engine's exact graph says which transitions there are: from
which state, by which event, to which state, whatever the lengths of time. The model then walks: wherever it is,
it takes a transition that none has taken yet, or else the way to the nearest state that has one. Lengths are
drawn from the range that makes an event the transition it is, often one of its ends, so that two tours differ.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from model.assumptions import Assumptions
from model.client import Client
from model.events import Advance, Answer, Event, Freeze
from model.policy import Policy
from model.terms import Millis, Runtime
from model.world import World
from properties.canonical import Memory, State, contains, known, known_instants, request_names
from properties.invariants import Invariant
from properties.prove import App, Graph, Limits, Zones, beginning, transitions
from properties.run import Run
from properties.system import Step, play, start
from properties.target import TargetError
from properties.targets.model_target import ModelTarget
from properties.trace import Trace
from properties.zone import ENDLESS, Instant

Label: TypeAlias = tuple[Any, ...]
"""What an event is, whatever its length: its type, and the rest of its fields."""

Transition: TypeAlias = tuple[int, Label, int]
"""From a shape of states by an event to another shape; shapes by number."""

Place: TypeAlias = tuple[World, Client]
"""Where a walk is."""

TRIES = 150
"""Events that may be tried in order to follow one path."""

LONGEST = 60
"""Events in a trace of a tour, at most."""

PATIENCE = 40
"""Traces in a row that bring nothing new, after which a tour gives up."""

OPEN_END: Millis = 8 * 3600 * 1000
"""How far beyond its lower end a length without an upper one may be, in ms."""


@dataclass(slots=True)
class Plan:
    """What there is to see: every transition of the closed graph."""

    policy: Policy
    runtime: Runtime
    assumptions: Assumptions
    app: App
    memory: Memory
    shapes: dict[Any, int] = field(default_factory=dict)
    transitions: dict[Transition, tuple[int, Event]] = field(default_factory=dict)  # where first met in the graph
    graph: Graph = field(default_factory=Graph)
    into: dict[int, set[int]] = field(default_factory=dict)

    def shape(self, state: State) -> int:
        """The number of a state's fields without their instants."""
        return self.shapes.setdefault(known_instants(state)[0], len(self.shapes))


def plan(
    policy: Policy,
    runtime: Runtime,
    assumptions: Assumptions,
    app: App,
    limits: Limits,
    tell: Callable[[str], None],
) -> Plan:
    """Explore exactly until the graph is closed. Raises `TargetError` when the limits come first."""
    hangs = any(member.hangs for member in assumptions.members)
    made = Plan(policy, runtime, assumptions, app, Memory(False, not hangs))
    graph = made.graph
    zones = Zones(graph)
    zones.add(beginning(policy, runtime, made.memory), None)
    began = said = time.perf_counter()
    queue, place = deque([0]), 0
    while queue:
        place = queue.popleft()
        state = graph.states[place]
        before = made.shape(state)
        for step, after in transitions(state, assumptions, app, made.memory):
            made.transitions.setdefault((before, label(step.event), made.shape(after)), (place, step.event))
            if (new := zones.add(after, (place, step.event))) is not None:
                queue.append(new)
        now = time.perf_counter()
        if now - said > 1:
            said = now
            tell(f"planning: {len(graph.states):,} states, {len(made.transitions):,} transitions")
        if now - began > limits.seconds:
            raise TargetError(
                f"the graph of {policy.name} under {assumptions} is not closed after {limits.seconds:g} s "
                f"({len(graph.states):,} states): raise --seconds, or assume less"
            )
    return made


class Coverage:
    """Which transitions of a plan a run of the model takes, while somebody judges its steps."""

    def __init__(self, plan: Plan, target: ModelTarget) -> None:
        self.plan = plan
        self.taken: set[Transition] = set()
        self._target = target
        self._after: tuple[World, Client] | None = None

    def watching(self, invariant: Invariant) -> Invariant:
        """The same invariant, which tells us of every step that it judges."""

        def check(step: Step) -> str | None:
            self._see(step)
            return invariant.check(step)

        return replace(invariant, check=check)

    def _see(self, step: Step) -> None:
        client = self._before(step)
        after = self._target.client
        assert after is not None, "a run has started it"
        event = step.event
        if isinstance(event, Answer):
            event = replace(event, request=request_names(client).get(event.request, 0))
        shapes = (known(step.before, client, self.plan.memory), known(step.after, after, self.plan.memory))
        before, then = map(self.plan.shape, shapes)
        self.taken.add((before, label(event), then))
        self._after = step.after, after

    def _before(self, step: Step) -> Client:
        """The client before a step: as the last one left it, or just signed in."""
        if self._after and self._after[0] is step.before:
            return self._after[1]
        fresh = ModelTarget(self.plan.policy)
        start(fresh, self.plan.runtime)
        assert fresh.client is not None, "it has just been started"
        return fresh.client

    def __str__(self) -> str:
        there_are = len(self.plan.transitions)
        return f"{len(self.taken & self.plan.transitions.keys()):,} of {there_are:,} transitions"


def label(event: Event) -> Label:
    """What an event is, whatever its length."""
    match event:
        case Advance():
            return (Advance,)
        case Freeze(_, kind):
            return Freeze, kind
        case _:
            return (type(event), event)


@dataclass(slots=True)
class Tour:
    """The traces of a tour, and the transitions that they take."""

    plan: Plan
    traces: list[Trace] = field(default_factory=list)
    taken: set[Transition] = field(default_factory=set)

    @property
    def missed(self) -> list[Transition]:
        """What no trace takes."""
        return [one for one in self.plan.transitions if one not in self.taken]


def walk(plan: Plan, draw: random.Random, limits: Limits, tell: Callable[[str], None]) -> Tour:
    """Traces that take every transition of the plan, or as many as it finds a way to within the limits."""
    tour = Tour(plan)
    began = said = time.perf_counter()
    barren = 0
    while (missed := tour.missed) and barren < PATIENCE and time.perf_counter() - began < limits.seconds:
        walk = _Walk(tour, missed, draw)
        if barren:
            walk.follow(draw.choice(missed))
        if trace := walk.trace():
            tour.traces.append(trace)
        barren = 0 if trace else barren + 1
        if time.perf_counter() - said > 1:
            said = time.perf_counter()
            tell(f"planning: {len(tour.traces):,} traces take {len(tour.taken):,} of {len(plan.transitions):,}")
    return tour


class _Walk:
    """One trace on the model, always towards what none has taken."""

    def __init__(self, tour: Tour, missed: list[Transition], draw: random.Random) -> None:
        self._plan, self._taken, self._draw = tour.plan, tour.taken, draw
        self._target = ModelTarget(tour.plan.policy)
        self._run = Run(self._target, tour.plan.runtime, tour.plan.assumptions, ())
        self._useful = 0
        self._goals = {before for before, _, _ in missed}
        self._stubborn = draw.random() < 0.3
        if not self._stubborn and draw.random() < 0.5:  # not always to the nearest: the way to that may be barred
            self._goals = {draw.choice(sorted(self._goals))}
        self._distance = _distances(tour.plan, self._goals)

    @property
    def _now(self) -> Place:
        assert self._target.client is not None, "a run has started it"
        return self._run.world, self._target.client

    def trace(self) -> Trace | None:
        """Walk until nothing new is in reach. What lies behind the last new transition is cut off; None if there
        was no new one."""
        while len(self._run.steps) < LONGEST:
            here = known(*self._now, self._plan.memory)
            before = self._plan.shape(here)
            ways = list(self._ways(self._now, here))
            best = min((self._far(way) for way, _ in ways), default=LONGEST)
            if best > 0 and before in self._goals and not self._stubborn:
                # What is new from here on is not for a clock that stands as it does.
                self._goals.discard(before)
                self._distance = _distances(self._plan, self._goals)
                best = min((self._far(way) for way, _ in ways), default=LONGEST)
            if best == LONGEST:
                break
            way, events = self._draw.choice([pair for pair in ways if self._far(pair[0]) == best])
            self._play(before, way[1], self._draw.choice(events))
        trace = self._run.trace
        return replace(trace, events=trace.events[: self._useful]) if self._useful else None

    def follow(self, goal: Transition) -> None:
        """Go the way to a transition on which the graph first met it, with lengths that lead there, if they are
        found in some tries."""
        number, event = self._plan.transitions[goal]
        path = self._plan.graph.path(number, event)
        shapes = [self._plan.shape(state) for state, _ in path[1:]] + [goal[2]]
        tries = TRIES

        def rest(place: Place, depth: int) -> list[Event] | None:
            nonlocal tries
            if depth == len(path):
                return []
            here = known(*place, self._plan.memory)
            if tries == 0 or not contains(path[depth][0], here):
                return None
            wanted = label(path[depth][1]), shapes[depth]
            for way, events in self._ways(place, here):
                if way[1:] != wanted:
                    continue
                for one in events:
                    tries = max(tries - 1, 0)
                    target = ModelTarget(self._plan.policy)
                    target.client = place[1]
                    after = play(place[0], one, target).after
                    if (found := rest((after, target.client), depth + 1)) is not None:
                        return [one, *found]
            return None

        for one, (_, event) in zip(rest(self._now, 0) or (), path, strict=False):
            self._play(self._plan.shape(known(*self._now, self._plan.memory)), label(event), one)

    def _play(self, before: int, named: Label, event: Event) -> None:
        self._run.play(event)
        done = before, named, self._plan.shape(known(*self._now, self._plan.memory))
        if done in self._plan.transitions and done not in self._taken:
            self._taken.add(done)
            self._useful = len(self._run.steps)

    def _far(self, way: Transition) -> int:
        """How many events until something new: 0 if this transition is."""
        if way not in self._taken and way in self._plan.transitions:
            return 0
        return 1 + self._distance.get(way[2], LONGEST - 1)

    def _ways(self, place: Place, here: State) -> Iterator[tuple[Transition, list[Event]]]:
        """Every transition from here, with events that take it."""
        world, client = place
        before = self._plan.shape(here)
        numbers = {name: number for number, name in request_names(client).items()}
        found = [  # before anybody else compares instants
            (step.event, self._plan.shape(after), self._lengths(step.event, world.now))
            for step, after in transitions(here, self._plan.assumptions, self._plan.app, self._plan.memory)
        ]
        for event, after, lengths in found:
            match event:
                case Answer(name, outcome):
                    events: list[Event] = [Answer(numbers[name] or 0, outcome)]
                case Advance() | Freeze():
                    events = [replace(event, ms=ms) for ms in lengths]
                case _:
                    events = [event]
            if events := [one for one in events if self._plan.assumptions.permit(world, one)]:
                yield (before, label(event), after), events

    def _lengths(self, event: Event, now: Millis) -> list[Millis]:
        """Lengths in ms from the range that the run under way left open: its ends, and some in between."""
        if not isinstance(event, Advance | Freeze):
            return []
        length: Any = event.ms
        name: int = length.ups[0]
        bounds = Instant.zone.bounds
        first: Millis = (1 - bounds[0][name]) // 2 + (bounds[0][name] + 1) % 2
        last: Millis = first + OPEN_END if bounds[name][0] == ENDLESS else (bounds[name][0] - 1) // 2
        if last < (first := max(first, 1)):
            return []
        some = [first, last, self._draw.randint(first, last), first + (last - first) // 2]
        whole = [ms - (now + ms) % 1000 for ms in some]  # tokens know only whole seconds
        return [*dict.fromkeys(ms for ms in (*whole, *some[:2]) if first <= ms)]


def _distances(plan: Plan, goals: set[int]) -> dict[int, int]:
    """For each shape, how many events it is from one of `goals`."""
    if not plan.into:
        for before, _, after in plan.transitions:
            plan.into.setdefault(after, set()).add(before)
    distances = dict.fromkeys(goals, 0)
    queue = deque(distances)
    while queue:
        shape = queue.popleft()
        for before in plan.into.get(shape, ()):
            if before not in distances:
                distances[before] = distances[shape] + 1
                queue.append(before)
    return distances
