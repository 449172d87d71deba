"""The table of releases as text: what is known of a team's releases, and of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from properties.invariants.catalogue import INVARIANTS
from properties.render.tables import labelled
from properties.run.advice import Answer
from properties.run.releases import Breaks, Held, Judgement, Proved, Table

# -- one team's releases -------------------------------------------------------------------------------------


def advice(spec: str, answers: Sequence[Answer]) -> RenderableType:
    """All answers for the target `spec`: first the findings that it has."""
    there = [one for one in answers if isinstance(one.judgement, Breaks)]
    absent = [one for one in answers if isinstance(one.judgement, Proved | Held)]
    open_ones = [one.finding.name for one in answers if one.judgement is None]
    parts: list[RenderableType] = [
        Text(f"{spec} has {len(there)} of {len(answers)} known findings. Each needs a world as it assumes.")
    ]
    for invariant, some in groupby(there, key=lambda one: str(one.finding.trace.invariant)):
        parts += [Text(), Text(INVARIANTS[invariant].sentence, style="dim")]
        for one in some:
            parts += [Text(), Text.assemble((one.finding.name, "bold"), f": {one.finding.about.summary}")]
            parts += [labelled(f"  {label}", text, width=10) for label, text in _rows(one)]
            replay = f"sessionproof replay {one.finding.name} --target {one.finding.on(spec)}"
            parts += [Text.assemble(("  replay    ", "dim"), replay, no_wrap=True, overflow="ignore")]
    if absent:
        table = Grid.grid(padding=(0, 2, 0, 0))
        for one in absent:
            later = f"comes with {one.change}" if one.change else f"in no later release up to {one.newest}"
            table.add_row(f"  {one.finding.name}", later, _how(one.on, one.judgement))
        parts += [Text(), Text("It does not have"), table]
    if open_ones:
        parts += [Text(), Text(f"Not judged yet (`sessionproof releases` does it): {', '.join(open_ones)}")]
    return Group(*parts)


def _rows(answer: Answer) -> Iterator[tuple[str, str]]:
    trace = answer.finding.trace
    setup = f", in an app with the setup {answer.finding.setup}" if answer.finding.setup else ""
    yield "assuming", f"{trace.assumptions} ({trace.runtime}){setup}"
    yield from (("logs" * (place == 0), line) for place, line in enumerate(answer.logs))
    yield from (("today", remedy) for remedy in answer.remedies or ("nothing that was shown to help",))
    yield "fixed", f"in {answer.change}" if answer.change else f"in no release up to {answer.newest}"
    yield "shown", _how(answer.on, answer.judgement)


def _how(on: str, judgement: Judgement | None) -> str:
    match judgement:
        case None:
            return "not judged yet"
        case Breaks(instead=""):
            return f"its trace was replayed on {on}"
        case Breaks(instead=events):
            return f"its trace does nothing on {on}, but other events do the same: {events}"
        case Proved(model):
            return f"proved on {model}"
        case Held(traces):
            return f"held in {traces} random traces on {on}"


# -- all releases --------------------------------------------------------------------------------------------


def as_markdown(table: Table) -> str:
    """The history of each finding on its own package, as a table of Markdown."""
    lines = ["| finding | releases that have it | releases that do not, and how that is known |", "|---|---|---|"]
    for one in table.findings:
        if one.claim.startswith(f"{one.package}@"):
            cells: dict[bool, list[str]] = {True: [], False: []}
            for (has, how), run in groupby(one.spans, key=lambda span: _in_brief(span.judgement)):
                first, *_, last = (version for span in run for version in (span.first, span.last))
                cells[has].append((first if first == last else f"{first} to {last}") + how)
            having, lacking = ("; ".join(cells[has]) or "none" for has in (True, False))
            lines.append(f"| `{one.finding}` | {one.package} {having} | {lacking} |")
    return "\n".join([*lines, ""])


def _in_brief(judgement: Judgement) -> tuple[bool, str]:
    """Does a release have the finding, and how is that known, unless by the finding's own trace?"""
    match judgement:
        case Breaks(instead=events):
            return True, ", by other events" if events else ""
        case Proved(model):
            return False, f": proved on `{model}`"
        case Held(traces):
            return False, f": held in {traces} traces"
