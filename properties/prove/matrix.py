"""The matrix: what is proved of which policy under which assumption, cell by cell, on every core."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.clerk.policy import POLICIES, PROPOSED
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Findings, Violated
from properties.prove.app import App
from properties.prove.prove import Limits, prove
from properties.render.files import save
from properties.render.page import matrix as matrix_page
from properties.render.table import table
from properties.render.tables import describe
from properties.run.explain import explain
from properties.run.run import Violation
from properties.run.shrink import violates
from properties.targets.clerk.target import ClerkJsTarget, clerk_js_target
from properties.targets.model import ModelTarget
from properties.targets.names import policy

EVERY_POLICY: tuple[str, ...] = (*POLICIES, *PROPOSED)

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("starvation", "stale-after-expiry"),
    ("starvation", "stale-on-arrival"),
    ("starvation", "stale-for-good"),
    tuple(name for name in ASSUMPTIONS if name != "calm"),
)
"""Beside each assumption alone: the ones that matter together, and all."""

EVERY_ASSUMPTION: tuple[tuple[str, ...], ...] = (*((name,) for name in ASSUMPTIONS), *TOGETHER)


class Task(Struct, frozen=True):
    """One cell to prove, in plain values that another process understands."""

    policy: str
    assumptions: tuple[str, ...]
    runtime: Runtime
    invariants: tuple[str, ...]
    app: App
    limits: Limits

    def run(self, tell: Callable[[str], None] = lambda line: None) -> Findings:
        """Prove it. Raises `UnknownName`."""
        judged = [INVARIANTS[name] for name in self.invariants]
        found = Assumptions(self.assumptions)
        return prove(policy(self.policy), self.runtime, found, judged, self.app, self.limits, tell)


def prove_all(tasks: Sequence[Task], workers: int, tell: Callable[[int, Findings], None]) -> list[Findings]:
    """The findings of every task, in their order; `tell` is told how many are done, and of the last one.

    Ctrl-C ends the other processes too.
    """
    if workers == 1 or len(tasks) == 1:
        found = []
        for number, task in enumerate(tasks, 1):
            found.append(task.run())
            tell(number, found[-1])
        return found
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), _leave_interrupts_to_the_parent)
    futures: list[Future[Findings]] = []
    try:
        futures = [pool.submit(Task.run, task) for task in tasks]
        for number, future in enumerate(as_completed(futures), 1):
            tell(number, future.result())
    except BaseException:
        for process in list(pool._processes.values()):  # a proof does not look up from its work
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return [future.result() for future in futures]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def confirmed(findings: Sequence[Findings], say: Callable[[str], None]) -> list[Findings]:
    """The same, with every counterexample of a release's policy played on the build of that release.

    Raises `TargetError`.
    """
    with contextlib.ExitStack() as targets:
        builds: dict[str, ClerkJsTarget] = {}
        for name in dict.fromkeys(found.cell.target for found in findings):
            if (release := name.removeprefix("model@")) in POLICIES:
                version = release.removeprefix("CLERK_JS_").replace("_", ".")
                builds[name] = clerk_js_target(version, say)
                targets.callback(builds[name].close)
        return [_confirmed(found, builds.get(found.cell.target)) for found in findings]


def _confirmed(found: Findings, build: ClerkJsTarget | None) -> Findings:
    verdicts = dict(found.verdicts)
    for name, verdict in found.verdicts.items():
        if isinstance(verdict, Violated) and build is not None:
            happens = violates(replace(verdict.trace, target=build.name), build, INVARIANTS[name])
            word = "confirmed on" if happens else "NOT CONFIRMED on"
            verdicts[name] = replace(verdict, confirmed=f"{word} {build.name}")
    return replace(found, verdicts=verdicts)


# -- what it comes to ---------------------------------------------------------------------------------------


def as_json(findings: Iterable[Findings]) -> str:
    """One object for each cell and invariant."""
    rows: list[dict[str, Any]] = []
    for found in findings:
        for name, verdict in found.verdicts.items():
            row: dict[str, Any] = {
                "target": found.cell.target,
                "runtime": found.cell.runtime.value,
                "assumptions": list(found.cell.assumptions.names),
                "invariant": name,
                "verdict": str(verdict),
                "evidence": describe(verdict, False, found.reached)[2],
            }
            if isinstance(verdict, Violated):
                row["events"] = str(verdict.trace)
                row["trace"] = verdict.trace.path.as_posix()
            rows.append(row)
    return json.dumps(rows, indent=2) + "\n"


def as_markdown(findings: Sequence[Findings]) -> str:
    """A table for each set of assumptions: policies down, invariants across."""
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
    word, evidence = describe(verdict, False, found.reached)[1:]
    return f"**{word}**, {evidence}" if isinstance(verdict, Violated) else f"{word}, {evidence}"


def write_pages(findings: Sequence[Findings], folder: Path) -> Path:
    """The matrix as a page, beside the page of each counterexample. Returns where it is. Raises `OSError`."""
    pages: dict[tuple[Cell, str], str] = {}
    for found in findings:
        target = ModelTarget(policy(found.cell.target.removeprefix("model@")))
        for name, verdict in found.verdicts.items():
            if isinstance(verdict, Violated):
                counterexample = explain(Violation(verdict.trace, verdict.played), target)
                (page,) = (path for path in save(counterexample, folder) if path.suffix == ".html")
                pages[found.cell, name] = page.name
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.html"
    index.write_text(matrix_page(table(findings, (), pages)), encoding="utf-8")
    return index
