"""The plan of a transition tour: every transition of a policy's graph, and which of them a run of the model
takes.

A tour covers all transitions, which a random search cannot guarantee. The exact graph of the exhaustive engine
has them all: source state, event and target state, whatever the durations.

With `pairs`, states are also distinguished by the transition that led to them. Then the tour covers every pair of
consecutive transitions (transition-pair coverage).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from msgspec.structs import replace

from model.sdk import Client
from model.step import Step
from model.world.events import Advance, Answer, Deliver, Event, Freeze, Lose, Serve
from model.world.state import System
from properties.invariants.breach import Breach
from properties.invariants.invariant import Invariant
from properties.prove.canonical import request_names, state_of
from properties.prove.graph import Graph, Zones
from properties.prove.prove import Limits, most_timers
from properties.prove.state import Configuration, State, split_instants
from properties.prove.successors import Problem, successors
from properties.system.target import TargetError
from properties.targets.model import ModelTarget

Label: TypeAlias = tuple[Any, ...]
"""An event without its duration: its type, and its other fields."""

Transition: TypeAlias = tuple[int, Label, int]
"""From a stage, by an event, to a stage; stages are numbers. A stage is a state without its instants (a shape),
and with `pairs` the transition that led to it."""


@dataclass(slots=True)
class TourPlan:
    """The transitions that a tour should cover: those of a graph that is `closed`, or what was found of one."""

    problem: Problem
    pairs: bool = False
    shapes: dict[Any, int] = field(default_factory=dict)
    stages: dict[Transition, int] = field(
        default_factory=dict
    )  # with `pairs`: by the transition that leads there
    shape_of: dict[int, int] = field(default_factory=dict)
    transitions: dict[Transition, tuple[int, Event]] = field(
        default_factory=dict
    )  # the first state and event of the graph that take it
    graph: Graph = field(default_factory=Graph)
    shape_numbers: dict[Configuration, int] = field(default_factory=dict)
    into: dict[int, set[int]] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Are these all transitions that there are?"""
        return self.graph.closed

    def shape(self, state: State) -> int:
        """The number of a state's shape: its fields without their instants."""
        if state.configuration not in self.shape_numbers:
            self.shape_numbers[state.configuration] = self.shapes.setdefault(
                split_instants(state)[0], len(self.shapes)
            )
        return self.shape_numbers[state.configuration]

    def stage(self, before: int, how: Label, after: State) -> int:
        """The stage that an event leads to from the stage `before`."""
        shape = self.shape(after)
        if not self.pairs:
            return shape
        taken = self.shape_of.get(before, before), how, shape
        stage = self.stages.setdefault(taken, -1 - len(self.stages))  # shapes count up from 0, these down from -1
        self.shape_of[stage] = shape
        return stage


def plan_tour(
    problem: Problem, limits: Limits, tell: Callable[[str], None], pairs: bool = False, bounded: bool = False
) -> TourPlan:
    """Explore the exact graph until it is closed; if it is to be `bounded`, or until a limit is hit. Raises
    `TargetError` if a limit is hit otherwise, or if the number of timers is unbounded."""
    made = TourPlan(problem, pairs)
    graph, most = made.graph, most_timers(problem.model.sdk, problem.app)
    name, assumptions = problem.model.policy.name, problem.assumptions
    first = problem.first()
    stages = [made.shape(first)]
    zones = {stages[0]: Zones(graph)}
    zones[stages[0]].add(first, None)
    began = reported_at = time.perf_counter()
    queue = deque([0])
    while queue:
        number = queue.popleft()
        before = stages[number]
        for step, after in successors(problem, graph.states[number]):
            how = label(step.event)
            stage = made.stage(before, how, after)
            made.transitions.setdefault((before, how, stage), (number, step.event))
            if len(after.world.timers) > most:
                raise TargetError(
                    f"the graph of {name} under {assumptions} does not close, since the number of timers "
                    "is unbounded"
                )
            if (new := zones.setdefault(stage, Zones(graph)).add(after, (number, step.event))) is not None:
                stages.append(stage)
                queue.append(new)
        now = time.perf_counter()
        if now - reported_at > 1:
            reported_at = now
            tell(f"planning: {len(graph.states):,} states, {len(made.transitions):,} transitions")
        if now - began > limits.seconds or len(graph.states) > limits.states:
            if bounded:
                return made
            raise TargetError(
                f"the graph of {name} under {assumptions} is not closed after {now - began:.1f} s and "
                f"{len(graph.states):,} states: raise --seconds or --states, assume less, or tour what was found "
                "with --bounded"
            )
    graph.closed = True
    return made


class TransitionCoverage:
    """Transition coverage: which transitions of a plan the runs of a model take."""

    def __init__(self, plan: TourPlan, target: ModelTarget) -> None:
        self.plan = plan
        self.taken: set[Transition] = set()
        self._target = target
        self._after: tuple[System, Client, int] | None = None

    def watching(self, invariant: Invariant) -> Invariant:
        """The invariant, wrapped so that every step it checks is recorded."""

        def check(step: Step) -> Breach | None:
            self.taken.add(self.see(step))
            return invariant.check(step)

        return replace(invariant, check=check)

    def see(self, step: Step) -> Transition:
        """The transition that a step takes. Steps must be passed in order."""
        problem = self.plan.problem
        sdk, after = self._target.sdk, self._target.client
        client, before = self._before(step)
        how = label(step.event, request_names(sdk, (step.start, client)))
        then = self.plan.stage(before, how, state_of(sdk, (step.end, after), problem.memory))
        self._after = step.end, after, then
        return before, how, then

    def _before(self, step: Step) -> tuple[Client, int]:
        """The client and the stage before a step: those after the last step, or the initial ones."""
        if self._after and self._after[0] is step.start:
            return self._after[1:]
        return self.plan.problem.at_sign_in()[1], self.plan.shape(self.plan.problem.first())

    def __str__(self) -> str:
        there_are = len(self.plan.transitions)
        return f"{len(self.taken & self.plan.transitions.keys()):,} of {there_are:,} transitions"


def label(event: Event, names: dict[int | None, int] | None = None) -> Label:
    """The label of an event. `names` maps request ids to their canonical names."""
    match event:
        case Advance():
            return (Advance,)
        case Freeze(_, kind):
            return Freeze, kind
        case Answer() | Serve() | Deliver() | Lose() if names:
            return type(event), replace(event, request=names.get(event.request, 0))
        case _:
            return (type(event), event)
