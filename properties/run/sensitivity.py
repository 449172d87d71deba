"""What of a counterexample is necessary: vary one thing at a time and play it again.

Lengths of time are varied within the assumptions, because it is by them that a length matters (a credential is
stale after so many seconds); how a request ends is varied beyond them, because what the client makes of a 429
does not depend on whether this world would say it. Edges of ranges are exact, to the ms; between the lengths
tried the outcome is taken to be one and the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from msgspec.structs import replace

from model.terms import SESSION_LIFETIME, SKEWS, Millis, Outcome
from model.world.events import Advance, Answer, Event, Freeze, FreezeKind, GetToken, SetClock
from model.world.state import GRANTS, POSSIBLE
from properties.invariants.catalogue import Invariant
from properties.run.counterexample import Need
from properties.run.run import Violation
from properties.run.shrink import requests_sent, violates, without
from properties.system.target import Target
from properties.system.trace import Trace, ahead, brief, duration
from properties.system.wording import KINDS, SHORT, either

SECOND: Millis = 1000
LENGTHS: tuple[Millis, ...] = (
    *(1, 1 * SECOND, 5 * SECOND, 10 * SECOND, 17 * SECOND, 30 * SECOND, 43 * SECOND, 55 * SECOND, 61 * SECOND),
    *(seconds * SECOND for seconds in (120, 600, 3600, 8 * 3600, 86_400, 7 * 86_400, 29 * 86_400)),
)
"""Where a change of outcome is looked for; the edge between two of them is then bisected."""


def necessities(violation: Violation, target: Target, invariant: Invariant) -> tuple[Need, ...]:
    """Vary each event of the violation's trace. Some hundred runs. Raises `TargetError`."""
    trace = violation.trace
    sent = requests_sent(trace, target)
    found: list[Need] = []
    for place, event in enumerate(trace.events):

        def stays(other: Event, *, place: int = place, beyond: bool = False) -> bool:
            events = (*trace.events[:place], other, *trace.events[place + 1 :])
            changed = replace(trace, events=events)
            return violates(changed, target, invariant, beyond_assumptions=beyond) is not None

        dropped = replace(trace, events=without(trace.events, place, sent))
        if violates(dropped, target, invariant):
            found.append(Need(place + 1, "the event", ("without it",), (), 1))
        found += _variations(event, stays, violation, place)
    return tuple(found)


def _variations(event: Event, stays: Callable[..., bool], violation: Violation, place: int) -> Iterator[Need]:
    number = place + 1
    match event:
        case Advance(ms) | Freeze(ms):
            left = SESSION_LIFETIME - 1 - violation.played[place].before.now
            yield _lengths(number, lambda length: stays(replace(event, ms=length)), ms, left)
            if isinstance(event, Freeze):
                other = next(kind for kind in FreezeKind if kind is not event.kind)
                yield _either(number, "kind of freeze", {KINDS[other]: replace(event, kind=other)}, stays)
        case Answer(request, outcome) if not violation.played[place].before.offline:
            asked = violation.played[place].before.request(request)
            lags = any(member.lags for member in violation.trace.assumptions.members)
            strange: tuple[Outcome, ...] = () if lags else (Outcome.STALE_TOKEN,)  # like any other to most
            strange = GRANTS if asked.bare else strange
            answers = [other for other in POSSIBLE[asked.endpoint] if other not in (outcome, *strange)]
            others = {SHORT[other]: replace(event, outcome=other) for other in answers}
            yield _either(number, "answer", others, lambda other: stays(other, beyond=True))
        case GetToken():
            asks = (GetToken(), GetToken(skip_cache=True), GetToken(template="api"))
            yield _either(number, "call", {brief(ask): ask for ask in asks if ask != event}, stays)
        case SetClock(skew):
            clocks: dict[str, Event] = {f"a clock {ahead(it)}": SetClock(it) for it in SKEWS if it != skew}
            yield _either(number, "clock", clocks, stays)


def _either(number: int, parameter: str, others: Mapping[str, Event], stays: Callable[[Event], bool]) -> Need:
    does = {name: stays(other) for name, other in others.items()}
    return Need(
        number,
        parameter,
        tuple(name for name, held in does.items() if held),
        tuple(name for name, held in does.items() if not held),
        len(does),
    )


def _lengths(number: int, stays: Callable[[Millis], bool], given: Millis, longest: Millis) -> Need:
    """The ranges of lengths with which the violation stays, and those between them."""
    known: dict[Millis, bool] = {given: True}

    def ask(ms: Millis) -> bool:
        if ms not in known:
            known[ms] = stays(ms)
        return known[ms]

    samples = sorted({ms for ms in (*LENGTHS, given, longest) if ms <= longest})
    ranges: list[tuple[Millis, Millis, bool]] = []
    start = samples[0]
    for low, high in pairwise(samples):
        if ask(low) is not ask(high):
            last = _edge(ask, low, high)
            ranges.append((start, last, ask(low)))
            start = last + 1
    ranges.append((start, samples[-1], ask(samples[-1])))
    words = [(_range(low, high, longest), held) for low, high, held in ranges]
    return Need(
        number,
        "length",
        tuple(text for text, held in words if held),
        tuple(text for text, held in words if not held),
        len(known) - 1,
    )


def _edge(ask: Callable[[Millis], bool], low: Millis, high: Millis) -> Millis:
    """The last length from `low` on with which the outcome is that of `low`; at `high` it is another."""
    outcome = ask(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ask(middle) is outcome else (low, middle)
    return low


def _range(low: Millis, high: Millis, longest: Millis) -> str:
    if low <= 1:
        return "any" if high == longest else f"up to {duration(high)}"
    return f"from {duration(low)} on" if high == longest else f"{duration(low)} to {duration(high)}"


def say(need: Need, trace: Trace, event: str | None = None) -> str:
    """What was found out about one parameter, in one line. `event` is how to call what it belongs to."""
    event = event or brief(trace.events[need.event - 1])
    stays, goes = either(need.stays), either(need.goes)
    if need.parameter == "the event":
        return f"{event}: not needed"
    if need.parameter == "length":
        which = "" if need.stays == ("any",) else f" {stays}"
        return f"{event}: any length{which} will do" + (f", none {goes}" if goes else "")
    would = [f"{stays} would do as well"] * bool(stays)
    return f"{event}: " + "; ".join([*would, *[f"{goes} would not do"] * bool(goes)])
