"""Parameter synthesis: for which lengths of time does an invariant hold, in traces of any length?

Timings and delays are parameters here, and a state has a polyhedron over them (`parameters.py`). The search is
breadth first. The polyhedron of a violation, projected on the parameters, has the values for which it can happen:
they are *unsafe*. States that exist for unsafe values only are not expanded. When none is left to expand, the
states are an inductive invariant for all other values: every successor of a state is in a state. So the unsafe
values are exactly those for which the invariant can be violated, by a trace of any length.

States that differ only in their polyhedra are merged if the union is convex. A state is not expanded if others
cover it together. Neither adds or removes a reachable valuation.

A second pass rounds times to whole seconds, as the claims of a token do. It proves how much sooner than by the
formula that may violate the invariant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.sets import Assumptions
from model.terms import Millis, Runtime
from model.world.events import Event
from properties.invariants.invariant import Invariant
from properties.prove.formulas import ALWAYS, NEVER, Formula, outside, simplest, widened
from properties.prove.parameters import LENGTH, SENSIBLE, ParametricZone, RoundingZone, unknown, within
from properties.prove.polyhedra import Polyhedron, Region, union
from properties.prove.prove import Tell, problem
from properties.prove.state import NOW, Configuration, State
from properties.prove.successors import Problem, successors
from properties.prove.zone import Instant
from properties.targets.model import ModelTarget

MOST_ROUNDING: Millis = 2_000
"""By how much rounding is tried to break an invariant sooner."""
MOST_REGIONS = 8
"""A formula with more ways to be false than this is not checked for rounding."""


class Node(Struct, frozen=True):
    """A state, and events that lead to it."""

    state: State
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class Explored:
    """What one pass found: the `unsafe` polyhedra, and the events of the `first` violation. Unless the graph is
    `closed`, that holds for traces of up to `depth` events only."""

    closed: bool = False
    depth: int = 0
    steps: int = 0
    unsafe: list[Polyhedron] = field(default_factory=list)
    first: tuple[Event, ...] = ()


class Condition(Struct, frozen=True):
    """When an invariant can be violated, as a `formula`: in traces of any length if the graph `closed`, else of
    up to `depth` events. Rounding to whole seconds may violate it up to `sooner` ms before; None if that is
    unknown."""

    formula: Formula
    closed: bool
    depth: int
    steps: int
    sooner: Millis | None


def parametric(
    model: ModelTarget, runtime: Runtime, assumptions: Assumptions, invariant: Invariant, app: App
) -> Problem:
    """The problem with parameters in place of the numbers of a model's SDK, and of the world's delays."""
    policy = replace(model.policy, timings=unknown(model.policy.timings))  # type: ignore[type-var]
    asked = problem(ModelTarget(model.sdk, policy), runtime, assumptions, app, [invariant])
    flight = None if assumptions.may_hang else LENGTH["flight"]
    return replace(
        asked,
        memory=replace(asked.memory, lateness=True),
        zone=ParametricZone,
        known=SENSIBLE,
        within=partial(within, late=LENGTH["late"], flight=flight),
    )


def condition(asked: Problem, invariant: Invariant, steps: int, tell: Tell = lambda line: None) -> Condition:
    """When the invariant can be violated. Each pass takes at most so many model `steps`. `tell` gets a line of
    progress for each depth."""
    found = explore(asked, invariant, steps, tell)
    formula = simplest(found.unsafe)
    sooner = _sooner(asked, invariant, formula, steps, tell) if found.closed else None
    return Condition(formula, found.closed, found.depth, found.steps, sooner)


def _sooner(asked: Problem, invariant: Invariant, formula: Formula, steps: int, tell: Tell) -> Millis | None:
    """By how many ms before the formula rounding may violate the invariant; None if no bound was proved."""
    for ms in range(0 if formula in (NEVER, ALWAYS) else 1000, MOST_ROUNDING + 1, 1000):
        regions = list(outside(widened(formula, ms)))
        if len(regions) > MOST_REGIONS:
            return None
        rounding = (replace(asked, zone=RoundingZone, known=(*SENSIBLE, *region)) for region in regions)
        found = [
            explore(one, invariant, steps, lambda line: tell(f"rounding seconds, {line}")) for one in rounding
        ]
        if all(one.closed and not one.unsafe for one in found):
            return ms
    return None


def explore(
    asked: Problem, invariant: Invariant, steps: int, tell: Tell = lambda line: None, only_first: bool = False
) -> Explored:
    """Explore breadth first until nothing is left to follow, or after so many model `steps`. With `only_first`
    until a violation, whose events are those of one trace then: no states are merged."""
    found, unsafe = Explored(), Region()
    known: dict[Configuration, Region] = {}
    first = asked.first()
    known[first.configuration] = Region(first.bounds)
    level = [Node(first)]
    while level:
        following: list[Node] = []
        for node in level:
            if unsafe.covers(node.state.bounds):
                continue
            for step, after in successors(asked, node.state):
                found.steps += 1
                if found.steps > steps:
                    return found
                events = (*node.events, step.event)
                if invariant.check(step):
                    projection = Instant.zone.onto((NOW,))
                    found.first = found.first or events
                    if only_first:
                        return found
                    if not unsafe.covers(projection):
                        found.unsafe.append(projection)
                        unsafe.add(projection)
                        for region in known.values():
                            region.add(projection)
                    continue
                region = known.setdefault(after.configuration, Region(*found.unsafe))
                if not region.covers(after.bounds):
                    region.add(after.bounds)
                    following.append(Node(after, events))
        found.depth += 1
        level = following if only_first else list(_merged(following))
        tell(f"{found.depth} events: {found.steps:,} steps, {len(level)} states to follow")
    found.closed = True
    return found


def _merged(nodes: Sequence[Node]) -> Iterator[Node]:
    """The nodes, with those merged whose union is a polyhedron."""
    groups: dict[Configuration, list[Node]] = {}
    for node in nodes:
        group = groups.setdefault(node.state.configuration, [])
        bounds, place = node.state.bounds, 0
        while place < len(group):
            if (both := union(group[place].state.bounds, bounds)) is None:
                place += 1
            else:
                del group[place]
                bounds, place = both, 0
        group.append(replace(node, state=replace(node.state, bounds=bounds)))
    for group in groups.values():
        yield from group
