"""What is already known: the verdicts that a run is expected to reach, as data, each with its reason.

The file lists *findings*: cells in which an invariant is known to be violated. Everywhere else it is expected
to hold. A finding that no longer happens is as much a surprise as a new one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import tomlkit
from msgspec import Struct
from msgspec.structs import replace
from tomlkit.exceptions import TOMLKitError

from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Findings, Held, Violated
from properties.run.shrink import violates
from properties.system.target import Target
from properties.system.trace import load as load_trace

UNEXPLAINED = "not explained yet: say here why this is accepted"

OURS = Path(__file__).parents[2]
"""Where our own findings' traces are named from; a user's are from the folder that pytest runs in."""

Place = tuple[Cell, str]
"""A cell, and an invariant in it."""


class BadExpectations(Exception):
    """The file cannot be used. The message is one line: what is wrong, and where."""


class Finding(Struct, frozen=True):
    """A known violation: on these targets, under these assumptions, these invariants; why, and where to read.

    A target is a name, a pattern (`clerk-js@6.7.*`) or a range of releases (`clerk-js@6.7.4..6.40.0`, both ends
    included). `line` is where the finding begins in its file, from 1.
    """

    targets: tuple[str, ...]
    assume: str
    invariants: tuple[str, ...]
    reason: str = UNEXPLAINED
    link: str = ""
    trace: str = ""
    runtime: str = "headless"
    line: int = 0

    def covers(self, cell: Cell, invariant: str) -> bool:
        """Is this the finding for `invariant` in `cell`?"""
        return (
            any(_matches(pattern, cell.target) for pattern in self.targets)
            and str(cell.assumptions) == self.assume
            and cell.runtime == self.runtime
            and invariant in self.invariants
        )

    def __str__(self) -> str:
        return f"{self.reason}; {self.link}" if self.link else self.reason


def _matches(pattern: str, target: str) -> bool:
    name, _, versions = pattern.partition("@")
    first, dots, last = versions.partition("..")
    if dots and target.startswith(f"{name}@"):
        return _version(first) <= _version(target.removeprefix(f"{name}@")) <= _version(last)
    return target == pattern or fnmatchcase(target, pattern)


def _version(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)]


def load(path: Path) -> tuple[Finding, ...]:
    """Read the findings from a TOML file. Raises `BadExpectations`."""
    entries = _document(path).unwrap().get("finding", [])
    lines = [
        number for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip() == "[[finding]]"
    ]
    try:
        findings = msgspec.convert(entries, tuple[Finding, ...])
        return tuple(replace(one, line=line) for one, line in zip(findings, lines, strict=True))
    except (msgspec.ValidationError, ValueError) as error:
        raise BadExpectations(f"{path}: not a list of findings ({error})") from error


def _document(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text())
    except OSError as error:
        remedy = ": `sessionproof baseline --update` writes one" if isinstance(error, FileNotFoundError) else ""
        raise BadExpectations(f"{path}: {error.strerror}{remedy}") from error
    except TOMLKitError as error:
        raise BadExpectations(f"{path}: not a list of findings ({error})") from error


def update(path: Path, ran: Collection[Place], violated: Mapping[Place, str]) -> list[str]:
    """Make the file say what a run has seen: `ran` is what was judged, `violated` what was broken, each with the
    path of its trace. What did not run stays as it is, comments included; reasons and links of what still
    happens are kept. Returns one line for each change; nothing is written when there is none. Raises
    `BadExpectations`.
    """
    document = _document(path) if path.exists() else tomlkit.document()
    findings = load(path) if path.exists() else ()
    changes: list[str] = []
    kept = tomlkit.aot()
    for finding, entry in zip(findings, document.get("finding", []), strict=True):
        seen = [place for place in ran if finding.covers(*place)]
        if seen and not any(place in violated for place in seen):
            changes.append(f"- line {finding.line}: {finding.assume}: {', '.join(finding.invariants)}: gone")
            continue
        for cell, invariant in seen:
            if (cell, invariant) not in violated:
                changes.append(
                    f"! line {finding.line}: {cell.target} does not break {invariant} any more: edit it"
                )
        kept.append(entry)
    for (cell, invariant), trace in violated.items():
        if any(finding.covers(cell, invariant) for finding in findings):
            continue
        changes.append(f"+ {cell.target}, assuming {cell.assumptions}: {invariant}")
        kept.append(_entry(cell, invariant, trace))
    if changes:
        if "finding" in document:
            document.remove("finding")
        if kept:
            document.append("finding", kept)
        draft = path.with_suffix(".new")
        draft.write_text(tomlkit.dumps(document))
        draft.replace(path)
    return changes


def _entry(cell: Cell, invariant: str, trace: str) -> Any:
    entry = tomlkit.table()
    entry.update(
        {
            "targets": [cell.target],
            "assume": str(cell.assumptions),
            "invariants": [invariant],
            "reason": UNEXPLAINED,
            "link": "",
            "trace": trace,
        }
    )
    if cell.runtime != "headless":
        entry["runtime"] = str(cell.runtime)
    return entry


def remembered(found: Findings, known: tuple[Finding, ...], target: Target) -> Findings:
    """The same, with what a search has missed and a known finding's trace shows: a search may be out of luck, a
    trace is not. Raises `BadTrace` and `TargetError`."""
    cell, verdicts = found.cell, dict(found.verdicts)
    for name, verdict in found.verdicts.items():
        if not isinstance(verdict, Held):
            continue
        named = [one.trace for one in known if one.trace and one.covers(cell, name)]
        paths = (next((path for path in (Path(one), OURS / one) if path.exists()), None) for one in named)
        for trace in (load_trace(path) for path in paths if path):
            here = replace(trace, target=cell.target, runtime=cell.runtime, assumptions=cell.assumptions)
            if again := violates(here, target, INVARIANTS[name]):
                again.trace.save()
                verdicts[name] = Violated(again.trace, again.played, verdict.traces, verdict.steps)
    return replace(found, verdicts=verdicts)
