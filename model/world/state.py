"""The world's shapes: clock, operating system, network, server and what is true, as one immutable value.

What happens to it is in `course.py`, with the theory of operation.

Ground truth: the server session is valid unless revoked, for 30 days.

Foreground or background is causal: a request, or a sign-out, is foreground only while the call in whose course
it happened is still pending. Everything else, and whatever follows from it, is background. But to start the app
is the user's doing: who has no session then was signed out in the foreground.

The world's instants are the server's. The device's clock may differ (`skew`): it is what the client sees, and by
which it says when a timer is due. Timers run by a clock of their own that nobody can set.

A request that does not carry the device's credential (`bare`) is to the server one of a stranger, who has no
session. A client that says what it sends is believed; for any other the credential stays behind while the
keychain is locked.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.terms import (
    POLL_INTERVAL,
    SESSION_LIFETIME,
    SESSION_TOKEN,
    TOKEN_LIFETIME,
    CallId,
    Endpoint,
    Millis,
    Outcome,
    RequestId,
    Runtime,
    Stimulus,
    TimerId,
    Token,
    TokenId,
)
from model.world.facts import (
    Origin,
)

PATIENCE: Millis = 15_000
"""A healthy network answers within 15 s; a call that outlives this with nothing in flight is stuck."""


POSSIBLE: dict[Endpoint, tuple[Outcome, ...]] = {
    Endpoint.TOKENS: (
        Outcome.GRANTED,
        Outcome.BROKEN,
        Outcome.RATE_LIMITED,
        Outcome.GATEWAY_PAGE,
        Outcome.LOST,
        Outcome.UNAUTHORIZED,
        Outcome.STALE_TOKEN,
    ),
    Endpoint.CLIENT: (
        Outcome.SESSION,
        Outcome.BROKEN,
        Outcome.RATE_LIMITED,
        Outcome.GATEWAY_PAGE,
        Outcome.LOST,
        Outcome.UNAUTHORIZED,
        Outcome.NO_SESSION,
        Outcome.STALE_TOKEN,
    ),
    Endpoint.TOUCH: (
        Outcome.SESSION,
        Outcome.BROKEN,
        Outcome.RATE_LIMITED,
        Outcome.GATEWAY_PAGE,
        Outcome.LOST,
        Outcome.UNAUTHORIZED,
        Outcome.STALE_TOKEN,
    ),
}
"""How a request to each endpoint can end at all."""

GRANTS = (Outcome.GRANTED, Outcome.SESSION, Outcome.STALE_TOKEN)
"""What brings a token: nothing for a stranger."""

STRANGER: dict[Endpoint, Outcome] = {
    Endpoint.TOKENS: Outcome.UNAUTHORIZED,
    Endpoint.CLIENT: Outcome.NO_SESSION,
    Endpoint.TOUCH: Outcome.UNAUTHORIZED,
}
"""What the server says to somebody without the credential of a session, or with one that it no longer takes."""


class NotEnabled(Exception):
    """The event cannot happen in this world. The message says why."""


class Cue(Struct, frozen=True):
    """A stimulus for the client. In the `wake` of a fault: it is an answer that was not honest, or a timer set
    because of one, so that whatever it sets off is the fault's doing."""

    stimulus: Stimulus
    wake: bool = False


class Timer(Struct, frozen=True, cache_hash=True):
    """A timer the client set and has not cleared."""

    timer: TimerId
    due: Millis
    planned: Millis  # `due` when it was set: a device asleep puts timers off
    set_at: Millis
    wake: bool
    cause: CallId | None = None  # the call that will go on when it runs


class Request(Struct, frozen=True, cache_hash=True):
    """A request in flight."""

    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    cause: CallId | None
    sent_at: Millis
    stale: bool  # sent when the device's last session token had expired
    wake: bool  # sent in the wake of a fault
    bare: bool = False  # sent without the device's credential


class Call(Struct, frozen=True):
    """A foreground call under way, with the history that its verdict needs."""

    call: CallId
    token_id: TokenId
    asked_at: Millis
    healthy: bool  # nothing has gone wrong since
    told_ended: bool = False  # an honest 401 answered it after the session's end
    lied_to: bool = False  # one of its answers was not honest
    awake_since: Millis = 0  # when it was made, or the event loop last thawed
    active: tuple[
        str | None, ...
    ] = ()  # for a session token: the organizations that were active since it was made
    switches: bool = False  # to another organization


