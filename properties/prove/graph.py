"""The graph of reached states: each state, its parent, and the inclusion checks that merge states.

The graph is either exact (`Zones`), or has one hull for all states that differ only in the bounds on their
instants (`Hulls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import gt

from msgspec.structs import replace

from model.terms import Timings
from model.world.events import Event
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Violated
from properties.prove.concrete import GraphPath
from properties.prove.state import Configuration, State
from properties.prove.zone import UNBOUNDED, Bound, Zone, at_most, less_than


@dataclass(slots=True)
class Graph:
    """The graph of one pass. `parents` has, for each state, the state and event by which it was first reached;
    `broken` and `reached` the invariants violated and the landmarks reached."""

    states: list[State] = field(default_factory=list)
    parents: list[tuple[int, Event] | None] = field(default_factory=list)
    transitions: int = 0
    depth: int = 0
    closed: bool = False
    broken: dict[str, Violated | None] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    hulls: dict[Configuration, int] = field(default_factory=dict)
    """The number of each hull by its configuration."""

    def breaks(self, invariants: Sequence[Invariant]) -> bool:
        """Is there a step that violates each of them?"""
        return bool(invariants) and all(one.id in self.broken for one in invariants)

    def path(self, number: int, last: Event) -> GraphPath:
        """The path from the initial state to state `number`, with `last` as the event that follows it."""
        path = [(self.states[number], last)]
        while (parent := self.parents[number]) is not None:
            number, event = parent
            path.append((self.states[number], event))
        return tuple(reversed(path))


class Zones:
    """The exact graph: adds a state unless its zone is included in that of a known state."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[Configuration, list[Zone]] = {}

    def add(self, state: State, parent: tuple[int, Event] | None) -> int | None:
        """Add a state. Returns its number; None if a known state includes it."""
        zone = state.zone
        zones = self._known.setdefault(state.configuration, [])
        if any(zone.within(other) for other in zones):
            return None
        zones.append(zone)
        self._graph.states.append(state)
        self._graph.parents.append(parent)
        return len(self._graph.states) - 1


class Hulls:
    """The over-approximation: merges states with the same configuration into one hull that includes them all."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def add(self, state: State, parent: tuple[int, Event] | None) -> int | None:
        """Add a state to its hull. Returns the hull's number if it is new or has grown; else None."""
        states = self._graph.states
        number = self._graph.hulls.setdefault(state.configuration, len(states))
        if number == len(states):
            states.append(state)
            self._graph.parents.append(parent)
            return number
        old = states[number].bounds
        if not any(any(map(gt, row, its)) for row, its in zip(state.bounds, old, strict=True)):
            return None
        grown = tuple(
            tuple(
                one if mine <= one else _widened(mine, state.world.timings)
                for mine, one in zip(row, its, strict=True)
            )
            for row, its in zip(state.bounds, old, strict=True)
        )
        states[number] = replace(states[number], bounds=grown)
        return number


@cache
def stops(timings: Timings) -> tuple[Bound, ...]:
    """The bounds at which widening stops: those that a client with these timings compares with."""
    lifetime, lead = timings.lifetime, timings.lead
    seconds = {0, timings.cutoff, timings.patience // 1000, lead, lifetime - lead, lifetime, lifetime + 1}
    return tuple(
        bound
        for length in sorted({sign * length for length in seconds for sign in (1, -1)})
        for bound in (less_than(length * 1000), at_most(length * 1000))
    )


def _widened(bound: Bound, timings: Timings) -> Bound:
    return next((stop for stop in stops(timings) if bound <= stop), UNBOUNDED)
