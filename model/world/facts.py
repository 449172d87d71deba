"""The facts: what was seen in a step, in order. Invariants and reports read these, for every target alike.

A fact holds only what a user, a server or an operating system can see, never a cache's internals. `at` is the
instant of the fact, by the server's clock. The past tense is that of the step: the fact has just happened.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from model.operations import Operation
from model.requests import Ending, Endpoint, Outcome
from model.terms import CallId, Millis, RequestId, Session, TabState, TimerId, Token, TokenId, Word
from model.world.events import FreezeKind


class Origin(Word):
    """Whether a pending call of the app caused it (`World.origin`)."""

    FOREGROUND = "foreground"  # a call that is still pending caused it
    BACKGROUND = "background"  # no call did, or that has ended


class Frozen(Struct, frozen=True):
    """The event loop stood still from `at` until `until`."""

    at: Millis
    until: Millis
    kind: FreezeKind


class ClockSet(Struct, frozen=True):
    """The device's clock was set `skew` ms ahead of the server's."""

    at: Millis
    skew: Millis


class KeychainChanged(Struct, frozen=True):
    """The device's keychain was locked, or unlocked again."""

    at: Millis
    locked: bool


class NetworkChanged(Struct, frozen=True):
    """The device lost the network, or got it back: it is `online` from now on, or is not."""

    at: Millis
    online: bool


class TabTurned(Struct, frozen=True):
    """The user turned to the tab, or away from it: it is in this state from now on."""

    at: Millis
    state: TabState


class TabHeard(Struct, frozen=True):
    """Another tab of the app got a token, and told this one."""

    at: Millis
    token: Token


class TurnsTaken(Struct, frozen=True):
    """Another tab took the lock by which the app's tabs take turns, or gave it back: it is `held` from now on, or
    is not."""

    at: Millis
    held: bool


class ChannelLost(Struct, frozen=True):
    """The channel between the app's tabs was closed under the client."""

    at: Millis


class SessionEnded(Struct, frozen=True):
    """The server ended the session."""

    at: Millis
    ending: Ending = Ending.REVOKED


class OtherSessionEnded(Struct, frozen=True):
    """The server ended a session of this device that was not the app's."""

    at: Millis
    session: Session
    ending: Ending = Ending.REVOKED


class Restarted(Struct, frozen=True):
    """The app was killed and started again. Its new client loads, as call `call`.

    `calls` were pending and `requests` in flight when it was killed; they ended with it.
    """

    at: Millis
    call: CallId
    calls: tuple[CallId, ...] = ()
    requests: tuple[RequestId, ...] = ()


class CallStarted(Struct, frozen=True):
    """The app made a call."""

    at: Millis
    call: CallId
    operation: Operation


class TimerArmed(Struct, frozen=True):
    """The client set a timer, to run at `due`."""

    at: Millis
    timer: TimerId
    due: Millis


class TimerFired(Struct, frozen=True):
    """A timer ran, `late_by` ms after the instant for which it was set at `set_at`."""

    at: Millis
    timer: TimerId
    set_at: Millis
    late_by: Millis


class Sent(Struct, frozen=True):
    """The client sent a request.

    `stale_for`: how many ms ago the device's last session token had expired; 0 if it had not. `unauthenticated`:
    the request did not carry the device's credential. `left`: it is about a session that the app has left.
    `tab`: what it says of the tab's state, if it says anything.
    """

    at: Millis
    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    origin: Origin
    stale_for: Millis
    unauthenticated: bool = False
    left: bool = False
    tab: TabState | None = None


class Served(Struct, frozen=True):
    """The server acted on a request, and its reply is under way, with a `token` if the outcome grants one."""

    at: Millis
    request: RequestId
    endpoint: Endpoint
    outcome: Outcome
    token: Token | None
    sent_at: Millis


class Answered(Struct, frozen=True):
    """A request ended.

    `honest`: the outcome is what a healthy server says to a request of the user's device, so the answer to an
    unauthenticated request never is. `stale_for`: how many ms ago the device's last session token had expired
    when the answer came; 0 if it had not. `served_at`: when the server had acted, if that was an event of its
    own. `about`: the session of the request, if that is not the app's now.
    """

    at: Millis
    request: RequestId
    endpoint: Endpoint
    outcome: Outcome
    token: Token | None
    sent_at: Millis
    origin: Origin
    honest: bool
    stale_for: Millis
    served_at: Millis | None = None
    about: Session | None = None


class SessionDropped(Struct, frozen=True):
    """The client dropped its session. `valid`: the server still held it."""

    at: Millis
    origin: Origin
    valid: bool


class SessionRegained(Struct, frozen=True):
    """The client has loaded with the session, or holds it again after it had dropped it."""

    at: Millis
    origin: Origin


class Loaded(Struct, frozen=True):
    """A call that loads the client ended: well, or with an error. `signed_in`: the client holds a session then.

    `due`: it ought to, because the session is valid, and no answer since the call was dishonest.
    """

    at: Millis
    call: CallId
    asked_at: Millis
    error: str | None
    signed_in: bool
    due: bool


class SessionLeft(Struct, frozen=True):
    """The client dropped its session, because the app is signing out."""

    at: Millis


class SessionEntered(Struct, frozen=True):
    """The client holds another session than before: one that has begun since, or another one of this device."""

    at: Millis
    session: Session


class Settled(Struct, frozen=True):
    """A foreground call ended, with a token or an error; with neither, if it was not for a token.

    `token_id`: which token the call was for. `healthy`: from the call to its end there was no fault and the
    session was valid. `told_ended`: an honest answer to a request of this call said that the session has ended,
    and no answer to one was dishonest. `fresher`: a token of this kind and session that an earlier call got, and
    that was made from newer data. `left`: the app has left the session of the token.
    """

    at: Millis
    call: CallId
    asked_at: Millis
    token_id: TokenId
    token: Token | None
    error: str | None
    healthy: bool
    told_ended: bool
    fresher: Token | None = None
    left: bool = False


class Uncaught(Struct, frozen=True):
    """The client threw an error, or rejected a promise, that nobody caught."""

    at: Millis


class Announced(Struct, frozen=True):
    """The session's last active token is another one now: `token`, where it was `before`.

    `backwards`: the new token was made from older data. Tokens of other kinds or sessions are not compared.
    """

    at: Millis
    token: Token
    before: Token | None
    backwards: bool = False


class Shown(Struct, frozen=True):
    """The app's own server, which knows the user by a token, sees `token` from now on, or none.

    `due`: it ought to see one, because the session is valid and the client has not dropped it.
    """

    at: Millis
    token: Token | None
    due: bool

    @property
    def emptied(self) -> bool:
        """Does it see none, although it ought to?"""
        return self.due and self.token is None


Fact: TypeAlias = (
    Frozen
    | ClockSet
    | KeychainChanged
    | NetworkChanged
    | TabTurned
    | TabHeard
    | TurnsTaken
    | ChannelLost
    | SessionEnded
    | OtherSessionEnded
    | Restarted
    | CallStarted
    | TimerArmed
    | TimerFired
    | Sent
    | Served
    | Answered
    | SessionDropped
    | SessionRegained
    | Loaded
    | SessionLeft
    | SessionEntered
    | Settled
    | Announced
    | Shown
    | Uncaught
)
