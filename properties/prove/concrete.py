"""Concretization: find durations that turn a path through the graph into a trace that can be played."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec.structs import replace

from model.step import Span, enabled
from model.world.events import OF_REQUEST, Advance, Event, Freeze
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Violated
from properties.prove.canonical import request_names, state_of
from properties.prove.state import State, contains
from properties.prove.successors import Problem
from properties.prove.zone import Instant
from properties.run.lengths import worth_trying
from properties.run.run import Run, Violation
from properties.run.shrink import reduce
from properties.targets.model import ModelTarget

GraphPath: TypeAlias = tuple[tuple[State, Event], ...]
"""States, each with the event that follows it. The durations of the events are open."""


def concrete(path: GraphPath, problem: Problem, invariant: Invariant) -> Violated | None:
    """A trace along `path` whose last event violates the invariant on the model; None if no durations work.

    Tries the durations of `worth_trying` in each world, as long as the run stays on the path.
    """
    sdk = problem.model.sdk
    target = ModelTarget(sdk, problem.model.policy)

    def extended(events: tuple[Event, ...]) -> Violation | None:
        run = Run(target, problem.runtime, problem.assumptions, [invariant])
        try:
            for event in events:
                run.play(event)
        except Violation as violation:
            return violation.with_traceback(None) if len(events) == len(path) else None  # frames are large
        if len(events) == len(path):
            return None
        state, event = path[len(events)]
        if not contains(state, state_of(sdk, (run.system, target.client), problem.memory)):
            return None
        candidates = list(_with_numbers(event, run, target, problem))
        return next((found for one in candidates if (found := extended((*events, one)))), None)

    zone = Instant.zone
    violation = extended(())
    Instant.zone = zone
    if violation:
        violation = reduce(violation, target, invariant)
        return Violated(violation.trace, violation.played, 0, 0, shortest=True)
    return None


def _with_numbers(event: Event, run: Run, target: ModelTarget, problem: Problem) -> Iterator[Event]:
    """The concrete events that `event` of the graph may stand for: requests get their ids, durations numbers."""
    if isinstance(event, OF_REQUEST):
        named = request_names(target.sdk, (run.system, target.client))
        numbers = {name: number for number, name in named.items()}
        event = replace(event, request=numbers[event.request] or 0)
    for option in enabled(run.system, run.assumptions, problem.app, like=event):
        if isinstance(option, Span) and isinstance(event, Advance | Freeze):
            yield from (option.event(ms) for ms in worth_trying(option, run.world))
        elif option == event:
            yield event
