"""The events: what can happen in the world. A trace is a list of them. Frozen values whose repr is code.

A call of the app (`Operation`) is an event like the others; each SDK has its own operations.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from model.operations import Operation
from model.requests import Ending, Outcome
from model.terms import Millis, RequestId, TabState, Word


class FreezeKind(Word):
    """How an operating system freezes an event loop. Both happen to real apps, and SDKs behave differently."""

    STARVED = "starved"  # the clocks go on and no timer runs; at thaw those that are due run, in deadline order
    ASLEEP = "asleep"  # the monotonic clock of the timers stops too: at thaw a timer has as long to go as before


class Advance(Struct, frozen=True):
    """`ms` pass, and every timer runs when it is due."""

    ms: Millis


class Freeze(Struct, frozen=True):
    """The operating system freezes the event loop for `ms`, then thaws it."""

    ms: Millis
    kind: FreezeKind = FreezeKind.STARVED


class Answer(Struct, frozen=True):
    """A request ends: the server, or something in front of it, answers, and the client gets the answer at once;
    or the connection breaks."""

    request: RequestId
    outcome: Outcome


class Serve(Struct, frozen=True):
    """The server acts on a request and mints what it grants, now. Its reply is under way until `Deliver` or
    `Lose`.

    `Answer` is `Serve` and `Deliver` at one instant.
    """

    request: RequestId
    outcome: Outcome


class Deliver(Struct, frozen=True):
    """The reply to a request reaches the client."""

    request: RequestId


class Lose(Struct, frozen=True):
    """The reply to a request never reaches the client: the connection breaks, though the server has acted."""

    request: RequestId


class Revoke(Struct, frozen=True):
    """The server ends the app's session. A ban ends the other sessions of the user, too."""

    ending: Ending = Ending.REVOKED


class RevokeOther(Struct, frozen=True):
    """The server ends a session of this device that is not the app's, by its number."""

    session: int
    ending: Ending = Ending.REVOKED


class SetClock(Struct, frozen=True):
    """The device's clock is set `skew` ms ahead of the server's; below 0, behind it."""

    skew: Millis


class LockKeychain(Struct, frozen=True):
    """The device's credential can be neither read nor written from now on: say, the device was restarted and has
    not been unlocked since."""


class UnlockKeychain(Struct, frozen=True):
    """The user unlocks the device: the credential can be read and written again."""


class GoOffline(Struct, frozen=True):
    """The device loses the network, and the client can see that. Until the network is back every request is
    lost."""


class GoOnline(Struct, frozen=True):
    """The device has the network back."""


class TurnTo(Struct, frozen=True):
    """The user turns to the tab, or away from it: it is in this state from now on."""

    state: TabState


class HearTab(Struct, frozen=True):
    """Another tab of the app has got a token of the app's session, and tells this one. `outcome` is that of the
    other tab's request: `granted`, or `stale-token`."""

    outcome: Outcome = Outcome.GRANTED


class HoldLock(Struct, frozen=True):
    """Another tab of the app takes the lock by which the tabs take turns, and keeps it: it waits for an answer,
    or its event loop stands still."""


class FreeLock(Struct, frozen=True):
    """The other tab gives the lock back."""


class CloseChannel(Struct, frozen=True):
    """The channel between the app's tabs is closed under the client: nothing is heard on it any more, and what
    the client posts on it throws."""


class StartApp(Struct, frozen=True):
    """The operating system or the user kills the app, and it is started again. A new client loads: what it asks
    for is in flight."""


class RestartApp(Struct, frozen=True):
    """`StartApp`, and honest answers to all that the new client asks for while it loads, at the same instant."""


Event: TypeAlias = (
    Advance
    | Freeze
    | Operation
    | Answer
    | Serve
    | Deliver
    | Lose
    | Revoke
    | RevokeOther
    | SetClock
    | LockKeychain
    | UnlockKeychain
    | GoOffline
    | GoOnline
    | TurnTo
    | HearTab
    | HoldLock
    | FreeLock
    | CloseChannel
    | StartApp
    | RestartApp
)

OF_REQUEST = (Answer, Serve, Deliver, Lose)
"""The events that are about one request in flight, by its number."""
