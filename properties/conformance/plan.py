"""The plan of a tour: every transition of a policy's graph, and which of them a run of the model takes.

Random search hopes; a tour knows. The exhaustive engine's exact graph says which transitions there are: from
which state, by which event, to which state, whatever the lengths of time.

With `pairs`, states that are alike are kept apart by the transition that led there: then every two transitions
that can follow each other are taken one after the other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.clerk.policy import Policy
from model.clerk.state import Client
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, Freeze
from model.world.state import World
from properties.invariants.catalogue import Invariant
from properties.prove.app import App
from properties.prove.canonical import Memory, State, known, known_instants, known_requests
from properties.prove.graph import Graph, Zones
from properties.prove.prove import Limits
from properties.prove.successors import beginning, transitions
from properties.system.step import Step, start
from properties.system.target import TargetError
from properties.targets.model import ModelTarget

Label: TypeAlias = tuple[Any, ...]
"""What an event is, whatever its length: its type, and the rest of its fields."""

Transition: TypeAlias = tuple[int, Label, int]
"""From a stage by an event to another; stages by number. A stage is a shape of states, with `pairs` together with
the transition that led to it."""

Place: TypeAlias = tuple[World, Client]
"""Where a walk is."""


@dataclass(slots=True)
class Plan:
    """What there is to see: every transition of the closed graph."""

    policy: Policy
    runtime: Runtime
    assumptions: Assumptions
    app: App
    memory: Memory
    pairs: bool = False
    shapes: dict[Any, int] = field(default_factory=dict)
    stages: dict[Transition, int] = field(default_factory=dict)  # of pairs, by the transition that leads there
    shape_of: dict[int, int] = field(default_factory=dict)
    transitions: dict[Transition, tuple[int, Event]] = field(default_factory=dict)  # where first met in the graph
    graph: Graph = field(default_factory=Graph)
    places: dict[Place, int] = field(default_factory=dict)
    into: dict[int, set[int]] = field(default_factory=dict)

    def shape(self, state: State) -> int:
        """The number of a state's fields without their instants."""
        place = state.world, state.client
        if place not in self.places:
            self.places[place] = self.shapes.setdefault(known_instants(state)[0], len(self.shapes))
        return self.places[place]

    def stage(self, before: int, how: Label, after: State) -> int:
        """Where an event leads from the stage `before`."""
        shape = self.shape(after)
        if not self.pairs:
            return shape
        taken = self.shape_of.get(before, before), how, shape
        stage = self.stages.setdefault(taken, -1 - len(self.stages))  # shapes count up from 0, these down from -1
        self.shape_of[stage] = shape
        return stage


def plan(
    policy: Policy,
    runtime: Runtime,
    assumptions: Assumptions,
    app: App,
    limits: Limits,
    tell: Callable[[str], None],
    pairs: bool = False,
) -> Plan:
    """Explore exactly until the graph is closed. Raises `TargetError` when the limits come first."""
    memory = Memory.needed(assumptions, history=False, switches=app.switches)
    made = Plan(policy, runtime, assumptions, app, memory, pairs)
    graph = made.graph
    first = beginning(policy, runtime, made.memory)
    stages = [made.shape(first)]
    zones = {stages[0]: Zones(graph)}
    zones[stages[0]].add(first, None)
    began = said = time.perf_counter()
    queue, place = deque([0]), 0
    while queue:
        place = queue.popleft()
        before = stages[place]
        for step, after in transitions(graph.states[place], assumptions, app, made.memory):
            how = label(step.event)
            stage = made.stage(before, how, after)
            made.transitions.setdefault((before, how, stage), (place, step.event))
            if len(after.world.timers) > app.timers:
                raise TargetError(
                    f"the graph of {policy.name} under {assumptions} does not close, since it gathers ever more "
                    "timers"
                )
            if (new := zones.setdefault(stage, Zones(graph)).add(after, (place, step.event))) is not None:
                stages.append(stage)
                queue.append(new)
        now = time.perf_counter()
        if now - said > 1:
            said = now
            tell(f"planning: {len(graph.states):,} states, {len(made.transitions):,} transitions")
        if now - began > limits.seconds or len(graph.states) > limits.states:
            raise TargetError(
                f"the graph of {policy.name} under {assumptions} is not closed after {now - began:.1f} s and "
                f"{len(graph.states):,} states: raise --seconds or --states, or assume less"
            )
    return made


class Coverage:
    """Which transitions of a plan a run of the model takes, while somebody judges its steps."""

    def __init__(self, plan: Plan, target: ModelTarget) -> None:
        self.plan = plan
        self.taken: set[Transition] = set()
        self._target = target
        self._after: tuple[World, Client, int] | None = None

    def watching(self, invariant: Invariant) -> Invariant:
        """The same invariant, which tells us of every step that it judges."""

        def check(step: Step) -> str | None:
            self.taken.add(self.see(step))
            return invariant.check(step)

        return replace(invariant, check=check)

    def see(self, step: Step) -> Transition:
        """The transition that a step was. Steps are to be seen in their order."""
        client, before = self._before(step)
        after = self._target.client
        assert after is not None, "a run has started it"
        how = label(step.event, known_requests(step.before, client))
        then = self.plan.stage(before, how, known(step.after, after, self.plan.memory))
        self._after = step.after, after, then
        return before, how, then

    def _before(self, step: Step) -> tuple[Client, int]:
        """The client before a step, and the stage: as the last one left them, or just signed in."""
        if self._after and self._after[0] is step.before:
            return self._after[1:]
        fresh = ModelTarget(self.plan.policy)
        world = start(fresh, self.plan.runtime)
        assert fresh.client is not None, "it has just been started"
        return fresh.client, self.plan.shape(known(world, fresh.client, self.plan.memory))

    def __str__(self) -> str:
        there_are = len(self.plan.transitions)
        return f"{len(self.taken & self.plan.transitions.keys()):,} of {there_are:,} transitions"


def label(event: Event, names: dict[int | None, int] | None = None) -> Label:
    """What an event is, whatever its length; a request goes by its name in canonical form, if it has another."""
    match event:
        case Advance():
            return (Advance,)
        case Freeze(_, kind):
            return Freeze, kind
        case Answer(request, _) if names:
            return Answer, replace(event, request=names.get(request, 0))
        case _:
            return (type(event), event)
