"""The rows of the facts about what the client did: see `fact_kinds.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.operations import NO_SESSION_ERROR
from model.requests import Endpoint
from model.terms import FIRST, Millis, Token
from model.world.facts import (
    Announced,
    Answered,
    ClockSet,
    Fact,
    Loaded,
    NetworkChanged,
    Sent,
    SessionDropped,
    SessionEntered,
    SessionLeft,
    SessionRegained,
    Settled,
    Shown,
    TimerArmed,
    TimerFired,
    Uncaught,
)
from properties.system.fact_kind import (
    STIMULUS,
    Before,
    Dependency,
    DependencyKind,
    FactKind,
    Rows,
    because_frozen,
    no_marks,
)
from properties.system.wording import (
    ASKED_FOR,
    ASKS_FOR,
    WITHOUT_CREDENTIAL,
    age,
    ahead,
    clock,
    duration,
    kind_of_token,
    of_which,
    request_phrase,
    token_state,
)

_LEAVING, _ENTERED = Dependency(DependencyKind.LEAVING), Dependency(DependencyKind.ENTERED)


def token_needed(token: Token | None) -> tuple[Dependency, ...]:
    """The dependency on the fact that brought the token: an answer or a restart."""
    return (Dependency(DependencyKind.TOKEN, token.number),) if token else ()


# -- requests -----------------------------------------------------------------------------------------------


def _sends(fact: Sent) -> str:
    without = f", {WITHOUT_CREDENTIAL}" if fact.unauthenticated else ""
    credential = "; its last session token has expired" if fact.stale_for else ""
    what = request_phrase(ASKS_FOR, fact.endpoint, fact.token_id)
    return f"{what}{without}, in the {fact.origin} (request {fact.request}){credential}{_left(fact)}"


def _sent(fact: Sent, before: Before) -> str:
    said = next((one.stale_for for one in reversed(before.mentioned) if isinstance(one, Sent | Answered)), 0)
    repeated = not fact.stale_for or fact.stale_for == said  # mentioned once for each instant
    why = _frozen_since(before, fact.at - fact.stale_for, fact.at)
    expired = "" if repeated else f", {duration(fact.stale_for)} after its last session token had expired{why}"
    without = f" {WITHOUT_CREDENTIAL}" if fact.unauthenticated else ""
    what = request_phrase(ASKED_FOR, fact.endpoint, fact.token_id)
    return f"the SDK {what}{without} in the {fact.origin} (request {fact.request}){expired}{_left(fact)}"


def _left(fact: Sent) -> str:
    return ", for a session that the app has left" * fact.left


def _request_marks(fact: Sent, _before: Before) -> tuple[str, ...]:
    return (
        f"{fact.endpoint} in the {fact.origin}",
        *["without the credential"] * fact.unauthenticated,
        *["for a session that was left"] * fact.left,
    )


def _request_details(fact: Sent) -> Rows:
    return (
        ("request", str(fact.request)),
        ("for", str(fact.endpoint)),
        ("origin", str(fact.origin)),
        *[("which token", str(fact.token_id))] * bool(str(fact.token_id)),
        *[("credential", "none")] * fact.unauthenticated,
        *[("says of the tab", str(fact.tab))] * (fact.tab is not None),
        ("last session token", age(fact.stale_for)),
    )


# -- the end of a call --------------------------------------------------------------------------------------


def _settles(fact: Settled) -> str:
    if fact.token:
        return f"settles call {fact.call} with {fact.token}{of_which(fact.token.token_id)}"
    return f"settles call {fact.call}" + (f" with the error '{fact.error}'" if fact.error else "")


def _settled(fact: Settled, before: Before) -> str:
    token = fact.token
    if token is None:
        ended = f"with the error '{fact.error}'{_offline(before)}" if fact.error else "well"
        return f"and so call {fact.call} ended {ended}"
    what = f"and so call {fact.call} got {token}{of_which(token.token_id)}"
    if token.token_id != fact.token_id:
        what += f" instead of {kind_of_token(fact.token_id)}"
    past = fact.at - token.expires * 1000
    if past < 0:
        return what
    why = _skewed(before) or _frozen_since(before, fact.at - past, fact.at)
    return f"{what}, which had expired {duration(past)} before{why}"


def _settled_marks(fact: Settled, before: Before) -> tuple[str, ...]:
    if fact.error:
        return (f"error {fact.error}",)
    if fact.token is None:
        return ("a call ends well",)
    if fact.left:
        return ("a call gets a token of a session that was left",)
    if fact.token.token_id != fact.token_id:
        return ("a call gets another token",)
    if fact.at >= fact.token.expires * 1000:
        return ("a call gets an expired token",)
    of_another_kind = bool(str(fact.token_id.of(FIRST)))
    return (
        *["another answer meanwhile"] * _overtaken(fact, before.seen),
        "a call gets a token",
        *["of another kind"] * of_another_kind,
    )


def _overtaken(fact: Settled, seen: Sequence[Fact]) -> bool:
    """While the call waited for its token, has another answer brought that kind of token, or failed to?"""
    answer = next((one for one in seen if isinstance(one, Answered) and one.token == fact.token), None)
    if answer is None or answer.at != fact.at:  # it was in the cache, or came with the session
        return False
    sent = next(
        place for place, one in enumerate(seen) if isinstance(one, Sent) and one.request == answer.request
    )
    alike = {one.request for one in seen if isinstance(one, Sent) and one.token_id == fact.token_id}
    others = (one for one in seen[sent:] if isinstance(one, Answered) and one is not answer)
    return any(
        one.token.token_id == fact.token_id
        if one.token
        else one.endpoint is Endpoint.MINT and one.request in alike
        for one in others
    )


def _settled_details(fact: Settled) -> Rows:
    error = f"error '{fact.error}'" if fact.error else "success"
    result = token_state(fact.token, fact.at) if fact.token else error
    return (("call", str(fact.call)), ("asked at", clock(fact.asked_at)), ("result", result))


def _settled_needs(fact: Settled) -> tuple[Dependency, ...]:
    """The stimulus, the call and the token. Also the device's clock if the token had expired, and the network if
    the call ended with an error."""
    expired = fact.token is not None and fact.at >= fact.token.expires * 1000
    conditions = [Dependency(DependencyKind.CLOCK)] * expired + [Dependency(DependencyKind.NETWORK)] * bool(
        fact.error
    )
    conditions += [_LEAVING] * (fact.left or fact.error == NO_SESSION_ERROR)
    return (STIMULUS, Dependency(DependencyKind.CALL, fact.call), *token_needed(fact.token), *conditions)


def _frozen_since(before: Before, expiry: Millis, now: Millis) -> str:
    """The clause about a freeze that caused it, unless a late timer has mentioned that."""
    mentioned = any(isinstance(one, TimerFired) and one.late_by for one in before.mentioned)
    return "" if mentioned else because_frozen(before, expiry, now)


def _skewed(before: Before) -> str:
    """The clause about a wrong device clock, if it is wrong."""
    skew = next((fact.skew for fact in reversed(before.seen) if isinstance(fact, ClockSet)), 0)
    return f", on a device whose clock is {ahead(skew)}" if skew else ""


def _offline(before: Before) -> str:
    """The clause about a device that is offline, if it is."""
    online = next((fact.online for fact in reversed(before.seen) if isinstance(fact, NetworkChanged)), True)
    return "" if online else ", on a device that is offline"


def _loads(fact: Loaded) -> str:
    end = (
        f"fails with '{fact.error}'" if fact.error else f"ends, with {'the' if fact.signed_in else 'no'} session"
    )
    return f"load() {end} (call {fact.call})"


def _loaded(fact: Loaded, before: Before) -> str:
    if fact.error:
        return f"and so load() failed with '{fact.error}'{_offline(before)}"
    return f"and so load() ended{'' if fact.signed_in else ' without a session'}{_offline(before)}"


# -- tokens that become visible ------------------------------------------------------------------------------


def _announces(fact: Announced) -> str:
    instead = f" instead of {fact.before}, which was made from fresher data" if fact.backwards else ""
    return f"has {fact.token} as its last active token{instead}"


def _announced(fact: Announced, _before: Before) -> str:
    if fact.backwards:
        return f"and so {fact.token} took the place of {fact.before}, which was made from fresher data"
    return f"and so {fact.token} became the last active token"


def _announced_details(fact: Announced) -> Rows:
    before = [("before", token_state(fact.before, fact.at))] * (fact.before is not None)
    return (("token", token_state(fact.token, fact.at)), *before)


def _shows(fact: Shown) -> str:
    if fact.token:
        return f"shows {fact.token} to the app's own server"
    return "shows the app's own server no token" + (", while the session is valid" if fact.emptied else "")


def _shown(fact: Shown, before: Before) -> str:
    if fact.token:
        return f"and so the SDK showed {fact.token} to the app's own server"
    truth = f", while the session is valid{_offline(before)}" if fact.emptied else ""
    return f"and so the SDK showed the app's own server no token{truth}"


def _shown_details(fact: Shown) -> Rows:
    return (("shown token", token_state(fact.token, fact.at)), ("ought to be one", "yes" if fact.due else "no"))


# -- the rows -----------------------------------------------------------------------------------------------

CLIENT_FACTS: tuple[FactKind[Any], ...] = (
    FactKind(
        kind=TimerArmed,
        lane="SDK",
        to="timer",
        moment="armed",
        marks=no_marks,
        present=lambda fact: f"sets a timer for {clock(fact.due)}",
        past=lambda fact, _: f"the SDK set a timer for {clock(fact.due)}",
        needs=lambda _: (STIMULUS, Dependency(DependencyKind.TAB)),
        brings=lambda fact: (Dependency(DependencyKind.TIMER, fact.timer),),
        implied=lambda _: True,
    ),
    FactKind(
        kind=Sent,
        lane="SDK",
        to="server",
        moment="request",
        marks=_request_marks,
        present=_sends,
        past=_sent,
        details=_request_details,
        needs=lambda fact: (
            STIMULUS,
            *[Dependency(DependencyKind.KEYCHAIN)] * fact.unauthenticated,
            *[_LEAVING] * fact.left,
            *[Dependency(DependencyKind.CHANNEL)] * (fact.endpoint is Endpoint.MINT),
        ),
        brings=lambda fact: (Dependency(DependencyKind.REQUEST, fact.request),),
        effect=True,
    ),
    FactKind(
        kind=SessionDropped,
        lane="SDK",
        moment="dropped",
        marks=lambda fact, _: (f"signed out in the {fact.origin}",),
        present=lambda fact: (
            f"signs the user out, in the {fact.origin}" + (", while the session is valid" if fact.valid else "")
        ),
        past=lambda fact, _: (
            "and so the SDK signed the user out"
            + (", whose session the server still holds valid" if fact.valid else "")
        ),
        details=lambda fact: (
            ("origin", str(fact.origin)),
            ("session on the server", "valid" if fact.valid else "ended"),
        ),
        needs=lambda _: (STIMULUS, _ENTERED),
        effect=True,
    ),
    FactKind(
        kind=SessionRegained,
        lane="SDK",
        moment="regained",
        marks=lambda *_: ("signed in again",),
        present=lambda fact: f"holds the session again, in the {fact.origin}",
        past=lambda *_: "and so the SDK held the session again",
    ),
    FactKind(
        kind=Loaded,
        lane="SDK",
        to="app",
        moment="settled",
        marks=lambda fact, _: (f"load() fails: {fact.error}" if fact.error else "load() ends",),
        present=_loads,
        past=_loaded,
        details=lambda fact: (
            ("call", str(fact.call)),
            ("called at", clock(fact.asked_at)),
            ("result", f"error '{fact.error}'" if fact.error else "loaded"),
        ),
        needs=lambda fact: (
            STIMULUS,
            Dependency(DependencyKind.CALL, fact.call),
            *[Dependency(DependencyKind.NETWORK)] * (fact.error is not None or not fact.signed_in),
        ),
        effect=True,
    ),
    FactKind(
        kind=SessionLeft,
        lane="SDK",
        moment="dropped",
        marks=lambda *_: ("signed out by the app",),
        present=lambda _: "signs the user out, as the app asked",
        past=lambda *_: "and so the SDK signed the user out, as the app asked",
        effect=True,
    ),
    FactKind(
        kind=SessionEntered,
        lane="SDK",
        moment="regained",
        marks=lambda *_: ("another session",),
        present=lambda fact: f"holds {fact.session or 'the first session'} now, of user {fact.session.user}",
        past=lambda fact, _: f"and so the SDK held session {fact.session.number}, of user {fact.session.user}",
        brings=lambda _: (_ENTERED,),
        ends=lambda _: (_LEAVING,),
        effect=True,
    ),
    FactKind(
        kind=Settled,
        lane="SDK",
        to="app",
        moment="settled",
        marks=_settled_marks,
        present=_settles,
        past=_settled,
        details=_settled_details,
        needs=_settled_needs,
        effect=True,
    ),
    FactKind(
        kind=Announced,
        lane="SDK",
        moment="announced",
        marks=lambda fact, _: ("older data replaces fresher",) if fact.backwards else (),
        present=_announces,
        past=_announced,
        details=_announced_details,
        needs=lambda fact: (STIMULUS, *token_needed(fact.token), *token_needed(fact.before)),
        effect=True,
        implied=lambda fact: not fact.backwards,
    ),
    FactKind(
        kind=Shown,
        lane="SDK",
        moment="shown",
        marks=lambda fact, _: ("no token shown",) if fact.emptied else (),
        present=_shows,
        past=_shown,
        details=_shown_details,
        needs=lambda fact: (
            STIMULUS,
            *token_needed(fact.token),
            *[Dependency(DependencyKind.NETWORK)] * fact.emptied,
        ),
        effect=True,
        implied=lambda fact: fact.token is not None,
    ),
    FactKind(
        kind=Uncaught,
        lane="SDK",
        moment="uncaught",
        marks=lambda *_: ("an uncaught error",),
        present=lambda _: "throws an error that nobody catches",
        past=lambda *_: "and so an error was thrown that nobody caught",
        effect=True,
    ),
)
"""In the order of `model/world/facts.py`."""
