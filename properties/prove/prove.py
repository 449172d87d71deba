"""The exhaustive engine: all reachable states of world and model, for all durations at once.

It has three passes.

1. Untimed: time is abstracted away, which proves invariants that hold whatever the clock does. There are two such
   passes: the product of world and client (`untimed.py`) and, where the parts of a client multiply, one that
   follows each on its own (`modular.py`). They are short unless they may decide all invariants.
2. Timed and over-approximating, for the remaining invariants. States that differ only in the bounds on their
   instants are merged into a hull, and a growing hull is widened to the next relevant bound, so that the pass
   terminates soon (Cousot and Cousot 1977). A closed graph includes everything that can happen, so an invariant
   that no step in it violates is proved. If the number of timers is unbounded, no graph closes, and the pass
   stops as soon as it detects that.
3. Timed and exact, for the invariants that pass 2 left open: breadth first, so that it finds a shortest trace.
   The trace gets concrete durations and is replayed on the model before it is reported.

For an invariant with a liveness part, the closed graph is also checked for recovery (`liveness.py`).

A search that hit a limit proves nothing, and its verdict says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.sets import Assumptions
from model.sdk import Sdk
from model.terms import FIRST, Runtime
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import (
    Cell,
    Findings,
    HeldTo,
    MayStarve,
    NotApplicable,
    Proved,
    Vacuous,
    Verdict,
)
from properties.prove.concrete import concrete
from properties.prove.graph import Graph, Hulls, Zones
from properties.prove.liveness import path_without_recovery
from properties.prove.modular import Modular
from properties.prove.state import Memory
from properties.prove.successors import Known, Problem, landmarks, look_for, successors
from properties.prove.untimed import Product, UntimedResult, gc_paused
from properties.run.reference import reference_policy
from properties.targets.model import ModelTarget


class Limits(Struct, frozen=True):
    """The limits of one pass: `depth` in events, `seconds` of real time, the number of `states` expanded, which
    bounds the memory, and the number of model `steps`, which makes the pass stop at the same point on every
    machine."""

    depth: int = 12
    seconds: float = 60.0
    states: int = 1_000_000
    steps: int = 1_000_000_000


SHORT_PASS = 5
"""A short pass gets this fraction of its limits: a fifth. The exact pass is short if the graph did not close:
most of it would only show up to which depth the invariants hold."""

Tell: TypeAlias = Callable[[str], None]


KnownBy: TypeAlias = dict[Hashable, Known]
"""What is known of runs, by all that a problem has but its policy and its limits."""

_Untimed: TypeAlias = Callable[[Sequence[Invariant], float, int], UntimedResult]

CALM = Assumptions(("calm",))


def one_call(sdk: Sdk, assumptions: Assumptions = CALM) -> App:
    """The default app of a proof: one call at a time. It loads a client once, for a graph with times closes no
    more if a process may begin anew with what an earlier load() has left. If it may sign out and in, it does
    that, as another user, beside the first call that it makes otherwise."""
    if not assumptions.may_leave:
        return App(sdk.proved_operations, calls=1, loads=1)
    first, *_ = sdk.operations
    comes_and_goes = (one for one in sdk.operations if one.leaves or one.user not in (None, FIRST.user))
    return App((first, *comes_and_goes), calls=1, loads=1, sign_ins=1)


def most_timers(sdk: Sdk, app: App) -> int:
    """The bound on live timers. A client that exceeds it is taken to accumulate timers without bound. Two for
    each token that may be cached, two for each call, and two more."""
    operations = app.operations or ()
    tokens = {sdk.server.session_token, *(operation.token_id for operation in operations)}
    sessions = 1 + app.sign_ins * any(operation.user is not None for operation in operations)
    return 2 * len(tokens) * sessions + 2 * app.calls + 2


def prove(
    model: ModelTarget,
    runtime: Runtime,
    assumptions: Assumptions,
    invariants: Sequence[Invariant],
    app: App | None = None,
    limits: Limits = Limits(),
    tell: Tell = lambda line: None,
    known: KnownBy | None = None,
) -> Findings:
    """Prove `invariants` on a model in every world that the assumptions permit, or violate them. The traces of
    violations are saved.

    By default the app makes one call at a time (`one_call`). `tell` gets a line of progress now and then. `known`
    keeps runs for the proofs of other policies, which are quicker so, with the same verdicts.
    """
    began = time.perf_counter()
    judged = [one for one in invariants if runtime in one.runtimes]
    asked = problem(model, runtime, assumptions, app, judged)
    verdicts: dict[str, Verdict] = {one.id: NotApplicable(tuple(one.runtimes)) for one in invariants}
    with gc_paused():
        search = _Search(asked, limits, tell, {} if known is None else known)
        verdicts |= search.judge(judged)
    cell = Cell(model.name, runtime, assumptions)
    return Findings(cell, verdicts, 0, search.reached, time.perf_counter() - began)


def problem(
    model: ModelTarget,
    runtime: Runtime,
    assumptions: Assumptions,
    app: App | None = None,
    invariants: Sequence[Invariant] = (),
) -> Problem:
    """The problem, with as much memory as these invariants need."""
    history, waits = any(one.history for one in invariants), any(one.waits for one in invariants)
    ages, newest = any(one.ages for one in invariants), any(one.newest for one in invariants)
    app = app or one_call(model.sdk, assumptions)
    memory = Memory.needed(assumptions, app, history, waits, ages, newest)
    return Problem(model, runtime, assumptions, app, memory, reference_policy(model.policy, invariants))


def closure(problem: Problem, limits: Limits) -> Graph:
    """The over-approximating graph of everything reachable. `Graph.closed` says whether it is complete."""
    graph = Graph()
    _Search(problem, limits, lambda line: None).explore(graph, (), hull=True)
    return graph


@dataclass(slots=True)
class _Search:
    """The three passes over one problem."""

    problem: Problem
    limits: Limits
    tell: Tell
    known_by: KnownBy = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)

    @property
    def known(self) -> Known:
        """What is known of runs in the problem."""
        asked = self.problem
        like = asked.model.sdk, asked.runtime, asked.assumptions, asked.app, asked.memory, asked.reference
        return self.known_by.setdefault(like, Known())

    def judge(self, invariants: Sequence[Invariant]) -> dict[str, Verdict]:
        """A verdict for each of `invariants`. The untimed pass is short if it cannot decide all of them: a timed
        graph is needed anyway then, and decides the same if it closes."""
        verdicts = self.untimed(invariants, share=1 if all(one.untimed for one in invariants) else SHORT_PASS)
        verdicts |= self.timed([one for one in invariants if one.id not in verdicts])
        return {one.id: verdicts[one.id] for one in invariants}

    def untimed(self, invariants: Sequence[Invariant], share: int) -> dict[str, Verdict]:
        """The untimed passes: the verdicts of the timeless invariants that they prove. A `share` of 5 is a fifth
        of the limits. The product comes first: if it closes, the modular pass proves no more. But of an app that
        switches between tokens the product hardly closes, and comes last. The modular pass leaves out the kinds
        of tokens at first. If it does not close so, it does not with them."""
        timeless = [one for one in invariants if one.untimed]
        if self.problem.model.sdk.parts is None:
            return self._untimed(self._product, timeless, share)[0]
        if self.problem.memory.switches:
            return self._of_many_tokens(timeless)
        verdicts, closed = self._untimed(self._product, timeless, share)
        if not closed:
            verdicts |= self._untimed(self._modular, _left(timeless, verdicts), share)[0]
        return verdicts

    def _of_many_tokens(self, timeless: Sequence[Invariant]) -> dict[str, Verdict]:
        """The same for an app that switches between tokens. Only one that does so within a session has many
        kinds of them."""
        many = any(one.changes_session for one in self.problem.app.operations or ())
        any_kind = timeless if many else []
        verdicts, closed = self._untimed(partial(self._modular, kinds=False), any_kind, share=1)
        if closed or not any_kind:
            verdicts |= self._untimed(self._modular, _left(timeless, verdicts), share=1)[0]
        return verdicts | self._untimed(self._product, _left(timeless, verdicts), SHORT_PASS)[0]

    def _untimed(
        self, search: _Untimed, invariants: Sequence[Invariant], share: int
    ) -> tuple[dict[str, Verdict], bool]:
        """The verdicts of the invariants that a pass proves, and whether its graph closed, or broke all."""
        if not invariants:
            return {}, False
        found = search(invariants, self.limits.seconds / share, self.limits.steps // share)
        self.reached = self.reached | found.reached
        if not found.closed or any(not found.reached.get(one.name) for one in self.problem.assumptions.sometimes):
            return {}, found.closed or len(found.broken) == len(invariants)
        proof = Proved(found.states, found.transitions)
        return {one.id: proof for one in invariants if one.id not in found.broken}, True

    def _product(self, invariants: Sequence[Invariant], seconds: float, steps: int) -> UntimedResult:
        most = most_timers(self.problem.model.sdk, self.problem.app)
        product = Product(self._for(invariants), most, invariants)
        return product.search(seconds, self.limits.states, steps, partial(self._say, "leaving time out"))

    def _modular(
        self, invariants: Sequence[Invariant], seconds: float, steps: int, kinds: bool = True
    ) -> UntimedResult:
        problem = self._for(invariants)
        modular = Modular(replace(problem, memory=replace(problem.memory, kinds=kinds)), invariants)
        return modular.search(
            seconds, self.limits.states, steps, partial(self._say, "following each part of the client")
        )

    def timed(self, invariants: Sequence[Invariant]) -> dict[str, Verdict]:
        """The timed passes. The ages of tokens multiply the states: the invariants that read them have a graph of
        their own, and its closure is not tried if the graph of the others does not close. How long a call has
        waited adds states: once the hulls break all that read it, the others have a graph without it."""
        verdicts: dict[str, Verdict] = {}
        groups = [[one for one in invariants if one.ages is ages] for ages in (False, True)]
        closes = True
        while groups:
            if not (group := groups.pop(0)):
                continue
            self.problem = self._for(group)
            closure = self.closure(group) if closes else Graph()
            waiting = [one for one in group if one.waits]
            if not closure.closed and closure.breaks(waiting):
                groups.insert(0, [one for one in group if not one.waits])
                group = waiting
            closes = closure.closed or closure.breaks(group)
            verdicts |= self.verdicts(group, closure)
        return verdicts

    def closure(self, invariants: Sequence[Invariant]) -> Graph:
        """The over-approximating pass."""
        graph = Graph()
        self.explore(graph, invariants, hull=True)
        self.reached = self.reached | graph.reached
        return graph

    def verdicts(self, invariants: Sequence[Invariant], closure: Graph) -> dict[str, Verdict]:
        """The verdicts that follow from the hulls, and from the exact pass for the invariants that the hulls
        leave open."""
        exact = Graph()
        open_ones = [one for one in invariants if not closure.closed or one.id in closure.broken]
        if open_ones:
            may_break = closure.closed or closure.breaks(invariants)
            self.explore(exact, open_ones, hull=False, share=1 if may_break else SHORT_PASS)
        reached = closure.reached | exact.reached
        never = tuple(one.name for one in self.problem.assumptions.sometimes if not reached.get(one.name))
        verdicts: dict[str, Verdict] = {}
        for one in invariants:
            graph = exact if one in open_ones else closure
            recovers = one.recovers and self.problem.app.calls > 0
            if found := exact.broken.get(one.id):
                found.trace.save()
                verdicts[one.id] = found
            elif not graph.closed or one.id in exact.broken or (recovers and not closure.closed):
                verdicts[one.id] = HeldTo(exact.depth, len(exact.states))
            elif never:
                verdicts[one.id] = Vacuous(len(graph.states), graph.transitions, never, "states")
            elif recovers and (path := path_without_recovery(self.problem, closure, self.known)):
                verdicts[one.id] = MayStarve(len(graph.states), path)
            else:
                verdicts[one.id] = Proved(len(graph.states), graph.transitions, recovers)
        return verdicts

    def _say(self, what: str, states: int) -> None:
        place = f"{self.problem.model.name}, assuming {self.problem.assumptions}"
        self.tell(f"{place}: {what}, {states:,} states")

    def _for(self, invariants: Sequence[Invariant]) -> Problem:
        like = self.problem
        return problem(like.model, like.runtime, like.assumptions, like.app, invariants)

    def explore(self, graph: Graph, invariants: Sequence[Invariant], hull: bool, share: int = 1) -> None:
        """Run one pass: with `hull`, the over-approximation until it closes, or breaks every invariant, or every
        one that `waits`; else the exact one until every invariant has a counterexample. A `share` of 5 is a fifth
        of the limits.

        The state that was reached first is expanded first. That is breadth first in the exact pass. In the other
        one it lets a hull grow before what follows from it is expanded again: a third fewer steps. There a state
        with more than two thirds of the timers that are too many comes before all others: if they accumulate
        without bound, it leads there soonest."""
        seconds, steps = self.limits.seconds / share, self.limits.steps // share
        began = reported_at = time.perf_counter()
        most = most_timers(self.problem.model.sdk, self.problem.app)
        costly = [one for one in invariants if one.waits] or invariants
        may_stop = hull and not any(one.recovers for one in costly)  # liveness needs the closed graph
        ahead = landmarks(self.problem)
        add = Hulls(graph).add if hull else Zones(graph).add
        known = self.known
        add(self.problem.first(), None)
        waiting, looked_at, last_of_level = [(True, 0)], 0, 0
        queued = {0}
        while waiting:
            _, number = heappop(waiting)
            if not hull and number > last_of_level:
                last_of_level = len(graph.states) - 1
                graph.depth += 1
                found_all = all(graph.broken.get(one.id) for one in invariants)
                if found_all or graph.depth >= self.limits.depth:
                    return
            if looked_at == self.limits.states or graph.transitions >= steps:
                return
            queued.remove(number)
            looked_at += 1
            for step, after in successors(self.problem, graph.states[number], known):
                graph.transitions += 1
                for one in invariants:
                    if graph.broken.get(one.id) is None and one.check(step):
                        path = graph.path(number, step.event)
                        graph.broken[one.id] = None if hull else concrete(path, self.problem, one)
                look_for(ahead, step, graph.reached)
                if (new := add(after, (number, step.event))) is not None and new not in queued:
                    timers = len(after.world.timers)
                    heappush(waiting, (not hull or 3 * timers <= 2 * most, new))
                    queued.add(new)
                    if hull and timers > most:
                        return
            if may_stop and graph.breaks(costly):
                return
            now = time.perf_counter()
            if now - reported_at > 1:
                reported_at = now
                self._say("closing the graph" if hull else "looking for the shortest trace", len(graph.states))
            if now - began > seconds:
                return
        graph.closed = True


def _left(invariants: Sequence[Invariant], verdicts: dict[str, Verdict]) -> list[Invariant]:
    """The invariants that have no verdict."""
    return [one for one in invariants if one.id not in verdicts]
