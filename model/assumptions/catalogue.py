"""The catalogue of assumptions: what each lets the world do beside an honest server and timers that run on time.

`calm` adds nothing. A set of assumptions is a value of its own (`sets.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model.assumptions.landmarks import (
    BLOCKED,
    CHANNEL_CLOSED,
    CLOCK_SKEWED,
    CUT_OFF,
    DEVICE_OFFLINE,
    ENDED_BY,
    ENTERED,
    FAILED_REQUESTS,
    FAILED_STARTS,
    FAULT,
    FOREIGN,
    FREEZES_BY_KIND,
    FROZEN,
    HANGING,
    HEARD,
    HELD,
    LATE_REPLY,
    LATE_TIMER,
    LEAN,
    LEFT,
    LIE_401,
    LOAD_FAILED,
    LOADED,
    LOADED_AGAIN,
    LOCKED,
    LOOKED_AT,
    LOST_REPLY,
    OLDER_DATA,
    REFUSED_REQUESTS,
    REJECTED,
    RESTARTED,
    RETRY_AFTER,
    SKEWS,
    TOLD_BANNED,
    TOLD_GONE,
    TRUE_SIGN_OUT,
    TURNED_AWAY,
    UNAUTHENTICATED_REQUEST,
    Landmark,
)
from model.requests import FAILURES, Ending, Outcome
from model.sdk import Server
from model.terms import Runtime, TabState
from model.world.events import (
    CloseChannel,
    Event,
    GoOffline,
    HearTab,
    HoldLock,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    StartApp,
    TurnTo,
)
from model.world.facts import Origin
from model.world.state import Request, World


def _nothing(_world: World, _request: Request) -> tuple[Outcome, ...]:
    """No outcome beside the honest one."""
    return ()


class Assumption(Struct, frozen=True):
    """One way in which the world may misbehave. `meaning` is printed in reports and in the documentation."""

    name: str
    meaning: str
    outcomes: Callable[[World, Request], tuple[Outcome, ...]] = _nothing  # how a request may end, beside honestly
    events: tuple[Event, ...] = ()  # what may happen at an instant, where it is possible
    freezes: bool = False  # the operating system may freeze the event loop
    hangs: bool = False  # a request may take longer than the network's patience
    hangs_until_loaded: bool = False  # the same, until the client has loaded
    delays: bool = False  # a reply may arrive later than the server acted, or never
    lags: bool = False  # a token may be made from older data than one before
    leaves: bool = False  # the app may sign out, sign in, and change between sessions
    sometimes: tuple[Landmark, ...] = ()  # a run that does not reach all of these is vacuous
    faults: tuple[Landmark, ...] = ()  # a report lists those that its run did not reach

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """Those on which a run can reach all that it must reach, with some server."""
        return tuple(one for one in Runtime if all(one in landmark.runtimes for landmark in self.sometimes))

    def possible(self, runtime: Runtime, server: Server) -> bool:
        """Can a run on `runtime`, with such a server, reach all that it must reach?"""
        return all(one.possible(runtime, server) for one in self.sometimes)


def _rejected(world: World, request: Request) -> tuple[Outcome, ...]:
    """The server no longer takes the credential: it answers as if the session had ended."""
    return (world.server.refusal(request.endpoint),)


def _stale_after_expiry(world: World, request: Request) -> tuple[Outcome, ...]:
    background = world.origin(request.cause) is Origin.BACKGROUND
    return _rejected(world, request) if request.stale and background else ()


def _stale_for_good(world: World, request: Request) -> tuple[Outcome, ...]:
    return _rejected(world, request) if request.stale else ()


def _stale_on_arrival(world: World, request: Request) -> tuple[Outcome, ...]:
    background = world.origin(request.cause) is Origin.BACKGROUND
    return _rejected(world, request) if world.stale and background else ()


def _refused(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return (Outcome.UNAUTHORIZED,)


def _outage(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return FAILURES


def _failing_start(world: World, _request: Request) -> tuple[Outcome, ...]:
    return () if world.loaded else (*FAILURES, Outcome.UNAUTHORIZED)


def _retry_after(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return (Outcome.RETRY_AFTER,)


def _blocked(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return (Outcome.BLOCKED,)


def _lean(world: World, request: Request) -> tuple[Outcome, ...]:
    return (Outcome.LEAN_SESSION,) if world.holds(request.token_id.session) else ()


def _foreign(world: World, request: Request) -> tuple[Outcome, ...]:
    return (Outcome.FOREIGN_TOKEN,) if world.holds(request.token_id.session) else ()


def _stale_edge(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return (Outcome.STALE_TOKEN,)


ASSUMPTIONS: dict[str, Assumption] = {
    assumption.name: assumption
    for assumption in (
        Assumption(
            "calm",
            "Time passes, timers run on time, the network answers within 15 s and the server tells the truth.",
        ),
        Assumption(
            "starvation",
            "The operating system freezes the app's event loop for any length of time: an audio app overnight.",
            freezes=True,
            sometimes=(FROZEN, LATE_TIMER),
            faults=FREEZES_BY_KIND,
        ),
        Assumption(
            "stale-after-expiry",
            "A background request sent after the last session token expired meets a credential gone stale: "
            "401, then a client without sessions. The next foreground call finds the credential fresh again. "
            "This is the theory of #8303.",
            _stale_after_expiry,
            faults=REJECTED,
        ),
        Assumption(
            "stale-for-good",
            "As stale-after-expiry, but the credential stays stale in the foreground too.",
            _stale_for_good,
            faults=REJECTED,
        ),
        Assumption(
            "stale-on-arrival",
            "As stale-after-expiry, but judged when the request arrives: latency, or a freeze, may lie between "
            "the client's last look at the clock and the server.",
            _stale_on_arrival,
            faults=REJECTED,
        ),
        Assumption(
            "rotated-credential",
            "Another client on the device renewed the credential: 401, then a client without sessions, at any "
            "time, though the session is valid.",
            _rejected,
            sometimes=(LIE_401,),
            faults=REJECTED,
        ),
        Assumption(
            "refused-credential",
            "The server has no use for the device's credential at all: 401 at any time, for the question which "
            "sessions there are too, though the session is valid.",
            _refused,
            sometimes=(LIE_401,),
            faults=REFUSED_REQUESTS,
        ),
        Assumption(
            "outage",
            "The server or a gateway answers 500, 429 or a page of HTML, the connection breaks, a request hangs, "
            "or the device is offline for a while; the session stays valid.",
            _outage,
            hangs=True,
            events=(GoOffline(),),
            sometimes=(FAULT,),
            faults=(*FAILED_REQUESTS, HANGING, DEVICE_OFFLINE),
        ),
        Assumption(
            "late-replies",
            "A request takes time both ways: the server acts and mints, and its reply arrives later, however "
            "long that takes, or is lost on its way.",
            delays=True,
            sometimes=(LATE_REPLY, LOST_REPLY),
        ),
        Assumption(
            "locked-keychain",
            "The device's keychain is locked at times, and hands out no credential: a request sent then is "
            "unauthenticated. 401, then a client without sessions, though the session is valid.",
            events=(LockKeychain(),),
            sometimes=(LOCKED, UNAUTHENTICATED_REQUEST),
            faults=REJECTED,
        ),
        Assumption(
            "retry-after",
            "The server answers 429 and says when to come back; the session stays valid.",
            _retry_after,
            sometimes=(RETRY_AFTER,),
        ),
        Assumption(
            "blocked",
            "Something in front of the server refuses a request: 403, and an error that says nothing of the "
            "session, which stays valid.",
            _blocked,
            sometimes=(BLOCKED,),
        ),
        Assumption(
            "lean-touch",
            "The server answers an update of the session with the session, but leaves out its token and the "
            "client.",
            _lean,
            sometimes=(LEAN,),
        ),
        Assumption(
            "foreign-token",
            "The server, or a cache in front of it, answers with a token of another session, and another user.",
            _foreign,
            sometimes=(FOREIGN,),
        ),
        Assumption(
            "stale-edge",
            "A request is answered by an edge that lags behind: the token in the answer, or in the client that "
            "comes with it, has not expired, but was made from older data than one already given.",
            _stale_edge,
            lags=True,
            sometimes=(OLDER_DATA,),
        ),
        Assumption(
            "clock-skew",
            "The device's clock is set an hour behind the server's, or ahead, or right again, and nobody tells "
            "the app.",
            events=tuple(map(SetClock, SKEWS)),
            sometimes=CLOCK_SKEWED,
        ),
        Assumption(
            "revocation",
            "The server really ends the session: revoked, or 30 days old.",
            events=(Revoke(),),
            sometimes=(ENDED_BY[Ending.REVOKED], TRUE_SIGN_OUT),
        ),
        Assumption(
            "banned-user",
            "The server really ends the session, by banning the user: 403 from then on, and a client without "
            "sessions.",
            events=(Revoke(Ending.BANNED),),
            sometimes=(ENDED_BY[Ending.BANNED], TOLD_BANNED),
        ),
        Assumption(
            "session-gone",
            "The server really ends the session, by deleting it: 404 from then on, and a client without "
            "sessions.",
            events=(Revoke(Ending.GONE),),
            sometimes=(ENDED_BY[Ending.GONE], TOLD_GONE),
        ),
        Assumption(
            "several-sessions",
            "The user signs out, and signs in again, perhaps as somebody else; or has two sessions on the "
            "device, and changes between them.",
            leaves=True,
            sometimes=(LEFT, ENTERED),
        ),
        Assumption(
            "tab-switching",
            "The user turns to the page's tab, and away from it: it has the focus, is visible beside another "
            "window, or is hidden. In a frame of another site it never has the focus.",
            events=tuple(map(TurnTo, TabState)),
            sometimes=(LOOKED_AT, TURNED_AWAY),
        ),
        Assumption(
            "other-tab",
            "The app is open in another tab, too, which gets tokens of its own and tells this one of each. These "
            "may be made from older data.",
            events=(HearTab(), HearTab(Outcome.STALE_TOKEN)),
            sometimes=(HEARD,),
        ),
        Assumption(
            "held-lock",
            "Another tab of the app holds the lock by which the tabs take turns at refreshing, and keeps it: its "
            "request hangs, or its event loop stands still.",
            events=(HoldLock(),),
            sometimes=(HELD,),
        ),
        Assumption(
            "closed-channel",
            "The channel by which the app's tabs tell each other of tokens is closed at some time: what is "
            "posted there throws.",
            events=(CloseChannel(),),
            sometimes=(CHANNEL_CLOSED,),
        ),
        Assumption(
            "restart",
            "The operating system or the user kills the app, and it is started again: what was in memory is "
            "gone, with every timer, request and pending call. The new instance loads, and what it asks is "
            "answered honestly and at once; it is not started while the keychain is locked.",
            sometimes=(RESTARTED,),
            faults=CUT_OFF,
            events=(RestartApp(),),
        ),
        Assumption(
            "failing-start",
            "The app is killed and started again, at any time. What the new instance asks for while it loads can "
            "fail as in an outage, be answered 401, or hang; the app may load it again.",
            _failing_start,
            hangs_until_loaded=True,
            sometimes=(LOAD_FAILED, LOADED),
            faults=(*FAILED_STARTS, LOADED_AGAIN),
            events=(StartApp(),),
        ),
    )
}
"""Every assumption by name, in the order of the documentation."""
