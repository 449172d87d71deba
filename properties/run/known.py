"""The known findings: violations that a run is expected to reproduce, each with its reason.

The file lists *findings*: cells in which an invariant is known to be violated, and by which cause. Everything
else is expected to hold. A run fails on a new violation, and on a known finding that no longer happens.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tomlkit
from msgspec import Meta, Struct
from msgspec.structs import replace
from tomlkit.exceptions import TOMLKitError

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.identity import Difference, difference, explains
from properties.invariants.verdict import Cell, Findings, Vacuous, Violated
from properties.system.failures import Failure
from properties.system.files import read_text
from properties.system.trace import Trace
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
    """A known violation of `invariants` by `cause` on `targets` under `assume`, with its reason and a link.

    `assume` is a set of assumptions, or a glob (`*`: any). A target is a name, a glob (`sdk@6.7.*`) or a range of
    releases (`sdk@6.7.4..6.40.0`, both ends included). The finding is every violation whose cause has all the
    marks of `cause` (`properties/invariants/identity.py`). `trace` is the path of a trace that shows it. `line`
    is the line in the file at which the finding begins, from 1.
    """

    targets: tuple[str, ...]
    assume: str
    invariants: tuple[str, ...]
    cause: Annotated[tuple[str, ...], Meta(min_length=1)]
    reason: str = UNEXPLAINED
    link: str = ""
    trace: str = ""
    runtime: str = "headless"
    line: int = 0

    def covers(self, cell: Cell, invariant: str) -> bool:
        """Is this finding about `invariant` in `cell`?"""
        return (
            any(_matches(pattern, cell.target) for pattern in self.targets)
            and fnmatchcase(str(cell.assumptions), self.assume)
            and cell.runtime == self.runtime
            and invariant in self.invariants
        )

    def has(self, trace: Trace) -> bool:
        """Is the violation in this trace, of an invariant and in a cell that it covers, the finding?"""
        return explains(self.cause, trace.cause)

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
        lacking = "`cause`" in str(error)
        remedy = ": delete it, and `sessionproof baseline --update` writes it with its cause" if lacking else ""
        raise BadExpectations(f"{path}:{line}: not a finding ({error}){remedy}") from error
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


def gone(findings: Findings, invariant: str, known: Collection[Finding]) -> list[Finding]:
    """The findings about `invariant` in this cell that no longer happen. A vacuous verdict is no evidence."""
    verdict = findings.verdicts[invariant]
    if isinstance(verdict, Vacuous):
        return []
    happens = verdict.each if isinstance(verdict, Violated) else ()
    covering = [one for one in known if one.covers(findings.cell, invariant)]
    return [one for one in covering if not any(one.has(violated.trace) for violated in happens)]


def nearest(trace: Trace, known: Collection[Finding]) -> tuple[Finding, Difference] | None:
    """Of the known findings of the same invariant in the same cell, the one that differs least from a new
    violation, with the difference; None if there is none."""
    cell = Cell(trace.target, trace.runtime, trace.assumptions)
    covering = [one for one in known if one.covers(cell, str(trace.invariant))]
    differences = [(one, difference(one.cause, trace.cause)) for one in covering]
    return min(differences, key=lambda pair: len(pair[1].only_new) + len(pair[1].only_known), default=None)
