"""The content of a counterexample's report, without a layout.

The timeline on a terminal, the Markdown report and the page are all made from a `View`, so that they agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Millis
from model.world.facts import Answered, Fact, Frozen
from model.world.state import System, World
from properties.invariants.breach import Breach
from properties.invariants.catalogue import INVARIANTS, breach_of
from properties.invariants.causes import CausalChain, Waiting, causal_chain, cause_sentence, links
from properties.render.fields import fields
from properties.run.counterexample import Counterexample
from properties.run.variation import say
from properties.system.event_kinds import brief
from properties.system.fact_kind import Rows
from properties.system.fact_kinds import notable, row_of, tell
from properties.system.trace import Trace, unsaved
from properties.system.wording import ahead, clock, duration, listed, one_line, token_state

LANES = ("OS", "timer", "SDK", "network", "server", "app")


TERMS = (
    (r"in the foreground", "in the foreground", "caused by a call of the app that is still pending"),
    (r"in the background", "in the background", "not caused by such a call, but by a timer, say"),
    (r"\bT\d", "T1, T2, ...", "tokens in the order in which the server minted them; the session began with T1"),
    (
        r"(request|call) \d",
        "request 1, call 1",
        "requests of the SDK and calls of the app, counted from sign-in",
    ),
)
"""Terms of a report: how one is recognized, how it is listed, and what it means."""


class Moment(Struct, frozen=True):
    """One fact in the timeline: its instants in ms, its lane, the lane that it reaches (None: its own), and its
    step, from 1. `cause` is the index of the moment that triggered it."""

    at: Millis
    clock: str
    until: Millis | None
    lane: str
    to: str | None
    text: str
    kind: str
    sent_at: Millis | None
    fatal: bool
    step: int
    cause: int | None
    also: tuple[int, ...]
    """Further moments that led to this one, besides its `cause`."""
    details: Rows


class Stage(Struct, frozen=True):
    """The state after a step; number 0 is sign-in. `client` is the model's client; None if no model agrees."""

    number: int
    event: str
    clock: str
    world: Rows
    client: Rows | None


class View(Struct, frozen=True):
    """The whole report."""

    title: str
    sentence: str
    why: str
    cause: str
    about: Rows
    lanes: tuple[str, ...]
    moments: tuple[Moment, ...]
    steps: tuple[Stage, ...]
    needs: tuple[str, ...]
    terms: Rows
    """What the assumptions and the terms in it mean."""
    events: str
    replay: str


def view(found: Counterexample) -> View:
    """The content of the report of `found`."""
    trace = found.trace
    invariant = INVARIANTS.get(trace.invariant or "")
    breach = breach_of(trace, found.played)
    moments = _moments(found, breach)
    return View(
        title=one_line(f"{trace.invariant} is violated on {trace.target}"),
        sentence=invariant.sentence if invariant else "",
        why=one_line(trace.why or ""),
        cause=cause_sentence(found.played, breach),
        about=tuple((name, one_line(value)) for name, value in _about(found)),
        lanes=LANES,
        moments=moments,
        steps=_stages(found),
        needs=tuple(say(need, trace) for need in found.needs),
        terms=_terms(trace, moments),
        events=str(trace),
        replay=trace.command if trace.path in unsaved else f"sessionproof replay {trace.path}",
    )


def _terms(trace: Trace, moments: Iterable[Moment]) -> Rows:
    text = " ".join(moment.text for moment in moments)
    assumed = [(f"assuming {name}", ASSUMPTIONS[name].meaning) for name in trace.assumptions.names]
    return (*assumed, *((term, means) for pattern, term, means in TERMS if re.search(pattern, text)))


def _about(found: Counterexample) -> list[tuple[str, str]]:
    trace = found.trace
    rows = [
        ("target", trace.target),
        ("runtime", str(trace.runtime)),
        ("assuming", str(trace.assumptions)),
    ]
    if found.opinion:
        rows.append(("formal model", f"{found.opinion.target}: {found.opinion.says}"))
    rows += [("seed", str(found.found.seed))] * (found.found.seed is not None)
    rows.append(("found with", ", ".join(f"{name} {version}" for name, version in found.found.versions.items())))
    return rows


# -- moments ------------------------------------------------------------------------------------------------


