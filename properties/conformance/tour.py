"""A tour: traces that together take every transition of a plan, for the build to be held against.

The model walks: wherever it is, it takes a transition that none has taken yet, or else the way to the nearest
state that has one; when that finds nothing more, the way on which the graph first met one that is missing. What
each event asks of the lengths of time is gathered on the way, and at its end all of them are drawn from what is
left open, often the ends of it, so that two tours differ.
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
from model.world.state import World
from properties.conformance.plan import Coverage, Place, Plan, Transition, label
from properties.prove.canonical import known, known_requests, symbolic
from properties.prove.prove import Limits
from properties.prove.successors import ways
from properties.prove.zone import AT_MOST_0, ENDLESS, Bound, Instant, Zone, at_most
from properties.run.run import Run
from properties.system.step import start
from properties.system.trace import Trace
from properties.targets.model import ModelTarget

LONGEST = 40
"""Events in a trace of a tour, at most."""

TRIES = 200
"""Events that may be tried in order to follow one path."""

DETOUR = 12
"""Events without anything new, after which a trace ends."""

PATIENCE = 40
"""Traces in a row that bring nothing new, after which a tour gives up."""

OPEN_END: Millis = 8 * 3600 * 1000
"""How far beyond its lower end a length without an upper one may be, in ms."""


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
        walk = _Walk(tour, draw)
        if barren:
            walk.follow(draw.choice(missed))
        walk.explore()
        barren = 0 if walk.take() else barren + 1
        if time.perf_counter() - said > 1:
            said = time.perf_counter()
            tell(f"planning: {len(tour.traces):,} traces take {len(tour.taken):,} of {len(plan.transitions):,}")
    return tour


class _Spot(Struct, frozen=True):
    """Where a walk is. Its lengths of time are open: `bounds` are what every event so far asks of them."""

    place: Place
    bounds: Sequence[Sequence[Bound]]
    stage: int
    events: tuple[Event, ...] = ()
    sums: tuple[tuple[int, Instant], ...] = ()  # instants that are a sum of others: timers that a sleep put off


class _Walk:
    """One trace on the model, towards what none has taken. How long things last is said at its end."""

    def __init__(self, tour: Tour, draw: random.Random) -> None:
        self._tour, self._plan, self._draw = tour, tour.plan, draw
        target = ModelTarget(self._plan.policy)
        world = start(target, self._plan.runtime)
        assert target.client is not None, "it has just been started"
        shape = self._plan.shape(known(world, target.client, self._plan.memory))
        self._spot = _Spot(symbolic(world, target.client), ((AT_MOST_0,),), shape)
        self._taken: set[Transition] = set()

    def explore(self) -> None:
        """Walk until nothing new is in reach."""
        goals = {before for before, _, _ in self._tour.missed}
        distance = _distances(self._plan, goals)
        useful = len(self._spot.events)
        while len(self._spot.events) < min(LONGEST, useful + DETOUR):
            choices = list(self._ways(self._spot))
            if self._spot.stage in goals and not any(self._is_new(transition) for transition, _ in choices):
                # What is new from here on is not for a clock that stands as it does.
                goals.discard(self._spot.stage)
                distance = _distances(self._plan, goals)
            far = [0 if self._is_new(one) else 1 + distance.get(one[2], LONGEST) for one, _ in choices]
            if min(far, default=LONGEST) >= LONGEST:
                break
            nearest = [one for one, steps in zip(choices, far, strict=True) if steps == min(far)]
            transition, self._spot = self._draw.choice(nearest)
            if self._is_new(transition):
                self._taken.add(transition)
                useful = len(self._spot.events)

    def follow(self, goal: Transition) -> None:
        """Go the way to a transition on which the graph first met it, if it is found in some tries: where time
        passes, one way of the graph may be several of ours, of which not all lead on."""
        number, event = self._plan.transitions[goal]
        path = self._plan.graph.path(number, event)
        labels = [label(event) for _, event in path]
        stages = [self._plan.shape(path[0][0])]
        for how, (state, _) in zip(labels, path[1:], strict=False):
            stages.append(self._plan.stage(stages[-1], how, state))
        stages = [*stages[1:], goal[2]]
        tries = TRIES

        def rest(spot: _Spot, depth: int) -> _Spot | None:
            nonlocal tries
            if depth == len(path):
                return spot
            for (_, *wanted), after in self._ways(spot):
                if wanted == [labels[depth], stages[depth]] and tries > 0:
                    tries -= 1
                    if found := rest(after, depth + 1):
                        return found
            return None

        self._spot = rest(self._spot, 0) or self._spot

    def take(self) -> bool:
        """Choose lengths, play the trace and keep it, if it takes transitions that none has taken. What lies
        behind the last of these is cut off."""
        for whole in (0.5, 1.0):
            at = _numbers(self._spot, self._draw, whole)
            target = ModelTarget(self._plan.policy)
            run = Run(target, self._plan.runtime, self._plan.assumptions, ())
            seen, useful = Coverage(self._plan, target), 0
            for event in self._spot.events:
                if not run.assumptions.permit(run.world, numbered := _numbered(event, at)):
                    break
                done = seen.see(run.play(numbered))
                if done in self._plan.transitions and done not in self._tour.taken:
                    self._tour.taken.add(done)
                    useful = len(run.steps)
            if useful:
                self._tour.traces.append(replace(run.trace, events=run.events[:useful]))
                return True
        return False

    def _ways(self, spot: _Spot) -> Iterator[tuple[Transition, _Spot]]:
        """Every transition from a spot, and where it leads."""
        plan, names = self._plan, known_requests(*spot.place)
        for way in ways(spot.place, spot.bounds, plan.assumptions, plan.app, plan.memory):
            zone = Instant.zone
            world, sums = _put_off(way.step.after, zone)
            how, events = label(way.step.event, names), (*spot.events, way.step.event)
            stage = plan.stage(spot.stage, how, way.state)
            after = _Spot((world, way.client), zone.bounds, stage, events, spot.sums + sums)
            yield (spot.stage, how, stage), after

    def _is_new(self, transition: Transition) -> bool:
        taken = transition in self._tour.taken or transition in self._taken
        return not taken and transition in self._plan.transitions


def _put_off(world: World, zone: Zone) -> tuple[World, tuple[tuple[int, Instant], ...]]:
    """A world whose timers are due at instants with names, also those that a sleep has put off; and what these
    new names stand for."""
    timers, sums = [], []
    for timer in world.timers:
        due: Any = timer.due
        if due.downs:
            sums.append((zone.sum(due), due))
            due = Instant((sums[-1][0],), (), 0)
        timers.append(replace(timer, due=due))
    return world.but(timers=tuple(timers)), tuple(sums)


def _numbers(spot: _Spot, draw: random.Random, whole: float) -> list[Millis]:
    """Instants in ms, as the bounds on them allow: an end of what is left open to each, or something between;
    with this probability a whole second, if there is one, for tokens know no others."""
    zone = Zone(spot.bounds)
    sums = dict(spot.sums)
    names = range(len(zone.bounds))
    for one in names:  # on whole ms, less than is at most one less
        for other in names:
            if (bound := zone.bounds[one][other]) % 2 == 0 and bound < ENDLESS:
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
    """An event with its length as a number."""
    return replace(event, ms=_value(event.ms, at)) if isinstance(event, Advance | Freeze) else event


def _distances(plan: Plan, goals: set[int]) -> dict[int, int]:
    """For each stage, how many events it is from one of `goals`."""
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
