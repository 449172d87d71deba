"""The rows of the facts about what the world or the app did: see `fact_kinds.py`."""

from __future__ import annotations

from typing import Any

from model.operations import Operation
from model.requests import Endpoint, Outcome
from model.terms import Millis, Timings
from model.world.facts import (
    Answered,
    CallStarted,
    ClockSet,
    Frozen,
    KeychainChanged,
    NetworkChanged,
    OtherSessionEnded,
    Restarted,
    Sent,
    Served,
    SessionEnded,
    TimerFired,
)
from properties.system.fact_kind import Before, Dependency, DependencyKind, FactKind, Rows, because_frozen
from properties.system.wording import (
    ENDED_SO,
    ENDS,
    FREEZES_FOR,
    FROZE_FOR,
    LOCKS,
    LOSES_NETWORK,
    REFUSALS,
    REGAINS_NETWORK,
    RESTARTS,
    SAYS,
    UNLOCKS,
    age,
    ahead,
    another_session,
    clock,
    duration,
    listed,
    token_state,
)

_CLOCK, _KEYCHAIN, _NETWORK, _END, _LEAVING = map(
    Dependency,
    (
        DependencyKind.CLOCK,
        DependencyKind.KEYCHAIN,
        DependencyKind.NETWORK,
        DependencyKind.SESSION_END,
        DependencyKind.LEAVING,
    ),
)


def no_dependencies(_fact: object) -> tuple[Dependency, ...]:
    """No fact leads to it."""
    return ()


# -- the app's calls ----------------------------------------------------------------------------------------


def _calls(fact: CallStarted) -> str:
    return f"calls {fact.operation.phrase} (call {fact.call})"


def _changes_sessions(operation: Operation) -> bool:
    return operation.changes_session or operation.leaves or operation.enters


# -- restarts -----------------------------------------------------------------------------------------------


def _restarts(fact: Restarted) -> str:
    ends = [f"request {request}" for request in fact.requests] + [f"call {call}" for call in fact.calls]
    with_it = f"; with it end {', '.join(ends)}" if ends else ""
    return f"{RESTARTS}: it loads (call {fact.call}){with_it}"


def _restart_details(fact: Restarted) -> Rows:
    return (
        ("call that loads", str(fact.call)),
        ("calls that ended", listed(map(str, fact.calls))),
        ("requests that ended", listed(map(str, fact.requests))),
    )


# -- timers -------------------------------------------------------------------------------------------------


def _fires(fact: TimerFired) -> str:
    lateness = f"{duration(fact.late_by)} late" if fact.late_by else "on time"
    return f"set at {clock(fact.set_at)} fires {lateness}"


def _fired(fact: TimerFired, before: Before) -> str:
    since = "sign-in" if fact.set_at == 0 else f"+{duration(fact.set_at)}"
    why = because_frozen(before, fact.at - fact.late_by, fact.at)
    lateness = f"{duration(fact.late_by)} late{why}" if fact.late_by else "on time"
    return f"the timer set at {since} fired {lateness}"


def _timer_details(fact: TimerFired) -> Rows:
    return (
        ("set at", clock(fact.set_at)),
        ("due at", clock(fact.at - fact.late_by)),
        ("late by", duration(fact.late_by)),
    )


# -- the end of another session -----------------------------------------------------------------------------


def _of_another(words: str, fact: OtherSessionEnded, is_not: str) -> str:
    which = f"{another_session(fact.session)}, which {is_not} not the app's"
    return words.replace("the session", which).replace("the user", f"user {fact.session.user}")


# -- answers ------------------------------------------------------------------------------------------------

_FROM_THE_NETWORK = (Outcome.LOST, Outcome.GATEWAY_PAGE)


def _serves(fact: Served) -> str:
    return f"acts on request {fact.request}: {SAYS[fact.outcome]}{_brought(fact)}; its reply is under way"


def _served(fact: Served, _before: Before) -> str:
    return f"the server acted on request {fact.request}: {SAYS[fact.outcome]}{_brought(fact)}"


def _brought(fact: Served | Answered) -> str:
    return f" ({fact.token})" if fact.token else ""


def _answers(fact: Answered) -> str:
    if fact.served_at is not None:
        return _delivers(fact, fact.at - fact.served_at)
    waited = f" after {duration(fact.at - fact.sent_at)}" if fact.at > fact.sent_at else ""
    truth = ", though the session is valid" if _lies(fact) else ""
    return f"answers request {fact.request}{waited}: {SAYS[fact.outcome]}{_brought(fact)}{truth}"


def _delivers(fact: Answered, underway: Millis) -> str:
    after = f", {duration(underway)} after the server acted" if underway else ""
    if fact.outcome is Outcome.LOST:
        return f"loses the reply to request {fact.request}{after}"
    return f"delivers the reply to request {fact.request}{after}: {SAYS[fact.outcome]}{_brought(fact)}"


