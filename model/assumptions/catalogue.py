"""The catalogue of assumptions: what each lets the world do beyond an honest server and a punctual clock."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model.assumptions.landmarks import (
    BARE,
    CUT_OFF,
    ENDED,
    FAILURES,
    FAULT,
    FREEZES,
    FROZEN,
    GONE,
    HANGING,
    LATE_TIMER,
    LIE_401,
    LOCKED,
    OFFLINE,
    REFUSED,
    RESTARTED,
    SKEWED,
    STALE,
    TRUE_SIGN_OUT,
    Sometimes,
)
from model.terms import Outcome
from model.world.facts import Origin
from model.world.state import STRANGER, Request, World


def _nothing(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return ()


class Assumption(Struct, frozen=True):
    """One way in which the world may misbehave."""

    name: str
    meaning: str
    outcomes: Callable[[World, Request], tuple[Outcome, ...]] = _nothing
    freezes: bool = False
    hangs: bool = False
    revokes: bool = False
    lags: bool = False
    skews: bool = False
    locks: bool = False
    disconnects: bool = False
    sometimes: tuple[Sometimes, ...] = ()  # a run that never reaches one of these is vacuous
    faults: tuple[Sometimes, ...] = ()  # a run that never uses one of these says so
    restarts: bool = False


def _gone(request: Request) -> tuple[Outcome, ...]:
    """What a server says to a credential it no longer takes."""
    return (STRANGER[request.endpoint],)


def _stale_after_expiry(world: World, request: Request) -> tuple[Outcome, ...]:
    background = world.origin(request.cause) is Origin.BACKGROUND
    return _gone(request) if request.stale and background else ()


def _stale_for_good(_world: World, request: Request) -> tuple[Outcome, ...]:
    return _gone(request) if request.stale else ()


def _stale_on_arrival(world: World, request: Request) -> tuple[Outcome, ...]:
    background = world.origin(request.cause) is Origin.BACKGROUND
    return _gone(request) if world.stale and background else ()


def _rotated(_world: World, request: Request) -> tuple[Outcome, ...]:
    return _gone(request)


def _refused(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return (Outcome.UNAUTHORIZED,)


def _outage(_world: World, _request: Request) -> tuple[Outcome, ...]:
    return (Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST)


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
            faults=FREEZES,
        ),
        Assumption(
            "stale-after-expiry",
            "A background request sent after the last session token expired meets a credential gone stale: "
            "401, then a client without sessions. The next foreground call finds the credential fresh again. "
            "This is the theory of #8303.",
            _stale_after_expiry,
            faults=GONE,
        ),
        Assumption(
            "stale-for-good",
            "As stale-after-expiry, but the credential stays stale in the foreground too.",
            _stale_for_good,
            faults=GONE,
        ),
        Assumption(
            "stale-on-arrival",
            "As stale-after-expiry, but judged when the request arrives: latency, or a freeze, may lie between "
            "the client's last look at the clock and the server.",
            _stale_on_arrival,
            faults=GONE,
        ),
        Assumption(
            "rotated-credential",
            "Another client on the device renewed the credential: 401, then a client without sessions, at any "
            "time, though the session is valid.",
            _rotated,
            sometimes=(LIE_401,),
            faults=GONE,
        ),
        Assumption(
            "refused-credential",
            "The server has no use for the device's credential at all: 401 at any time, for the question which "
            "sessions there are too, though the session is valid.",
            _refused,
            sometimes=(LIE_401,),
            faults=REFUSED,
        ),
        Assumption(
            "outage",
            "The server or a gateway answers 500, 429 or a page of HTML, the connection breaks, a request hangs, "
            "or the device is offline for a while; the session stays valid.",
            _outage,
            hangs=True,
            disconnects=True,
            sometimes=(FAULT,),
            faults=(*FAILURES, HANGING, OFFLINE),
        ),
        Assumption(
            "locked-keychain",
            "The device's keychain is locked at times, and hands out no credential: to the server a request sent "
            "then is a stranger's. 401, then a client without sessions, though the session is valid.",
            locks=True,
            sometimes=(LOCKED, BARE),
            faults=GONE,
        ),
        Assumption(
            "stale-edge",
            "A request is answered by an edge that lags behind: the token in the answer, or in the client that "
            "comes with it, is valid, but made from older data (lower oiat) than one already given.",
            _stale_edge,
            lags=True,
            sometimes=(STALE,),
        ),
        Assumption(
            "clock-skew",
            "The device's clock is set an hour behind the server's, or ahead, or right again, and nobody tells "
            "the app.",
            skews=True,
            sometimes=SKEWED,
        ),
        Assumption(
            "revocation",
            "The server really ends the session: revoked, or 30 days old.",
            revokes=True,
            sometimes=(ENDED, TRUE_SIGN_OUT),
        ),
        Assumption(
            "restart",
            "The operating system or the user kills the app, and it is started again: what was in memory is "
            "gone, with every timer, request and pending call. The new instance loads, and what it asks is "
            "answered honestly and at once; it is not started while the keychain is locked.",
            sometimes=(RESTARTED,),
            faults=CUT_OFF,
            restarts=True,
        ),
    )
}
"""Every assumption by name, in the order of the documentation."""
