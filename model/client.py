"""What the client remembers between two stimuli: its state, as values.

Only shapes belong here; what happens to them is in `transition.py`, with the theory of operation. Places are in
clerk/javascript, packages/clerk-js/src/core.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.policy import Policy
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
    Word,
)


class Purpose(Word):
    """Why a request is in flight, which decides what its answer does."""

    FETCH = "fetch"  # a foreground call missed the cache; its promise is cached
    REFRESH = "refresh"  # a timer fired; nothing is cached before it succeeds
    RECOVERY = "recovery"  # a 401 made the client ask whether it still has a session


class Entry(Struct, frozen=True):
    """One slot of the token cache: a token with its timers, or the promise of one, that is to be fresher than the
    `baseline`. Where nobody clears the timers of what was replaced in a slot, that lives on without one
    (`replaced`)."""

    template: str | None
    holder: int
    token: Token | None = None
    request: RequestId | None = None
    eviction: TimerId | None = None
    refresh: TimerId | None = None
    replaced: bool = False
    baseline: Token | None = None


class Flight(Struct, frozen=True):
    """A request in flight. A recovery remembers the request whose 401 it looks into (`parent`)."""

    request: RequestId
    purpose: Purpose
    template: str | None
    holder: int
    cause: CallId | None
    parent: Flight | None = None
    tries: int = 1
    offline: bool = False  # a recovery that was first sent while the client took itself for offline


class Call(Struct, frozen=True):
    """A foreground call under way: it waits for a request, or for its retry timer."""

    call: CallId
    template: str | None
    skip_cache: bool
    holder: int
    failures: int = 0
    waits_for: RequestId | None = None
    retry: TimerId | None = None


class Client(Struct, frozen=True):
    """Everything the client remembers between two stimuli."""

    policy: Policy
    runtime: Runtime
    signed_in: bool
    holders: tuple[Token | None, ...]
    cache: tuple[Entry, ...] = ()
    refreshing: frozenset[str | None] = frozenset()
    flights: tuple[Flight, ...] = ()
    calls: tuple[Call, ...] = ()
    resends: tuple[tuple[TimerId, Flight], ...] = ()
    next_request: RequestId = 1
    next_timer: TimerId = 1
    offline: bool = False  # what it sees when it looks whether the device is online

    def entry(self, template: str | None) -> Entry | None:
        """The cache's slot for `template`, if there is one."""
        return next((one for one in self.cache if one.template == template and not one.replaced), None)


class Turn(Struct, frozen=True):
    """A transition under way: the client so far, the instant, and what it has put out."""

    client: Client
    at: Millis
    outputs: tuple[Output, ...] = ()

    def but(self, **changes: Any) -> Turn:
        """The same turn with fields of the client changed."""
        return replace(self, client=replace(self.client, **changes))

    def put(self, *outputs: Output) -> Turn:
        """The same turn with more output."""
        return replace(self, outputs=self.outputs + outputs)

    def send(self, flight: Flight) -> Turn:
        """The same turn with a request sent. Its number is the client's next one."""
        endpoint = Endpoint.CLIENT if flight.purpose is Purpose.RECOVERY else Endpoint.TOKENS
        turn = self.but(flights=(*self.client.flights, flight), next_request=flight.request + 1)
        return turn.put(RequestSent(flight.request, endpoint, flight.template, flight.cause))
