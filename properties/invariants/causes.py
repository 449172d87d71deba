"""Why a violation happened: links between facts, the causal chain of a breach, and one sentence for it.

`links` says for each fact which earlier facts led to it, from the facts alone, so it can explain a defect that
nobody anticipated. `causal_chain` selects the facts that led to a breach. `cause_sentence` puts them into words.
The row of each kind of fact says what that kind needs and provides (`properties/system/fact_kinds.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct

from model.requests import Endpoint
from model.step import Step
from model.terms import CallId, Millis, RequestId, Token
from model.world.facts import (
    Answered,
    CallStarted,
    ClockSet,
    Fact,
    Frozen,
    Restarted,
    Sent,
    Settled,
    TimerArmed,
    TimerFired,
    TurnsTaken,
)
from properties.invariants.breach import (
    Breach,
    Choice,
    GivenToken,
    KnownToken,
    OpenRequest,
    Renewal,
    Subject,
    WaitingCall,
)
from properties.system.fact_kind import STIMULUS, Before, Dependency, DependencyKind
from properties.system.fact_kinds import facts_of, reaction, row_of
from properties.system.wording import duration

Index: TypeAlias = int
"""The position of a fact among the facts of a trace, from 0."""

Links: TypeAlias = tuple[tuple[Index, ...], ...]
"""For each fact, the facts that led to it; the one that triggered it comes first. Empty for a fact that no other
fact led to."""


class Waiting(Struct, frozen=True):
    """A call or a request that is still pending at the end of a causal chain; `since` is in ms."""

    call: CallId | None
    request: RequestId | None
    since: Millis


class CausalChain(Struct, frozen=True):
    """The facts that led to a breach, in order, and what was still pending at `end`, in ms.

    `breach` is the index of the fact that violates the invariant; None if the violation is that something did not
    happen.
    """

    facts: tuple[Index, ...]
    breach: Index | None
    waiting: tuple[Waiting, ...] = ()
    end: Millis = 0


# -- links --------------------------------------------------------------------------------------------------


def links(facts: Sequence[Fact]) -> Links:
    """The facts that led to each fact."""
    brought: dict[Dependency, Index] = {}
    found: list[tuple[Index, ...]] = []
    for index, fact in enumerate(facts):
        row = row_of(fact)
        sources = (brought[dependency] for dependency in row.needs(fact) if dependency in brought)
        found.append(tuple(dict.fromkeys(sources)))
        brought.update(dict.fromkeys(row.brings(fact), index))
        if row.reaches_client:
            brought[STIMULUS] = index
        for dependency in row.ends(fact):
            brought.pop(dependency, None)
    return tuple(found)


def _ancestors(because: Links, ends: Iterable[Index]) -> set[Index]:
    """The facts at `ends`, and everything that led to them."""
    found: set[Index] = set()
    rest = list(ends)
    while rest:
        index = rest.pop()
        if index not in found:
            found.add(index)
            rest.extend(because[index])
    return found


# -- the causal chain ----------------------------------------------------------------------------------------


def causal_chain(played: Sequence[Step], breach: Breach | None) -> CausalChain:
    """The causal chain of the breach in the last of these steps; of the last fact if there is no breach."""
    facts = facts_of(played)
    end = played[-1].after.now if played else 0
    return _causal_chain(facts, breach, len(facts) - len(played[-1].facts) if played else 0, end)


def _causal_chain(facts: Sequence[Fact], breach: Breach | None, step: Index, end: Millis) -> CausalChain:
    """`step` is the index of the first fact of the last step."""
    because = links(facts)
    place = _place(facts, breach, step)
    ends = [] if place is None else [place]
    before = len(facts) if place is None else place
    waiting: list[Waiting] = []
    for subject in breach.about if breach else ():
        found = _about(subject, facts[:before], because)
        ends += found
        if place is None and found:
            waiting += _waiting(subject, facts[found[0]].at)
    told = _told(facts, because, ends)
    if place is not None and place not in told:  # a timer that was set, and nothing after it
        told.append(place)
    return CausalChain(tuple(told), place, tuple(waiting), end)


def _told(facts: Sequence[Fact], because: Links, ends: Sequence[Index]) -> list[Index]:
    """What led to these facts, in order, and they: without timers that were set, and without those that did no
    more on time than to set the next one, as a ticker's do."""
    chain = _ancestors(because, ends)
    led = {source for one in chain if not isinstance(facts[one], TimerArmed) for source in because[one]}

    def silent(index: Index) -> bool:
        match facts[index]:
            case TimerArmed():
                return True
            case TimerFired(late_by=0):
                return index not in led and index not in ends
            case _:
                return False

    return sorted(index for index in chain if not silent(index))


def _place(facts: Sequence[Fact], breach: Breach | None, step: Index) -> Index | None:
    """The index of the breach's fact."""
    if breach is not None and breach.fact is not None:
        return next(index for index in range(step, len(facts)) if facts[index] == breach.fact)
    return len(facts) - 1 if facts and not (breach and breach.about) else None


