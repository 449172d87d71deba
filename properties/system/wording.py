"""The wording that all reports share: instants, durations, tokens, outcomes, kinds of freeze.

No SDK appears here: a request asks for a token, or which sessions there are, whatever its path is. The wording of
one kind of event or fact is in its row (`event_kinds.py`, `fact_kinds.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from fractions import Fraction

from model.requests import ENDED, OF_DEVICE, Ending, Endpoint, Outcome
from model.terms import Millis, Session, TabState, Token, TokenId
from model.world.events import FreezeKind

# -- time ---------------------------------------------------------------------------------------------------

UNITS = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1000, "ms": 1}
"""Units of time, in ms."""
_LENGTH = re.compile(r"(-?)((?:\d+(?:\.\d+)?\s*(?:d|h|min|ms|s)\s*)+)", re.ASCII)


def duration(ms: Millis) -> str:
    """`ms` milliseconds in human-readable form, without rounding."""
    sign, ms = ("-" if ms < 0 else ""), abs(ms)
    if ms < 60_000:
        whole, rest = divmod(ms, 1000)
        return f"{sign}{whole}{f'.{rest:03}'.rstrip('0') if rest else ''} s"
    parts = []
    for unit, size in UNITS.items():
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count} {unit}")
    return sign + " ".join(parts)


def milliseconds(text: str) -> Millis:
    """The inverse of `duration`; `8h`, `1.5 h` and `90 min` will do, too. Raises `ValueError`."""
    whole = _LENGTH.fullmatch(text)
    parts = re.findall(r"([\d.]+)\s*([a-z]+)", whole[2]) if whole else []
    ms = sum(Fraction(count) * UNITS[unit] for count, unit in parts)
    if whole is None or ms.denominator != 1:
        raise ValueError(f"'{text}' is no length of time, such as 8 h, 30 s or 1 min 250 ms")
    return -int(ms) if whole[1] else int(ms)


def clock(at: Millis) -> str:
    """An instant of virtual time as `[days ]h:mm:ss[.mmm]` since sign-in."""
    seconds, ms = divmod(at, 1000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return (f"{days} d " if days else "") + text + (f".{ms:03}" if ms else "")


def ahead(skew: Millis) -> str:
    """A clock that is `skew` ms ahead of the server's, in words."""
    if skew == 0:
        return "right"
    return f"{duration(abs(skew))} {'ahead' if skew > 0 else 'behind'}"


def skew(text: str) -> Millis:
    """The inverse of `ahead`. Raises `ValueError`."""
    if text == "right":
        return 0
    length, _, direction = text.rpartition(" ")
    return {"ahead": 1, "behind": -1}[direction] * milliseconds(length)


# -- text of a trace ----------------------------------------------------------------------------------------

LINE_BREAKS = ("Cc", "Zl", "Zp")
"""The Unicode categories of characters that end a line somewhere: controls, U+2028 and U+2029."""


def one_line(text: str) -> str:
    """The text on one line, whatever it holds: for a comment, a heading, an error."""
    return "".join(" " if unicodedata.category(one) in LINE_BREAKS else one for one in text)


# -- lists --------------------------------------------------------------------------------------------------


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def listed(items: Iterable[str]) -> str:
    """`a; b; c`, or `none`."""
    return "; ".join(items) or "none"


# -- tokens -------------------------------------------------------------------------------------------------


def of_which(token_id: TokenId, word: str = "of") -> str:
    """` of org_b`; empty for the session's default token."""
    return f" {word} {token_id}" if str(token_id) else ""


def kind_of_token(token_id: TokenId) -> str:
    """`a token of org_b`, or `the session's default token`."""
    return f"a token{of_which(token_id)}" if str(token_id) else "the session's default token"


def token_state(token: Token | None, now: Millis) -> str:
    """A token, and how much of its lifetime is left at `now`."""
    if token is None:
        return "none"
    left = token.expires * 1000 - now
    state = f"expires in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago"
    return f"{token}{of_which(token.token_id)}, {state}"


def age(stale_for: Millis) -> str:
    """How long ago the last session token expired, or `fresh`."""
    return f"expired {duration(stale_for)} before" if stale_for else "fresh"


# -- requests -----------------------------------------------------------------------------------------------

