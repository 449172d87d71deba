"""The end of a pytest run: the report of new violations, and the files that are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from rich.console import RenderableType

from properties.invariants.verdict import Findings, Vacuous, Violated
from properties.render.tables import different, reports
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.baseline import update
from properties.run.counterexample import Counterexample
from properties.run.known import Claim, Finding, nearest
from properties.system.trace import Trace

Known: TypeAlias = Collection[Finding]

Reported: TypeAlias = Mapping[Trace, tuple[Counterexample, list[Path]]]
"""Counterexamples by trace, each with the files that it was saved in."""


def violation_sections(news: Iterable[Violated], reported: Reported, known: Known) -> list[RenderableType]:
    """A section for each new violation: how it differs from what is known, and the paths of its reports. The same
    events on the same target are shown once."""
    told: dict[tuple[str, str, str], str] = {}
    sections: list[RenderableType] = []
    for trace in (violated.trace for violated in news):
        found, paths = reported[trace]
        story = (trace.target, str(trace.assumptions), str(trace))
        if story in told:
            sections.append(f"{trace.invariant} is violated on {trace.target} by the same events")
        else:
            sections.append(timeline(view(found)))
        told.setdefault(story, str(trace.invariant))
        if near := nearest(trace, known):
            sections.append(different(*near))
        sections.append(reports(paths))
    return sections


def update_expectations(path: Path, findings: Iterable[Findings], reported: Reported) -> str:
    """Update the file of known findings, and save the traces of new ones next to it. Returns a description of the
    changes."""
    seen: dict[Claim, tuple[Violated, ...]] = {
        (found.cell, name): verdict.each if isinstance(verdict, Violated) else ()
        for found in findings
        for name, verdict in found.verdicts.items()
        if not isinstance(verdict, Vacuous)
    }
    if not seen:
        return f"{path} stays as it is: no verdict is evidence\n"

    def save_new(trace: Trace) -> str:
        return reported[trace][0].save(path.parent / "traces" / trace.path.name).as_posix()

    changes = update(path, seen, save_new)
    return "\n".join([f"{path}:", *changes, ""]) if changes else f"{path} says so already\n"
