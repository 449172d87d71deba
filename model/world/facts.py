"""What was seen: the facts of a step, in order. Invariants and reports read these, for every target alike.

A fact holds only what a user, a server or an operating system could have noticed, never a cache's internals.
`at` is virtual time in ms.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from model.terms import CallId, Endpoint, Millis, Outcome, RequestId, TimerId, Token, TokenId, Word
from model.world.events import FreezeKind


class Origin(Word):
    """On whose behalf: the app's call that is still pending, or nobody's."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


class Frozen(Struct, frozen=True):
    """The event loop stood still from `at` until `until`."""

    at: Millis
    until: Millis
    kind: FreezeKind


class Skewed(Struct, frozen=True):
    """The device's clock was set `skew` ms ahead of the server's."""

    at: Millis
    skew: Millis


class Asked(Struct, frozen=True):
    """The app asked for a token, or made a call that touches the session."""

    at: Millis
    call: CallId
    token_id: TokenId
    skip_cache: bool
    touch: bool = False
    switch: bool = False  # the organization of `token_id` is to be the active one


class Ended(Struct, frozen=True):
    """The server ended the session."""

    at: Millis


class Turned(Struct, frozen=True):
    """The device's keychain was locked, or unlocked again."""

    at: Millis
    locked: bool


class Connected(Struct, frozen=True):
    """The device lost the network, or got it back: is it `online` from now on?"""

    at: Millis
    online: bool


class Armed(Struct, frozen=True):
    """The client set a timer, to run at `due`."""

    at: Millis
    timer: TimerId
    due: Millis


class Fired(Struct, frozen=True):
    """A timer ran, `late_by` ms after the instant for which it was set, on the wall clock."""

    at: Millis
    timer: TimerId
    set_at: Millis
    late_by: Millis


class Sent(Struct, frozen=True):
    """The client sent a request, `stale_for` ms after its last session token expired; 0 if that was fresh. A
    `bare` one does not carry the device's credential."""

    at: Millis
    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    origin: Origin
    stale_for: Millis
    bare: bool = False


class Told(Struct, frozen=True):
    """A request was answered. `honest` when the outcome is what a healthy server would have said to the user's
    device; `stale_for` is that of now."""

    at: Millis
    request: RequestId
    endpoint: Endpoint
    outcome: Outcome
    token: Token | None
    sent_at: Millis
    origin: Origin
    honest: bool
    stale_for: Millis


class Dropped(Struct, frozen=True):
    """The client dropped its session. `valid` is the ground truth: did the server still hold it?"""

    at: Millis
    origin: Origin
    valid: bool


class Settled(Struct, frozen=True):
    """A foreground call ended, with a token or an error; with neither, if it was a touch that found its answer.

    `healthy`: since the call began nothing went wrong in the world and the session was valid.
    `told_ended`: an answer to this very call said, truthfully, that the session is over, and nothing lied.
    """

    at: Millis
    call: CallId
    asked_at: Millis
    token_id: TokenId
    token: Token | None
    error: str | None
    healthy: bool
    told_ended: bool


class Announced(Struct, frozen=True):
    """The session's last active token is another one."""

    at: Millis
    token: Token
    before: Token | None

    @property
    def backwards(self) -> bool:
        """Are the claims of the new one older? That of another organization is no measure (tokenFreshness.ts)."""
        if self.before is None or self.before.token_id != self.token.token_id:
            return False
        return self.token.behind and not self.before.behind


class Kept(Struct, frozen=True):
    """The session cookie, by which the app's own server knows the user, holds `token` from now on, or nothing.

    `due`: it ought to hold one, because the session is valid on the server and the client has not dropped it.
    """

    at: Millis
    token: Token | None
    due: bool

    @property
    def emptied(self) -> bool:
        """Is it empty, although it ought not to be?"""
        return self.due and self.token is None


class Restarted(Struct, frozen=True):
    """The app was killed and started again, and was given `token` while it loaded, or told that there is no
    session. Ended with it: `calls` that were pending, and `requests` that were in flight."""

    at: Millis
    token: Token | None
    calls: tuple[CallId, ...] = ()
    requests: tuple[RequestId, ...] = ()


class Regained(Struct, frozen=True):
    """The client holds the session again that it had dropped."""

    at: Millis
    origin: Origin


Fact: TypeAlias = (
    Frozen
    | Skewed
    | Turned
    | Asked
    | Ended
    | Armed
    | Fired
    | Sent
    | Told
    | Dropped
    | Settled
    | Announced
    | Kept
    | Connected
    | Restarted
    | Regained
)
