"""Every step that is possible where only bounds are known of the instants, and where it leads.

One step for each way in which the model's comparisons of instants may come out (`zone.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.clerk.policy import Policy
from model.clerk.state import Client
from model.terms import Runtime
from model.world.events import Advance, Event, Freeze, FreezeKind
from model.world.state import World
from properties.prove.app import App
from properties.prove.canonical import Memory, State, canonical, known
from properties.prove.zone import Bound, Instant, Zone, every_way
from properties.run.reference import Twins
from properties.system.step import Step, play, start
from properties.targets.model import ModelTarget

Kind: TypeAlias = Event | type[Advance] | FreezeKind
"""An event; time that passes, and a freeze, without their lengths."""


def beginning(policy: Policy, runtime: Runtime, memory: Memory) -> State:
    """Just signed in."""
    target = ModelTarget(policy)
    world = start(target, runtime)
    assert target.client is not None
    return known(world, target.client, memory)


def transitions(
    state: State, assumptions: Assumptions, app: App, memory: Memory, beside: Policy | None = None
) -> Iterator[tuple[Step, State]]:
    """Every step that is possible in a state, and where it leads. Whoever takes one may compare its instants."""
    place = state.world, state.client
    return ((way.step, way.state) for way in ways(place, state.bounds, assumptions, app, memory, beside))


class Way(Struct, frozen=True):
    """A step that is possible: where it leads, as it is and in canonical form."""

    step: Step
    client: Client
    state: State


def ways(
    place: tuple[World, Client],
    bounds: Sequence[Sequence[Bound]],
    assumptions: Assumptions,
    app: App,
    memory: Memory,
    beside: Policy | None = None,
) -> Iterator[Way]:
    """Every step that is possible where `bounds` are known of the instants. Until the next one is taken, the
    zone of the run is what is known after it. A client of the policy `beside` takes each step too, if given."""
    Instant.zone = Zone(bounds)
    kinds: list[Kind] = [*app.events(place[0], assumptions)]
    kinds += [Advance, *(kind for kind in FreezeKind if assumptions.may_freeze)]
    for kind in kinds:
        yield from ways_of(kind, place, bounds, assumptions, memory, beside)


def ways_of(
    kind: Kind,
    place: tuple[World, Client],
    bounds: Sequence[Sequence[Bound]],
    assumptions: Assumptions,
    memory: Memory,
    beside: Policy | None = None,
) -> Iterator[Way]:
    """The same, of one kind of event."""
    world, client = place

    def happen(zone: Zone) -> Way | None:
        event = kind if isinstance(kind, Event) else _lasting(kind, world, zone)
        if not assumptions.permit(world, event):
            return None
        target = Twins(client.policy, beside) if beside else ModelTarget(client.policy)
        target.client = client
        step = play(world, event, target)
        if isinstance(target, Twins) and target.parted:
            step = replace(step, parted=target.parted)
        return Way(step, target.client, canonical(step.after, target.client, zone, memory))

    return (way for way in every_way(bounds, happen) if way)


def _lasting(kind: type[Advance] | FreezeKind, world: World, zone: Zone) -> Event:
    """Time that passes until an instant of which nothing is known yet."""
    now = cast(Any, world.now)
    length = cast(Any, Instant((zone.another(),), now.ups, -now.ms))
    return Freeze(length, kind) if isinstance(kind, FreezeKind) else Advance(length)
