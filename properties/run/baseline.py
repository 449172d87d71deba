"""Brings the file of known findings in line with a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeAlias

import tomlkit
from msgspec import to_builtins
from msgspec.structs import replace

from properties.invariants.verdict import Violated
from properties.run.known import HEADER, UNEXPLAINED, BadExpectations, Claim, Finding, load
from properties.system.files import read_text, write
from properties.system.trace import Trace

Seen: TypeAlias = Mapping[Claim, Collection[Violated]]
"""The verdicts of a run that are evidence: the violations of each claim."""

NONE_KNOWN = "# Known findings. There are none: every violation is new.\n"


def update(path: Path, seen: Seen, save: Callable[[Trace], str]) -> list[str]:
    """Bring the file in line with a run: add new violations, and remove findings that no longer happen. All other
    lines stay as they are. Returns one line for each change; without a change, nothing is written but a file that
    was not there. `save` saves the trace of a new finding, and returns its path. Raises `BadExpectations`
    and `NotWritten`.
    """
    new = not path.exists()
    findings = () if new else load(path)
    lines = [] if new else read_text(path).splitlines(keepends=True)
    changes: list[str] = []
    for finding in reversed(findings):  # from the end, so that the numbers of the lines before stay right
        happens = [
            (cell.target, name, any(finding.has(one.trace) for one in violations))
            for (cell, name), violations in seen.items()
            if finding.covers(cell, name)
        ]
        if happens and not any(still for *_, still in happens):
            changes.append(f"- line {finding.line}: {finding.assume}: {', '.join(finding.invariants)}: gone")
            del lines[_entry(lines, finding)]
        else:
            changes += [
                f"! line {finding.line}: {target} does not break {name} this way any more: edit it"
                for target, name, still in happens
                if not still
            ]
    changes.reverse()
    for entry in _new(seen, findings, save):
        changes.append(f"+ {entry.targets[0]}, assuming {entry.assume}: {', '.join(entry.invariants)}")
        lines += [*_gap(lines), _written(entry)]
    if new and not lines:
        lines = [NONE_KNOWN]
        changes.append("an empty list: nothing is violated")
    if changes:
        write(path, "".join(lines))
    return changes


def _entry(lines: list[str], finding: Finding) -> slice:
    """The lines of a finding. Comments above the next one are not among them."""
    first = finding.line - 1
    if not HEADER.match(lines[first]):
        raise BadExpectations("an inline list of findings cannot be updated: write [[finding]] above each")
    end = next((at for at in range(first + 1, len(lines)) if HEADER.match(lines[at])), len(lines))
    while end - 1 > first and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    while end < len(lines) and not lines[end].strip():
        end += 1
    return slice(first, end)


def _gap(lines: list[str]) -> list[str]:
    """What has to stand between these lines and one more entry."""
    if not lines or not lines[-1].strip():
        return []
    return ["\n"] if lines[-1].endswith("\n") else ["\n\n"]


def _new(seen: Seen, known: Collection[Finding], save: Callable[[Trace], str]) -> list[Finding]:
    """The findings to add. Invariants that the same events violate by the same cause are one finding. A known one
    that no replay shows any more is added with a trace that does: the next search may not meet it."""
    found: dict[tuple[Trace, frozenset[str]], Finding] = {}
    for (cell, name), violations in seen.items():
        for violated in violations:
            trace = violated.trace
            listed = [one for one in known if one.covers(cell, name) and one.has(trace)]
            if listed and violated.replayed:
                continue
            place = replace(trace, invariant=None, why=None, cause=()), frozenset(trace.cause)
            if place in found:
                found[place] = replace(found[place], invariants=(*found[place].invariants, name))
                continue
            said = [(one.reason, one.link) for one in listed] or [(UNEXPLAINED, "")]
            cells = (trace.target,), str(trace.assumptions), (name,)
            found[place] = Finding(*cells, trace.cause, *said[0], save(trace), str(trace.runtime))
    return [*found.values()]


def _written(finding: Finding) -> str:
    """The finding as TOML. Fields with a default that say nothing are left out, but for the link to fill in."""
    entry = tomlkit.table()
    fields = {name: value for name, value in to_builtins(finding).items() if name not in {"line", "runtime"}}
    entry.update(fields)
    entry["cause"].multiline(True)
    if finding.runtime != "headless":
        entry["runtime"] = finding.runtime
    document = tomlkit.document()
    entries = tomlkit.aot()
    entries.append(entry)
    document.append("finding", entries)
    return tomlkit.dumps(document)
