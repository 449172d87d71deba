"""The words of every report: an instant, a fact, an answer. Names no SDK: a request asks for a token, or which
sessions there are, whatever paths an adapter makes of that.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.terms import SESSION_TOKEN, Endpoint, Millis, Outcome, TokenId
from model.world.events import FreezeKind
from model.world.facts import (
    Announced,
    Armed,
    Asked,
    Connected,
    Dropped,
    Ended,
    Fact,
    Fired,
    Frozen,
    Kept,
    Regained,
    Restarted,
    Sent,
    Settled,
    Skewed,
    Told,
    Turned,
)
from properties.system.trace import ahead, duration

SAYS: dict[Outcome, str] = {
    Outcome.GRANTED: "a token",
    Outcome.SESSION: "the session, still there",
    Outcome.BROKEN: "500",
    Outcome.RATE_LIMITED: "429",
    Outcome.GATEWAY_PAGE: "503 and a gateway's page",
    Outcome.LOST: "nothing: the connection is lost",
    Outcome.UNAUTHORIZED: "401",
    Outcome.NO_SESSION: "no session",
    Outcome.STALE_TOKEN: "a token made from older data",
}
SHORT: dict[Outcome, str] = SAYS | {
    Outcome.SESSION: "the session",
    Outcome.GATEWAY_PAGE: "a gateway's page",
    Outcome.LOST: "no answer",
}
KINDS: dict[FreezeKind, str] = {
    FreezeKind.STARVED: "a starved event loop",
    FreezeKind.ASLEEP: "a device asleep",
}
FREEZES: dict[FreezeKind, str] = {
    FreezeKind.STARVED: "freezes the event loop for {}: timers do not run",
    FreezeKind.ASLEEP: "puts the device to sleep for {}: timers keep their time to go",
}
LOCKS = "locks the keychain: the device's credential cannot be read"
UNLOCKS = "unlocks the keychain"
OFFLINE = "takes the network away: the device is offline"
ONLINE = "gives the network back"
BARE = "without the device's credential"
RESTARTS = "kills the app, and it starts again"
ASKS_FOR: dict[Endpoint, str] = {
    Endpoint.TOKENS: "asks for a token",
    Endpoint.CLIENT: "asks which sessions there are",
    Endpoint.TOUCH: "touches the session",
}


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def clock(at: Millis) -> str:
    """An instant of virtual time as `[days ]h:mm:ss[.mmm]` since sign-in."""
    seconds, ms = divmod(at, 1000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return (f"{days} d " if days else "") + text + (f".{ms:03}" if ms else "")


def token_of(token_id: TokenId) -> str:
    """What sort of token: `template 'api'`, or nothing for the session token itself."""
    words = [f"template '{token_id.template}'"] * bool(token_id.template)
    if token_id.organization is not None:
        words.append(organization_named(token_id.organization))
    return ", ".join(words)


def organization_named(organization: str | None) -> str:
    """`organization 'org_b'`, or the personal workspace."""
    return f"organization '{organization}'" if organization else "the personal workspace"


def tell(fact: Fact) -> tuple[str, str]:
    """Who did it, and what happened."""
    match fact:
        case Frozen(at, until, kind):
            return "OS", FREEZES[kind].format(duration(until - at))
        case Skewed(_, skew):
            return "OS", f"sets the device's clock {ahead(skew)}"
        case Asked(_, call, touch=True):
            return "app", f"calls touch (call {call})"
        case Asked(_, call, token_id, switch=True):
            return "app", f"makes {organization_named(token_id.organization)} the active one (call {call})"
        case Asked(_, call, token_id, skip_cache):
            options = [token_of(token_id)] * (token_id != SESSION_TOKEN) + ["skipping the cache"] * skip_cache
            return "app", f"calls getToken{' with ' + ', '.join(options) if options else ''} (call {call})"
        case Ended():
            return "server", "ends the session"
        case Turned(_, locked):
            return "OS", LOCKS if locked else UNLOCKS
        case Connected(_, online):
            return "OS", ONLINE if online else OFFLINE
        case Armed(_, _, due):
            return "SDK", f"sets a timer for {clock(due)}"
        case Fired(_, _, set_at, late_by):
            lateness = f"{duration(late_by)} late" if late_by else "on time"
            return "timer", f"set at {clock(set_at)} fires {lateness}"
        case Sent(_, request, endpoint, token_id, origin, stale_for, bare):
            credential = "; its last session token has expired" if stale_for else ""
            without = f", {BARE}" if bare else ""
            which = f" {'for' if endpoint is Endpoint.TOUCH else 'of'} {token_of(token_id)}"
            what = f"{ASKS_FOR[endpoint]}{which * (token_id != SESSION_TOKEN)}"
            return "SDK", f"{what}{without}, in the {origin} (request {request}){credential}"
        case Told(at, request, _, outcome, token, sent_at, _, honest, _):
            waited = f" after {duration(at - sent_at)}" if at > sent_at else ""
            truth = "" if honest or outcome in _FAILS else ", though the session is valid"
            return (
                "server",
                f"answers request {request}{waited}: {SAYS[outcome]}{f' ({token})' if token else ''}{truth}",
            )
        case Dropped(_, origin, valid):
            return "SDK", f"signs the user out, in the {origin}" + (
                ", while the session is valid" if valid else ""
            )
        case Announced(_, token, before):
            instead = f" instead of {before}, which was made from fresher data" if fact.backwards else ""
            return "SDK", f"has {token} as its last active token{instead}"
        case Regained(_, origin):
            return "SDK", f"holds the session again, in the {origin}"
        case Kept(_, token):
            if token:
                return "SDK", f"puts {token} into the session cookie"
            return "SDK", "empties the session cookie" + (", while the session is valid" if fact.emptied else "")
        case Settled(_, call, _, _, token, error):
            ended = f"fails: {error}" if error else "ends well"
            return "app", f"call {call} gets {token}" if token else f"call {call} {ended}"
        case Restarted(_, token, calls, requests):
            ends = [f"request {request}" for request in requests] + [f"call {call}" for call in calls]
            with_it = f"; with it end {', '.join(ends)}" if ends else ""
            return "OS", f"{RESTARTS}, with {token or 'no session'}{with_it}"


_FAILS = (
    Outcome.BROKEN,
    Outcome.RATE_LIMITED,
    Outcome.GATEWAY_PAGE,
    Outcome.LOST,
    Outcome.STALE_TOKEN,
)
"""What says nothing about the session, true or not."""


def _goes_without_saying(fact: Fact) -> bool:
    match fact:
        case Announced():
            return not fact.backwards
        case Kept(_, token):
            return token is not None
        case _:
            return isinstance(fact, Armed)


def notable(facts: Sequence[Fact]) -> list[Fact]:
    """The facts without what goes without saying: timers that led to nothing, and a newer token, announced or in
    the cookie."""
    facts = [fact for fact in facts if not _goes_without_saying(fact)]
    followers: list[Fact | None] = [*facts[1:], None]
    return [
        fact
        for fact, follower in zip(facts, followers, strict=True)
        if not isinstance(fact, Fired) or isinstance(follower, Sent | Dropped | Settled | Announced | Kept)
    ]
