"""The report of a campaign as tables, for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from properties.campaign.shards import COUNTED
from properties.campaign.totals import Report
from properties.invariants.verdict import Cell, NotApplicable
from properties.search.observe import say_branches

Row = tuple[str, ...]
STYLES = {
    "held": "green",
    "VIOLATED": "bold red",
    "VACUOUS": "bold red",
    "NEVER": "yellow",
    NotApplicable.word: "dim",
}


def _tables(report: Report) -> dict[str, list[Row]]:
    """The tables by title: verdicts, counterexamples, counts and coverage. The first row of each has the
    headings."""
    verdicts: list[Row] = [("assuming", "target", "verdict", "invariant", "evidence", "traces/s")]
    found: list[Row] = [("assuming", "target", "invariant", "cause", "shards", "trace")]
    tried: list[Row] = [("assuming", "target", "counted", "what", "how often")]
    branches: list[Row] = [("assuming", "target", "branches of the model that were taken")]
    for cell in report.cells:
        place = (str(cell.assumptions), cell.target)
        for name, judged in cell.verdicts.items():
            evidence = f"{judged.traces:,} traces, {judged.steps:,} steps"
            if judged.never:
                evidence = f"{judged.traces:,} traces never reached: {', '.join(judged.never)}"
            word = judged.word.replace("vacuous", "VACUOUS")
            verdicts.append((*place, word, name, evidence, f"{cell.rate:,.0f}"))
        for one in cell.counterexamples:
            trace = one.shortest
            finding = (str(trace.invariant), "; ".join(trace.cause))
            found.append((*place, *finding, f"{one.count:,}", str(trace.path)))
        faults = Cell(cell.target, report.plan.runtime, cell.assumptions).faults
        unused = {fault.name: 0 for fault in faults}
        for counted, title in COUNTED.items():
            counts = (unused if counted == "reached" else {}) | cell.counts[counted]
            for what, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
                tried.append((*place, title, what, f"{number:,}" if number else "NEVER"))
        taken = {(file, int(line), int(to)): bool(n) for (file, line, to), n in _split(cell.counts)}
        branches += [(*place, line) for line in say_branches(taken)]
    tables = {
        "verdicts": verdicts,
        "counterexamples": found,
        "what was tried": tried,
        "branches of the model": branches,
    }
    return {title: rows for title, rows in tables.items() if len(rows) > 1}


def _split(counts: dict[str, dict[str, int]]) -> Iterator[tuple[list[str], int]]:
    for branch, number in counts.get("branches", {}).items():
        yield branch.split(), number


def render(report: Report) -> RenderableType:
    """The report for a terminal."""
    tables = []
    for title, (headings, *rows) in _tables(report).items():
        table = Table(*headings, title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*(Text(text, STYLES.get(text, ""), overflow="fold") for text in row))
        tables.append(table)
    return Group(*tables)


def as_markdown(report: Report) -> str:
    """The report as Markdown."""
    text = ""
    for title, (headings, *rows) in _tables(report).items():
        lines = [headings, ("---",) * len(headings), *rows]
        cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
        text += f"## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells) + "\n"
    return text