class World(Struct, frozen=True, cache_hash=True):
    """Everything that is not the client, and the client as seen from outside."""

    runtime: Runtime
    now: Millis = 0
    skew: Millis = 0
    signed_in: bool = True
    revoked: bool = False
    token: Token = Token(
        1, SESSION_TOKEN, 0, TOKEN_LIFETIME
    )  # the last session token it was given, for whichever organization
    minted: int = 1
    timers: tuple[Timer, ...] = ()
    requests: tuple[Request, ...] = ()
    calls: tuple[Call, ...] = ()
    next_call: CallId = 1
    locked: bool = False  # the keychain
    cookie: Token | None = None  # what a page's session cookie holds
    offline: bool = False  # the device has no network, and the client can see that
    organization: str | None = None  # the session's active one, on the server
    chosen: str | None = None  # the one that the app chose last

    @property
    def device_now(self) -> Millis:
        """What the device's clock shows."""
        return self.now + self.skew

    @property
    def valid(self) -> bool:
        """Does the server still hold the session?"""
        return not self.revoked and self.now < SESSION_LIFETIME

    @property
    def may_start(self) -> bool:
        """Would an app that starts now ask for its session? While the keychain is locked it asks as a stranger,
        and no client can make a session of the honest answer to that; offline, nobody answers it."""
        return not self.locked and not self.offline and (self.signed_in or self.valid)

    @property
    def stale(self) -> bool:
        """Has the device's last session token expired, strictly?

        Strictly, as in the theory of #8303 and its guard: at the very second of `exp` a token is refused by
        most verifiers, yet not "past expiry". The one instant between the two belongs to nobody's theory.
        """
        return self.stale_for > 0

    @property
    def stale_for(self) -> Millis:
        """For how many ms the device's last session token has been expired; 0 while it is not."""
        return max(0, self.now - self.token.expires * 1000)

    @property
    def active(self) -> tuple[str | None, ...]:
        """The organizations that may be said to be active: until the server has heard of a choice, both."""
        return tuple(dict.fromkeys((self.organization, self.chosen)))

    def is_session_token(self, token_id: TokenId) -> bool:
        """Is it the session's own: made by no template, and for an active organization?"""
        return token_id.template is None and token_id.organization in self.active

    @property
    def ahead(self) -> tuple[Timer, ...]:
        """The timers that something may come of: all of them, but those by which a page's poller looks at the
        session again and again."""
        if self.runtime is not Runtime.BROWSER:
            return self.timers
        return tuple(timer for timer in self.timers if not self.polls(timer.planned - timer.set_at))

    def polls(self, wait: Millis) -> bool:
        """Is a timer that is set for `wait` ms a page's poller's? Nothing else there waits for just as long, but
        the network layer of one that goes on being offline."""
        return self.runtime is Runtime.BROWSER and wait == POLL_INTERVAL

    def request(self, number: RequestId) -> Request:
        """The request in flight with this number; `NotEnabled` when there is none."""
        for request in self.requests:
            if request.request == number:
                return request
        raise NotEnabled(f"no request {number} is in flight")

    def origin(self, cause: CallId | None) -> Origin:
        """Foreground while the call `cause` is pending, else background."""
        pending = cause is not None and any(call.call == cause for call in self.calls)
        return Origin.FOREGROUND if pending else Origin.BACKGROUND

    def honest(self, endpoint: Endpoint) -> Outcome:
        """What a healthy server says: it knows whether the session is valid."""
        if not self.valid:
            return STRANGER[endpoint]
        return Outcome.GRANTED if endpoint is Endpoint.TOKENS else Outcome.SESSION

    def told(self, request: Request) -> Outcome:
        """What a healthy server says to this request: the truth, or to a bare one what it says to a stranger."""
        return STRANGER[request.endpoint] if request.bare else self.honest(request.endpoint)

    def but(self, **changes: Any) -> World:
        """The same world with fields changed."""
        return replace(self, **changes)

    def unhealthy(self) -> World:
        """The same world; no call under way can claim any more that nothing went wrong."""
        if not self.calls:
            return self
        return self.but(calls=tuple(replace(call, healthy=False) for call in self.calls))