def _moments(found: Counterexample, breach: Breach | None) -> tuple[Moment, ...]:
    facts, told = found.facts, causal_chain(found.played, breach)
    because = links(facts)
    steps = [number for number, step in enumerate(found.played, 1) for _ in step.facts]
    shown = {id(fact) for fact in notable(facts)} | {id(facts[index]) for index in told.facts}
    place: dict[int, int] = {}
    moments: list[Moment] = []
    for index, fact in enumerate(facts):
        if id(fact) in shown:
            led = _led(because, index, place)
            place[index] = len(moments)
            moments.append(_moment(fact, steps[index], led, fatal=index == told.breach))
    if told.waiting:
        led = [place[index] for index in told.facts if index in place]
        moments.append(_missing(told, len(found.played), led))
    return tuple(moments)


def _led(because: tuple[tuple[int, ...], ...], index: int, place: dict[int, int]) -> list[int]:
    """The moments that led to a fact. A fact that is not shown, such as a timer that was set, is replaced by what
    led to it."""
    led: list[int] = []
    for cause in because[index]:
        led += [place[cause]] if cause in place else _led(because, cause, place)
    return list(dict.fromkeys(led))


def _moment(fact: Fact, step: int, led: list[int], fatal: bool) -> Moment:
    row = row_of(fact)
    lane, text = tell(fact)
    return Moment(
        at=fact.at,
        clock=clock(fact.at),
        until=fact.until if isinstance(fact, Frozen) else None,
        lane=lane,
        to=row.to,
        text=text,
        kind=row.moment,
        sent_at=fact.sent_at if isinstance(fact, Answered) else None,
        fatal=fatal,
        step=step,
        cause=led[0] if led else None,
        also=tuple(led[1:]),
        details=row.details(fact),
    )


def _missing(told: CausalChain, step: int, led: list[int]) -> Moment:
    """The moment at the end of a trace whose violation is that something did not happen."""
    calls = [f"call {one.call}" for one in told.waiting if one.call is not None]
    return Moment(
        at=told.end,
        clock=clock(told.end),
        until=None,
        lane="app",
        to=None,
        text=f"still waits for {', '.join(calls)}",
        kind="waits",
        sent_at=None,
        fatal=True,
        step=step,
        cause=led[-1] if led else None,
        also=tuple(led[:-1]),
        details=tuple((_waited_for(one), duration(told.end - one.since)) for one in told.waiting),
    )


def _waited_for(waiting: Waiting) -> str:
    return f"call {waiting.call}" if waiting.call is not None else f"request {waiting.request}, without an answer"


# -- stages -------------------------------------------------------------------------------------------------


def _stages(found: Counterexample) -> tuple[Stage, ...]:
    events = ["signed in", *map(brief, found.trace.events)]
    systems = [found.played[0].start, *(step.end for step in found.played)]
    clients = found.clients or (None,) * len(systems)
    return tuple(
        Stage(
            number,
            event,
            clock(system.world.now),
            tuple(_world(system)),
            fields(client, system.world.now) if client is not None else None,
        )
        for number, (event, system, client) in enumerate(zip(events, systems, clients, strict=True))
    )


def _world(system: System) -> list[tuple[str, str]]:
    world = system.world
    return [
        ("session on the server", "valid" if world.valid else "ended"),
        ("user", "signed in" if world.signed_in else "signed out"),
        *[("device's clock", ahead(world.skew))] * (world.skew != 0),
        *[("keychain", "locked")] * world.locked,
        *[("network", "none: the device is offline")] * world.offline,
        *((f"{name} on the server", value) for name, value in fields(world.server, world.now)),
        ("last session token", token_state(world.token, world.now)),
        ("timers", listed(f"due {clock(t.due)}, set {clock(t.set_at)}" for t in world.timers)),
        (
            "requests in flight",
            listed(f"{r.request}: {r.endpoint}, in the {world.origin(r.cause)}" for r in world.requests),
        ),
        ("calls waiting", listed(f"{c.call}, since {clock(c.asked_at)}" for c in system.monitor.calls)),
        *(_page(world) if world.runtime.is_page else ()),
    ]


def _page(world: World) -> Iterator[tuple[str, str]]:
    yield "tab", str(world.page.tab)
    if world.page.held:
        yield "lock of the tabs", "held by another tab"
    if not world.page.channel:
        yield "channel to other tabs", "closed"
    yield "token shown", token_state(world.page.shown, world.now)