def _delivered(fact: Answered, underway: Millis, before: Before) -> str:
    why = because_frozen(before, fact.at - underway, fact.at)
    after = f"{duration(underway)} later{why}" if underway else "at once"
    if fact.outcome is Outcome.LOST:
        return f"the reply to request {fact.request} was lost {after}"
    meanwhile = 0 < fact.stale_for <= underway
    expired = f", with a token expired for {duration(fact.stale_for)} by then" if meanwhile else ""
    return f"its reply came {after}: {SAYS[fact.outcome]}{_brought(fact)}{expired}"


def _answered(fact: Answered, before: Before) -> str:
    if fact.served_at is not None:
        return _delivered(fact, fact.at - fact.served_at, before)
    asked = before.mentioned[-1] if before.mentioned else None
    follows = isinstance(asked, Sent) and asked.request == fact.request
    which = "the answer" if follows else f"the answer to request {fact.request}"
    took = fact.at - fact.sent_at
    came = f"came {duration(took)} later{because_frozen(before, fact.sent_at, fact.at)}:" if took else "was"
    meanwhile = 0 < fact.stale_for <= took
    over = any(isinstance(one, SessionEnded) for one in before.seen)
    truth = ", although the session is valid" if _lies(fact) and not over else ""
    expired = f", with a token expired for {duration(fact.stale_for)} by then" if meanwhile else ""
    return f"{which} {came} {SAYS[fact.outcome]}{_brought(fact)}{expired}{truth}"


def _lies(fact: Answered) -> bool:
    """Does it claim, falsely, that the session has ended?"""
    return not fact.honest and fact.outcome in REFUSALS


def _answer_marks(fact: Answered, before: Before) -> tuple[str, ...]:
    """The request and how it ended. What an honest server grants in time has no mark, but for a token that was
    asked for when the last one had expired.

    A false claim that the session has ended may rest on the age of the credential. So the first one in the chain,
    which the others follow, also says when that had expired.
    """
    asked = next((one for one in before.mentioned if isinstance(one, Sent) and one.request == fact.request), None)
    if fact.outcome in (Outcome.GRANTED, Outcome.SESSION, Outcome.SETTINGS):
        return (
            *["expired before it was sent"] * bool(fact.token and asked and asked.stale_for),
            *["a late answer"] * (fact.at - fact.sent_at > Timings().patience),
        )
    what = (f"{fact.endpoint} in the {fact.origin}: {fact.outcome}",)
    if asked and asked.unauthenticated:
        return (*what, "without the credential")
    if not _lies(fact) or any(isinstance(one, Answered) and _lies(one) for one in before.mentioned):
        return what
    if asked and asked.stale_for:
        return (*what, "expired before it was sent")
    return (*what, *["expired in flight"] * bool(fact.stale_for))


def _answer_details(fact: Answered) -> Rows:
    return (
        ("request", str(fact.request)),
        ("outcome", str(fact.outcome)),
        ("honest", "yes" if fact.honest else "no"),
        ("sent at", clock(fact.sent_at)),
        *[("server acted at", clock(fact.served_at or 0))] * (fact.served_at is not None),
        ("origin", str(fact.origin)),
        ("last session token", age(fact.stale_for)),
        *[("token", token_state(fact.token, fact.at))] * (fact.token is not None),
    )


def _answer_needs(fact: Answered) -> tuple[Dependency, ...]:
    """The request, and the condition of the world that made the server or the network answer so."""
    truly_over = fact.honest and fact.outcome in REFUSALS
    end = Dependency(DependencyKind.SESSION_END, fact.about.number) if fact.about else _END
    return (
        Dependency(DependencyKind.REQUEST, fact.request),
        *[end] * truly_over,
        *[_NETWORK] * (fact.outcome is Outcome.LOST),
    )


def _token_brought(fact: Answered) -> tuple[Dependency, ...]:
    return (Dependency(DependencyKind.TOKEN, fact.token.number),) if fact.token else ()


# -- the rows -----------------------------------------------------------------------------------------------

