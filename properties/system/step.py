"""World x Target: the loop that lets one event happen and gathers what was seen."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from model.terms import Runtime, Started
from model.world.course import absorb, begin, finish, horizon, next_due
from model.world.events import Event
from model.world.facts import Fact
from model.world.state import Cue, World
from properties.system.target import Target


class Step(Struct, frozen=True):
    """One event: the world before and after, and what was seen in between, in order; where another client is
    beside the target, how the two have `parted` by then."""

    before: World
    event: Event
    facts: tuple[Fact, ...]
    after: World
    parted: str | None = None


def facts_of(steps: Iterable[Step]) -> tuple[Fact, ...]:
    """What was seen in all of `steps`, in order."""
    return tuple(fact for step in steps for fact in step.facts)


def start(target: Target, runtime: Runtime) -> World:
    """A fresh client, just signed in, in a world where nothing has happened yet. Raises `TargetError`."""
    world = World(runtime)
    world, _ = absorb(world, target.start(runtime, world.token), wake=False)
    return world


def play(world: World, event: Event, target: Target) -> Step:
    """Let `event` happen to the world and the target. Raises `NotEnabled` and `TargetError`."""
    until = horizon(world, event)
    after, facts, cue = begin(world, event)
    if cue:
        after, more = _feed(after, cue, target)
        facts += more
    while due := next_due(after, until):
        after, fired, cue = due
        after, more = _feed(after, cue, target)
        facts += (fired, *more)
    return Step(world, event, facts, finish(after, until))


def _feed(world: World, cue: Cue, target: Target) -> tuple[World, tuple[Fact, ...]]:
    outputs = target.feed(cue.stimulus, world.device_now)
    return absorb(world, outputs, cue.wake, isinstance(cue.stimulus, Started))
