"""What can happen in the world. Frozen values whose repr is code; a trace is a list of them."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from model.terms import Millis, Outcome, RequestId, Word


class FreezeKind(Word):
    """What an operating system can mean by "not now". Both happen to real apps; SDKs differ by it."""

    STARVED = "starved"  # wall time passes, timers do not run; at thaw those that are due run, in deadline order
    ASLEEP = "asleep"  # the monotonic clock stops too: at thaw a timer has as long to go as before


class Advance(Struct, frozen=True):
    """Time passes and every timer runs when it is due."""

    ms: Millis


class Freeze(Struct, frozen=True):
    """The operating system freezes the event loop for `ms`, then thaws it."""

    ms: Millis
    kind: FreezeKind = FreezeKind.STARVED


class GetToken(Struct, frozen=True):
    """The app calls `getToken`, in the foreground; without an `organization` for the active one."""

    template: str | None = None
    skip_cache: bool = False
    organization: str | None = None


class Answer(Struct, frozen=True):
    """The server (or something in between) answers a request, and the client gets the answer, at once."""

    request: RequestId
    outcome: Outcome


class Revoke(Struct, frozen=True):
    """The server ends the session: an administrator, a changed password, a sign-out on another device."""


class SetClock(Struct, frozen=True):
    """Somebody, or the network, sets the device's clock `skew` ms ahead of the server's; below 0, behind it."""

    skew: Millis


class LockKeychain(Struct, frozen=True):
    """The operating system refuses to read the device's credential, or to write it: restarted and not unlocked
    since, say."""


class UnlockKeychain(Struct, frozen=True):
    """The user unlocks the device: the credential can be read and written again."""


class Touch(Struct, frozen=True):
    """The app calls `session.touch()`, in the foreground: it says that the session is in use."""


class GoOffline(Struct, frozen=True):
    """The device loses the network, and the client can see that: until it has it back, a request can only be
    lost."""


class GoOnline(Struct, frozen=True):
    """The device has the network back."""


class RestartApp(Struct, frozen=True):
    """The operating system, or the user, kills the app, and it is started again: a new client loads, and hears
    the truth about its session at once."""


class SwitchOrganization(Struct, frozen=True):
    """The app calls `setActive({organization})`, in the foreground; None is the personal workspace."""

    organization: str | None = None


Event: TypeAlias = (
    Advance
    | Freeze
    | GetToken
    | Answer
    | Revoke
    | SetClock
    | LockKeychain
    | UnlockKeychain
    | GoOffline
    | GoOnline
    | Touch
    | RestartApp
    | SwitchOrganization
)

EVENTS: tuple[type[Event], ...] = (
    Advance,
    Freeze,
    GetToken,
    Answer,
    Revoke,
    SetClock,
    LockKeychain,
    UnlockKeychain,
    GoOffline,
    GoOnline,
    Touch,
    RestartApp,
    SwitchOrganization,
)
"""Every kind of event, in the order in which a reader meets them."""
