"""The known findings: violations that a run is expected to reproduce, each with its reason.

The file lists *findings*: cells in which an invariant is known to be violated. Everywhere else it is expected to
hold. A run fails on a new violation, and on a known finding that no longer happens.
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

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Violated
from properties.run.shrink import violates
from properties.system.failures import Failure
from properties.system.files import read_text, write
from properties.system.target import Target
from properties.system.trace import load as load_trace
from properties.targets.names import adapter_of

UNEXPLAINED = "not explained yet: say here why this is accepted"

CHECKOUT = Path(__file__).parents[2]
"""The root of this checkout."""

HEADER = re.compile(r"\s*\[\[\s*[\"']?finding[\"']?\s*\]\]")
"""The line above a finding."""

Claim = tuple[Cell, str]
"""That an invariant holds in a cell: the cell, and the invariant's id."""


class BadExpectations(Failure):
    """The file of known findings cannot be used. The message says where."""


class Finding(Struct, frozen=True, forbid_unknown_fields=True):
    """A known violation of `invariants` on `targets` under `assume`, with its reason and a link.

    `assume` is a set of assumptions, or a glob (`*`: any). A target is a name, a glob (`sdk@6.7.*`) or a range of
    releases (`sdk@6.7.4..6.40.0`, both ends included). `trace` is the path of a trace that shows it. `line` is
    the line in the file at which the finding begins, from 1.
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
        """Does this finding cover `invariant` in `cell`?"""
        return (
            any(_matches(pattern, cell.target) for pattern in self.targets)
            and fnmatchcase(str(cell.assumptions), self.assume)
            and cell.runtime == self.runtime
            and invariant in self.invariants
        )

    def __str__(self) -> str:
        return f"{self.reason}; {self.link}" if self.link else self.reason


def _matches(pattern: str, target: str) -> bool:
    name, _, versions = pattern.partition("@")
    first, dots, last = versions.partition("..")
    if dots and target.startswith(f"{name}@") and (adapter := adapter_of(target)):
        numbers = adapter.numbers
        return numbers(first) <= numbers(target.removeprefix(f"{name}@")) <= numbers(last)
    return target == pattern or fnmatchcase(target, pattern)


def load(path: Path) -> tuple[Finding, ...]:
    """The findings in a TOML file. Raises `BadExpectations`."""
    content = _document(path).unwrap()
    if unknown := [key for key in content if key != "finding"]:
        raise BadExpectations(f"{path}: unknown key '{unknown[0]}' (known: [[finding]])")
    entries = content.get("finding", [])
    if not isinstance(entries, list):
        raise BadExpectations(f"{path}: 'finding' is no list: write [[finding]] above each")
    lines = [number for number, line in enumerate(read_text(path).splitlines(), 1) if HEADER.match(line)]
    if len(lines) != len(entries):  # an inline array, say, has no headers
        lines = [1] * len(entries)
    return tuple(_finding(entry, path, line) for entry, line in zip(entries, lines, strict=True))


def _finding(entry: Any, path: Path, line: int) -> Finding:
    try:
        finding = replace(msgspec.convert(entry, Finding), line=line)
    except msgspec.ValidationError as error:
        raise BadExpectations(f"{path}:{line}: not a finding ({error})") from error
    names = {
        "invariant": (finding.invariants, INVARIANTS),
        "runtime": ((finding.runtime,), tuple(Runtime)),
        "assumption": ([] if set(finding.assume) & set("*?[") else finding.assume.split(","), ASSUMPTIONS),
    }
    for kind, (named, known) in names.items():
        for name in named:
            if name not in known:
                raise BadExpectations(f"{path}:{line}: unknown {kind} '{name}' (known: {', '.join(known)})")
    return finding


def located(path: Path, findings: Collection[Finding]) -> tuple[Finding, ...]:
    """The findings of the file at `path`, each with the place of its trace: in the working directory, in the
    folder of the file, or in this checkout. Raises `BadExpectations` for a trace that is in none of them."""
    places = (Path(), path.parent, CHECKOUT)
    return tuple(replace(one, trace=_trace_file(one, path, places)) if one.trace else one for one in findings)


def _trace_file(finding: Finding, path: Path, places: Collection[Path]) -> str:
    for place in places:
        if (place / finding.trace).is_file():
            return str(place / finding.trace)
    raise BadExpectations(f"{path}:{finding.line}: there is no trace {finding.trace}")


def _document(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(read_text(path))
    except OSError as error:
        remedy = ": `sessionproof baseline --update` writes one" if isinstance(error, FileNotFoundError) else ""
        raise BadExpectations(f"{path}: {error.strerror}{remedy}") from error
    except TOMLKitError as error:
        raise BadExpectations(f"{path}: not a list of findings ({error})") from error


def update(path: Path, ran: Collection[Claim], violated: Mapping[Claim, str]) -> list[str]:
    """Bring the file in line with a run: `ran` has the claims whose verdict is evidence, `violated` those that
    were violated, each with the path of its trace. Findings that did not run stay as they are, comments included,
    and findings that still happen keep their reason and link. Returns one line for each change; without a change,
    nothing is written but a file that was not there: an empty one says that nothing is known. Raises
    `BadExpectations` and `NotWritten`.
    """
    new = not path.exists()
    document = tomlkit.document() if new else _document(path)
    findings = () if new else load(path)
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
    if new and not kept:
        document.add(tomlkit.comment("Known findings. There are none: every violation is new."))
        changes.append("an empty list: nothing is violated")
    if changes:
        if "finding" in document:
            document.remove("finding")
        if kept:
            document.append("finding", kept)
        write(path, tomlkit.dumps(document))
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


def replays(
    cell: Cell, names: Collection[str], known: tuple[Finding, ...], target: Target
) -> dict[str, Violated]:
    """The known violations of a cell that happen again, by invariant: the shortest of each. What a trace shows
    needs no search, and no search finds it every time. The findings are `located`. Raises `BadTrace` and
    `TargetError`."""
    violated: dict[str, Violated] = {}
    for name in names:
        for trace in (load_trace(Path(one.trace)) for one in known if one.trace and one.covers(cell, name)):
            here = replace(trace, target=cell.target, runtime=cell.runtime, assumptions=cell.assumptions)
            again = violates(here, target, INVARIANTS[name])
            if again and (name not in violated or len(again.trace.events) < len(violated[name].trace.events)):
                again.trace.save()
                violated[name] = Violated(again.trace, again.played, 1, len(again.played), replayed=True)
    return violated
