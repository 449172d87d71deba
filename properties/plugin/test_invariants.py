"""`pytest properties`: one test for each target, set of assumptions and invariant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from properties.campaign.progress import search_line
from properties.invariants.catalogue import INVARIANTS, Invariant, default_invariants
from properties.invariants.verdict import Cell, Findings, Vacuous, Violated
from properties.plugin.ending import one_line
from properties.plugin.observers import watched
from properties.plugin.stash import CELLS, FINDINGS, KNOWN, PROFILE, REPORTS, TARGETS
from properties.plugin.workers import is_worker
from properties.render.files import save
from properties.run import known as expectations
from properties.run.counterexample import Counterexample
from properties.run.explain import explain
from properties.run.run import Violation
from properties.search.search import search
from properties.system.event_kinds import brief
from properties.system.files import NotWritten
from properties.system.target import Target
from properties.system.trace import unsaved
from properties.targets.closing import close_all


class NoEvidence(Exception):
    """A search never met what it assumes."""


def test_invariant(cell: Cell, invariant: Invariant, explore: Callable[[Cell], Findings]) -> None:
    """The invariant holds in this cell, in all traces of this run."""
    match explore(cell).verdicts[invariant.id]:
        case Violated(trace):
            steps = " -> ".join(map(brief, trace.events))
            pytest.fail(f"{trace.why}: {steps}", pytrace=False)
        case Vacuous(traces, _, never):
            # A known finding expects the failure of a violation (see below), so this has to be another.
            raise NoEvidence(f"vacuous: in {traces} traces never reached: {', '.join(never)}")
        case _:
            pass


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each cell and invariant."""
    parameters = []
    for cell in metafunc.config.stash[CELLS]:
        for name in _judged(metafunc.config, cell):
            known = [f for f in metafunc.config.stash[KNOWN] if f.covers(cell, name)]
            marks = [pytest.mark.xfail(raises=pytest.fail.Exception, strict=True, reason=str(f)) for f in known]
            label = f"{cell.target}-{cell.assumptions}-{name}"
            parameters.append(pytest.param(cell, INVARIANTS[name], id=label, marks=marks))
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
    return list(config.getoption("invariant") or default_invariants(cell.runtime))


def _search(config: pytest.Config, cell: Cell, target: Target, progress: Callable[[int, int], None]) -> Findings:
    """Replay what is known of the cell, then search for the rest."""
    names = _judged(config, cell)
    again = expectations.replays(cell, names, config.stash[KNOWN], target)
    judged = watched(config, cell, target, [INVARIANTS[name] for name in names if name not in again])
    found = search(target, cell, judged, config.stash[PROFILE], progress)
    return replace(found, verdicts={name: (again | found.verdicts)[name] for name in names})


def _explain(config: pytest.Config, findings: Findings, target: Target) -> None:
    """Explain each new violation, or every one if pages are written, while its target is running."""
    for name, verdict in findings.verdicts.items():
        known = any(finding.covers(findings.cell, name) for finding in config.stash[KNOWN])
        if isinstance(verdict, Violated) and (config.getoption("pages") or not known):
            seed = config.getoption("hypothesis_seed", None)
            found = explain(Violation(verdict.trace, verdict.played), target, seed)
            config.stash[REPORTS][findings.cell, name] = (found, _saved(found))


def _saved(found: Counterexample) -> list[Path]:
    """The files of the counterexample. If they cannot be written, the end of the run says so."""
    try:
        return save(found)
    except NotWritten as error:
        unsaved[found.trace.path] = (found.trace, str(error))
        return []
