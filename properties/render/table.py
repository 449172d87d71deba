"""The content of the page of a verdict table, without a layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from model.assumptions.catalogue import ASSUMPTIONS
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import (
    Findings,
    Held,
    HeldTo,
    MayStarve,
    NotApplicable,
    Proved,
    Vacuous,
    Verdict,
    Violated,
)
from properties.render.tables import describe
from properties.run.counterexample import versions
from properties.system.trace import Trace


def table(findings: Iterable[Findings], pages: Mapping[Trace, str]) -> dict[str, Any]:
    """The table as plain values, with rows in the order of `findings`. `pages` has the file name of each
    counterexample's page."""
    findings = list(findings)
    ran = {name for found in findings for name in found.verdicts}
    names = [name for name in INVARIANTS if name in ran]
    return {
        "title": "sessionproof: what holds, and where",
        "about": list(versions().items()),
        "invariants": [{"id": name, "sentence": INVARIANTS[name].sentence} for name in names],
        "groups": [
            {
                "assuming": str(assumptions),
                "meaning": " ".join(ASSUMPTIONS[name].meaning for name in assumptions.names),
                "rows": [
                    {
                        "target": found.cell.target,
                        "cells": [_cell(found, name, pages) for name in names],
                    }
                    for found in findings
                    if found.cell.assumptions == assumptions
                ],
            }
            for assumptions in dict.fromkeys(found.cell.assumptions for found in findings)
        ],
    }


def _cell(found: Findings, name: str, pages: Mapping[Trace, str]) -> dict[str, Any]:
    """The first violation stands for all of an invariant: a new one, if there is one."""
    verdict = found.verdicts[name]
    _, _, evidence = describe(verdict, found.reached)
    word, short = _word(verdict)
    href = pages.get(verdict.trace) if isinstance(verdict, Violated) else None
    return {"invariant": name, "verdict": word, "short": short, "evidence": evidence, "href": href}


def _word(verdict: Verdict) -> tuple[str, str]:
    match verdict:
        case Violated(trace, accepted=accepted):
            return "violated" if accepted is None else "known", f"{len(trace.events)} events"
        case Held(traces):
            return "held", f"{traces} traces"
        case Proved(states):
            return "proved", f"{states} states"
        case HeldTo(depth):
            return "unproved", f"{depth} events"
        case MayStarve(states):
            return "unproved", f"{states} states"
        case Vacuous(traces, unit=unit):
            return "vacuous", f"{traces} {unit}"
        case NotApplicable():
            return "none", "says nothing here"
