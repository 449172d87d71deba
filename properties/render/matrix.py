"""A matrix of verdicts as JSON, as Markdown, and as HTML pages."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from properties.invariants.verdict import Findings, Violated
from properties.render.files import save
from properties.render.page import matrix as matrix_page
from properties.render.table import table
from properties.render.tables import describe
from properties.run.counterexample import Counterexample
from properties.system.files import write
from properties.system.trace import Trace


def as_json(findings: Iterable[Findings]) -> str:
    """The matrix as JSON: one object for each cell and invariant."""
    rows: list[dict[str, Any]] = []
    for found in findings:
        for name, verdict in found.verdicts.items():
            row: dict[str, Any] = {
                "target": found.cell.target,
                "runtime": found.cell.runtime.value,
                "assumptions": list(found.cell.assumptions.names),
                "invariant": name,
                "verdict": str(verdict),
                "evidence": describe(verdict, found.reached)[2],
            }
            if isinstance(verdict, Violated):
                row["events"] = str(verdict.trace)
                row["trace"] = verdict.trace.path.as_posix()
            rows.append(row)
    return json.dumps(rows, indent=2) + "\n"


def as_markdown(findings: Sequence[Findings]) -> str:
    """The matrix as Markdown: one table for each set of assumptions, with policies as rows and invariants as
    columns."""
    names = list(dict.fromkeys(name for found in findings for name in found.verdicts))
    text = ""
    for assumptions in dict.fromkeys(found.cell.assumptions for found in findings):
        text += f"### assuming {assumptions}\n\n| policy | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
        for found in findings:
            if found.cell.assumptions == assumptions:
                cells = (_cell(found, name) for name in names)
                text += f"| `{found.cell.target.removeprefix('model@')}` | {' | '.join(cells)} |\n"
        text += "\n"
    return text


def _cell(found: Findings, name: str) -> str:
    verdict = found.verdicts[name]
    word, evidence = describe(verdict, found.reached)[1:]
    return f"**{word}**, {evidence}" if isinstance(verdict, Violated) else f"{word}, {evidence}"


def write_pages(folder: Path, findings: Collection[Findings], explained: Iterable[Counterexample]) -> Path:
    """Write the matrix as a page, and a page for each counterexample. Returns the path of the former. Raises
    `NotWritten`."""
    pages: dict[Trace, str] = {}
    for found in explained:
        (page,) = (path for path in save(found, folder) if path.suffix == ".html")
        pages[found.trace] = page.name
    return write(folder / "index.html", matrix_page(table(findings, pages)))
