"""The exhaustive engine: every state that world and model can reach, for every length of time at once.

It works in three passes. The first leaves time out altogether (`timeless.py`): it is fast, and what needs no
clock to hold is proved then. The second asks of the rest *does it hold?* and over-approximates: of states that
differ only in what is known of their instants it keeps the hull, and a hull that grows is widened to the next
length that means something, so that it soon comes to an end (Cousot and Cousot 1977). A graph that is closed then
holds everything that can happen, and more; what nothing in it breaks is proved. A client that gathers ever more
timers has no such graph, and the pass ends when that shows. The third asks *how is it broken?* and is exact:
breadth first, so that the trace it finds has as few events as there can be. Its trace is played with numbers, on
the model, before anybody hears of it. Of an invariant that promises something, the closed graph is also asked
whether that must come (`recovery.py`).

A search that was cut off proves nothing, and its verdict says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.clerk.policy import Policy
from model.terms import Runtime
from properties.invariants.catalogue import Invariant
from properties.invariants.verdict import (
    Cell,
    Findings,
    HeldTo,
    MayStarve,
    NotApplicable,
    Proved,
    Vacuous,
    Verdict,
    Violated,
)
from properties.prove.app import App
from properties.prove.canonical import Memory
from properties.prove.concrete import Path, concrete
from properties.prove.graph import Graph, Hulls, Zones
from properties.prove.liveness import starving
from properties.prove.successors import beginning, transitions
from properties.prove.untimed import Product, uncollected
from properties.prove.zone import Instant
from properties.run.reference import policy_beside


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
    verdicts: dict[str, Verdict] = {one.id: NotApplicable(tuple(one.runtimes)) for one in invariants}
    with uncollected():
        verdicts |= search.judge(judged)
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
        verdicts = self.without_instants([one for one in invariants if one.timeless])
        verdicts |= self.with_instants([one for one in invariants if one.id not in verdicts])
        return {one.id: verdicts[one.id] for one in invariants}

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
        """What can be proved of every length of time, and what is broken. How long a call has waited makes for
        many more states: what asks for that comes last, and not at all where even the others have no end."""
        patient = [one for one in invariants if one.waits]
        others = [one for one in invariants if not one.waits]
        closure = self.closure(others)
        if not closure.closed:
            return self.verdicts(invariants, closure)
        return self.verdicts(others, closure) | self.verdicts(patient, self.closure(patient))

    def closure(self, invariants: Sequence[Invariant]) -> Graph:
        """All that can be reached, and more, as hulls; unless there are no `invariants` to judge."""
        graph = Graph(closed=not invariants)
        if invariants:
            self.memory = _memory(self.cell.assumptions, invariants, self.app)
            self.explore(graph, invariants, hull=True)
        self.reached = self.reached | graph.reached
        return graph

    def verdicts(self, invariants: Sequence[Invariant], closure: Graph) -> dict[str, Verdict]:
        """What is known of them when the hulls are; what those leave open is looked for exactly."""
        exact = Graph()
        open_ones = [one for one in invariants if not closure.closed or one.id in closure.broken]
        if open_ones:
            self.memory = _memory(self.cell.assumptions, invariants, self.app)
            self.explore(exact, open_ones, hull=False, share=1 if closure.closed else A_LOOK)
        assumptions = self.cell.assumptions
        never = tuple(one.name for one in assumptions.sometimes if not closure.reached.get(one.name))
        verdicts: dict[str, Verdict] = {}
        for one in invariants:
            graph = exact if one in open_ones else closure
            recovers = one.recovers and self.app.calls > 0
            if found := exact.broken.get(one.id):
                found.trace.save()
                verdicts[one.id] = found
            elif not graph.closed or (recovers and not closure.closed):
                verdicts[one.id] = HeldTo(exact.depth, len(exact.states))
            elif never:
                verdicts[one.id] = Vacuous(len(graph.states), graph.transitions, never, "states")
            elif recovers and (story := starving(closure, assumptions, self.memory)):
                verdicts[one.id] = MayStarve(len(graph.states), story)
            else:
                verdicts[one.id] = Proved(len(graph.states), graph.transitions, recovers)
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
        ahead = {one.name: one for one in (*assumptions.sometimes, *assumptions.faults) if hull}
        add = Hulls(graph).add if hull else Zones(graph).add
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
                    for name, landmark in [*ahead.items()]:
                        if any(map(landmark.seen, step.facts)):
                            graph.reached[name] = 1
                            del ahead[name]
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
