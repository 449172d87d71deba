"""From a path through the graph to a trace that anybody can play: numbers for its lengths of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from model.clerk.policy import Policy
from model.clerk.state import Client
from model.world.events import Advance, Answer, Event, Freeze
from properties.invariants.catalogue import Invariant
from properties.invariants.verdict import Cell, Violated
from properties.prove.canonical import Memory, State, contains, known, known_requests
from properties.prove.zone import Instant
from properties.run.run import Run, Violation
from properties.run.shrink import reduce
from properties.search.machine import ADVANCES, FREEZES, lengths
from properties.targets.model import ModelTarget

Path: TypeAlias = tuple[tuple[State, Event], ...]
"""States, and the event that follows each; how long it lasts is not said."""


def concrete(path: Path, policy: Policy, cell: Cell, invariant: Invariant, memory: Memory) -> Violated | None:
    """A trace along `path` whose last event breaks the invariant on the model; None when no lengths make one.

    Tried are the lengths that mean something in the world at hand, as long as they stay on the path.
    """
    target = ModelTarget(policy)

    def extended(events: tuple[Event, ...]) -> Violation | None:
        run = Run(target, cell.runtime, cell.assumptions, [invariant])
        try:
            for event in events:
                run.play(event)
        except Violation as violation:
            return violation if len(events) == len(path) else None
        if len(events) == len(path):
            return None
        assert target.client is not None
        state, event = path[len(events)]
        if not contains(state, known(run.world, target.client, memory)):
            return None
        candidates = list(_with_numbers(event, run, target.client))
        return next((found for one in candidates if (found := extended((*events, one)))), None)

    usual = Instant.zone
    violation = extended(())
    Instant.zone = usual
    if violation:
        violation = reduce(violation, target, invariant)
        return Violated(violation.trace, violation.played, 0, 0, shortest=True)
    return None


def _with_numbers(event: Event, run: Run, client: Client) -> Iterator[Event]:
    """What `event` of the graph may be in this world: a request by its number, time by its length."""
    candidates: list[Event]
    match event:
        case Answer(name, outcome):
            numbers = {known_as: number for number, known_as in known_requests(run.world, client).items()}
            candidates = [Answer(numbers[name] or 0, outcome)]
        case Advance():
            longest = run.assumptions.longest_advance(run.world)
            candidates = [Advance(ms) for ms in lengths(run, ADVANCES, longest)]
        case Freeze(_, kind):
            longest = run.assumptions.longest_freeze(run.world)
            candidates = [Freeze(ms, kind) for ms in lengths(run, FREEZES, longest)]
        case _:
            candidates = [event]
    yield from (one for one in candidates if run.assumptions.permit(run.world, one))