WITHOUT_CREDENTIAL = "without the device's credential"
ASKS_FOR: dict[Endpoint, str] = {
    Endpoint.MINT: "asks for a token",
    Endpoint.INTROSPECT: "asks which sessions there are",
    Endpoint.MUTATE: "updates the session",
    Endpoint.CONFIGURE: "asks how the app is set up",
    Endpoint.SIGN_IN: "asks for a sign-in",
    Endpoint.SIGN_OUT: "asks for the end of all sessions",
}
ASKED_FOR: dict[Endpoint, str] = {
    Endpoint.MINT: "asked for a token",
    Endpoint.INTROSPECT: "asked which sessions there are",
    Endpoint.MUTATE: "updated the session",
    Endpoint.CONFIGURE: "asked how the app is set up",
    Endpoint.SIGN_IN: "asked for a sign-in",
    Endpoint.SIGN_OUT: "asked for the end of all sessions",
}
SAYS: dict[Outcome, str] = {
    Outcome.GRANTED: "a token",
    Outcome.SESSION: "the session, still there",
    Outcome.SETTINGS: "the settings",
    Outcome.BROKEN: "500",
    Outcome.RATE_LIMITED: "429",
    Outcome.RETRY_AFTER: "429, to come back in 30 s",
    Outcome.BLOCKED: "403 of a firewall",
    Outcome.GATEWAY_PAGE: "503 and a gateway's page",
    Outcome.LOST: "nothing: the connection is lost",
    Outcome.UNAUTHORIZED: "401",
    Outcome.FORBIDDEN: "403",
    Outcome.NOT_FOUND: "404",
    Outcome.NO_SESSION: "no session",
    Outcome.STALE_TOKEN: "a token made from older data",
    Outcome.LEAN_SESSION: "the session, without its token",
    Outcome.FOREIGN_TOKEN: "a token of another session",
}
SHORT: dict[Outcome, str] = SAYS | {
    Outcome.SESSION: "the session",
    Outcome.GATEWAY_PAGE: "a gateway's page",
    Outcome.LOST: "no answer",
    Outcome.RETRY_AFTER: "429 with Retry-After",
    Outcome.BLOCKED: "a firewall's 403",
}
REFUSALS = (*ENDED, Outcome.NO_SESSION)
"""The outcomes that claim that the session has ended."""


def request_phrase(words: dict[Endpoint, str], endpoint: Endpoint, token_id: TokenId) -> str:
    """What a request asks for, in the words of `ASKS_FOR` or `ASKED_FOR`."""
    if endpoint in OF_DEVICE:
        return words[endpoint]
    return words[endpoint] + of_which(token_id, "for" if endpoint is Endpoint.MUTATE else "of")


ENDS: dict[Ending, str] = {
    Ending.REVOKED: "ends the session",
    Ending.BANNED: "bans the user, and ends the session",
    Ending.GONE: "deletes the session",
}
ENDED_SO: dict[Ending, str] = {
    Ending.REVOKED: "ended the session",
    Ending.BANNED: "banned the user, and ended the session",
    Ending.GONE: "deleted the session",
}


def another_session(session: Session) -> str:
    """`session 2`, or `the first session`."""
    return str(session) or "the first session"


# -- the operating system -----------------------------------------------------------------------------------

LOCKS = "locks the keychain: the device's credential cannot be read"
UNLOCKS = "unlocks the keychain"
LOSES_NETWORK = "takes the network away: the device is offline"
REGAINS_NETWORK = "gives the network back"
TURNS: dict[TabState, str] = {
    TabState.FOCUSED: "gives the tab the focus: the user turns to it",
    TabState.VISIBLE: "shows the tab, without the focus",
    TabState.HIDDEN: "hides the tab: the user turns to another",
}
RESTARTS = "kills the app, and it starts again"
FREEZE_NOUNS: dict[FreezeKind, str] = {
    FreezeKind.STARVED: "a starved event loop",
    FreezeKind.ASLEEP: "a device asleep",
}
FREEZES_FOR: dict[FreezeKind, str] = {
    FreezeKind.STARVED: "freezes the event loop for {}: timers do not run",
    FreezeKind.ASLEEP: "puts the device to sleep for {}: timers keep their time to go",
}
FROZE_FOR: dict[FreezeKind, str] = {
    FreezeKind.STARVED: "the event loop was frozen for {}",
    FreezeKind.ASLEEP: "the device slept for {}, and timers kept their time to go",
}
