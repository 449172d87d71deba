"""The findings of a run as SARIF 2.1.0, for the annotations of a code host. A finding keeps its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Findings, Violated
from properties.run.counterexample import versions
from properties.run.known import Finding, gone, nearest
from properties.system.trace import Trace

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Iterable[Findings], known: tuple[Finding, ...], expectations: str) -> dict[str, Any]:
    """New violations and findings that no longer happen as errors, known findings as suppressed notes. A result
    stands at a line of the file `expectations`: that of its finding, or of the nearest one."""
    results = [one for found in findings for one in _results(found, known, expectations)]
    used = dict.fromkeys(result["ruleId"] for result in results)
    rules = [{"id": name, "shortDescription": {"text": INVARIANTS[name].sentence}} for name in used]
    driver = {"name": "sessionproof", "version": versions()["sessionproof"], "rules": rules}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _results(found: Findings, known: tuple[Finding, ...], file: str) -> Iterator[dict[str, Any]]:
    for violated in found.violations:
        yield _violation(violated, known, file)
    for name in found.verdicts:
        for finding in gone(found, name, known):
            text = (
                f"On {found.cell.target}, assuming {found.cell.assumptions}, this known finding no longer happens"
            )
            yield {
                "ruleId": name,
                "level": "error",
                "message": {"text": text},
                "locations": _at(file, finding.line),
            }


def _violation(violated: Violated, known: tuple[Finding, ...], file: str) -> dict[str, Any]:
    trace = violated.trace
    near = nearest(trace, known)
    told = f"On {trace.target}, assuming {trace.assumptions}: {trace.why}: {trace}"
    result: dict[str, Any] = {
        "ruleId": str(trace.invariant),
        "level": "error" if violated.accepted is None else "note",
        "message": {"text": told},
        "locations": _at(file, near[0].line if near else 1),
        "partialFingerprints": {"cause/v1": _fingerprint(trace)},
    }
    if violated.accepted is not None:
        result["suppressions"] = [{"kind": "external", "justification": violated.accepted}]
    return result


def _fingerprint(trace: Trace) -> str:
    """The same for the same finding, whatever its lengths of time are."""
    words = (trace.target, str(trace.runtime), str(trace.assumptions), str(trace.invariant), *sorted(trace.cause))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _at(file: str, line: int) -> list[dict[str, Any]]:
    place = {"artifactLocation": {"uri": Path(file).as_posix()}, "region": {"startLine": max(line, 1)}}
    return [{"physicalLocation": place}]
