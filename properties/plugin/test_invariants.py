"""`pytest properties`: one test for each target, set of assumptions and invariant."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from properties.campaign.progress import search_line
from properties.invariants.catalogue import INVARIANTS, default_invariants
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Findings, Vacuous, Violated
from properties.plugin.ending import one_line
from properties.plugin.observers import watched
from properties.plugin.profiles import profiles_of
from properties.plugin.stash import CELLS, FINDINGS, KNOWN, REPORTS, TARGETS
from properties.plugin.workers import is_worker
from properties.render.files import save
from properties.render.tables import different
from properties.run.counterexample import Counterexample
from properties.run.explain import explain
from properties.run.known import Finding, gone, nearest
from properties.run.run import Violation
from properties.search.gate import MOST_CAUSES, judge
from properties.system.event_kinds import brief
from properties.system.files import NotWritten
from properties.system.target import Target
from properties.system.trace import Trace, unsaved
from properties.targets.closing import close_all
from properties.targets.names import judged_on


def test_invariant(
    cell: Cell, invariant: Invariant, explore: Callable[[Cell], Findings], pytestconfig: pytest.Config
) -> None:
    """The invariant holds in this cell, in all traces of this run, but for the known findings, which happen."""
    known = pytestconfig.stash[KNOWN]
    findings = explore(cell)
    verdict = findings.verdicts[invariant.id]
    violations = verdict.each if isinstance(verdict, Violated) else ()
    if news := [one.trace for one in violations if one.accepted is None]:
        pytest.fail("\n".join(_told(trace, known) for trace in news), pytrace=False)
    if isinstance(verdict, Vacuous):
        never = ", ".join(verdict.never)
        pytest.fail(f"vacuous: in {verdict.traces} traces never reached: {never}", pytrace=False)
    if stopped := gone(findings, invariant.id, known):
        lines = ", ".join(str(one.line) for one in stopped)
        pytest.fail(f"a known finding no longer happens: line {lines}", pytrace=False)
    if violations:
        pytest.xfail("; ".join(dict.fromkeys(str(one.accepted) for one in violations)))


def _told(trace: Trace, known: Collection[Finding]) -> str:
    """A new violation in one line, with its difference from what is known."""
    steps = " -> ".join(map(brief, trace.events))
    near = nearest(trace, known)
    return f"{trace.why}: {steps}" + (f" ({different(*near)})" if near else "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each cell and invariant."""
    parameters = [
        pytest.param(cell, INVARIANTS[name], id=f"{cell.target}-{cell.assumptions}-{name}")
        for cell in metafunc.config.stash[CELLS]
        for name in _judged(metafunc.config, cell)
    ]
    metafunc.parametrize(("cell", "invariant"), parameters)


@pytest.fixture(scope="session")
def explore(pytestconfig: pytest.Config) -> Iterator[Callable[[Cell], Findings]]:
    """A function that searches a cell, once for all its invariants."""
    findings = pytestconfig.stash[FINDINGS]
    targets = pytestconfig.stash[TARGETS]

    def find(cell: Cell) -> Findings:
        if cell not in findings:
            capture = pytestconfig.pluginmanager.getplugin("capturemanager")
            live = sys.stderr.isatty() and not is_worker(pytestconfig)
            line = search_line(cell, capture.global_and_fixture_disabled, live)
            with line as progress, one_line(cell.target):
                findings[cell] = _search(pytestconfig, cell, targets[cell.target], progress)
                _explain(pytestconfig, findings[cell], targets[cell.target])
        return findings[cell]

    yield find
    with one_line():
        close_all(targets.values())


def _judged(config: pytest.Config, cell: Cell) -> list[str]:
    """The ids of the invariants that are judged in a cell."""
    named = config.getoption("invariant")
    return list(named or [*default_invariants(cell.runtime), *judged_on(cell.target)])


def _search(config: pytest.Config, cell: Cell, target: Target, progress: Callable[[int, int], None]) -> Findings:
    """The verdicts of a cell. An update of the known findings takes in every cause."""
    judged = watched(config, cell, target, [INVARIANTS[name] for name in _judged(config, cell)])
    known, profiles = config.stash[KNOWN], profiles_of(config, cell)
    most = math.inf if config.getoption("update_expectations") else MOST_CAUSES
    return judge(target, cell, judged, known, profiles, progress, most=most)


def _explain(config: pytest.Config, findings: Findings, target: Target) -> None:
    """Explain each new violation, or every one if pages are written, while its target is running."""
    for one in findings.violations:
        if config.getoption("pages") or one.accepted is None:
            seed = config.getoption("hypothesis_seed", None)
            found = explain(Violation(one.trace, one.played), target, seed)
            config.stash[REPORTS][one.trace] = (found, _saved(found))


def _saved(found: Counterexample) -> list[Path]:
    """The files of the counterexample. If they cannot be written, the end of the run says so."""
    try:
        return save(found)
    except NotWritten as error:
        unsaved[found.trace.path] = (found.trace, str(error))
        return []