def _about(subject: Subject, facts: Sequence[Fact], because: Links) -> list[Index]:
    """The facts that explain a subject; the one that it began with comes first."""
    match subject:
        case WaitingCall(call):
            begun = _last(facts, lambda fact: isinstance(fact, CallStarted | Restarted) and fact.call == call)
            return [*begun, *_course(begun, facts, because)]
        case OpenRequest(request):
            return _last(facts, lambda fact: isinstance(fact, Sent) and fact.request == request)
        case KnownToken(token):
            return _arrival(token, facts)
        case GivenToken(token):
            return _last(facts, lambda fact: isinstance(fact, Settled) and fact.token == token)
        case Renewal(token):
            return [*_arrival(token, facts), *_attempt(token, facts), *_conditions(facts)]
        case Choice(token):
            return _choice(token, facts)


def _waiting(subject: Subject, since: Millis) -> list[Waiting]:
    match subject:
        case WaitingCall(call):
            return [Waiting(call, None, since)]
        case OpenRequest(request):
            return [Waiting(None, request, since)]
        case _:
            return []


def _last(facts: Sequence[Fact], fits: Callable[[Fact], bool]) -> list[Index]:
    """The index of the last fact that fits, if any."""
    return next(([index] for index in reversed(range(len(facts))) if fits(facts[index])), [])


def _arrival(token: Token, facts: Sequence[Fact]) -> list[Index]:
    """The fact that brought the token; none for the token of the sign-in."""
    dependency = Dependency(DependencyKind.TOKEN, token.number)
    return _last(facts, lambda fact: dependency in row_of(fact).brings(fact))


def _course(begun: list[Index], facts: Sequence[Fact], because: Links) -> list[Index]:
    """The last fact of the chain that a call triggered."""
    course = set(begun)
    for index in range(len(facts)):
        if course.intersection(because[index][:1]):
            course.add(index)
    return [max(course)] if course else []


def _attempt(token: Token, facts: Sequence[Fact]) -> list[Index]:
    """The last attempt to renew a token: the answer to a request for a token with the same id, or else a timer
    that fired, one of the token's own if there is any, or else what delayed the timers; or else such an answer
    while the token itself was under way."""
    came = max(_arrival(token, facts), default=-1)
    alike = {fact.request for fact in facts if isinstance(fact, Sent) and fact.token_id == token.token_id}

    def attempted(fact: Fact) -> bool:
        return isinstance(fact, Answered) and fact.endpoint is Endpoint.MINT and fact.request in alike

    later = facts[came + 1 :]
    own = {fact.timer for fact in reaction(later) if isinstance(fact, TimerArmed)}
    found = (
        _last(later, attempted)
        or _last(later, lambda fact: isinstance(fact, TimerFired) and fact.timer in own)
        or _last(later, lambda fact: isinstance(fact, TimerFired))
        or _last(later, lambda fact: isinstance(fact, Frozen | ClockSet))
    )
    asked = _asked(token, facts)
    beside = [] if asked is None else _last(facts[:came], lambda fact: attempted(fact) and fact.at >= asked)
    return [came + 1 + index for index in found] or beside


def _asked(token: Token, facts: Sequence[Fact]) -> Millis | None:
    """The instant at which the request that brought the token was sent."""
    answers = (facts[index] for index in _arrival(token, facts))
    return next((answer.sent_at for answer in answers if isinstance(answer, Answered)), None)


def _conditions(facts: Sequence[Fact]) -> list[Index]:
    """What decides when a token is renewed: clocks that were set wrong, a lock that another tab took, and the
    app's last choice of a token."""
    return [
        *(index for index, fact in enumerate(facts) if isinstance(fact, ClockSet) and fact.skew != 0),
        *_last(facts, lambda fact: isinstance(fact, TurnsTaken) and fact.held),
        *_last(facts, lambda fact: isinstance(fact, CallStarted) and fact.operation.changes_session),
    ]


def _choice(token: Token, facts: Sequence[Fact]) -> list[Index]:
    """The app's last call that changed which token is the session's own, before `token` was requested."""
    asked = _asked(token, facts)
    return _last(
        facts,
        lambda fact: (
            isinstance(fact, CallStarted)
            and fact.operation.changes_session
            and (asked is None or fact.at <= asked)
        ),
    )


# -- the sentence -------------------------------------------------------------------------------------------


def sentence(facts: Sequence[Fact]) -> str:
    """Why the last fact happened, in one sentence."""
    return _sentence(facts, _causal_chain(facts, None, 0, 0))


def cause_sentence(played: Sequence[Step], breach: Breach | None) -> str:
    """Why the breach in the last of these steps happened, in one sentence."""
    return _sentence(facts_of(played), causal_chain(played, breach))


def _sentence(facts: Sequence[Fact], found: CausalChain) -> str:
    told: list[Fact] = []
    clauses: list[str] = []
    for index in found.facts:
        fact = facts[index]
        clauses.append(row_of(fact).past(fact, Before(facts[:index], told)))
        told.append(fact)
    clauses += [_still(one, found.end) for one in found.waiting]
    text = "; ".join(clauses) + "." if clauses else "Nothing happened."
    return text[0].upper() + text[1:]


def _still(waiting: Waiting, end: Millis) -> str:
    """What is still pending at the end of a causal chain."""
    since = duration(end - waiting.since)
    if waiting.call is not None:
        return f"and call {waiting.call} still waits after {since}"
    return f"request {waiting.request} has had no answer for {since}"
