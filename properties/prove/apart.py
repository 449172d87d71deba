"""Configurations taken apart, for the modular pass (`modular.py`): cores, the parts beside them, and what a step
does to those that it leaves alone. `halves.py` takes them apart.

Most calls of the app are in parts (`halves.separable`), with what the world has of them. A core only counts
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.form import Form
from model.parts import OF_ANOTHER, OWN, Part
from model.sdk import Client
from model.terms import CallId, RequestId, TimerId, Token, TokenId
from model.world.monitor import CallRecord
from model.world.state import PendingCall, Request, System


class Core(Struct, frozen=True, cache_hash=True):
    """A system and a client without parts, in untimed canonical form, and how many `calls` the parts have."""

    system: System
    client: Client
    calls: int


class InWorld(Struct, frozen=True, cache_hash=True):
    """What a part has in the world: so many `timers`, its request if that is in flight, and its calls with their
    records. `retries`: the calls that go on when the last of its timers run, if that is kept."""

    timers: int
    request: Request | None = None
    calls: tuple[PendingCall, ...] = ()
    records: tuple[CallRecord, ...] = ()
    retries: tuple[CallId, ...] = ()

    def named(self, form: Form, records: tuple[CallRecord, ...]) -> InWorld:
        """The same with other names for the calls that are not its own, and with other records."""
        request = self.request and replace(self.request, cause=form.call(self.request.cause))
        retries = tuple(call for one in self.retries if (call := form.call(one)) is not None)
        return InWorld(self.timers, request, self.calls, records, retries)


class Thread(Struct, frozen=True, cache_hash=True):
    """A part of a client, and what it has in the world."""

    part: Part
    world: InWorld

    @classmethod
    def of_seen(cls, part: Part) -> Thread:
        """What is seen of a part (`Part.seen`)."""
        return cls(part, InWorld(len(part.timers)))


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

    @property
    def calls(self) -> int:
        """How many calls they have."""
        return sum(len(one.world.calls) for one in self.threads)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, and then what is seen of others."""
        return (*(one.part for one in self.threads), *self.seen)

    @property
    def world(self) -> tuple[InWorld, ...]:
        """What these have in the world."""
        return (*(one.world for one in self.threads), *(Thread.of_seen(one).world for one in self.seen))

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


class Told(Struct, frozen=True, cache_hash=True):
    """What a step adds to the records of calls that it leaves alone. `accepts`: to each. That it was `told_ended`
    or `lied_to`: to one; any of them, unless there is `one` call only."""

    accepts: tuple[TokenId, ...] = ()
    told_ended: bool = False
    lied_to: bool = False
    one: bool = False

    @property
    def marks(self) -> bool:
        """Is there a call that was told something?"""
        return self.told_ended or self.lied_to

    def records(self, records: tuple[CallRecord, ...]) -> list[tuple[CallRecord, ...]]:
        """What the records of a part may be after the step."""
        if self.accepts:
            records = tuple(one.accepting(self.accepts) for one in records)
        if not self.marks:
            return [records]
        told = [(*records[:place], self._told(one), *records[place + 1 :]) for place, one in enumerate(records)]
        return told if told and self.one else [records, *told]

    def _told(self, one: CallRecord) -> CallRecord:
        ended, lied_to = one.told_ended or self.told_ended, one.lied_to or self.lied_to
        return replace(one, told_ended=ended, lied_to=lied_to)


