"""What a run can come across, by name: what it must reach to be evidence of anything, and what it may use.

Each looks at one fact. Which of them belong to an assumption is said there (`assumptions.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model.terms import CAN_LOOK, SKEWS, Endpoint, Outcome, Runtime
from model.world.events import FreezeKind
from model.world.facts import (
    Connected,
    Dropped,
    Ended,
    Fact,
    Fired,
    Frozen,
    Restarted,
    Sent,
    Skewed,
    Told,
    Turned,
)
from model.world.state import PATIENCE


class Sometimes(Struct, frozen=True):
    """Something that a run under the assumption can reach."""

    name: str
    seen: Callable[[Fact], bool]
    runtimes: tuple[Runtime, ...] = tuple(Runtime)  # elsewhere nobody waits for it


LATE_TIMER = Sometimes("a late timer", lambda fact: isinstance(fact, Fired) and fact.late_by > 0)
FROZEN = Sometimes("the event loop froze", lambda fact: isinstance(fact, Frozen))
LIE_401 = Sometimes(
    "a 401 while the session was valid",
    lambda fact: isinstance(fact, Told) and fact.outcome is Outcome.UNAUTHORIZED and not fact.honest,
)
FAULT = Sometimes("a request failed", lambda fact: isinstance(fact, Told) and not fact.honest)
STALE = Sometimes(
    "a token made from older data", lambda fact: isinstance(fact, Told) and fact.outcome is Outcome.STALE_TOKEN
)
SKEWED = tuple(
    Sometimes(
        f"a device's clock an hour {word}",
        lambda fact, skew=skew: isinstance(fact, Skewed) and fact.skew == skew,  # type: ignore[misc]
    )
    for skew, word in ((SKEWS[0], "behind"), (SKEWS[1], "ahead"))
)
LOCKED = Sometimes("the keychain is locked", lambda fact: isinstance(fact, Turned) and fact.locked)
BARE = Sometimes("a request without a credential", lambda fact: isinstance(fact, Sent) and fact.bare)
ENDED = Sometimes("the server ended the session", lambda fact: isinstance(fact, Ended))


def _fault(endpoint: Endpoint, outcome: Outcome) -> Sometimes:
    return Sometimes(
        f"{outcome} for {endpoint}",
        lambda fact: (
            isinstance(fact, Told) and (fact.endpoint, fact.outcome, fact.honest) == (endpoint, outcome, False)
        ),
    )


FREEZES = tuple(
    Sometimes(f"a freeze, {kind}", lambda fact, kind=kind: isinstance(fact, Frozen) and fact.kind is kind)  # type: ignore[misc]
    for kind in FreezeKind
)
_ASKED = (Endpoint.TOKENS, Endpoint.CLIENT)
"""What a client asks for by itself. Whether there are touches is the app's affair: no proof has to have any."""
GONE = (_fault(Endpoint.TOKENS, Outcome.UNAUTHORIZED), _fault(Endpoint.CLIENT, Outcome.NO_SESSION))
REFUSED = tuple(_fault(endpoint, Outcome.UNAUTHORIZED) for endpoint in _ASKED)
FAILURES = tuple(
    _fault(endpoint, outcome)
    for endpoint in _ASKED
    for outcome in (Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST)
)
HANGING = Sometimes(
    "a request that hangs", lambda fact: isinstance(fact, Told) and fact.at - fact.sent_at > PATIENCE
)
OFFLINE = Sometimes("the device offline", lambda fact: isinstance(fact, Connected) and not fact.online, CAN_LOOK)
TRUE_SIGN_OUT = Sometimes(
    "a sign-out of an ended session", lambda fact: isinstance(fact, Dropped) and not fact.valid
)
RESTARTED = Sometimes("the app was killed and started again", lambda fact: isinstance(fact, Restarted))
CUT_OFF = (
    Sometimes("a restart with a call pending", lambda fact: isinstance(fact, Restarted) and bool(fact.calls)),
    Sometimes(
        "a restart with a request in flight", lambda fact: isinstance(fact, Restarted) and bool(fact.requests)
    ),
)
