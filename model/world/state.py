"""The state of the system without the client: `System`, which is a `World` and a `Monitor`.

`World` is the state proper: clock, operating system, network, server session, and the client as seen from
outside. `Monitor` is history that invariants need: which calls were healthy, and what is tainted by a fault.

Terms, in the sense of all facts and invariants:

    valid           The server session is valid until it is revoked, or is as old as `Timings.session`, counted
                    from its sign-in. This is the ground truth.
    foreground      A request or a sign-out is in the foreground if the call that caused it is still pending, else
                    in the background. Loading is a call, so its requests are in the foreground.
    instant         The world's instants are the server's. The device's clock is `skew` ms ahead of them. The
                    client sees that clock alone, and gives the deadlines of its timers by it. Timers run by a
                    monotonic clock: setting the device's clock moves no timer.
    stale           A credential is stale when the last session token that the device was given has expired.
    behind          A token is behind if it was made from older data than another, expired or not. The outcome
                    `STALE_TOKEN` brings such a token.
    page            What is around a client in a tab of a browser. Another tab is the world's: it may get a token
                    at any time, and tell this one.
    unauthenticated A request is unauthenticated if it does not carry the device's credential. A client that sends
                    the credential itself says so; where the device adds it, it is missing while the keychain is
                    locked.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.requests import Ending, Endpoint, Outcome
from model.sdk import Server
from model.terms import (
    FIRST,
    CallId,
    Millis,
    RequestId,
    Runtime,
    Session,
    TabState,
    TimerId,
    Timings,
    Token,
    TokenId,
)
from model.world.facts import Origin
from model.world.monitor import Monitor


class Timer(Struct, frozen=True, cache_hash=True):
    """A timer the client set and has not cleared."""

    timer: TimerId
    due: Millis
    planned: Millis  # `due` as it was set; an `ASLEEP` freeze moves `due`
    set_at: Millis
    cause: CallId | None = None  # the call that goes on when it runs
    token_id: TokenId | None = None  # the token that it may be for; None if it may be for any


class Reply(Struct, frozen=True, cache_hash=True):
    """What the server has replied to a request, at `served_at`. It has a `token` if the outcome grants one, and
    a token of each of the `others` if it says which sessions there are."""

    outcome: Outcome
    token: Token | None
    served_at: Millis
    honest: bool
    others: tuple[Token, ...] = ()


class Request(Struct, frozen=True, cache_hash=True):
    """A request in flight."""

    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    cause: CallId | None
    sent_at: Millis
    stale: bool  # the device's last session token had expired when this was sent
    unauthenticated: bool = False  # sent without the device's credential
    reply: Reply | None = None  # under way: the server has acted
    user: int | None = None  # whom it is to sign in


class PendingCall(Struct, frozen=True, cache_hash=True):
    """A foreground call under way, and which token it is for. Only the client knows its other arguments."""

    call: CallId
    token_id: TokenId
    changes_session: bool = False
    loads: bool = False
    at_once: bool = False  # what it asks for is answered honestly and at once: `RestartApp`
    leaves: bool = False
    user: int | None = None


class OtherSession(Struct, frozen=True, cache_hash=True):
    """A session of this device that is not the app's, with the server's state of it."""

    session: Session
    server: Server
    ended: Ending | None = None
    known: bool = False  # an answer with it has reached the client, and none without it since the server ended it
    began: Millis = 0
    ended_alone: bool = False  # the server ended it: the app had not signed out


class Page(Struct, frozen=True, cache_hash=True):
    """What is around a client on a page."""

    tab: TabState = TabState.HIDDEN
    channel: bool = True  # to the app's other tabs: open
    held: bool = False  # the lock by which the tabs take turns: by another one
    heard: Token | None = None  # the last one that another tab has told of
    shown: Token | None = None  # to the app's own server


class World(Struct, frozen=True, cache_hash=True):
    """Everything but the client, and the client as seen from outside. A client starts signed in, at instant 0.

    `server`, `began` and `ended` are of the app's session, which the client holds, or has held last.
    """

    runtime: Runtime
    timings: Timings
    server: Server
    token: Token  # the last session token that an answer was about
    session: Session = FIRST
    began: Millis = 0  # when the app's session did
    others: tuple[OtherSession, ...] = ()
    left: tuple[Session, ...] = ()  # the app has signed out of these
    begun: int = 1  # how many sessions have begun on this device
    now: Millis = 0
    skew: Millis = 0
    signed_in: bool = True
    loaded: bool = True
    loads: int = 0  # how often a client that has not loaded was told to
    ended: Ending | None = None  # how the server ended the session before its time
    minted: int = 1  # how many tokens the server has minted
    timers: tuple[Timer, ...] = ()
    requests: tuple[Request, ...] = ()
    calls: tuple[PendingCall, ...] = ()
    next_call: CallId = 1
    locked: bool = False  # the keychain
    offline: bool = False  # the device has no network, and the client can see that
    page: Page = Page()  # on a runtime that is one

    @property
    def device_now(self) -> Millis:
        """What the device's clock shows."""
        return self.now + self.skew

    @property
    def valid(self) -> bool:
        """Does the server still hold the app's session?"""
        return self.holds(self.session)

    def holds(self, session: Session) -> bool:
        """Does the server still hold this session?"""
        one = self.of(session)
        return one.ended is None and self.now < one.began + self.timings.session

    @property
    def entrances(self) -> tuple[Session, ...]:
        """The sessions that the app may change to, as far as its client knows. It may not know yet that the
        server has ended one. One that the app has signed out of is not among them."""
        return tuple(one.session for one in self.others if one.known and (one.ended is None or one.ended_alone))

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions of this device that the server still holds."""
        known = (self.session, *(one.session for one in self.others))
        return tuple(one for one in known if self.holds(one))

    def of(self, session: Session) -> OtherSession:
        """The server's state of a session. One that is unknown has been revoked."""
        if session == self.session:
            return OtherSession(session, self.server, self.ended, known=True, began=self.began)
        known = (one for one in self.others if one.session == session)
        return next(known, OtherSession(session, self.server, Ending.REVOKED))

    def entering(self, session: Session) -> World:
        """The same world after another session has become the app's."""
        entered = self.of(session)
        others = (*(one for one in self.others if one.session != session), self.of(self.session))
        return self.but(
            session=session, server=entered.server, began=entered.began, ended=entered.ended, others=others
        )

    @property
    def stale(self) -> bool:
        """Has the device's last session token expired, strictly?

        Strictly, as in the theory of #8303 and its guard. At the very second of `exp` most verifiers refuse a
        token that is not yet "past expiry"; neither the theory nor the guard covers that instant.
        """
        return self.stale_for > 0

    @property
    def stale_for(self) -> Millis:
        """For how many ms the device's last session token has been expired; 0 while it is not."""
        return max(0, self.now - self.token.expires * 1000)

    def is_session_token(self, token_id: TokenId) -> bool:
        """Does `token_id` name the session's own token now? More than one may (`Server.session_tokens`)."""
        return token_id in self.session_tokens

    @property
    def signing_in(self) -> int:
        """How many sign-ins the server has not acted on yet."""
        return sum(one.endpoint is Endpoint.SIGN_IN and one.reply is None for one in self.requests)

    @property
    def session_tokens(self) -> tuple[TokenId, ...]:
        """The keys of the session's own tokens."""
        return tuple(one.of(self.session) for one in self.server.session_tokens)

    def ticks(self, wait: Millis) -> bool:
        """Is a timer that was set to run after `wait` ms the client's ticker? It is known by its period alone."""
        return wait > 0 and wait in (self.timings.ticker, self.timings.focused_ticker)

    @property
    def one_shot_timers(self) -> tuple[Timer, ...]:
        """All timers but the ticker's."""
        if not self.timings.ticker:
            return self.timers
        return tuple(timer for timer in self.timers if not self.ticks(timer.planned - timer.set_at))

    def request(self, number: RequestId) -> Request | None:
        """The request in flight with this number."""
        return next((request for request in self.requests if request.request == number), None)

    def origin(self, cause: CallId | None) -> Origin:
        """Foreground if the call `cause` is still pending, else background."""
        pending = cause is not None and any(call.call == cause for call in self.calls)
        return Origin.FOREGROUND if pending else Origin.BACKGROUND

    def honest(self, endpoint: Endpoint, session: Session | None = None) -> Outcome:
        """The honest answer to a request of the user's device about a session, or the app's: it tells whether
        that is valid. A request that begins or ends sessions needs none."""
        session = session or self.session
        if self.holds(session) or endpoint in (Endpoint.SIGN_IN, Endpoint.SIGN_OUT):
            return self.server.honest(endpoint)
        return self.server.refusal(endpoint, self.of(session).ended or Ending.REVOKED)

    def honest_answer(self, request: Request) -> Outcome:
        """What a healthy server answers this request. An unauthenticated one is refused, for it names no user.
        That refusal says nothing of the user's session, so its fact is not `honest`."""
        endpoint = request.endpoint
        if request.unauthenticated:
            return self.server.refusal(endpoint)
        return self.honest(endpoint, request.token_id.session)

    def but(self, **changes: Any) -> World:
        """The same world with fields changed."""
        return replace(self, **changes)


class System(Struct, frozen=True, cache_hash=True):
    """World and history: the whole state but for the client's."""

    world: World
    monitor: Monitor = Monitor()

    def but(self, **changes: Any) -> System:
        """The same system with fields of the world changed."""
        return replace(self, world=replace(self.world, **changes))

    def noting(self, monitor: Monitor) -> System:
        """The same world with another history."""
        return self if monitor is self.monitor else replace(self, monitor=monitor)

    def fault(self) -> System:
        """The same world after a fault."""
        return self.noting(self.monitor.fault())

    @property
    def in_trouble(self) -> bool:
        """Is a fault still under way? The keychain is locked, the device is offline, or an unauthenticated
        request or something tainted is pending."""
        world, monitor = self.world, self.monitor
        unauthenticated = any(request.unauthenticated for request in world.requests)
        return bool(
            world.locked or world.offline or unauthenticated or monitor.tainted_requests or monitor.tainted_timers
        )
