"""How releases differ: a policy has one field for each choice that a release makes.

A proposed fix is a policy too, so that it can be checked before it is written in TypeScript. A number such as
#8303 is that of a pull request of clerk/javascript: a release with it makes the choice or, after "until", no
longer makes it.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from model.clerk.terms import TIMINGS
from model.terms import Timings


class Policy(Struct, frozen=True):
    """The choices of one release of the SDK."""

    name: str

    guard_expired_refresh: bool
    """Headless: a refresh timer that fires after the last active token has expired sends nothing (#8303)."""

    keep_freshest: bool
    """A token made from older data replaces no fresher one. A fetch whose cache entry was replaced before its
    answer came still puts a fresher token into the slot (#9030)."""

    timers_by_expiry: bool
    """The timers of a token are set by the time left until its `exp`, on the device's clock (#9030). Before, by
    its whole lifetime, whatever the clock says."""

    clear_replaced_timers: bool
    """A token that replaces another in the cache clears the other's timers (#8098). Before, they stayed set, and
    the refresh timer of each began a chain of its own."""

    offline_in_react_native: bool
    """Headless: a navigator without `onLine` counts as offline (until #8084)."""

    sends_when_offline: bool
    """A foreground call that misses the cache while offline sends its request nevertheless. If that is lost, the
    answer counts as an empty token; so it does for a refresh (until #7912)."""

    retry_rate_limited: bool
    """A call whose request is answered 429 tries again (#8004)."""

    switch_fails_with_touch: bool
    """A switch to another organization ends with the error of its touch, unless that is a 401 (#8004). Before, it
    went on whatever the error was, and took any 4xx for a 401."""

    sends_intent: bool
    """The touch of a switch says what it is for (Session.ts _touchPost, 6.3.2)."""

    banned_is_unauthenticated: bool
    """A switch whose touch is answered 403, because the user is banned, asks which sessions there are, as after a
    401 (packages/shared errors/helpers.ts isUnauthenticatedError, 6.13.0)."""

    client_keeps_freshest: bool
    """A session in an answer, or in its client payload, takes over the last active token of the session that it
    replaces, if its own was made from older data (#9284)."""

    gateway_page_error: str
    """The name of the error that a call ends with when a gateway answers with a page of HTML. Seen on the builds:
    up to 6.34.1 the body is parsed before the status is checked; in 6.40.0 the error has the status."""

    tries_when_offline: bool
    """A foreground call that misses the cache while offline sends its request, and a lost one is a failure like
    any other. Seen on the builds: in 6.40.0, not in 6.34.1."""

    answers_stand: bool
    """A call that the server refused ends with the server's error, offline or not. Without it the error is
    `OFFLINE` while offline. Seen on the builds: in 6.40.0, not in 6.34.1."""

    # Proposed fixes, in no release.

    guard_own_token: bool = False
    """The guard of #8303 checks the expiry of the token whose timer fired, not that of the last active one."""

    background_401_marks_stale: bool = False
    """A 401 to a refresh starts no recovery and signs no user out. The token is dropped from the cache, and the
    next foreground call meets the 401."""

    sign_out_only_without_session: bool = False
    """Only a recovery whose answer has no session signs the user out. A 500 is an error like any other, and a 401
    to a recovery starts no other."""

    rearm_refresh: bool = False
    """A refresh that failed, was skipped, or brought nothing fresher is tried again after `cache.REARM_DELAY`, as
    long as the token can be read."""

    timings: Timings = TIMINGS


CLERK_JS_6_0_0 = Policy(
    "CLERK_JS_6_0_0",
    guard_expired_refresh=False,
    keep_freshest=False,
    timers_by_expiry=False,
    clear_replaced_timers=False,
    offline_in_react_native=True,
    sends_when_offline=True,
    retry_rate_limited=False,
    switch_fails_with_touch=False,
    sends_intent=False,
    banned_is_unauthenticated=False,
    client_keeps_freshest=False,
    gateway_page_error="SyntaxError",
    tries_when_offline=False,
    answers_stand=False,
)
CLERK_JS_6_1_0 = replace(
    CLERK_JS_6_0_0,
    name="CLERK_JS_6_1_0",
    sends_when_offline=False,
    retry_rate_limited=True,
    switch_fails_with_touch=True,
)
CLERK_JS_6_3_2 = replace(CLERK_JS_6_1_0, name="CLERK_JS_6_3_2", offline_in_react_native=False, sends_intent=True)
CLERK_JS_6_7_1 = replace(CLERK_JS_6_3_2, name="CLERK_JS_6_7_1", clear_replaced_timers=True)
CLERK_JS_6_7_4 = replace(CLERK_JS_6_7_1, name="CLERK_JS_6_7_4", guard_expired_refresh=True)
CLERK_JS_6_13_0 = replace(CLERK_JS_6_7_4, name="CLERK_JS_6_13_0", banned_is_unauthenticated=True)
CLERK_JS_6_24_0 = replace(CLERK_JS_6_13_0, name="CLERK_JS_6_24_0", keep_freshest=True, timers_by_expiry=True)
CLERK_JS_6_28_1 = replace(CLERK_JS_6_24_0, name="CLERK_JS_6_28_1", client_keeps_freshest=True)
CLERK_JS_6_40_0 = replace(
    CLERK_JS_6_28_1,
    name="CLERK_JS_6_40_0",
    gateway_page_error="api-503-bare",
    tries_when_offline=True,
    answers_stand=True,
)

SINCE: dict[tuple[int, int, int], Policy] = {
    (6, 0, 0): CLERK_JS_6_0_0,
    (6, 1, 0): CLERK_JS_6_1_0,
    (6, 3, 2): CLERK_JS_6_3_2,
    (6, 3, 3): CLERK_JS_6_7_1,
    (6, 7, 4): CLERK_JS_6_7_4,
    (6, 13, 0): CLERK_JS_6_13_0,
    (6, 24, 0): CLERK_JS_6_24_0,
    (6, 28, 1): CLERK_JS_6_28_1,
    (6, 40, 0): CLERK_JS_6_40_0,
}
"""The policies by the first release that has each, oldest first. The last one is that of the newest release."""

POLICIES: dict[str, Policy] = {policy.name: policy for policy in SINCE.values()}
"""The released policies by name, oldest first."""


def policy_of(version: str) -> Policy | None:
    """The policy of a release such as `6.28.1`; None if that is older than the first policy, or is not three
    numbers."""
    numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
    return next((SINCE[since] for since in reversed(SINCE) if len(numbers) == 3 and since <= numbers), None)


FIX_GUARD_OWN_TOKEN = replace(CLERK_JS_6_40_0, name="FIX_GUARD_OWN_TOKEN", guard_own_token=True)
FIX_ONLY_WITHOUT_SESSION = replace(
    CLERK_JS_6_40_0, name="FIX_ONLY_WITHOUT_SESSION", sign_out_only_without_session=True
)
FIX_QUIET_BACKGROUND = replace(
    CLERK_JS_6_40_0, name="FIX_QUIET_BACKGROUND", guard_expired_refresh=False, background_401_marks_stale=True
)
FIX_KEEP_TRYING = replace(FIX_QUIET_BACKGROUND, name="FIX_KEEP_TRYING", rearm_refresh=True)
FIX_BOTH = replace(FIX_QUIET_BACKGROUND, name="FIX_BOTH", sign_out_only_without_session=True)

PROPOSED: dict[str, Policy] = {
    policy.name: policy
    for policy in (FIX_GUARD_OWN_TOKEN, FIX_ONLY_WITHOUT_SESSION, FIX_QUIET_BACKGROUND, FIX_KEEP_TRYING, FIX_BOTH)
}
"""Proposed fixes by name. FIX_QUIET_BACKGROUND is without the guard of #8303, to see whether the guard is
needed."""
