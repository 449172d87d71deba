"""The tables of the terminal report: verdicts, known findings, unused faults. Prints nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from model.assumptions.landmarks import LATE_TIMER
from properties.invariants.identity import Difference
from properties.invariants.verdict import (
    Findings,
    Held,
    HeldTo,
    MayStarve,
    NotApplicable,
    Proved,
    Vacuous,
    Verdict,
    Violated,
)
from properties.run.known import Claim, Finding
from properties.system.trace import FOLDER, Trace


def reports(paths: Sequence[Path]) -> RenderableType:
    """The paths of the reports of one counterexample; `replay` shows that of its document."""
    labels = {".html": "page", ".md": "issue", ".repro.mjs": "script", ".test.mjs": "vitest", ".py": "pytest"}
    return Group(
        *[
            _uncut((f"{label:<8}", "dim"), str(path))
            for path in paths
            for ending, label in labels.items()
            if path.name.endswith(ending)
        ]
    )


def never_used(findings: Iterable[Findings]) -> RenderableType | None:
    """The faults that were allowed but never used, by assumptions and targets; None if all were used."""
    places: dict[tuple[str, str], list[str]] = {}
    for found in findings:
        for fault in found.unused:
            places.setdefault((str(found.cell.assumptions), fault), []).append(found.cell.target)
    if not places:
        return None
    together: dict[tuple[str, str], list[str]] = {}
    for (assumptions, fault), targets in places.items():
        together.setdefault((assumptions, ", ".join(targets)), []).append(fault)
    lines = [
        Text.assemble(("assuming  ", "dim"), f"{assumptions}: {', '.join(faults)}; on {targets}")
        for (assumptions, targets), faults in together.items()
    ]
    return Group(Text("allowed, and never used by any trace", style="bold"), *lines)


def no_longer_happens(path: str, findings: Iterable[Finding]) -> RenderableType:
    """The lines of the file of known findings to delete, or to narrow down."""
    lines = [
        _uncut((f"{path}:{finding.line}  ", ""), f"assuming {finding.assume}: {', '.join(finding.invariants)}")
        for finding in findings
    ]
    return Group(Text("known findings that no longer happen: delete them, or what is gone", style="bold"), *lines)


def labelled(label: str, text: str, width: int = 6) -> RenderableType:
    """A label in so many columns, and a text that wraps in its own column."""
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=width, style="dim")
    row.add_column()
    row.add_row(label, Text(text))
    return row


def different(finding: Finding, difference: Difference) -> str:
    """How a new violation differs from the known finding that is nearest to it, in one line."""
    sides = (("Only here", difference.only_new), ("Only there", difference.only_known))
    marks = " ".join(f"{side}: {', '.join(some)}." for side, some in sides if some)
    return f"another cause than the known finding in line {finding.line} has. {marks}"


def _uncut(*parts: str | tuple[str, str]) -> Text:
    """A line that is never wrapped, so that it can be copied."""
    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def verdict_table(findings: Iterable[Findings], stopped: Collection[Claim] = ()) -> Table:
    """The verdict table: verdict, invariant, evidence and seconds for each set of assumptions and target.
    Invariants of a cell with the same verdict and evidence share a row. `stopped` has the claims of which a known
    finding no longer happens."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("target", "verdict", "invariant", "evidence"):
        table.add_column(heading, no_wrap=heading != "evidence", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    for assumptions, cells in groupby(findings, key=lambda found: found.cell.assumptions):
        lines = textwrap.wrap(f"assuming {assumptions}".replace(",", ", "), 60, break_on_hyphens=False)
        table.add_row(Text("\n".join(lines).replace(", ", ","), style="bold"))
        for found in cells:
            for place, (style, *row) in enumerate(_rows(found, stopped)):
                first, last = (found.cell.target, f"{found.seconds:.1f}") if place == 0 else ("", "")
                table.add_row(f"  {first}", Text(row[0], style=style), *row[1:], last)
    return table


def _rows(found: Findings, stopped: Collection[Claim]) -> list[tuple[str, str, str, str]]:
    """Rows of (style, verdict, invariant, evidence): first one per violation, then one per distinct other
    verdict."""
    described = [
        (describe(one, found.reached, (found.cell, name) in stopped), name)
        for name, verdict in found.verdicts.items()
        for one in (verdict.each if isinstance(verdict, Violated) else (verdict,))
    ]
    rows = [(d[0], d[1], name, d[2]) for d, name in described if d[1].startswith("VIOLATED")]
    groups: dict[tuple[str, str, str], list[str]] = {}
    for description, name in described:
        if not description[1].startswith("VIOLATED"):
            groups.setdefault(description, []).append(name)
    for description, names in groups.items():
        short = len(groups) == 1 and len(names) > 1  # unambiguous: there is one group
        together = f"{'the other' if rows else 'all'} {len(names)}" if short else "\n".join(names)
        rows.append((*description[:2], together, description[2]))
    return rows


def describe(verdict: Verdict, reached: dict[str, int], stopped: bool = False) -> tuple[str, str, str]:
    """(style, verdict, evidence). `stopped`: a known finding about this no longer happens."""
    match verdict:
        case Violated(trace, traces=traces, shortest=shortest, confirmed=confirmed, replayed=replayed):
            known = verdict.accepted is not None
            style, word = ("yellow", "VIOLATED, known") if known else ("bold red", "VIOLATED")
            how = "shortest" if shortest else "replayed" if replayed else "shrunk"
            evidence = f"{len(trace.events)} events, {how}"
            evidence += f"; no other in {traces} traces" if known and traces else ""
            return style, word, f"{evidence}, {confirmed}" if confirmed else evidence
        case Held(traces, steps):
            late = reached.get(LATE_TIMER.name, 0)
            evidence = f"{traces} traces, {steps} steps" + (f", {LATE_TIMER.name} in {late}" if late else "")
            return (
                ("bold red", "held, though known to break", evidence) if stopped else ("green", "held", evidence)
            )
        case Proved(states, steps, recovers):
            graph = f"closed graph of {states} states, {steps} steps"
            return "green", "proved", f"{graph}; every state recovers" if recovers else graph
        case MayStarve(states, path):
            return "yellow", "not proved", f"one of {states} states may not recover: {' -> '.join(path)}"
        case HeldTo(depth, states):
            return "yellow", "not proved", f"holds up to {depth} events, {states} states"
        case Vacuous(traces, _, never, unit):
            return "bold red", "VACUOUS", f"{traces} {unit} never reached: {', '.join(never)}"
        case NotApplicable(runtimes):
            return "dim", "says nothing here", f"a matter of {' and '.join(runtimes)} runtimes"


def known_findings(violations: Sequence[tuple[Trace, str]]) -> RenderableType:
    """The known violations: each distinct trace once, with its reason and all targets that it was found on."""
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


def as_expected(findings: Sequence[Findings], known: Sequence[Violated]) -> RenderableType:
    """The short report of a run whose every verdict is the expected one: each known finding is one line."""
    traces = sum(found.traces for found in findings)
    listed = dict.fromkeys(
        (str(one.trace.assumptions), str(one.trace.invariant), str(one.accepted)) for one in known
    )
    lines = [
        Text.assemble((f"known  {assumptions}: {name}  ", ""), (reason, "dim"), no_wrap=True, overflow="ellipsis")
        for assumptions, name, reason in listed
    ]
    nothing = "nothing else" if known else "nothing"
    head = f"as expected: {nothing} is violated, in {len(findings)} cells and {traces:,} traces"
    return Group(Text(head, style="bold"), *lines)


WIDTH = 150
"""The width of a report in a file or a log, in columns. A terminal has its own width."""


def plain(renderable: RenderableType, width: int = WIDTH, color: bool = False) -> str:
    """The renderable as text, with `color` or without."""
    console = Console(
        width=width,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
    with console.capture() as capture:
        console.print(renderable, crop=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
