"""The verdicts of a run as Markdown, for the summary page of a CI job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from properties.invariants.verdict import Cell, Findings
from properties.render.files import reproduction
from properties.render.markdown import report
from properties.render.tables import describe
from properties.run.counterexample import Counterexample


def summary(
    findings: Iterable[Findings], known: Mapping[tuple[Cell, str], str], news: Iterable[Counterexample]
) -> str:
    """The verdict table, and the report of each new violation."""
    return "\n".join(_summary(list(findings), known, list(news))) + "\n"


def _summary(
    findings: list[Findings], known: Mapping[tuple[Cell, str], str], news: list[Counterexample]
) -> Iterator[str]:
    yield from ("## sessionproof", "")
    yield from ("| target | assuming | invariant | verdict | evidence |", "|---|---|---|---|---|")
    for found in findings:
        for name, verdict in found.verdicts.items():
            place = found.cell, name
            _, word, evidence = describe(verdict, place in known, found.reached)
            loud = f"**{word}**" if word.isupper() or "though" in word else word
            reason = f" ({known[place]})" if place in known else ""
            yield f"| {found.cell.target} | {found.cell.assumptions} | {name} | {loud} | {evidence}{reason} |"
    for counterexample in news:
        yield from ("", "---", "", report(counterexample, reproduction(counterexample)))
