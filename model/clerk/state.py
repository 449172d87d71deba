"""The state of the client: what it remembers between two stimuli, as values.

The words slot, entry, promise, recovery and holder are defined in `transition.py`, with the theory of operation.
Paths in comments are relative to packages/clerk-js/src/core in clerk/javascript.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from model import sdk
from model.clerk.policy import Policy
from model.clerk.terms import TokenId
from model.io import RequestSent
from model.requests import Endpoint
from model.terms import FIRST, CallId, RequestId, Runtime, Session, TimerId, Token, Word


class Purpose(Word):
    """What a request is for, which decides what its answer does."""

    FETCH = "fetch"  # a foreground call missed the cache; the promise of the answer is cached
    REFRESH = "refresh"  # a refresh timer fired; nothing is cached before the answer
    RECOVERY = "recovery"  # a 401 made the client ask whether there still is a session
    TOUCH = "touch"  # the app says that the session is in use; the `cause` is the call that waits for the answer
    SWITCH = "switch"  # a touch that makes another organization, or another session, the active one
    SIGN_IN = "sign-in"  # the app signs a user in; a switch to the new session follows
    SIGN_OUT = "sign-out"  # the app signs out of every session
    ENVIRONMENT = "environment"  # load() asks how the app is set up; the `cause` is the call of it
    CLIENT = "client"  # load() asks which sessions there are


ENDPOINTS = {
    Purpose.RECOVERY: Endpoint.INTROSPECT,
    Purpose.ENVIRONMENT: Endpoint.CONFIGURE,
    Purpose.CLIENT: Endpoint.INTROSPECT,
    Purpose.TOUCH: Endpoint.MUTATE,
    Purpose.SWITCH: Endpoint.MUTATE,
    Purpose.SIGN_IN: Endpoint.SIGN_IN,
    Purpose.SIGN_OUT: Endpoint.SIGN_OUT,
}
"""The endpoint of a request by its purpose; MINT for the others."""


class Entry(Struct, frozen=True, cache_hash=True):
    """What is in a slot of the token cache: a token with its timers, or the promise of one.

    `asks`: what a refresh of the entry requests. None for an entry that came with a session: its refresh requests
    the session token of the organization that is active by then, and puts that into this slot, whatever the slot
    is for (Session.ts #hydrateCache).
    """

    token_id: TokenId  # of the slot
    holder: int  # the Session object whose callbacks its timers have
    token: Token | None = None  # None for a promise
    request: RequestId | None = None  # the fetch that a promise waits for
    eviction: TimerId | None = None
    refresh: TimerId | None = None
    replaced: bool = False  # no longer in the slot, but its timers are still set (before #8098)
    baseline: Token | None = None  # of a promise: the freshest token that the slot held before
    asks: TokenId | None = None
    announces: bool = False  # what a refresh brings may become the last active token
    cause: CallId | None = None  # the call whose answer brought its token, or is to bring it


class Flight(Struct, frozen=True, cache_hash=True):
    """A request in flight, and what the client has to remember for its answer."""

    request: RequestId
    purpose: Purpose
    token_id: TokenId  # of the slot that the answer is for
    holder: int  # the Session object that sent it
    cause: CallId | None
    parent: Flight | None = None  # of a recovery: the request that met a 401 and stays unsettled, if one waits
    tries: int = 1  # of a GET: how often it was sent
    offline: bool = False  # of a GET: the client took itself for offline when it was first sent
    nested: bool = False  # of a recovery: a 401 to another recovery started it
    asks: TokenId | None = None  # the token that it requests; None: that of the slot
    announces: bool = False  # what it brings may become the last active token


class Call(Struct, frozen=True):
    """A call of getToken under way: it waits for a request, or for its retry timer."""

    call: CallId
    token_id: TokenId  # as the app asked; which token that means now, `Client.meant` says
    skip_cache: bool
    holder: int  # the Session object on which it was called
    failures: int = 0  # how many tries have failed
    waits_for: RequestId | None = None
    retry: TimerId | None = None
    switches: bool = False  # it is the last part of a switch to another organization or session


class Holder(Struct, frozen=True, cache_hash=True):
    """A Session object: its session, its last active token, and its active organization; None is the personal
    workspace."""

    token: Token | None
    organization: str | None = None
    session: Session = FIRST


class Client(Struct, frozen=True, cache_hash=True):
    """Everything that the client remembers between two stimuli."""

    policy: Policy
    runtime: Runtime
    signed_in: bool
    holders: tuple[Holder, ...]  # the Session objects, oldest first
    listed: tuple[int, ...] = ()  # those of the newest client payload
    session: Session = FIRST  # the one that the app has, or has had last
    leaving: bool = False  # a sign-out is under way, or has failed: the app has no Session object
    cache: tuple[Entry, ...] = ()
    refreshing: frozenset[TokenId] = frozenset()  # the slots with a refresh in flight
    flights: tuple[Flight, ...] = ()
    calls: tuple[Call, ...] = ()
    resends: tuple[tuple[TimerId, Flight], ...] = ()  # lost GETs, with the timers to send them again
    next_request: RequestId = 1
    next_timer: TimerId = 1
    offline: bool = False  # the navigator says that the device is offline
    chosen: int | None = None  # the holder that the app has, after a switch to one that is not the newest
    dropped: Token | None = None  # the last active token that the app saw, while its Session object has none
    loaded: bool = True  # a load() has ended well: the app has a client, and a session if there was one
    loading: tuple[CallId, ...] = ()  # the calls of load() under way

    @property
    def has_session(self) -> bool:
        """Does the app have a Session object?"""
        return self.signed_in and not self.leaving

    def newest(self, session: Session) -> int | None:
        """The Session object of a session in the newest client payload; None if it is not in there."""
        return next((one for one in self.listed if self.holders[one].session == session), None)

    @property
    def current(self) -> int | None:
        """The Session object that the app has; None if the newest client payload has none for it."""
        return self.newest(self.session) if self.chosen is None else self.chosen

    def last_active(self, holder: int | None) -> Token | None:
        """The last active token of a Session object; None if there is no such object, or it has none."""
        return None if holder is None else self.holders[holder].token

    @property
    def last_seen(self) -> Token | None:
        """The last active token that the app's Session object has, or had before an answer without one. Until the
        client has loaded the app has no such object."""
        if not self.loaded:
            return None
        return (self.last_active(self.current) if self.has_session else None) or self.dropped

    def meant(self, call: Call) -> TokenId:
        """Which token a call is for now (Session.ts _getToken). Each try asks again, for the active organization
        may have changed."""
        asked, holder = call.token_id.organization, self.holders[call.holder]
        organization = holder.organization if asked is None else asked or None
        return TokenId(call.token_id.template, organization, session=holder.session)

    def default(self, holder: int) -> TokenId:
        """The session token of a Session object, for its active organization."""
        one = self.holders[holder]
        return TokenId(organization=one.organization, session=one.session)

    def entry(self, token_id: TokenId) -> Entry | None:
        """What is in the slot of `token_id`; None if it is empty."""
        return next((one for one in self.cache if one.token_id == token_id and not one.replaced), None)


class Turn(sdk.Turn[Client], frozen=True):
    """A transition of this client under way."""

    def hold(self, holder: int, token: Token | None, organization: str | None) -> Turn:
        """The same turn with another state of a Session object."""
        holders = self.client.holders
        held = replace(holders[holder], token=token, organization=organization)
        return self.but(holders=(*holders[:holder], held, *holders[holder + 1 :]))

    def send(self, flight: Flight, *details: str) -> Turn:
        """The same turn with a request sent. `flight.request` is the client's `next_request`."""
        asks = (flight.asks or flight.token_id).requested
        endpoint = ENDPOINTS.get(flight.purpose, Endpoint.MINT)
        turn = self.but(flights=(*self.client.flights, flight), next_request=flight.request + 1)
        return turn.put(RequestSent(flight.request, endpoint, asks, flight.cause, details=details))
