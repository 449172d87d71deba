"""Where releases differ: a policy is a release's choices, one field for each.

A proposed fix is one more policy, to be tried here before anyone writes TypeScript.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace


class Policy(Struct, frozen=True):
    """The choices of one release of the SDK."""

    name: str

    guard_expired_refresh: bool
    """Headless: a refresh timer that fires after the last active token expired sends nothing (#8303)."""

    keep_freshest: bool
    """A token made from older data takes the place of no fresher one, and a fetch whose cache entry was replaced
    meanwhile still freshens the entry that replaced it (#9030)."""

    timers_by_expiry: bool
    """A token's timers are set by what its `exp` leaves of it, on the device's clock. Before that by its whole
    lifetime, whatever the clock says (#9030)."""

    clear_replaced_timers: bool
    """A token that takes the place of another in the cache clears its timers (#8098). Without it they fire in
    their time, and each refresh begins a chain of its own."""

    offline_in_react_native: bool
    """Headless: a navigator that does not say whether it is online counts as offline (until #8084)."""

    sends_when_offline: bool
    """A foreground call that misses the cache while offline sends its request all the same; when that is lost, an
    empty token comes of it, in the background too (until #7912)."""

    retry_rate_limited: bool
    """A call that is answered 429 tries again (#8004)."""

    switch_fails_with_touch: bool
    """A switch to another organization ends with the error of its touch, unless that is a 401. Before, it went on
    as if nothing had happened, and took any 4xx for a 401 (#8004)."""

    client_keeps_freshest: bool
    """A session in an answer, or in the client that comes with one, takes over the last active token of the
    session that it replaces, if its own was made from older data (#9284)."""

    gateway_page_error: str
    """What a call ends with when only a gateway's page of HTML answers. Seen on the builds: up to 6.34.1 the body
    is parsed before the status is looked at; 6.40.0 speaks of the status."""

    tries_when_offline: bool
    """A foreground call that misses the cache while offline sends its request, and what is lost then is a failure
    like any other. Seen on the builds: 6.40.0 does, 6.34.1 does not yet."""

    answers_stand: bool
    """A call that the server has refused ends with that, offline or not; else being offline hides it. Seen on the
    builds: in 6.40.0 it stands, in 6.34.1 not yet."""

    # What nobody has released: proposed fixes.

    guard_own_token: bool = False
    """The guard looks at the expiry of the token whose timer fired, not at the last active one's."""

    background_401_marks_stale: bool = False
    """A 401 in the background asks nothing and signs nobody out: the token leaves the cache, and the next
    foreground call finds out."""

    sign_out_only_without_session: bool = False
    """After a 401, only an answer without the session signs the user out: a 500 is an error like any other, and a
    second 401 is not looked into again."""

    rearm_refresh: bool = False
    """A refresh that failed, was skipped, or brought nothing fresher is tried again after a while, as long as the
    token can be read."""


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
CLERK_JS_6_3_2 = replace(CLERK_JS_6_1_0, name="CLERK_JS_6_3_2", offline_in_react_native=False)
CLERK_JS_6_7_1 = replace(CLERK_JS_6_3_2, name="CLERK_JS_6_7_1", clear_replaced_timers=True)
CLERK_JS_6_7_4 = replace(CLERK_JS_6_7_1, name="CLERK_JS_6_7_4", guard_expired_refresh=True)
CLERK_JS_6_24_0 = replace(CLERK_JS_6_7_4, name="CLERK_JS_6_24_0", keep_freshest=True, timers_by_expiry=True)
CLERK_JS_6_28_1 = replace(CLERK_JS_6_24_0, name="CLERK_JS_6_28_1", client_keeps_freshest=True)
CLERK_JS_6_40_0 = replace(
    CLERK_JS_6_28_1,
    name="CLERK_JS_6_40_0",
    gateway_page_error="api-503",
    tries_when_offline=True,
    answers_stand=True,
)

SINCE: dict[tuple[int, int, int], Policy] = {
    (6, 0, 0): CLERK_JS_6_0_0,
    (6, 1, 0): CLERK_JS_6_1_0,
    (6, 3, 2): CLERK_JS_6_3_2,
    (6, 3, 3): CLERK_JS_6_7_1,
    (6, 7, 4): CLERK_JS_6_7_4,
    (6, 24, 0): CLERK_JS_6_24_0,
    (6, 28, 1): CLERK_JS_6_28_1,
    (6, 40, 0): CLERK_JS_6_40_0,
}
"""The first release that behaves as a policy says, oldest first; the last policy is the newest release's."""

POLICIES: dict[str, Policy] = {policy.name: policy for policy in SINCE.values()}
"""The released policies by name, oldest first."""


def policy_of(version: str) -> Policy | None:
    """The policy of a release, such as `6.28.1`; None for one that is older than all of ours, or no number."""
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
"""Proposed fixes by name. The quiet background goes without the guard of #8303: is it needed then?"""
