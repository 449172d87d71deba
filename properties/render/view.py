"""What a report of a counterexample shows, in plain words and numbers, before any of it has a layout.

The timeline on a terminal, the Markdown report and the page are made from this one value, so that they tell the
same story in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from model.clerk.state import Client
from model.terms import SESSION_TOKEN, Millis, Outcome, Runtime, Token
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
from model.world.state import World
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.causes import causes, fatal, sentence
from properties.run.counterexample import Counterexample
from properties.run.sensitivity import say
from properties.system.trace import ahead, brief, duration
from properties.system.wording import clock, notable, tell

LANES = ("OS", "timer", "SDK", "network", "server", "app")

Rows = tuple[tuple[str, str], ...]


class Moment(Struct, frozen=True):
    """One fact, placed: from which lane, to which (None if it stays there), when, and in which step (from 1)."""

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
    details: Rows


class Stage(Struct, frozen=True):
    """The state of affairs after a step; number 0 is sign-in. `client` is the model's, None where none agrees."""

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
    events: str
    replay: str


def view(found: Counterexample) -> View:
    """The report of `found`."""
    trace = found.trace
    invariant = INVARIANTS.get(trace.invariant or "")
    return View(
        title=f"{trace.invariant} is violated on {trace.target}",
        sentence=invariant.sentence if invariant else "",
        why=trace.why or "",
        cause=sentence(found.facts),
        about=tuple(_about(found)),
        lanes=LANES,
        moments=_moments(found),
        steps=_stages(found),
        needs=tuple(say(need, trace) for need in found.needs),
        events=str(trace),
        replay=f"sessionproof replay {trace.path}",
    )


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


def _moments(found: Counterexample) -> tuple[Moment, ...]:
    facts = found.facts
    because, end = causes(facts), fatal(facts)
    steps = [number for number, step in enumerate(found.played, 1) for _ in step.facts]
    shown = {id(fact) for fact in notable(facts)} | {id(facts[end])}
    place: dict[int, int] = {}
    moments: list[Moment] = []
    for index, fact in enumerate(facts):
        if id(fact) not in shown:
            continue
        cause = because[index]
        while cause is not None and cause not in place:  # a timer that was set, say, is no moment of its own
            cause = because[cause]
        place[index] = len(moments)
        lane, to, kind = _lanes(fact)
        moments.append(
            Moment(
                at=fact.at,
                clock=clock(fact.at),
                until=fact.until if isinstance(fact, Frozen) else None,
                lane=lane,
                to=to,
                text=tell(fact)[1],
                kind=kind,
                sent_at=fact.sent_at if isinstance(fact, Told) else None,
                fatal=index == end,
                step=steps[index],
                cause=None if cause is None else place[cause],
                details=tuple(_details(fact)),
            )
        )
    return tuple(moments)


def _lanes(fact: Fact) -> tuple[str, str | None, str]:
    """(lane, to which lane, kind of moment)."""
    match fact:
        case Frozen():
            return "OS", None, "freeze"
        case Skewed():
            return "OS", None, "skewed"
        case Asked():
            return "app", "SDK", "asked"
        case Ended():
            return "server", None, "ended"
        case Turned():
            return "OS", None, "turned"
        case Connected():
            return "OS", None, "connected"
        case Armed() | Fired():
            return "timer", "SDK", "timer"
        case Sent():
            return "SDK", "server", "request"
        case Told():
            from_network = fact.outcome in (Outcome.LOST, Outcome.GATEWAY_PAGE)
            return "network" if from_network else "server", "SDK", "answer"
        case Dropped():
            return "SDK", None, "dropped"
        case Announced():
            return "SDK", None, "announced"
        case Kept():
            return "SDK", None, "kept"
        case Regained():
            return "SDK", None, "regained"
        case Settled():
            return "SDK", "app", "settled"
        case Restarted():
            return "OS", "SDK", "restarted"


