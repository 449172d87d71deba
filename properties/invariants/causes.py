"""Why the last thing in a trace happened: the chain of causes, and one sentence that tells it.

Derived from the facts alone, link by link, so that a defect nobody has thought of is told as well as a known one.
What the client does follows from what it was last woken by (a timer, an answer, a call); a timer fires because it
was set, an answer comes because a request was sent; the world, the app and the operating system act on their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from model.terms import Endpoint, Millis, Outcome
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
from properties.system.wording import BARE, LOCKS, OFFLINE, ONLINE, SAYS, UNLOCKS

Index = int

ASKED: dict[Endpoint, str] = {
    Endpoint.TOKENS: "asked for a token",
    Endpoint.CLIENT: "asked which sessions there are",
    Endpoint.TOUCH: "touched the session",
}


def causes(facts: Sequence[Fact]) -> list[Index | None]:
    """For each fact the one that led to it; None for what began with itself, or at sign-in."""
    timers: dict[int, Index] = {}
    requests: dict[int, Index] = {}
    found: list[Index | None] = []
    woken_by: Index | None = None
    for index, fact in enumerate(facts):
        match fact:
            case Frozen() | Ended() | Skewed() | Turned() | Connected():
                found.append(None)
            case Asked() | Restarted():
                found.append(None)
                woken_by = index
            case Fired(_, timer):
                found.append(timers.get(timer))
                woken_by = index
            case Told(_, request):
                found.append(requests.get(request))
                woken_by = index
            case _:
                found.append(woken_by)
        if isinstance(fact, Armed):
            timers[fact.timer] = index
        elif isinstance(fact, Sent):
            requests[fact.request] = index
    return found


def fatal(facts: Sequence[Fact]) -> Index:
    """The fact that a violation is about: the sign-out from a valid session if there is one, else a session
    cookie that was emptied, else a token that gave way to a staler one, else the last call that settled, else the
    last fact of all."""
    dropped = [index for index, fact in enumerate(facts) if isinstance(fact, Dropped) and fact.valid]
    back = [index for index, fact in enumerate(facts) if isinstance(fact, Announced) and fact.backwards]
    settled = [index for index, fact in enumerate(facts) if isinstance(fact, Settled)]
    emptied = [index for index, fact in enumerate(facts) if isinstance(fact, Kept) and fact.emptied]
    rest = [index for index, fact in enumerate(facts) if not isinstance(fact, Kept)] or [len(facts) - 1]
    return (dropped or emptied or back or settled or rest)[-1]


def chain(facts: Sequence[Fact], end: Index) -> list[Index]:
    """The way to the fact at `end` from what began it, both included."""
    because = causes(facts)
    way = [end]
    while (cause := because[way[0]]) is not None:
        way.insert(0, cause)
    return way


def sentence(facts: Sequence[Fact]) -> str:
    """The chain of causes of the fatal fact, as one sentence."""
    if not facts:
        return "Nothing happened."
    links = [facts[index] for index in chain(facts, fatal(facts)) if not isinstance(facts[index], Armed)]
    told: list[str] = []
    age: Millis = 0  # said once, not with every request at the same instant
    for link in links:
        told.append(_clause(link, facts, age))
        age = link.stale_for if isinstance(link, Sent | Told) else age
    text = "; ".join(told) + "."
    return text[0].upper() + text[1:]


def _clause(fact: Fact, facts: Sequence[Fact], said: Millis) -> str:
    match fact:
        case Asked(_, call):
            called = "touch" if fact.touch else "setActive" if fact.switch else "getToken"
            return f"the app called {called} (call {call})"
        case Fired(at, _, set_at, late_by):
            since = "sign-in" if set_at == 0 else f"+{duration(set_at)}"
            lateness = f"{duration(late_by)} late{_frozen(facts, at - late_by, at)}" if late_by else "on time"
            return f"the timer set at {since} fired {lateness}"
        case Sent(_, request, endpoint, _, origin, stale_for, bare):
            fresh = not stale_for or stale_for == said
            age = "" if fresh else f", {duration(stale_for)} after its last session token had expired"
            return f"the SDK {ASKED[endpoint]}{f' {BARE}' * bare} in the {origin} (request {request}){age}"
        case Told(at, _, _, outcome, _, sent_at, _, honest, stale_for):
            came = f"came {duration(at - sent_at)} later{_frozen(facts, sent_at, at)}:" if at > sent_at else "was"
            expired_meanwhile = 0 < stale_for <= at - sent_at
            age = f", with a token expired for {duration(stale_for)} by then" if expired_meanwhile else ""
            truth = ", although the session is valid" if not honest and outcome in _LIES else ""
            return f"the answer {came} {SAYS[outcome]}{age}{truth}"
        case Dropped(_, _, valid):
            return "and so the SDK signed the user out" + (
                ", whose session the server still holds valid" if valid else ""
            )
        case Settled(at, call, _, _, token, error):
            if token is None and error is None:
                return f"and so call {call} ended well"
            if token is None:
                return f"and so call {call} ended with the error '{error}'{_offline(facts, fact)}"
            expired = at - token.expires * 1000
            age = f", which had expired {duration(expired)} before{_skewed(facts, at)}" if expired >= 0 else ""
            return f"and so call {call} got {token}{age}"
        case Announced(_, token, before):
            return f"and so {token} took the place of {before}, which was made from fresher data"
        case Regained():
            return "and so the SDK held the session again"
        case Kept(_, token):
            holds = f"holds {token}" if token else "is empty"
            truth = f", while the session is valid{_offline(facts, fact)}" if fact.emptied else ""
            return f"and so the session cookie {holds}{truth}"
        case Ended():
            return "the server ended the session"
        case Skewed(_, skew):
            return f"the device's clock was set {ahead(skew)}"
        case Turned(_, locked):
            return f"the operating system {LOCKS if locked else UNLOCKS}"
        case Connected(_, online):
            return f"the operating system {ONLINE if online else OFFLINE}"
        case Frozen(at, until):
            return f"the event loop was frozen for {duration(until - at)}"
        case Armed():
            return ""
        case Restarted(_, token):
            return f"the app was killed and started again, with {token or 'no session'}"


_LIES = (Outcome.UNAUTHORIZED, Outcome.NO_SESSION)


def _skewed(facts: Sequence[Fact], now: Millis) -> str:
    """What the device's clock has to do with it."""
    skew = next((fact.skew for fact in reversed(facts) if isinstance(fact, Skewed) and fact.at <= now), 0)
    return f", on a device whose clock is {ahead(skew)}" if skew else ""


def _offline(facts: Sequence[Fact], end: Fact) -> str:
    """What the device's network has to do with it."""
    before = itertools.takewhile(lambda fact: fact is not end, facts)
    online = [fact.online for fact in before if isinstance(fact, Connected)]
    return "" if not online or online[-1] else ", on a device that is offline"


def _frozen(facts: Sequence[Fact], start: Millis, end: Millis) -> str:
    """How much of the time from `start` to `end` the event loop stood still."""
    frozen = [fact for fact in facts if isinstance(fact, Frozen) and fact.until > start and fact.at < end]
    if not frozen:
        return ""
    total = sum(fact.until - fact.at for fact in frozen)
    return f", because the event loop was frozen for {duration(total)}"