class Change(Struct, frozen=True, cache_hash=True):
    """What a step does to the parts that it leaves alone.

    `places`: where each shared object of the core is afterwards, and what it is then if the core has lost it.
    `calls`: the new name of each call of the core, or None. `others`: the new names of a call of another part,
    any of them. `slots`: those of which the step knows what was there. What was `seen` of a part there is gone,
    unless it was `kept`, as what it is now. Were all slots `emptied`? `changed`: the shared objects that the step
    has changed, before and after. `adopted`: those of a part that the core has now, as they were, with their
    places; an equal one of another part may be the same. `room`: how many calls were left for other parts than
    those chosen. `told`: what becomes of their records.
    """

    places: tuple[tuple[int, tuple[int, Any]], ...]
    calls: tuple[tuple[int | None, CallId | None], ...]
    others: tuple[CallId | None, ...]
    slots: frozenset[TokenId]
    seen: frozenset[Part]
    kept: tuple[tuple[Part, Part], ...]
    emptied: bool
    changed: tuple[tuple[Any, Any], ...]
    adopted: tuple[tuple[Any, int], ...]
    room: int
    told: Told

    def carried(self, thread: Thread) -> list[Thread]:
        """What a part may be after the step."""
        part, world = thread.part, thread.world
        if len(world.calls) > self.room or (part.slot in self.slots and part.seen not in self.seen):
            return []
        now = next((after for seen, after in self.kept if seen == part.seen), None)
        if self.emptied or (part.slot in self.slots and now is None):
            left = part.emptied
            if left is None:
                return []
            part, now = left, None
        places = dict(self.places)
        objects: list[list[tuple[int, Any]]] = []
        for holder in part.holders:
            if holder > OWN:
                objects.append([places[holder]])
            else:
                own = part.own[OWN - holder]
                after = (after for before, after in self.changed if before == own)
                adopted = [(place, None) for before, place in self.adopted if before == own]
                objects.append([*((OWN, one) for one in (own, *after)), *adopted])
        return [
            Thread(became, replace(world.named(form, records), timers=len(became.timers)))
            for form in self.forms
            for values in product(*objects)
            if _distinct(place for place, _ in values)
            for became in [_became(part.named(form, *numbered(part, values)), now)]
            for records in self.told.records(world.records)
        ]

    @property
    def forms(self) -> list[Renamed]:
        """The new names of calls."""
        return [Renamed(calls=dict(self.calls) | {OF_ANOTHER: other}) for other in self.others]

    def made(self, thread: Thread) -> list[Thread]:
        """What a part that the step has made may be. Of a call that another part has, the step knew no more than
        that: it may be one of those chosen."""
        part, world = thread.part, thread.world
        if self.others == (OF_ANOTHER,) and not self.told.marks:
            return [thread]
        told, same = replace(self.told, accepts=()), {holder: holder for holder in part.holders}
        return [
            Thread(part.named(form, same, part.own), world.named(form, records))
            for form in [Renamed(calls={OF_ANOTHER: other}) for other in self.others]
            for records in told.records(world.records)
        ]


def _distinct(places: Iterable[int]) -> bool:
    """Is no place of the core in there twice? A part has each object once."""
    of_core = [place for place in places if place != OWN]
    return len(of_core) == len({*of_core})


def _became(part: Part, seen: Part | None) -> Part:
    return part if seen is None else part.became(seen)


def own_names(calls: Sequence[CallId]) -> list[CallId]:
    """The canonical names of a part's calls: -1, -2 and so on."""
    return [-place for place, _ in enumerate(calls, 1)]


def numbered(part: Part, objects: Sequence[tuple[int, Any]]) -> tuple[dict[int, int], tuple[Any, ...]]:
    """New numbers for the shared objects of a part, each given by its place in the core or `OWN`, and its value;
    and those that are its own."""
    own = [value for place, value in objects if place == OWN]
    names = iter(range(OWN, OWN - len(own), -1))
    places = (place if place != OWN else next(names) for place, _ in objects)
    return dict(zip(part.holders, places, strict=True)), tuple(own)


class Renamed:
    """A form that moves timers and requests by some number, gives other names to some `calls`, leaves out a
    `baseline` if that is not kept, and changes nothing else."""

    switches = True
    known_timers = known_requests = 0

    def __init__(
        self, by: int = 0, calls: Mapping[int | None, CallId | None] | None = None, baseline: bool = True
    ) -> None:
        self._by, self._calls, self.baseline = by, calls or {}, baseline

    def timer(self, timer: TimerId | None) -> TimerId | None:
        """The timer under its new number."""
        return None if timer is None else timer + self._by

    def request(self, request: RequestId | None) -> RequestId | None:
        """The request under its new number."""
        return None if request is None else request + self._by

    def call(self, call: CallId | None) -> CallId | None:
        """The call under its new name; None once it has settled."""
        return self._calls.get(call, call)

    def token(self, token: Token | None) -> Token | None:
        """The same token."""
        return token

    def count(self, count: int) -> int:
        """The same number of attempts."""
        return count
