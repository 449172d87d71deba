"""Landmarks: kinds of facts with a name. A run is evidence for an assumption only if it has reached certain ones.

A landmark is seen in one fact. `catalogue.py` has the landmarks of each assumption.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model.operations import Load
from model.requests import FAILURES, Ending, Endpoint, Outcome
from model.sdk import Server
from model.terms import PAGES, Millis, Runtime, TabState, Timings
from model.world.events import FreezeKind
from model.world.facts import (
    Answered,
    CallStarted,
    ChannelLost,
    ClockSet,
    Fact,
    Frozen,
    KeychainChanged,
    Loaded,
    NetworkChanged,
    OtherSessionEnded,
    Restarted,
    Sent,
    SessionDropped,
    SessionEnded,
    SessionEntered,
    SessionLeft,
    TabHeard,
    TabTurned,
    TimerFired,
    TurnsTaken,
)

SKEWS: tuple[Millis, ...] = (-3_600_000, 3_600_000, 0)
"""How far the device's clock may be ahead of the server's: an hour behind, an hour ahead, or right again."""


class Landmark(Struct, frozen=True):
    """A kind of fact that a run can reach."""

    name: str
    seen: Callable[[Fact], bool]
    runtimes: tuple[Runtime, ...] = tuple(Runtime)  # where it can be reached
    of: Callable[[Server], bool] = lambda _server: True  # with which servers it can be reached

    def possible(self, runtime: Runtime, server: Server) -> bool:
        """Can it be reached on `runtime`, with such a server?"""
        return runtime in self.runtimes and self.of(server)


LATE_TIMER = Landmark("a late timer", lambda fact: isinstance(fact, TimerFired) and fact.late_by > 0)
FROZEN = Landmark("the event loop froze", lambda fact: isinstance(fact, Frozen))
LIE_401 = Landmark(
    "a 401 while the session was valid",
    lambda fact: isinstance(fact, Answered) and fact.outcome is Outcome.UNAUTHORIZED and not fact.honest,
)
FAULT = Landmark("a request failed", lambda fact: isinstance(fact, Answered) and not fact.honest)
CLOCK_SKEWED = tuple(
    Landmark(
        f"a device's clock an hour {word}",
        lambda fact, skew=skew: isinstance(fact, ClockSet) and fact.skew == skew,  # type: ignore[misc]
    )
    for skew, word in ((SKEWS[0], "behind"), (SKEWS[1], "ahead"))
)
LOCKED = Landmark(
    "the keychain is locked",
    lambda fact: isinstance(fact, KeychainChanged) and fact.locked,
    of=lambda server: server.keychain,
)
UNAUTHENTICATED_REQUEST = Landmark(
    "a request without a credential",
    lambda fact: isinstance(fact, Sent) and fact.unauthenticated,
    of=lambda server: server.keychain,
)
ENDED_BY = {
    ending: Landmark(
        f"the server ended the session: {ending}",
        lambda fact, ending=ending: isinstance(fact, SessionEnded) and fact.ending is ending,  # type: ignore[misc]
    )
    for ending in Ending
}


def _reached(what: str, outcome: Outcome, *, honest: bool = False) -> Landmark:
    """A request ends with `outcome`, at whatever endpoint has it, and that is `honest`, or is not."""
    return Landmark(
        what,
        lambda fact: isinstance(fact, Answered) and fact.outcome is outcome and fact.honest == honest,
        of=lambda server: any(outcome in server.outcomes(one) for one in Endpoint),
    )


TOLD_BANNED = _reached("a 403 that is true", Outcome.FORBIDDEN, honest=True)
TOLD_GONE = _reached("a 404 that is true", Outcome.NOT_FOUND, honest=True)
RETRY_AFTER = _reached("a 429 that says when to come back", Outcome.RETRY_AFTER)
BLOCKED = _reached("a 403 that says nothing of the session", Outcome.BLOCKED)
LEAN = _reached("a session without its token", Outcome.LEAN_SESSION)
OLDER_DATA = _reached("a token made from older data", Outcome.STALE_TOKEN)
FOREIGN = _reached("a token of another session", Outcome.FOREIGN_TOKEN)


def _fault(endpoint: Endpoint, outcome: Outcome) -> Landmark:
    """A request to `endpoint` ends with `outcome`, and that is not honest."""
    return Landmark(
        f"{outcome} for {endpoint}",
        lambda fact: (
            isinstance(fact, Answered)
            and (fact.endpoint, fact.outcome, fact.honest) == (endpoint, outcome, False)
        ),
        of=lambda server: outcome in server.outcomes(endpoint),
    )


FREEZES_BY_KIND = tuple(
    Landmark(f"a freeze, {kind}", lambda fact, kind=kind: isinstance(fact, Frozen) and fact.kind is kind)  # type: ignore[misc]
    for kind in FreezeKind
)
_BY_ITSELF = (Endpoint.MINT, Endpoint.INTROSPECT)
"""What a client asks for without a call of the app. A run need not have any other request: not every app makes
one."""
REJECTED = (_fault(Endpoint.MINT, Outcome.UNAUTHORIZED), _fault(Endpoint.INTROSPECT, Outcome.NO_SESSION))
REFUSED_REQUESTS = tuple(_fault(endpoint, Outcome.UNAUTHORIZED) for endpoint in _BY_ITSELF)
FAILED_REQUESTS = tuple(_fault(endpoint, outcome) for endpoint in _BY_ITSELF for outcome in FAILURES)
HANGING = Landmark(
    "a request that hangs",
    lambda fact: isinstance(fact, Answered) and fact.at - fact.sent_at > Timings().patience,
)
LATE_REPLY = Landmark(
    "a reply that arrives after the server acted",
    lambda fact: (
        isinstance(fact, Answered)
        and fact.served_at is not None
        and fact.outcome is not Outcome.LOST
        and fact.served_at < fact.at
    ),
)
LOST_REPLY = Landmark(
    "a reply that is lost after the server acted",
    lambda fact: isinstance(fact, Answered) and fact.served_at is not None and fact.outcome is Outcome.LOST,
)
DEVICE_OFFLINE = Landmark(
    "the device offline",
    lambda fact: isinstance(fact, NetworkChanged) and not fact.online,
    tuple(one for one in Runtime if one.sees_network),
)
LOOKED_AT = Landmark(
    "the user looks at the tab",
    lambda fact: isinstance(fact, TabTurned) and fact.state is not TabState.HIDDEN,
    PAGES,
)
TURNED_AWAY = Landmark(
    "the user turns to another tab",
    lambda fact: isinstance(fact, TabTurned) and fact.state is TabState.HIDDEN,
    PAGES,
)
HEARD = Landmark("a token from another tab", lambda fact: isinstance(fact, TabHeard), PAGES)
HELD = Landmark("another tab holds the lock", lambda fact: isinstance(fact, TurnsTaken) and fact.held, PAGES)
CHANNEL_CLOSED = Landmark("a closed channel", lambda fact: isinstance(fact, ChannelLost), PAGES)
TRUE_SIGN_OUT = Landmark(
    "a sign-out of an ended session", lambda fact: isinstance(fact, SessionDropped) and not fact.valid
)
LOADED = Landmark("the SDK loaded", lambda fact: isinstance(fact, Loaded) and fact.error is None)
LOAD_FAILED = Landmark("load() failed", lambda fact: isinstance(fact, Loaded) and fact.error is not None)
LOADED_AGAIN = Landmark(
    "load() was called again", lambda fact: isinstance(fact, CallStarted) and isinstance(fact.operation, Load)
)
FAILED_STARTS = tuple(
    _fault(endpoint, outcome)
    for endpoint in (Endpoint.CONFIGURE, Endpoint.INTROSPECT)
    for outcome in (*FAILURES, Outcome.UNAUTHORIZED)
)
LEFT = Landmark(
    "the app signed out",
    lambda fact: isinstance(fact, SessionLeft),
    of=lambda server: bool(server.outcomes(Endpoint.SIGN_OUT)),
)
ENTERED = Landmark(
    "the app has another session",
    lambda fact: isinstance(fact, SessionEntered),
    of=lambda server: bool(server.outcomes(Endpoint.SIGN_IN)),
)
OTHER_ENDED = Landmark(
    "the server ended a session that is not the app's", lambda fact: isinstance(fact, OtherSessionEnded)
)
RESTARTED = Landmark("the app was killed and started again", lambda fact: isinstance(fact, Restarted))
CUT_OFF = (
    Landmark("a restart with a call pending", lambda fact: isinstance(fact, Restarted) and bool(fact.calls)),
    Landmark(
        "a restart with a request in flight", lambda fact: isinstance(fact, Restarted) and bool(fact.requests)
    ),
)