def _details(fact: Fact) -> list[tuple[str, str]]:
    match fact:
        case Frozen(at, until, kind):
            return [("length", duration(until - at)), ("until", clock(until)), ("kind", str(kind))]
        case Skewed(_, skew):
            return [("device's clock", ahead(skew))]
        case Fired(_, _, set_at, late_by):
            due = fact.at - late_by
            return [("set at", clock(set_at)), ("due at", clock(due)), ("late by", duration(late_by))]
        case Sent(_, request, endpoint, token_id, origin, stale_for, bare):
            rows = [("request", str(request)), ("for", str(endpoint)), ("origin", str(origin))]
            rows += [("template", str(token_id.template))] * (token_id.template is not None)
            rows += [("organization", str(token_id.organization))] * (token_id.organization is not None)
            rows += [("credential", "none")] * bare
            return [*rows, ("last session token", _age(stale_for))]
        case Told(_, request, _, outcome, token, sent_at, origin, honest, stale_for):
            rows = [("request", str(request)), ("outcome", str(outcome)), ("honest", "yes" if honest else "no")]
            rows += [
                ("sent at", clock(sent_at)),
                ("origin", str(origin)),
                ("last session token", _age(stale_for)),
            ]
            return rows + [("token", _token(token, fact.at))] * (token is not None)
        case Settled(_, call, asked_at, _, token, error):
            result = _token(token, fact.at) if token else f"error '{error}'" if error else "success"
            return [("call", str(call)), ("asked at", clock(asked_at)), ("result", result)]
        case Announced(at, token, before):
            return [("token", _token(token, at))] + [("before", _token(before, at))] * (before is not None)
        case Kept(at, token, due):
            return [("cookie", _token(token, at)), ("ought to hold a token", "yes" if due else "no")]
        case Dropped(_, origin, valid):
            return [("origin", str(origin)), ("session on the server", "valid" if valid else "ended")]
        case Restarted(at, token, calls, requests):
            gone = [("calls that ended", calls), ("requests that ended", requests)]
            return [("token", _token(token, at)), *((what, _list(map(str, those))) for what, those in gone)]
        case _:
            return []


def _age(stale_for: Millis) -> str:
    return f"expired {duration(stale_for)} before" if stale_for else "fresh"


def _token(token: Token | None, now: Millis) -> str:
    if token is None:
        return "none"
    left = token.expires * 1000 - now
    state = f"expires in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago"
    return f"{token}{f' of {token.token_id}' if token.token_id != SESSION_TOKEN else ''}, {state}"


# -- stages -------------------------------------------------------------------------------------------------


def _stages(found: Counterexample) -> tuple[Stage, ...]:
    events = ["signed in", *map(brief, found.trace.events)]
    worlds = [found.played[0].before, *(step.after for step in found.played)]
    clients = found.clients or (None,) * len(worlds)
    return tuple(
        Stage(
            number,
            event,
            clock(world.now),
            tuple(_world(world)),
            tuple(_client(client, world)) if client else None,
        )
        for number, (event, world, client) in enumerate(zip(events, worlds, clients, strict=True))
    )


def _world(world: World) -> list[tuple[str, str]]:
    return [
        ("session on the server", "valid" if world.valid else "ended"),
        ("user", "signed in" if world.signed_in else "signed out"),
        *[("device's clock", ahead(world.skew))] * (world.skew != 0),
        *[("keychain", "locked")] * world.locked,
        *[("network", "none: the device is offline")] * world.offline,
        *[("active organization", str(world.organization))] * (world.organization is not None),
        ("last session token", _token(world.token, world.now)),
        ("timers", _list(f"due {clock(t.due)}, set {clock(t.set_at)}" for t in world.timers)),
        (
            "requests in flight",
            _list(f"{r.request}: {r.endpoint}, in the {world.origin(r.cause)}" for r in world.requests),
        ),
        ("calls waiting", _list(f"{c.call}, since {clock(c.asked_at)}" for c in world.calls)),
        *[("session cookie", _token(world.cookie, world.now))] * (world.runtime is Runtime.BROWSER),
    ]


def _client(client: Client, world: World) -> list[tuple[str, str]]:
    return [
        (
            "cache",
            _list(
                _token(e.token, world.now) if e.token else f"the promise of request {e.request}"
                for e in client.cache
                if not e.replaced
            ),
        ),
        (
            "refresh in progress",
            _list(str(token_id) or "session token" for token_id in sorted(client.refreshing, key=str)),
        ),
        ("last active token", _token(client.holders[client.current] if client.holders else None, world.now)),
        ("requests", _list(f"{f.request}: {f.purpose}" for f in client.flights)),
    ]


def _list(items: Iterable[str]) -> str:
    return "; ".join(items) or "none"
