"""What a person sees: the verdict table, and the timeline of a counterexample.

Renders values into rich's; prints nothing. Names no SDK: a request asks for a token, or which sessions there
are, whatever paths an adapter makes of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from model.events import FreezeKind
from model.facts import Asked, Dropped, Ended, Fact, Fired, Frozen, Sent, Settled, Told
from model.terms import Endpoint, Millis, Outcome
from properties.invariants import INVARIANTS
from properties.search import Cell, Findings
from properties.trace import FOLDER, Trace, duration
from properties.verdict import Held, NotApplicable, Vacuous, Verdict, Violated

SAYS: dict[Outcome, str] = {
    Outcome.GRANTED: "a token",
    Outcome.SESSION: "the session, still there",
    Outcome.BROKEN: "500",
    Outcome.RATE_LIMITED: "429",
    Outcome.GATEWAY_PAGE: "503 and a gateway's page",
    Outcome.LOST: "nothing: the connection is lost",
    Outcome.UNAUTHORIZED: "401",
    Outcome.NO_SESSION: "no session",
}
FREEZES: dict[FreezeKind, str] = {
    FreezeKind.STARVED: "freezes the event loop for {}: timers do not run",
    FreezeKind.ASLEEP: "puts the device to sleep for {}: timers keep their time to go",
}
ASKS_FOR: dict[Endpoint, str] = {
    Endpoint.TOKENS: "asks for a token",
    Endpoint.CLIENT: "asks which sessions there are",
}


def clock(at: Millis) -> str:
    """An instant of virtual time as `[days ]h:mm:ss[.mmm]` since sign-in."""
    seconds, ms = divmod(at, 1000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return (f"{days} d " if days else "") + text + (f".{ms:03}" if ms else "")


def tell(fact: Fact) -> tuple[str, str]:
    """Who did it, and what happened."""
    match fact:
        case Frozen(at, until, kind):
            return "OS", FREEZES[kind].format(duration(until - at))
        case Asked(_, call, template, skip_cache):
            options = [f"template '{template}'"] * bool(template) + ["skipping the cache"] * skip_cache
            return "app", f"calls getToken{' with ' + ', '.join(options) if options else ''} (call {call})"
        case Ended():
            return "server", "ends the session"
        case Fired(_, _, set_at, late_by):
            lateness = f"{duration(late_by)} late" if late_by else "on time"
            return "timer", f"set at {clock(set_at)}, fires {lateness}"
        case Sent(_, request, endpoint, _, origin, stale):
            credential = "; its last session token has expired" if stale else ""
            return "SDK", f"{ASKS_FOR[endpoint]}, in the {origin} (request {request}){credential}"
        case Told(at, request, _, outcome, token, sent_at, _, honest):
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
        case Settled(_, call, _, _, token, error):
            return "app", f"call {call} gets {token}" if token else f"call {call} fails: {error}"


_FAILS = (Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST)


def notable(facts: Sequence[Fact]) -> list[Fact]:
    """The facts without the timers that led to nothing anybody could see."""
    followers: list[Fact | None] = [*facts[1:], None]
    return [
        fact
        for fact, follower in zip(facts, followers, strict=True)
        if not isinstance(fact, Fired) or isinstance(follower, Sent | Dropped | Settled)
    ]


def counterexample(violated: Violated, saved: Path | None = None) -> RenderableType:
    """One violation, on one screen: the invariant, the timeline, why it breaks, and how to see it again from
    where it is `saved` (where traces save themselves, unless said otherwise)."""
    trace = violated.trace
    known = INVARIANTS.get(trace.invariant or "")
    head = Text.assemble(
        (trace.invariant or "", "bold red"),
        " is violated on ",
        (trace.target, "bold"),
        f", assuming {trace.assumptions}",
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("who", no_wrap=True)
    table.add_column("what happened")
    facts = notable(violated.facts)
    for fact in facts:
        actor, text = tell(fact)
        breaks = isinstance(fact, Dropped) or (fact is facts[-1])
        table.add_row(clock(fact.at), actor, text, style="bold red" if breaks else "")
    return Group(
        head,
        Text(known.sentence if known else "", style="dim"),
        Text(),
        table,
        Text(),
        Text.assemble(("why     ", "dim"), trace.why or ""),
        _uncut(("events  ", "dim"), str(trace)),
        _uncut(("replay  ", "dim"), f"sessionproof replay {saved or trace.path}"),
    )


def _uncut(*parts: str | tuple[str, str]) -> Text:
    """A line to be copied: never wrapped."""
    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def verdict_table(findings: Iterable[Findings], expected: Collection[tuple[Cell, str]]) -> Table:
    """For each set of assumptions and target: verdict, invariant, evidence, seconds. The invariants of a cell
    that hold stand in one row. `expected` lists the violations that are known."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("target", "verdict", "invariant", "evidence"):
        table.add_column(heading, no_wrap=heading != "evidence", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    for assumptions, cells in groupby(findings, key=lambda found: found.cell.assumptions):
        table.add_row(Text(f"assuming {assumptions}", style="bold"))
        for found in cells:
            for place, (style, *row) in enumerate(_rows(found, expected)):
                first, last = (found.cell.target, f"{found.seconds:.1f}") if place == 0 else ("", "")
                table.add_row(f"  {first}", Text(row[0], style=style), *row[1:], last)
    return table


def _rows(found: Findings, expected: Collection[tuple[Cell, str]]) -> list[tuple[str, str, str, str]]:
    """(style, verdict, invariant, evidence): violations one by one, then the others by what they share."""
    described = [
        (_describe(verdict, (found.cell, name) in expected, found.reached), name)
        for name, verdict in found.verdicts.items()
    ]
    rows = [(d[0], d[1], name, d[2]) for d, name in described if d[1].startswith("VIOLATED")]
    for description in dict.fromkeys(d for d, _ in described if not d[1].startswith("VIOLATED")):
        names = [name for d, name in described if d == description]
        together = "all" if len(names) == len(described) else "the other" if rows else "these"
        rows.append(
            (*description[:2], names[0] if len(names) == 1 else f"{together} {len(names)}", description[2])
        )
    return rows


def _describe(verdict: Verdict, expected: bool, reached: dict[str, int]) -> tuple[str, str, str]:
    """(style, verdict, evidence)."""
    match verdict:
        case Violated(trace):
            style, word = ("yellow", "VIOLATED, known") if expected else ("bold red", "VIOLATED")
            return style, word, f"{len(trace.events)} events, shrunk"
        case Held(traces, steps):
            late = reached.get("late timer", 0)
            evidence = f"{traces} traces, {steps} steps" + (f", a late timer in {late}" if late else "")
            return (
                ("bold red", "held, though known to break", evidence) if expected else ("green", "held", evidence)
            )
        case Vacuous(traces, _, never):
            return "bold red", "VACUOUS", f"{traces} traces never reached: {', '.join(never)}"
        case NotApplicable():
            return "dim", "says nothing here", "a matter of headless runtimes"


def known_findings(violations: Sequence[tuple[Trace, str]]) -> RenderableType:
    """The expected violations, each shortest story once, with its reason and all the places it was seen in."""
    told: dict[tuple[str, str, str], list[Trace]] = {}
    for trace, reason in violations:
        told.setdefault((str(trace.assumptions), str(trace), reason), []).append(trace)
    lines: list[RenderableType] = [
        Text(f"known findings, as expected; {FOLDER}/ has a trace of each", style="bold")
    ]
    for (assumptions, events, reason), traces in told.items():
        places = ", ".join(dict.fromkeys(trace.target for trace in traces))
        broken = ", ".join(dict.fromkeys(str(trace.invariant) for trace in traces))
        lines += [
            Text(),
            Text.assemble(("assuming  ", "dim"), assumptions),
            _uncut(("events    ", "dim"), events),
            Text.assemble(("breaks    ", "dim"), broken),
            Text.assemble(("on        ", "dim"), places),
            Text.assemble(("known     ", "dim"), reason),
        ]
    return Group(*lines)


WIDTH = 150
"""Columns of a report that goes to a file or a log; a terminal has its own."""


def plain(renderable: RenderableType, width: int = WIDTH, color: bool = False) -> str:
    """The renderable as text; with colours only when asked for."""
    console = Console(width=width, force_terminal=color, no_color=not color, highlight=False, soft_wrap=False)
    with console.capture() as capture:
        console.print(renderable, crop=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
