"""Configurations taken apart, for the modular pass (`modular.py`): cores, the parts beside them, and what a step
does to these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.parts import OWN, Part
from model.sdk import Client, Sdk
from model.terms import CallId, RequestId, TimerId, Token, TokenId
from model.world.state import Request, System, Timer
from properties.prove.canonical import renumbered
from properties.prove.state import Memory
from properties.prove.untimed_states import ANY, Names, UntimedForm, names_of
from properties.prove.zone import UNKNOWN_SET


class Core(Struct, frozen=True, cache_hash=True):
    """A system and a client without parts, in untimed canonical form."""

    system: System
    client: Client


class Thread(Struct, frozen=True, cache_hash=True):
    """A part of a client, and its request in the world if that is in flight."""

    part: Part
    request: Request | None = None


class Chosen(Struct, frozen=True, cache_hash=True):
    """What is beside a core when a step is taken: some `threads`, and what is `seen` of some other parts
    (`Part.seen`). These `slots` have no more in them than that."""

    threads: tuple[Thread, ...] = ()
    seen: tuple[Part, ...] = ()
    slots: frozenset[TokenId] = frozenset()

    @classmethod
    def of(cls, thread: Thread | None) -> Chosen:
        """A part and nothing else, or nothing."""
        if thread is None:
            return cls()
        slot = thread.part.slot
        return cls((thread,), slots=frozenset() if slot is None else frozenset((slot,)))

    def with_slot(self, slot: TokenId, threads: Sequence[Thread]) -> list[Chosen]:
        """The choices of what is in one more slot: nothing, or a part."""
        nothing = replace(self, slots=self.slots | {slot})
        there = dict.fromkeys(one for one in threads if one.part.slot == slot)
        seen = dict.fromkeys(one.part.seen for one in there if one.part.seen is not None)
        return [
            nothing,
            *(replace(nothing, seen=(*self.seen, one)) for one in seen),
            *(replace(nothing, threads=(*self.threads, one)) for one in there if one.part.seen is None),
        ]

    def in_full(self, seen: Part, threads: Sequence[Thread]) -> list[Chosen]:
        """The choices of a part of which no more than this was seen."""
        rest = replace(self, seen=tuple(one for one in self.seen if one != seen))
        return [replace(rest, threads=(*self.threads, one)) for one in threads if one.part.seen == seen]


class MoreThanSeen(Exception):
    """A step took over more of a part than what is `seen` of it."""

    def __init__(self, seen: Part) -> None:
        super().__init__(seen)
        self.seen = seen


class Change(Struct, frozen=True, cache_hash=True):
    """What a step does to the parts that it leaves alone.

    `places`: where each shared object of the core is afterwards, and what it is then if the core has lost it.
    `calls`: the new name of each call. `slots`: those of which the step knows what was there; it is still there
    if what was seen of it was `kept`. `changed`: the shared objects that the step has changed, before and after.
    """

    places: tuple[tuple[int, tuple[int, Any]], ...]
    calls: tuple[tuple[int | None, CallId], ...]
    slots: frozenset[TokenId]
    kept: frozenset[Part]
    changed: tuple[tuple[Any, Any], ...]

    def carried(self, thread: Thread) -> list[Thread]:
        """What a part may be after the step."""
        part, form = thread.part, Renamed(calls=dict(self.calls))
        if part.slot in self.slots and part.seen not in self.kept:
            return []
        if part.holder == OWN:
            own = (part.own, *(after for before, after in self.changed if before == part.own))
            return [replace(thread, part=part.named(form, {OWN: OWN}, one)) for one in own]
        place, value = dict(self.places)[part.holder]
        return [replace(thread, part=part.named(form, {part.holder: place}, value))]


class Renamed:
    """A form that moves timers and requests by some numbers, names calls anew, and changes nothing else."""

    switches = baseline = True
    known_timers = known_requests = 0

    def __init__(
        self, timers: int = 0, requests: int = 0, calls: Mapping[int | None, CallId] | None = None
    ) -> None:
        self._timers, self._requests, self._calls = timers, requests, calls

    def timer(self, timer: TimerId | None) -> TimerId | None:
        """The timer under its new number."""
        return None if timer is None else timer + self._timers

    def request(self, request: RequestId | None) -> RequestId | None:
        """The request under its new number."""
        return None if request is None else request + self._requests

    def call(self, call: CallId | None) -> CallId | None:
        """The call under its new name; None once it has settled."""
        return call if self._calls is None else self._calls.get(call)

    def token(self, token: Token | None) -> Token | None:
        """The same token."""
        return token

    def count(self, count: int) -> int:
        """The same number of attempts."""
        return count


class Whole(Struct, frozen=True):
    """A core and what is beside it, put together. `seen`: the parts of which no more was chosen than that, each
    with what it is in the client."""

    system: System
    client: Client
    seen: Mapping[Part, Part]

    @classmethod
    def of(cls, sdk: Sdk, core: Core, chosen: Chosen) -> Whole:
        """Put them together: each part gets names of its own, and its own shared object a number."""
        assert sdk.parts is not None
        world, client = core.system.world, core.client
        objects = [*sdk.parts.shared(client, Renamed())]
        timers, requests, parts = [*world.timers], [*world.requests], list[Part]()
        for one in (*chosen.threads, *map(Thread, chosen.seen)):
            part, form = one.part, Renamed(client.next_timer - 1, client.next_request - 1)
            holder = part.holder if part.holder != OWN else len(objects)
            objects += [part.own] if part.holder == OWN else []
            parts.append(part.named(form, {part.holder: holder}, None))
            timers += [Timer(timer, ANY, ANY, set_at=0) for timer in parts[-1].timers]
            requests += [replace(one.request, request=parts[-1].in_flight)] if one.request else []
            client = replace(
                client,
                next_timer=client.next_timer + len(part.timers),
                next_request=client.next_request + len(part.requests),
            )
        system = core.system.but(timers=tuple(timers), requests=tuple(requests))
        whole = sdk.parts.join(client, parts, objects, chosen.slots, UNKNOWN_SET)
        return cls(system, whole, dict(zip(chosen.seen, parts[len(chosen.threads) :], strict=True)))


class Apart:
    """A configuration taken apart: the `core`, the `parts` with the names that they have in the configuration,
    its shared `objects`, and their `places` in the core."""

    def __init__(self, sdk: Sdk, memory: Memory, system: System, client: Client) -> None:
        assert sdk.parts is not None
        self.sdk, self.memory, self.system = sdk, memory, system
        world = system.world
        calls = {call.call for call in world.calls}
        named = UntimedForm(Names((), (), tuple(renumbered(calls).items())), memory)
        core, self.parts = sdk.parts.split(client, named)
        self.names = names_of(sdk, core, calls, memory)
        self.form = UntimedForm(self.names, memory)
        self.places = sdk.parts.places(core)
        self.objects = sdk.parts.shared(client, self.form)
        timers = tuple(one for one in world.timers if one.timer in self.form.timer_names)
        requests = tuple(one for one in world.requests if one.request in self.form.request_names)
        only = system.but(timers=timers, requests=requests)
        self.core = Core(self.form.of_system(only), sdk.canonical(core, self.form))

    def threads(self) -> Iterator[Thread]:
        """The parts in canonical form, each with its request."""
        for part in self.parts:
            timers = tuple((timer, name) for name, timer in enumerate(part.timers, 1))
            requests = tuple((request, name) for name, request in enumerate(part.requests, 1))
            form = UntimedForm(Names(timers, requests, self.names.calls), self.memory)
            place = self.place(part.holder)
            own = self.objects[part.holder] if place == OWN else None
            request = None if part.in_flight is None else self.system.world.request(part.in_flight)
            yield Thread(part.named(form, {part.holder: place}, own), request and form.of_request(request))

    def place(self, holder: int) -> int:
        """Where a shared object is in the core."""
        return self.places.get(holder, OWN)

    def change(self, core: Client, whole: Whole, chosen: Chosen) -> Change:
        """What the step from `whole` to this does to the parts that it leaves alone. What was seen of parts, and
        is still there, is none of its own `parts`: it is taken out. Raises `MoreThanSeen`."""
        assert self.sdk.parts is not None
        before = self.sdk.parts.shared(whole.client, self.form)
        kept = set()
        for seen, part in whole.seen.items():
            rest = [one for one in self.parts if one != part]
            used = part.holder in self.places or any(one.holder == part.holder for one in rest)
            if used or before[part.holder] != self.objects[part.holder]:
                raise MoreThanSeen(seen)
            if len(rest) < len(self.parts):
                kept.add(seen)
            self.parts = rest
        places = ((one, self.place(one)) for one in self.sdk.parts.places(core).values())
        return Change(
            tuple((one, (place, self.objects[one] if place == OWN else None)) for one, place in places),
            self.names.calls,
            chosen.slots,
            frozenset(kept),
            tuple(dict.fromkeys((a, b) for a, b in zip(before, self.objects, strict=False) if a != b)),
        )
