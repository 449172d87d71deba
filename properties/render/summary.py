"""The verdicts of a run as Markdown, for the summary page of a CI job."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from properties.invariants.verdict import Findings, Violated
from properties.render.files import reproduction
from properties.render.markdown import report
from properties.render.tables import describe
from properties.run.counterexample import Counterexample
from properties.run.known import Claim


def summary(findings: Iterable[Findings], stopped: Collection[Claim], news: Iterable[Counterexample]) -> str:
    """The verdict table, and the report of each new violation. `stopped` has the claims of which a known finding
    no longer happens."""
    return "\n".join(_summary(list(findings), stopped, list(news))) + "\n"


def _summary(findings: list[Findings], stopped: Collection[Claim], news: list[Counterexample]) -> Iterator[str]:
    yield from ("## sessionproof", "")
    yield from ("| target | assuming | invariant | verdict | evidence |", "|---|---|---|---|---|")
    for found in findings:
        for name, verdict in found.verdicts.items():
            for one in verdict.each if isinstance(verdict, Violated) else (verdict,):
                _, word, evidence = describe(one, found.reached, (found.cell, name) in stopped)
                loud = f"**{word}**" if word.isupper() or "though" in word else word
                reason = f" ({one.accepted})" if isinstance(one, Violated) and one.accepted else ""
                place = f"{found.cell.target} | {found.cell.assumptions} | {name}"
                yield f"| {place} | {loud} | {evidence}{reason} |"
    for counterexample in news:
        yield from ("", "---", "", report(counterexample, reproduction(counterexample)))
