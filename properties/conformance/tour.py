"""A transition tour: traces that together take every transition of a plan, to compare a build with the model.

A walk on the model takes a transition that no trace has taken yet, or else the shortest way to a state with one.
When that finds nothing new, it follows the path on which the graph first reached a missing transition. The
constraints on durations are collected on the way. At the end, durations are drawn from what these leave open,
often from the ends of the range, so that different seeds give different tours.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.terms import Millis
from model.world.events import Advance, Event, Freeze
from model.world.state import System
from properties.conformance.plan import TourPlan, Transition, TransitionCoverage, label
from properties.prove.canonical import request_names
from properties.prove.prove import Limits
from properties.prove.state import Configuration, symbolic
from properties.prove.successors import successors_at
from properties.prove.zone import AT_MOST_0, UNBOUNDED, Bound, Instant, Zone, at_most
from properties.run.run import Run
from properties.system.trace import Trace

LONGEST = 40
"""The maximum number of events in a trace of a tour."""

TRIES = 200
"""The maximum number of events tried in order to follow one path."""

DETOUR = 12
"""The number of events without a new transition after which a trace ends."""

BARREN_TRACES = 40
"""The number of traces in a row without a new transition after which a tour gives up."""

OPEN_END: Millis = 8 * 3600 * 1000
"""The range in ms above its lower bound from which a duration without an upper bound is drawn."""


@dataclass(slots=True)
class Tour:
    """The traces of a tour, and the transitions that they cover."""

    plan: TourPlan
    traces: list[Trace] = field(default_factory=list)
    taken: set[Transition] = field(default_factory=set)

    @property
    def missed(self) -> list[Transition]:
        """The transitions that no trace takes."""
        return [one for one in self.plan.transitions if one not in self.taken]


def walk(plan: TourPlan, draw: random.Random, limits: Limits, tell: Callable[[str], None]) -> Tour:
    """A tour of the plan: it takes every transition, or as many as it can reach within the limits."""
    tour = Tour(plan)
    began = reported_at = time.perf_counter()
    barren = 0
    while (missed := tour.missed) and barren < BARREN_TRACES and time.perf_counter() - began < limits.seconds:
        walk = _Walk(tour, draw)
        if barren:
            walk.follow(draw.choice(missed))
        walk.explore()
        barren = 0 if walk.take() else barren + 1
        if time.perf_counter() - reported_at > 1:
            reported_at = time.perf_counter()
            tell(f"planning: {len(tour.traces):,} traces take {len(tour.taken):,} of {len(plan.transitions):,}")
    return tour


class _Position(Struct, frozen=True):
    """The position of a walk. Durations are open: `bounds` has the constraints of all events so far."""

    configuration: Configuration
    bounds: Sequence[Sequence[Bound]]
    stage: int
    events: tuple[Event, ...] = ()
    sums: tuple[tuple[int, Instant], ...] = ()  # instants that are sums of others: timers that a sleep delayed


class _Walk:
    """One symbolic trace of the model towards transitions that no trace has taken. `take` makes it concrete."""

    def __init__(self, tour: Tour, draw: random.Random) -> None:
        self._tour, self._plan, self._draw = tour, tour.plan, draw
        problem = self._plan.problem
        shape = self._plan.shape(problem.first())
        self._position = _Position(symbolic(problem.at_sign_in()), ((AT_MOST_0,),), shape)
        self._taken: set[Transition] = set()

    def explore(self) -> None:
        """Walk until no new transition is within reach."""
        goals = {before for before, _, _ in self._tour.missed}
        distance = _distances(self._plan, goals)
        useful = len(self._position.events)
        while len(self._position.events) < min(LONGEST, useful + DETOUR):
            choices = list(self._ways(self._position))
            if self._position.stage in goals and not any(self._is_new(transition) for transition, _ in choices):
                # The constraints on durations so far rule out the new transitions of this stage.
                goals.discard(self._position.stage)
                distance = _distances(self._plan, goals)
            far = [0 if self._is_new(one) else 1 + distance.get(one[2], LONGEST) for one, _ in choices]
            if min(far, default=LONGEST) >= LONGEST:
                break
            nearest = [one for one, steps in zip(choices, far, strict=True) if steps == min(far)]
            transition, self._position = self._draw.choice(nearest)
            if self._is_new(transition):
                self._taken.add(transition)
                useful = len(self._position.events)

    def follow(self, goal: Transition) -> None:
        """Follow the path on which the graph first reached a transition, if that works within `TRIES`: a step of
        the graph may correspond to several steps here, of which some are dead ends."""
        number, event = self._plan.transitions[goal]
        path = self._plan.graph.path(number, event)
        labels = [label(event) for _, event in path]
        stages = [self._plan.shape(path[0][0])]
        for how, (state, _) in zip(labels, path[1:], strict=False):
            stages.append(self._plan.stage(stages[-1], how, state))
        stages = [*stages[1:], goal[2]]
        tries = TRIES

        def rest(position: _Position, depth: int) -> _Position | None:
            nonlocal tries
            if depth == len(path):
                return position
            for (_, *wanted), after in self._ways(position):
                if wanted == [labels[depth], stages[depth]] and tries > 0:
                    tries -= 1
                    if found := rest(after, depth + 1):
                        return found
            return None

        self._position = rest(self._position, 0) or self._position

    def take(self) -> bool:
        """Draw durations, play the trace, and keep it if it takes new transitions, cut off after the last of
        them. Returns whether it was kept."""
        for whole in (0.5, 1.0):
            at = _numbers(self._position, self._draw, whole)
            problem = self._plan.problem
            target = problem.fresh()
            run = Run(target, problem.runtime, problem.assumptions, ())
            seen, useful = TransitionCoverage(self._plan, target), 0
            for event in self._position.events:
                if not run.permits(numbered := _numbered(event, at)):
                    break
                done = seen.see(run.play(numbered))
                if done in self._plan.transitions and done not in self._tour.taken:
                    self._tour.taken.add(done)
                    useful = len(run.steps)
            if useful:
                self._tour.traces.append(replace(run.trace, events=run.events[:useful]))
                return True
        return False

    def _ways(self, position: _Position) -> Iterator[tuple[Transition, _Position]]:
        """Every transition from a position, and the position after it."""
        plan, problem = self._plan, self._plan.problem
        names = request_names(problem.model.sdk, position.configuration)
        for one in successors_at(problem, position.configuration, position.bounds):
            zone = Instant.zone
            system, sums = _put_off(one.step.end, zone)
            how, events = label(one.step.event, names), (*position.events, one.step.event)
            stage = plan.stage(position.stage, how, one.state)
            after = _Position((system, one.client), zone.bounds, stage, events, position.sums + sums)
            yield (position.stage, how, stage), after

    def _is_new(self, transition: Transition) -> bool:
        taken = transition in self._tour.taken or transition in self._taken
        return not taken and transition in self._plan.transitions


def _put_off(system: System, zone: Zone) -> tuple[System, tuple[tuple[int, Instant], ...]]:
    """The system with a symbol for the due instant of every timer, also of those that a sleep delayed; and the
    sums that the new symbols stand for."""
    timers, sums = [], []
    for timer in system.world.timers:
        due: Any = timer.due
        if due.downs:
            sums.append((zone.sum(due), due))
            due = Instant((sums[-1][0],), (), 0)
        timers.append(replace(timer, due=due))
    return system.but(timers=tuple(timers)), tuple(sums)


def _numbers(position: _Position, draw: random.Random, whole: float) -> list[Millis]:
    """Concrete values in ms for all instants, within their bounds: an end of the open range, or a value in
    between. With probability `whole` a whole second, if there is one, because tokens have no other times."""
    zone = Zone(position.bounds)
    sums = dict(position.sums)
    names = range(len(zone.bounds))
    for one in names:  # on whole ms, < c means <= c - 1
        for other in names:
            if (bound := zone.bounds[one][other]) % 2 == 0 and bound < UNBOUNDED:
                zone.assume(one, other, bound - 1)
    at: list[Millis] = []
    for one in names:
        if one in sums:
            at.append(_value(sums[one], at))
        else:
            first: Millis = -((zone.bounds[0][one] - 1) // 2)
            last: Millis = (zone.bounds[one][0] - 1) // 2
            last = max(first, min(last, first + OPEN_END))
            some = [first, last, first + (last - first) // 2, draw.randint(first, last)]
            seconds = [ms - ms % 1000 for ms in (*some, first + 999) if ms - ms % 1000 >= first]
            at.append(draw.choice(seconds) if seconds and draw.random() < whole else draw.choice(some))
        zone.assume(one, 0, at_most(at[-1]))
        zone.assume(0, one, at_most(-at[-1]))
    return at


def _value(instant: Any, at: list[Millis]) -> Millis:
    ups, downs = (sum(at[one] for one in some) for some in (instant.ups, instant.downs))
    ms: Millis = ups - downs + instant.ms
    return ms


def _numbered(event: Event, at: list[Millis]) -> Event:
    """The event with a concrete duration."""
    return replace(event, ms=_value(event.ms, at)) if isinstance(event, Advance | Freeze) else event


def _distances(plan: TourPlan, goals: set[int]) -> dict[int, int]:
    """For each stage, the number of events to the nearest of `goals`."""
    if not plan.into:
        for before, _, after in plan.transitions:
            plan.into.setdefault(after, set()).add(before)
    distances = dict.fromkeys(goals, 0)
    queue = deque(distances)
    while queue:
        stage = queue.popleft()
        for before in plan.into.get(stage, ()):
            if before not in distances:
                distances[before] = distances[stage] + 1
                queue.append(before)
    return distances
