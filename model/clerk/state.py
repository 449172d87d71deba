"""What the client remembers between two stimuli: its state, as values.

Only shapes belong here; what happens to them is in `transition.py`, with the theory of operation. Places are in
clerk/javascript, packages/clerk-js/src/core.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.clerk.policy import Policy
from model.terms import (
    CallId,
    Endpoint,
    Millis,
    Output,
    RequestId,
    RequestSent,
    Runtime,
    TimerId,
    Token,
    TokenId,
    Word,
)


class Purpose(Word):
    """Why a request is in flight, which decides what its answer does."""

    FETCH = "fetch"  # a foreground call missed the cache; its promise is cached
    REFRESH = "refresh"  # a timer fired; nothing is cached before it succeeds
    RECOVERY = "recovery"  # a 401 made the client ask whether it still has a session
    TOUCH = "touch"  # the app says that the session is in use; its cause is the call that waits for it
    SWITCH = "switch"  # a touch that makes another organization the active one


ENDPOINTS = {Purpose.RECOVERY: Endpoint.CLIENT, Purpose.TOUCH: Endpoint.TOUCH, Purpose.SWITCH: Endpoint.TOUCH}
"""What a request with each purpose asks for, where that is not a token."""


class Entry(Struct, frozen=True, cache_hash=True):
    """One slot of the token cache: a token with its timers, or the promise of one, that is to be fresher than the
    `baseline`. Where nobody clears the timers of what was replaced in a slot, that lives on without one
    (`replaced`).

    A refresh `asks` for what the slot was filled with when somebody first asked for it, and what it brings is
    announced if that was the session token then (`announces`). What came with a session asks for nothing yet:
    whoever refreshes it asks for the session token of what is the active organization by then, and puts it into
    this slot, whatever that is for (Session.ts #hydrateCache)."""

    token_id: TokenId
    holder: int
    token: Token | None = None
    request: RequestId | None = None
    eviction: TimerId | None = None
    refresh: TimerId | None = None
    replaced: bool = False
    baseline: Token | None = None
    asks: TokenId | None = None
    announces: bool = False


class Flight(Struct, frozen=True, cache_hash=True):
    """A request in flight, for the slot of `token_id`, even if it `asks` for another token. A recovery remembers
    the request whose 401 it looks into (`parent`), if that waits for it."""

    request: RequestId
    purpose: Purpose
    token_id: TokenId
    holder: int
    cause: CallId | None
    parent: Flight | None = None
    tries: int = 1
    offline: bool = False  # a recovery that was first sent while the client took itself for offline
    asks: TokenId | None = None
    announces: bool = False


class Call(Struct, frozen=True):
    """A foreground call under way: it waits for a request, or for its retry timer. It may be the last part of one
    that `switches` to another organization."""

    call: CallId
    token_id: TokenId
    skip_cache: bool
    holder: int
    failures: int = 0
    waits_for: RequestId | None = None
    retry: TimerId | None = None
    switches: bool = False


class Client(Struct, frozen=True, cache_hash=True):
    """Everything the client remembers between two stimuli."""

    policy: Policy
    runtime: Runtime
    signed_in: bool
    holders: tuple[Token | None, ...]
    cache: tuple[Entry, ...] = ()
    refreshing: frozenset[TokenId] = frozenset()
    flights: tuple[Flight, ...] = ()
    calls: tuple[Call, ...] = ()
    resends: tuple[tuple[TimerId, Flight], ...] = ()
    next_request: RequestId = 1
    next_timer: TimerId = 1
    offline: bool = False  # what it sees when it looks whether the device is online
    organizations: tuple[str | None, ...] = ()  # of the holders: which is active; none, for those beyond
    chosen: int | None = None  # the holder that is the session, if not the newest
    dropped: Token | None = None  # the last active token when the newest client came without a session

    @property
    def newest(self) -> int:
        """The Session object of the newest client."""
        return len(self.holders) - 1

    @property
    def current(self) -> int:
        """The Session object that the app has."""
        return self.newest if self.chosen is None else self.chosen

    def organization(self, holder: int) -> str | None:
        """The active organization of a Session object."""
        return self.organizations[holder] if holder < len(self.organizations) else None

    def meant(self, call: Call) -> TokenId:
        """Which token a call is for, now (Session.ts _getToken): each try finds out anew."""
        asked = call.token_id.organization
        organization = self.organization(call.holder) if asked is None else asked or None
        return TokenId(call.token_id.template, organization)

    def entry(self, token_id: TokenId) -> Entry | None:
        """The cache's slot for `token_id`, if there is one."""
        return next((one for one in self.cache if one.token_id == token_id and not one.replaced), None)


class Turn(Struct, frozen=True):
    """A transition under way: the client so far, the instant, and what it has put out."""

    client: Client
    at: Millis
    outputs: tuple[Output, ...] = ()

    def but(self, **changes: Any) -> Turn:
        """The same turn with fields of the client changed."""
        return replace(self, client=replace(self.client, **changes))

    def activate(self, holder: int, organization: str | None) -> Turn:
        """The same turn with another active organization of a Session object."""
        known = [*self.client.organizations, *[None] * (holder + 1 - len(self.client.organizations))]
        known[holder] = organization
        while known and known[-1] is None:
            known.pop()
        return self.but(organizations=tuple(known))

    def put(self, *outputs: Output) -> Turn:
        """The same turn with more output."""
        return replace(self, outputs=self.outputs + outputs)

    def send(self, flight: Flight) -> Turn:
        """The same turn with a request sent. Its number is the client's next one."""
        asks = (flight.asks or flight.token_id).requested
        endpoint = ENDPOINTS.get(flight.purpose, Endpoint.TOKENS)
        turn = self.but(flights=(*self.client.flights, flight), next_request=flight.request + 1)
        return turn.put(RequestSent(flight.request, endpoint, asks, flight.cause))
