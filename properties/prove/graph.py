"""What a proof has reached: states, where each was first reached from, and which of them are the same.

Exactly (`Zones`), or as one hull for all states that differ only in what is known of their instants (`Hulls`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from model.clerk.state import Client
from model.world.events import Event
from model.world.state import World
from properties.invariants.verdict import Violated
from properties.prove.canonical import State
from properties.prove.concrete import Path
from properties.prove.zone import ENDLESS, Bound, Zone, at_most, less_than


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
    places: dict[tuple[World, Client], int] = field(default_factory=dict)
    """The number of each hull, by what it has besides its instants."""

    def path(self, number: int, last: Event) -> Path:
        """The states from the beginning to one, and the event that follows each; their lengths are no numbers."""
        path = [(self.states[number], last)]
        while (parent := self.parents[number]) is not None:
            number, event = parent
            path.append((self.states[number], event))
        return tuple(reversed(path))


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


class Hulls:
    """Takes a state into the one that has the same fields; that one grows until it holds both."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def add(self, state: State, parent: tuple[int, Event] | None) -> int | None:
        """The number of the state if it is new, or has grown."""
        states = self._graph.states
        number = self._graph.places.setdefault((state.world, state.client), len(states))
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
