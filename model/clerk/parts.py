"""A client taken apart, for a proof that follows each part on its own (properties/prove/modular.py).

The *core* decides what the app has: the Session objects that it or a call may use, the calls, and the requests
that these wait for. A *part* is what goes on without it: an entry of the cache with its timers, or a request in
the background with the promise that it is to keep. Of another part a rule reads what is in a slot, by
`Client.entry`, and whether a refresh is in flight, which is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict, replace

from model.clerk import canonical
from model.clerk.canonical import places
from model.clerk.state import Client, Entry, Flight, Holder
from model.clerk.terms import TokenId
from model.form import Form
from model.parts import OWN, SlotUnknown
from model.terms import RequestId, TimerId

__all__ = ["join", "places", "shared", "split"]

FIELDS = Client.__struct_fields__


class Part(Struct, frozen=True, cache_hash=True):
    """A part of a client: an entry; a request in flight, or one that is sent again when the timer `resend` runs;
    or a request and the promise that waits for it. `own`: its Session object, if the core has not got that."""

    entry: Entry | None
    flight: Flight | None = None
    resend: TimerId | None = None
    own: Holder | None = None

    @property
    def slot(self) -> TokenId | None:
        """The slot that it fills, if it fills one."""
        return self.entry.token_id if self.entry and not self.entry.replaced else None

    @property
    def timers(self) -> tuple[TimerId, ...]:
        """Its timers."""
        some = (self.entry.eviction, self.entry.refresh) if self.entry else ()
        return tuple(timer for timer in (*some, self.resend) if timer is not None)

    @property
    def requests(self) -> tuple[RequestId, ...]:
        """Its requests."""
        promised = (self.entry.request,) if self.entry and self.entry.request is not None else ()
        return tuple(dict.fromkeys((*_requests(self.flight), *promised)))

    @property
    def in_flight(self) -> RequestId | None:
        """Its request that is in flight, if one is."""
        return self.flight.request if self.flight and self.resend is None else None

    @property
    def holder(self) -> int:
        """The number of its Session object in the core, or `OWN`."""
        user = self.entry or self.flight
        assert user, "a part has an entry or a request"
        return user.holder

    @property
    def seen(self) -> Part | None:
        """What a rule reads that finds a token in a slot: all but for whom it is refreshed, and what the refresh
        asks and may announce. A rule that takes those over takes over the Session object too."""
        if self.flight or self.slot is None or self.entry is None or self.entry.token is None:
            return None
        return Part(replace(self.entry, holder=OWN, asks=None, announces=False, cause=None), own=Holder(None))

    def named(self, form: Form, holders: Mapping[int, int], own: Holder | None) -> Part:
        """The same part with other names, and another number for its Session object."""
        entry = self.entry and canonical.of_entry(self.entry, form, holders)
        flight = self.flight and canonical.of_flight(self.flight, form, holders)
        return Part(entry, flight, form.timer(self.resend), own)


class Partial(Client, frozen=True, cache_hash=True):
    """A client without some of its parts. Of a slot that is empty here it is `known` whether it is."""

    known: frozenset[TokenId] = frozenset()

    def entry(self, token_id: TokenId) -> Entry | None:
        """What is in a slot. Raises `SlotUnknown`."""
        found = super().entry(token_id)
        if found is None and token_id not in self.known:
            raise SlotUnknown(token_id)
        return found


def split(client: Client, form: Form) -> tuple[Client, list[Part]]:
    """The core of a client, and its parts. Uses only `call` of the form."""
    sent = [*((one, None) for one in client.flights), *((one, timer) for timer, one in client.resends)]
    awaited = {call.waits_for for call in client.calls if call.waits_for is not None}
    ours = [
        (one, timer)
        for one, timer in sent
        if form.call(one.cause) is not None or not awaited.isdisjoint(_requests(one))
    ]
    awaited |= {request for one, _ in ours for request in _requests(one)}
    core = replace(
        client if type(client) is Client else Client(**{name: getattr(client, name) for name in FIELDS}),
        cache=tuple(entry for entry in client.cache if entry.request in awaited),
        flights=tuple(one for one, timer in ours if timer is None),
        resends=tuple((timer, one) for one, timer in ours if timer is not None),
        refreshing=frozenset(),
    )
    entries = [entry for entry in client.cache if entry.request not in awaited]
    parts = []
    for one, timer in sent:
        if (one, timer) not in ours:
            promise = next((entry for entry in entries if entry.request in _requests(one)), None)
            entries = [entry for entry in entries if entry is not promise]
            parts.append(Part(promise, one, timer))
    return core, parts + [Part(entry) for entry in entries]


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
        "cache": (*core.cache, *(part.entry for part in parts if part.entry)),
        "flights": (*core.flights, *(flight for flight, timer in flights if timer is None)),
        "resends": (*core.resends, *((timer, flight) for flight, timer in flights if timer is not None)),
        "refreshing": unknown,
    }
    return Partial(**fields, known=known)


def shared(client: Client, form: Form) -> list[Holder]:
    """The Session objects in canonical form."""
    return [canonical.of_holder(holder, form) for holder in client.holders]


def _requests(flight: Flight | None) -> list[RequestId]:
    """The number of a request, and of the one whose 401 it looks into."""
    return [flight.request, *_requests(flight.parent)] if flight else []
