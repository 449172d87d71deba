"""The end of a pytest run: the report of new violations, and the files that are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from rich.console import RenderableType

from properties.invariants.verdict import Findings, Violated
from properties.render.files import save
from properties.render.page import matrix
from properties.render.table import table
from properties.render.tables import reports
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run import known as expectations
from properties.run.counterexample import Counterexample
from properties.run.known import Claim
from properties.system.files import write

Reported: TypeAlias = Mapping[Claim, tuple[Counterexample, list[Path]]]
"""Counterexamples by claim, each with the files that it was saved in."""


def violation_sections(news: Iterable[tuple[Counterexample, list[Path]]]) -> list[RenderableType]:
    """A section for each new violation, with the paths of its reports. The same trace on the same target is shown
    once."""
    told: dict[tuple[str, str, str], str] = {}
    sections: list[RenderableType] = []
    for found, paths in news:
        trace = found.trace
        story = (trace.target, str(trace.assumptions), str(trace))
        if story in told:
            sections.append(f"{trace.invariant} is violated on {trace.target} by the same events")
        else:
            sections.append(timeline(view(found)))
        told.setdefault(story, str(trace.invariant))
        sections.append(reports(paths))
    return sections


def update_expectations(
    path: Path, ran: Collection[Claim], violations: Mapping[Claim, Violated], reported: Reported
) -> str:
    """Update the file of known findings, and save the traces of new ones next to it. `ran` has the claims whose
    verdict is evidence. Returns a description of the changes."""
    if not ran:
        return f"{path} stays as it is: no verdict is evidence\n"
    traces = {}
    for place, verdict in violations.items():
        home = path.parent / "traces" / verdict.trace.path.name
        if place in reported:
            reported[place][0].save(home)
        traces[place] = home.as_posix()
    changes = expectations.update(path, ran, traces)
    return "\n".join([f"{path}:", *changes, ""]) if changes else f"{path} says so already\n"


def write_pages(
    folder: Path, findings: Collection[Findings], known: Collection[Claim], reported: Reported
) -> Path:
    """Write the verdict table as a page, and a page for each counterexample. Returns the path of the former."""
    pages = {}
    for place, (found, _) in reported.items():
        (path,) = (path for path in save(found, folder) if path.suffix == ".html")
        pages[place] = path.name
    return write(folder / "index.html", matrix(table(findings, known, pages)))
