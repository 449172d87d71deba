"""Variation: which parts of a counterexample are necessary? Vary one parameter at a time and replay.

Durations vary within the assumptions, because the assumptions give them their meaning (a credential is stale
after so many seconds). Outcomes of requests vary beyond the assumptions, because what the client does on a 429
does not depend on whether this world permits one. The edges of ranges are exact to the ms. Between two sampled
durations with the same outcome, the outcome is assumed to be constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from msgspec.structs import replace

from model.assumptions.landmarks import SKEWS
from model.operations import Operation
from model.requests import GRANTS, Outcome
from model.terms import Millis, Timings
from model.world.events import Advance, Answer, Event, Freeze, FreezeKind, Serve, SetClock
from model.world.state import World
from properties.invariants.invariant import Invariant
from properties.run.counterexample import Need
from properties.run.distinct import NOTHING, simpler
from properties.run.lengths import SECOND
from properties.run.run import Violation
from properties.run.shrink import alternatives, requests_sent, violates, without
from properties.system.event_kinds import brief
from properties.system.registry import sdks
from properties.system.target import Target
from properties.system.trace import Trace
from properties.system.wording import FREEZE_NOUNS, SHORT, ahead, duration, either

PLAIN_LENGTHS: tuple[Millis, ...] = (
    *(1, 1 * SECOND, 10 * SECOND, 30 * SECOND),
    *(seconds * SECOND for seconds in (120, 600, 3600, 8 * 3600, 86_400, 7 * 86_400, 29 * 86_400)),
)


def lengths_tried(timings: Timings) -> tuple[Millis, ...]:
    """The sampled durations, in ms: round ones, and those that matter for the SDK's timings. Where the outcome
    changes between two of them, the edge is found by bisection."""
    lead, cutoff, lifetime = timings.lead, timings.cutoff, timings.lifetime
    own = (cutoff, lead, lifetime - lead, lifetime - cutoff, lifetime + 1)
    return tuple(sorted({*PLAIN_LENGTHS, *(seconds * SECOND for seconds in own if seconds > 0)}))


def necessities(violation: Violation, target: Target, invariant: Invariant) -> tuple[Need, ...]:
    """The result of varying each event of the violation's trace. Takes some hundred runs. Raises
    `TargetError`."""
    trace = violation.trace
    sent = requests_sent(trace, target)
    found: list[Need] = []
    for place, event in enumerate(trace.events):

        def stays(other: Event, *, place: int = place, beyond: bool = False) -> bool:
            events = (*trace.events[:place], other, *trace.events[place + 1 :])
            changed = replace(trace, events=events)
            return violates(changed, target, invariant, beyond_assumptions=beyond) is not None

        dropped = replace(trace, events=without(trace.events, [place], sent))
        if violates(dropped, target, invariant, counts=simpler(violation, NOTHING)):
            found.append(Need(place + 1, "the event", ("without it",), (), 1))
        found += _variations(event, stays, violation, place)
    return tuple(found)


def _variations(event: Event, stays: Callable[..., bool], violation: Violation, place: int) -> Iterator[Need]:
    number, world = place + 1, violation.played[place].before
    match event:
        case Advance(ms) | Freeze(ms):
            left = world.timings.session - 1 - world.now
            samples = (*lengths_tried(world.timings), ms, left)
            yield _lengths(number, lambda length: stays(replace(event, ms=length)), ms, samples)
            if isinstance(event, Freeze):
                other = next(kind for kind in FreezeKind if kind is not event.kind)
                yield _either(number, "kind of freeze", {FREEZE_NOUNS[other]: replace(event, kind=other)}, stays)
        case Answer() | Serve() if not world.offline:
            lags = violation.trace.assumptions.may_lag
            answers = {
                SHORT[other]: replace(event, outcome=other) for other in _other_answers(event, world, lags)
            }
            yield _either(number, "answer", answers, lambda other: stays(other, beyond=True))
        case Operation():
            calls: dict[str, Event] = {
                brief(call): call for sdk in sdks() for call in alternatives(event, sdk.operations)
            }
            if calls:
                yield _either(number, "call", calls, stays)
        case SetClock(skew):
            clocks: dict[str, Event] = {f"a clock {ahead(it)}": SetClock(it) for it in SKEWS if it != skew}
            yield _either(number, "clock", clocks, stays)


def _other_answers(event: Answer | Serve, world: World, may_lag: bool) -> list[Outcome]:
    """The other outcomes that the request could have. `STALE_TOKEN` needs an assumption that lets tokens lag."""
    request = world.request(event.request)
    assert request is not None, "it was in flight when it was answered"
    impossible = GRANTS if request.unauthenticated else () if may_lag else (Outcome.STALE_TOKEN,)
    outcomes = world.server.outcomes(request.endpoint)
    return [other for other in outcomes if other is not event.outcome and other not in impossible]


def _either(number: int, parameter: str, others: Mapping[str, Event], stays: Callable[[Event], bool]) -> Need:
    does = {name: stays(other) for name, other in others.items()}
    return Need(
        number,
        parameter,
        tuple(name for name, held in does.items() if held),
        tuple(name for name, held in does.items() if not held),
        len(does),
    )


def _lengths(number: int, stays: Callable[[Millis], bool], given: Millis, tried: tuple[Millis, ...]) -> Need:
    """The ranges of durations that keep the violation, and those that remove it. The last of `tried` is the
    longest possible duration."""
    known: dict[Millis, bool] = {given: True}

    def ask(ms: Millis) -> bool:
        if ms not in known:
            known[ms] = stays(ms)
        return known[ms]

    longest = tried[-1]
    samples = sorted({ms for ms in tried if ms <= longest})
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
    """The longest duration with the same outcome as `low`. `high` has the other outcome."""
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
    """What varying one parameter shows, in one line. `event` is the name of its event."""
    event = event or brief(trace.events[need.event - 1])
    stays, goes = either(need.stays), either(need.goes)
    if need.parameter == "the event":
        return f"{event}: not needed"
    if need.parameter == "length":
        which = "" if need.stays == ("any",) else f" {stays}"
        return f"{event}: any length{which} will do" + (f", none {goes}" if goes else "")
    would = [f"{stays} would do as well"] * bool(stays)
    return f"{event}: " + "; ".join([*would, *[f"{goes} would not do"] * bool(goes)])