WORLD_FACTS: tuple[FactKind[Any], ...] = (
    FactKind(
        kind=Frozen,
        lane="OS",
        moment="freeze",
        marks=lambda *_: ("a freeze",),
        present=lambda fact: FREEZES_FOR[fact.kind].format(duration(fact.until - fact.at)),
        past=lambda fact, _: FROZE_FOR[fact.kind].format(duration(fact.until - fact.at)),
        details=lambda fact: (
            ("length", duration(fact.until - fact.at)),
            ("until", clock(fact.until)),
            ("kind", str(fact.kind)),
        ),
        needs=no_dependencies,
    ),
    FactKind(
        kind=ClockSet,
        lane="OS",
        moment="clock",
        marks=lambda fact, _: (f"a clock {'ahead' if fact.skew > 0 else 'behind'}",) if fact.skew else (),
        present=lambda fact: f"sets the device's clock {ahead(fact.skew)}",
        past=lambda fact, _: f"the device's clock was set {ahead(fact.skew)}",
        details=lambda fact: (("device's clock", ahead(fact.skew)),),
        needs=no_dependencies,
        brings=lambda fact: (_CLOCK,) if fact.skew else (),
        ends=lambda fact: () if fact.skew else (_CLOCK,),
        reaches_client=True,
    ),
    FactKind(
        kind=KeychainChanged,
        lane="OS",
        moment="keychain",
        marks=lambda fact, _: ("a locked keychain",) if fact.locked else (),
        present=lambda fact: LOCKS if fact.locked else UNLOCKS,
        past=lambda fact, _: f"the operating system {LOCKS if fact.locked else UNLOCKS}",
        needs=no_dependencies,
        brings=lambda fact: (
            (_KEYCHAIN,) if fact.locked else ()
        ),  # never ends: what the client could not read stays lost
        reaches_client=True,
    ),
    FactKind(
        kind=NetworkChanged,
        lane="OS",
        moment="network",
        marks=lambda fact, _: () if fact.online else ("offline",),
        present=lambda fact: REGAINS_NETWORK if fact.online else LOSES_NETWORK,
        past=lambda fact, _: f"the operating system {REGAINS_NETWORK if fact.online else LOSES_NETWORK}",
        needs=no_dependencies,
        brings=lambda fact: () if fact.online else (_NETWORK,),
        ends=lambda fact: (_NETWORK,) if fact.online else (),
        reaches_client=True,
    ),
    FactKind(
        kind=SessionEnded,
        lane="server",
        moment="ended",
        marks=lambda *_: ("the session ended",),
        present=lambda fact: ENDS[fact.ending],
        past=lambda fact, _: f"the server {ENDED_SO[fact.ending]}",
        needs=no_dependencies,
        brings=lambda _: (_END,),
    ),
    FactKind(
        kind=OtherSessionEnded,
        lane="server",
        moment="ended",
        marks=lambda *_: ("another session ended",),
        present=lambda fact: _of_another(ENDS[fact.ending], fact, "is"),
        past=lambda fact, _: f"the server {_of_another(ENDED_SO[fact.ending], fact, 'was')}",
        details=lambda fact: (("session", another_session(fact.session)),),
        needs=no_dependencies,
        brings=lambda fact: (Dependency(DependencyKind.SESSION_END, fact.session.number),),
    ),
    FactKind(
        kind=Restarted,
        lane="OS",
        to="SDK",
        moment="restarted",
        marks=lambda *_: ("a restart",),
        present=_restarts,
        past=lambda *_: "the app was killed and started again",
        details=_restart_details,
        needs=no_dependencies,
        brings=lambda fact: (Dependency(DependencyKind.CALL, fact.call),),
        reaches_client=True,
    ),
    FactKind(
        kind=CallStarted,
        lane="app",
        to="SDK",
        moment="asked",
        marks=lambda fact, _: (fact.operation.verb,) if _changes_sessions(fact.operation) else (),
        present=_calls,
        past=lambda fact, _: f"the app called {fact.operation.verb} (call {fact.call})",
        needs=no_dependencies,
        brings=lambda fact: (
            Dependency(DependencyKind.CALL, fact.call),
            *[_LEAVING] * fact.operation.leaves,
        ),
        reaches_client=True,
    ),
    FactKind(
        kind=TimerFired,
        lane="timer",
        to="SDK",
        moment="timer",
        marks=lambda *_: ("a timer",),
        present=_fires,
        past=_fired,
        details=_timer_details,
        needs=lambda fact: (Dependency(DependencyKind.TIMER, fact.timer),),
        reaches_client=True,
        needs_effect=True,
    ),
    FactKind(
        kind=Served,
        lane="server",
        to="network",
        moment="served",
        marks=lambda fact, _: (f"{fact.endpoint} served: {fact.outcome}",),
        present=_serves,
        past=_served,
        details=lambda fact: (
            ("request", str(fact.request)),
            ("outcome", str(fact.outcome)),
            ("sent at", clock(fact.sent_at)),
            *[("token", token_state(fact.token, fact.at))] * (fact.token is not None),
        ),
        needs=lambda fact: (Dependency(DependencyKind.REQUEST, fact.request),),
        brings=lambda fact: (Dependency(DependencyKind.REQUEST, fact.request),),
    ),
    FactKind(
        kind=Answered,
        lane=lambda fact: (
            "network" if fact.outcome in _FROM_THE_NETWORK or fact.served_at is not None else "server"
        ),
        to="SDK",
        moment="answer",
        marks=_answer_marks,
        present=_answers,
        past=_answered,
        details=_answer_details,
        needs=_answer_needs,
        brings=lambda fact: (*_token_brought(fact), *[_LEAVING] * (fact.endpoint is Endpoint.SIGN_OUT)),
        reaches_client=True,
    ),
)
"""In the order of `model/world/facts.py`."""
