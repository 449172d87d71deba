"""A core and parts put together, and a configuration taken apart again: world and client each on its own, for
they have little to do with each other (`untimed.py`).

What is put together has names of its own for each part: those of the n-th begin at n times `BLOCK`. For each call
that is in no part of these, the world has a stand-in, whose number is not positive. If a call that one of these
parts has not got caused something in there, that is `OF_ANOTHER`, the first stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.io import CallSettled, Output
from model.parts import OF_ANOTHER, OWN, UNSEEN, Part
from model.sdk import Client, Sdk
from model.terms import STRANGE, CallId, RequestId, TimerId, TokenIdStruct
from model.world.monitor import CallRecord
from model.world.state import PendingCall, System, Timer
from properties.prove.apart import (
    Change,
    Chosen,
    Core,
    InWorld,
    MoreThanSeen,
    Renamed,
    Thread,
    Told,
    numbered,
    own_names,
)
from properties.prove.state import NOW, Memory
from properties.prove.untimed_states import ANY, Names, UntimedForm, names_of, untimed
from properties.prove.zone import UNKNOWN_SET

BLOCK = 1000
"""No part has as many timers, requests or calls, nor has a core."""

NO_TOKEN = TokenIdStruct(session=STRANGE)
"""What a stand-in is for."""


def separable(call: PendingCall) -> bool:
    """May a call be in a part? Not if a rule of the world reads it that looks at all calls."""
    return not (call.loads or call.at_once or call.leaves) and call.user is None


class Calls(Struct, frozen=True, cache_hash=True):
    """The calls `pending` in a world, without stand-ins, and those of them that stay in the core."""

    pending: frozenset[CallId]
    core: frozenset[CallId]

    @classmethod
    def of(cls, system: System) -> Calls:
        """Those of a system."""
        pending = [call for call in system.world.calls if call.call > OF_ANOTHER]
        core = (call.call for call in pending if not separable(call))
        return cls(frozenset(call.call for call in pending), frozenset(core))


# -- the world ----------------------------------------------------------------------------------------------


class WholeSystem(Struct, frozen=True):
    """The system of a core and of what parts have in the world. `calls`: those of the parts. `spare`: how many
    stand-ins are for no call. `room`: how many calls other parts have."""

    system: System
    calls: tuple[CallId, ...]
    spare: int
    room: int

    @classmethod
    def of(cls, system: System, count: int, parts: Sequence[InWorld]) -> WholeSystem:
        """Put them together. `count`: how many calls all parts have."""
        world = system.world
        timers, requests = [*world.timers], [*world.requests]
        own, records = list[PendingCall](), list[CallRecord]()
        for number, one in enumerate(parts, 1):
            form = _form_of(number, len(one.calls))
            causes = [None] * (one.timers - len(one.retries)) + [form.call(call) for call in one.retries]
            timers += [
                Timer(number * BLOCK + timer, ANY, ANY, set_at=0, cause=call)
                for timer, call in enumerate(causes, 1)
            ]
            if request := one.request:
                cause = form.call(request.cause)
                requests.append(replace(request, request=form.request(request.request), cause=cause))
            own += [replace(call, call=form.call(call.call)) for call in one.calls]
            records += [replace(record, call=form.call(record.call)) for record in one.records]
        room = count - len(own)
        stand_ins = [PendingCall(OF_ANOTHER - place, NO_TOKEN) for place in range(max(room, min(count, 1)))]
        none = NO_TOKEN.of(world.session)
        unknown = [CallRecord(OF_ANOTHER, NOW, healthy=False, awake_since=NOW, accepts=(none,))]
        calls = (*world.calls, *own, *stand_ins)
        known = (*system.monitor.calls, *records, *(unknown if stand_ins else ()))
        after = system.but(
            timers=tuple(timers), requests=tuple(requests), calls=calls, next_call=(len(parts) + 1) * BLOCK
        )
        whole = after.noting(replace(system.monitor, calls=known))
        return cls(whole, tuple(call.call for call in own), len(stand_ins) - room, room)


class InSystem(Struct, frozen=True, cache_hash=True):
    """By which names a part is known in the system: its timers; its request in flight, with its canonical name;
    its calls."""

    timers: tuple[TimerId, ...]
    request: RequestId | None
    name: RequestId | None
    calls: tuple[CallId, ...]


class Effect(Struct, frozen=True, cache_hash=True):
    """What a client does to the system: its outputs, and the names of what is in its core and in its parts
    then."""

    outputs: tuple[Output, ...]
    names: Names
    parts: tuple[InSystem, ...]

    @property
    def known(self) -> dict[int | None, CallId]:
        """The names of all calls, for a part that has none of them."""
        others = (call for part in self.parts for call in part.calls)
        return dict(self.names.calls) | dict.fromkeys((OF_ANOTHER, *others), OF_ANOTHER)


class ApartSystem(Struct, frozen=True, cache_hash=True):
    """A system taken apart: that of the core, how many `calls` the parts have, and what each of them has. `left`:
    how many calls are in none of these parts. `told`: what the step before added to their records."""

    system: System
    calls: int
    parts: tuple[InWorld, ...]
    left: int
    told: Told

    @property
    def each(self) -> list[System]:
        """The core by itself, and each part with calls."""
        return [self.system, *(self._alone(one) for one in self.parts if one.calls)]

    def _alone(self, part: InWorld) -> System:
        timers = (Timer(timer, ANY, ANY, set_at=0, cause=call) for timer, call in enumerate(part.retries, 1))
        requests = (part.request,) if part.request else ()
        return self.system.but(timers=tuple(timers), requests=requests, calls=part.calls)

    @classmethod
    def of(cls, system: System, effect: Effect, memory: Memory, before: WholeSystem | None = None) -> ApartSystem:
        """Take a system apart, after a step from the one `before`."""
        world, monitor = system.world, system.monitor
        form, known = UntimedForm(effect.names, memory), effect.known
        calls = {call.call: call for call in world.calls}
        records = {record.call: record for record in monitor.calls}
        causes = {timer.timer: timer.cause for timer in world.timers if memory.waits and timer.cause is not None}
        parts = []
        for part in effect.parts:
            own = dict(zip(part.calls, own_names(part.calls), strict=True))
            of_part = UntimedForm(
                Names((), ((part.request, part.name or 0),), tuple((known | own).items())), memory
            )
            request = None if part.request is None else world.request(part.request)
            parts.append(
                InWorld(
                    len(part.timers),
                    request and of_part.of_request(request),
                    tuple(of_part.of_call(calls[call]) for call in own),
                    tuple(of_part.of_record(records[call]) for call in own),
                    tuple(
                        call
                        for one in part.timers
                        if one in causes and (call := of_part.call(causes[one])) is not None
                    ),
                )
            )
        core = system.but(
            timers=tuple(one for one in world.timers if one.timer in form.timer_names),
            requests=tuple(one for one in world.requests if one.request in form.request_names),
            calls=tuple(one for one in world.calls if one.call in form.call_names),
        ).noting(
            replace(monitor, calls=tuple(record for record in monitor.calls if record.call in form.call_names))
        )
        stand_ins = sum(call <= OF_ANOTHER for call in calls)
        left = max(stand_ins - before.spare, 0) if before else stand_ins
        count = left + sum(len(part.calls) for part in effect.parts)
        told = Told()
        if before and (record := records.get(OF_ANOTHER)):
            ended, lied_to = record.told_ended and memory.history, record.lied_to and memory.history
            alone = before.room + len(before.calls) == 1
            accepts = record.accepts[1:] if memory.kinds else ()
            told = Told(accepts, ended, lied_to, alone and (ended or lied_to))
        return cls(form.of_system(core), count, tuple(parts), left, told)


def _form_of(number: int, calls: int) -> Renamed:
    """The names of the n-th part, which has so many calls."""
    own: dict[int | None, CallId | None] = {name: number * BLOCK - name for name in own_names(range(calls))}
    return Renamed(number * BLOCK, own)


# -- the client ---------------------------------------------------------------------------------------------


class WholeClient(Struct, frozen=True):
    """The client of a core and parts. `seen`: what it has of each part of which no more was chosen than that.
    `objects`: the shared objects in canonical form. `places`: the numbers of those of the core."""

    client: Client
    seen: dict[Part, Part]
    objects: Sequence[Any]
    places: tuple[int, ...]

    @classmethod
    def each(cls, sdk: Sdk, core: Client, chosen: Chosen) -> Iterator[WholeClient]:
        """Put them together, in each way: two parts may have the same object, if what they have is equal."""
        assert sdk.parts is not None
        parts, beyond = chosen.parts, (len(chosen.parts) + 1) * BLOCK
        core_objects = [*sdk.parts.shared(core, Renamed())]
        for shared, own in _sharings(core_objects, [one.part.own for one in chosen.threads]):
            named, objects = list[Part](), [*shared]
            for number, part in enumerate(parts, 1):
                if number > len(own):  # what is seen of a part has its own in place of the real object
                    own.append((len(objects),))
                    objects += part.own
                holders = {one: one if one > OWN else own[number - 1][OWN - one] for one in part.holders}
                named.append(part.named(_form_of(number, len(part.calls)), holders, ()))
            within = replace(core, next_timer=beyond, next_request=beyond)
            client = sdk.parts.join(within, named, objects, chosen.slots, UNKNOWN_SET)
            seen = dict(zip(chosen.seen, named[len(chosen.threads) :], strict=True))
            yield cls(client, seen, objects, tuple(sdk.parts.places(core).values()))


def _sharings(
    objects: Sequence[Any], own: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[list[Any], list[tuple[int, ...]]]]:
    """Numbers for the shared objects that each part has of its own, beside these `objects`: a number of its own
    for each, or that of an equal one of another part. Those that one part has are not the same."""
    if not own:
        yield [*objects], []
        return
    for known, numbers in _sharings(objects, own[:-1]):
        others = range(len(objects), len(known))
        options = [(None, *(at for at in others if known[at] == one)) for one in own[-1]]
        for option in product(*options):
            shared = [at for at in option if at is not None]
            if len(shared) == len({*shared}):
                free = iter(range(len(known), len(known) + len(option)))
                new = [one for one, at in zip(own[-1], option, strict=True) if at is None]
                yield [*known, *new], [*numbers, tuple(next(free) if at is None else at for at in option)]


class ApartClient(Struct, frozen=True, cache_hash=True):
    """A client taken apart: its `core` and `parts`; what it did to the system (`effect`). And what that does to
    parts that were left alone: the new `places` of the shared objects that the core had, with their values;
    those that have `changed`, before and after; those of a part that the core has `adopted`, as they were, with
    their places; what was seen of a part and was `kept` in its slot, before and after; and whether all slots were
    `emptied`."""

    core: Client
    parts: tuple[Part, ...]
    effect: Effect
    places: tuple[tuple[int, tuple[int, Any]], ...] = ()
    changed: tuple[tuple[Any, Any], ...] = ()
    adopted: tuple[tuple[Any, int], ...] = ()
    kept: tuple[tuple[Part, Part], ...] = ()
    emptied: bool = False

    @classmethod
    def of(
        cls,
        sdk: Sdk,
        memory: Memory,
        client: Client,
        calls: Calls,
        outputs: tuple[Output, ...] = (),
        before: WholeClient | None = None,
    ) -> ApartClient:
        """Take a client apart that has put something out. What was seen of a part is none of the parts. Raises
        `MoreThanSeen`."""
        assert sdk.parts is not None
        settled = {output.call for output in outputs if isinstance(output, CallSettled)}
        core, parts = sdk.parts.split(client, calls.core - settled)
        separate = {call for part in parts for call in part.calls}
        names = names_of(sdk, core, calls.pending - settled - separate, memory)
        at, objects = sdk.parts.places(core), sdk.parts.shared(client, UntimedForm(names, memory))
        kept = dict[Part, Part]()  # what was seen of a part, by what it has become
        for seen, part in before.seen.items() if before else ():
            (holder,) = part.holders
            using = [one for one in parts if holder in one.holders]
            intact = before is not None and before.objects[holder] == objects[holder]
            if holder in at or not intact or len(using) > 1 or not all(one.looks_like(part) for one in using):
                raise MoreThanSeen(seen)
            kept |= dict.fromkeys(using, seen)
        known = dict(names.calls) | dict.fromkeys((OF_ANOTHER, *separate), OF_ANOTHER) | {UNSEEN: UNSEEN}
        named, in_system, still = list[Part](), list[InSystem](), list[tuple[Part, Part]]()
        for part in parts:
            own = dict(zip(part.calls, own_names(part.calls), strict=True))
            requests = {request: name for name, request in enumerate(part.requests, 1)}
            timers = ((timer, name) for name, timer in enumerate(part.timers, 1))
            form = UntimedForm(
                Names(tuple(timers), tuple(requests.items()), tuple((known | own).items())), memory
            )
            values = [(at[one], None) if one in at else (OWN, objects[one]) for one in part.holders]
            canonical = part.named(form, *numbered(part, values))
            if part in kept:
                still.append((kept[part], canonical))
                continue
            named.append(canonical)
            name = None if part.in_flight is None else requests[part.in_flight]
            in_system.append(InSystem(tuple(part.timers), part.in_flight, name, tuple(own)))
        effect = Effect(tuple(untimed(one, memory) for one in outputs), names, tuple(in_system))
        core = sdk.canonical(core, UntimedForm(names, memory))
        if before is None:
            return cls(core, tuple(named), effect)
        places = ((one, at.get(one, OWN)) for one in before.places)
        changes = dict.fromkeys((a, b) for a, b in zip(before.objects, objects, strict=False) if a != b)
        of_parts = (one for one in range(len(before.objects)) if one in at and one not in before.places)
        return cls(
            core,
            tuple(named),
            effect,
            tuple((one, (place, objects[one] if place == OWN else None)) for one, place in places),
            tuple(changes),
            tuple(dict.fromkeys((before.objects[one], at[one]) for one in of_parts)),
            tuple(still),
            sdk.parts.emptied(client),
        )


# -- both ---------------------------------------------------------------------------------------------------


class Apart:
    """A configuration taken apart: its `core`, and its parts as `threads`."""

    def __init__(self, sdk: Sdk, memory: Memory, system: System, client: Client) -> None:
        half = ApartClient.of(sdk, memory, client, Calls.of(system))
        other = ApartSystem.of(system, half.effect, memory)
        self.core = Core(other.system, half.core, other.calls)
        self.threads = tuple(map(Thread, half.parts, other.parts))


def change_of(
    core: Core, chosen: Chosen, before: WholeSystem, client: ApartClient, system: ApartSystem
) -> Change:
    """What a step that knew what was `chosen` does to the parts that it leaves alone."""
    known = client.effect.known
    others = dict.fromkeys((*[OF_ANOTHER] * system.left, *map(known.get, before.calls)))
    return Change(
        client.places,
        tuple((call.call, known.get(call.call)) for call in core.system.world.calls),
        tuple(others) or (OF_ANOTHER,),
        chosen.slots,
        frozenset(chosen.seen),
        client.kept,
        client.emptied,
        client.changed,
        client.adopted,
        before.room,
        system.told,
    )
