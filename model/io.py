"""What passes between the world and a client.

A *stimulus* is what the world does to a client. An *output* is what the client does to the world.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from model.operations import Operation
from model.requests import Endpoint, Outcome
from model.terms import FIRST, CallId, Millis, RequestId, Session, TabState, TimerId, Token, TokenId


class TimerDue(Struct, frozen=True):
    """The event loop runs the callback of a timer."""

    timer: TimerId


class Called(Struct, frozen=True):
    """The app makes a call."""

    call: CallId
    operation: Operation


class Replied(Struct, frozen=True):
    """The end of a request reaches the client. It has a `token` if and only if its outcome is one of `GRANTS`.

    `others`: a token of each of the other sessions of this device, if the answer says which sessions there are.
    """

    request: RequestId
    outcome: Outcome
    token: Token | None = None
    others: tuple[Token, ...] = ()


class ClockChanged(Struct, frozen=True):
    """The device's clock is `skew` ms ahead of the server's from now on. No client is notified of that; it sees
    it when it reads the clock."""

    skew: Millis


class LockChanged(Struct, frozen=True):
    """The device's keychain is locked, or unlocked again. It matters to a client that reads the credential from
    it, and to no other."""

    locked: bool


class ConnectionChanged(Struct, frozen=True):
    """The device has lost the network, or has it back. A client that can see it (`Runtime.sees_network`) does so
    when it next looks."""

    online: bool


class TabChanged(Struct, frozen=True):
    """The user looks at the page, or no longer does. The document says so, and has events for it."""

    state: TabState


class TokenHeard(Struct, frozen=True):
    """Another tab of the app tells this one of a token that it has got."""

    token: Token


class TurnsChanged(Struct, frozen=True):
    """Another tab has taken the lock by which the app's tabs take turns, or has given it back."""

    held: bool


class ChannelClosed(Struct, frozen=True):
    """The channel between the app's tabs is closed. No client is notified; what it posts there throws."""


class Started(Struct, frozen=True):
    """The app was killed and has started again. It makes a new client, and calls `Load` on it. Its requests and
    timers are numbered on from those of the client before."""

    call: CallId


Stimulus: TypeAlias = (
    TimerDue
    | Called
    | Replied
    | ClockChanged
    | LockChanged
    | ConnectionChanged
    | TabChanged
    | TokenHeard
    | TurnsChanged
    | ChannelClosed
    | Started
)


# -- outputs: the client to the world -----------------------------------------------------------------------
# `cause` is the call of the app that led to the output, or None. The world knows whether that call is still
# pending, and so whether the output counts as foreground (`World.origin`).


class RequestSent(Struct, frozen=True):
    """The client sends a request. Requests are numbered 1, 2, ... as they are sent.

    `credential`: does the request carry the device's credential? None if the device adds it, not the client.
    `details`: what else it says to the server, each as `name=value`. `tab`: the state of the tab, if it tells the
    server.
    """

    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    cause: CallId | None
    credential: bool | None = None
    details: tuple[str, ...] = ()
    tab: TabState | None = None


class TimerSet(Struct, frozen=True):
    """The client sets a timer, to run at `due` by the device's clock."""

    timer: TimerId
    due: Millis
    cause: CallId | None


class TimerCleared(Struct, frozen=True):
    """The client clears a timer. Clearing one that has run, or is not set, has no effect."""

    timer: TimerId


class SignedOut(Struct, frozen=True):
    """The client drops its session, or has loaded without one: the user sees the sign-in screen."""

    cause: CallId | None


class SignedIn(Struct, frozen=True):
    """The client has loaded with a session, or holds `session` from now on: one that it had dropped, or another
    one than before."""

    cause: CallId | None
    session: Session = FIRST


class CallSettled(Struct, frozen=True):
    """A call ends: with a token, with the name of an error, or with neither if it is not for a token."""

    call: CallId
    token: Token | None
    error: str | None


class TokenAnnounced(Struct, frozen=True):
    """The client tells the app that the session's last active token is now `token`, where it was `before`."""

    token: Token
    before: Token | None


class Uncaught(Struct, frozen=True):
    """The client throws an error, or rejects a promise, that nobody catches."""


class TokenShown(Struct, frozen=True):
    """The client shows `token`, or none, to the app's own server from now on, which knows the user by it."""

    token: Token | None


Output: TypeAlias = (
    RequestSent
    | TimerSet
    | TimerCleared
    | SignedOut
    | SignedIn
    | CallSettled
    | TokenAnnounced
    | TokenShown
    | Uncaught
)
