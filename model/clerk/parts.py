"""A client taken apart, for a proof that follows each part on its own (properties/prove/modular.py).

The *core* decides what the app has: the Session objects that it or a call may use, the calls, and the requests
that these wait for. A *part* is what goes on without it: an entry of the cache with its timers, or a request in
the background with the promise that it is to keep. Of another part a rule reads what is in a slot, by
`Client.entry`, and whether a refresh is in flight, which is forgotten.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict, replace

from model.clerk import canonical
from model.clerk.canonical import places
from model.clerk.session import NOBODY
from model.clerk.state import Call, Client, Entry, Flight, Holder, Purpose
from model.clerk.terms import TokenId
from model.form import Form
from model.parts import OWN, UNSEEN, SlotUnknown
from model.terms import STRANGE, CallId, RequestId, TimerId

__all__ = ["emptied", "join", "places", "shared", "split"]

FIELDS = Client.__struct_fields__

TOUCHES = (Purpose.TOUCH, Purpose.SWITCH)
"""The requests whose call is known by them alone."""


class Part(Struct, frozen=True, cache_hash=True):
    """A part of a client: an entry; a request in flight, or one that is sent again when the timer `resend` runs,
    with the promise and the calls that wait for it; or a call that waits to be tried again. `own`: its Session
    objects that the core has not got."""

    entry: Entry | None
    flight: Flight | None = None
    resend: TimerId | None = None
    waiting: tuple[Call, ...] = ()
    own: tuple[Holder, ...] = ()

    @property
    def slot(self) -> TokenId | None:
        """The slot that it fills, if it fills one."""
        return self.entry.token_id if self.entry and not self.entry.replaced else None

    @property
    def timers(self) -> tuple[TimerId, ...]:
        """Its timers."""
        some = (self.entry.eviction, self.entry.refresh) if self.entry else ()
        retries = (call.retry for call in self.waiting)
        return tuple(timer for timer in (*some, self.resend, *retries) if timer is not None)

    @property
    def requests(self) -> tuple[RequestId, ...]:
        """Its requests."""
        return tuple(_requests(self.flight))

    @property
    def in_flight(self) -> RequestId | None:
        """Its request that is in flight, if one is."""
        return self.flight.request if self.flight and self.resend is None else None

    @property
    def calls(self) -> tuple[CallId, ...]:
        """The calls that are its own: those that wait for its request or timer, and that of a touch."""
        first = _first(self.flight)
        touching = (first.cause,) if first and first.purpose in TOUCHES and first.cause is not None else ()
        return (*touching, *(call.call for call in self.waiting))

    @property
    def holders(self) -> tuple[int, ...]:
        """The numbers of its Session objects, each once."""
        users = (self.entry, self.flight, *self.waiting)
        return tuple(dict.fromkeys(user.holder for user in users if user))

    @property
    def seen(self) -> Part | None:
        """What a rule reads that finds it in a slot: all but for whom a token is refreshed, and what the refresh
        asks and may announce; of a promise, not who waits for what."""
        if self.slot is None or self.entry is None:
            return None
        seen = replace(self.entry, holder=OWN, asks=NOT_SEEN, announces=False, cause=UNSEEN)
        return Part(seen, own=(Holder(None),))

    def became(self, seen: Part) -> Part:
        """The same part once what is seen of it has become this."""
        assert self.entry and seen.entry, "both fill a slot"
        kept = {name: getattr(self.entry, name) for name in ("holder", "request", "asks", "announces")}
        cause = self.entry.cause if seen.entry.cause == UNSEEN else seen.entry.cause
        return replace(self, entry=replace(seen.entry, cause=cause, **kept))

    def looks_like(self, seen: Part) -> bool:
        """Is this what may have become of what was `seen` of a part? A promise is still one, and nobody else
        waits for it."""
        if self.entry is None or self.flight or self.waiting or seen.entry is None or self.slot != seen.slot:
            return False
        return self.entry.asks == NOT_SEEN and (self.entry.token is None) is (seen.entry.token is None)

    @property
    def emptied(self) -> Part | None:
        """What is left of it once all slots were emptied, with the same objects of its `own`; None if nothing."""
        if self.slot is None:
            return self
        return replace(self, entry=None) if self.flight else None

    def named(self, form: Form, holders: Mapping[int, int], own: tuple[Holder, ...]) -> Part:
        """The same part with other names, and other numbers for its Session objects."""
        entry = self.entry and canonical.of_entry(self.entry, form, holders)
        flight = self.flight and canonical.of_flight(self.flight, form, holders)
        waiting = tuple(canonical.of_call(call, form, holders) for call in self.waiting)
        return Part(entry, flight, form.timer(self.resend), waiting, own)


NOT_SEEN = TokenId(session=STRANGE)
"""In place of what a refresh asks."""

ELSEWHERE = Entry(NOT_SEEN, NOBODY)
"""Stands in the cache for what is in the slots of parts that are left out: a rule that empties all drops it."""


class Partial(Client, frozen=True, cache_hash=True):
    """A client without some of its parts. Of a slot that is empty here it is `known` whether it is."""

    known: frozenset[TokenId] = frozenset()

    def entry(self, token_id: TokenId) -> Entry | None:
        """What is in a slot. Raises `SlotUnknown`."""
        found = super().entry(token_id)
        if found is None and token_id not in self.known:
            raise SlotUnknown(token_id)
        return found


def split(client: Client, own: Container[CallId]) -> tuple[Client, list[Part]]:
    """The core of a client, with these calls of its `own`, and its parts."""
    sent = [*((one, None) for one in client.flights), *((one, timer) for timer, one in client.resends)]
    ours, parts = list[Part](), list[Part]()
    promised = set[RequestId]()
    for one, timer in sent:
        numbers = _requests(one)
        promise = next((entry for entry in client.cache if entry.request in numbers), None)
        promised |= {*numbers}
        part = Part(promise, one, timer, tuple(call for call in client.calls if call.waits_for in numbers))
        (ours if any(call in own for call in (one.cause, *part.calls)) else parts).append(part)
    for call in client.calls:
        if call.waits_for is None:
            (ours if call.call in own else parts).append(Part(None, waiting=(call,)))
    for entry in client.cache:
        if entry.request not in promised and entry != ELSEWHERE:
            waiting = (
                call for call in client.calls if entry.request is not None and call.waits_for == entry.request
            )
            parts.append(Part(entry, waiting=tuple(waiting)))
    calls = {call.call for part in ours for call in part.waiting}
    promises = [part.entry for part in ours]
    core = replace(
        client if type(client) is Client else Client(**{name: getattr(client, name) for name in FIELDS}),
        cache=tuple(entry for entry in client.cache if entry in promises),
        flights=tuple(part.flight for part in ours if part.flight and part.resend is None),
        resends=tuple((part.resend, part.flight) for part in ours if part.flight and part.resend is not None),
        calls=tuple(call for call in client.calls if call.call in calls),
        refreshing=frozenset(),
    )
    return core, parts


def join(
    core: Client,
    parts: Sequence[Part],
    holders: Sequence[Holder],
    known: frozenset[TokenId],
    unknown: frozenset[TokenId],
) -> Partial:
    """A client of this core and these parts, with these Session objects. `unknown`: the slots with a refresh in
    flight."""
    flights = [(part.flight, part.resend) for part in parts if part.flight]
    fields = asdict(core) | {
        "holders": tuple(holders),
        "cache": (*core.cache, *(part.entry for part in parts if part.entry), ELSEWHERE),
        "flights": (*core.flights, *(flight for flight, timer in flights if timer is None)),
        "resends": (*core.resends, *((timer, flight) for flight, timer in flights if timer is not None)),
        "calls": (*core.calls, *(call for part in parts for call in part.waiting)),
        "refreshing": unknown,
    }
    return Partial(**fields, known=known)


def emptied(client: Client) -> bool:
    """Has a client that was put together emptied all slots since?"""
    return ELSEWHERE not in client.cache


def shared(client: Client, form: Form) -> list[Holder]:
    """The Session objects in canonical form."""
    return [canonical.of_holder(holder, form) for holder in client.holders]


def _requests(flight: Flight | None) -> list[RequestId]:
    """The number of a request, and of the one whose 401 it looks into."""
    return [flight.request, *_requests(flight.parent)] if flight else []


def _first(flight: Flight | None) -> Flight | None:
    """The request that met the first 401, or the request itself."""
    return _first(flight.parent) if flight and flight.parent else flight
