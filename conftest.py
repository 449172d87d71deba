"""pytest as the front end: options, Hypothesis profiles, and the glue between the search and the reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from rich.console import RenderableType

from model.assumptions import ASSUMPTIONS, Assumptions
from model.terms import Runtime
from properties import expectations
from properties.invariants import INVARIANTS, Invariant
from properties.report import WIDTH, counterexample, known_findings, plain, verdict_table
from properties.search import Cell, Findings, search
from properties.target import Target, TargetError
from properties.targets.names import FORMS, UnknownName, make_target
from properties.verdict import Violated

# `dev` keeps a database of failures and tries something new every time; `ci` and `check` do the same every time.
# A trace on a cold machine can be slow to generate, and that is no fault of a test: too_slow is off, the other
# health checks stay on.
COMMON = settings(deadline=None, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", COMMON, max_examples=1000)
settings.register_profile("ci", COMMON, max_examples=1000, derandomize=True, database=None)
settings.register_profile(
    "check", COMMON, max_examples=300, stateful_step_count=15, derandomize=True, database=None
)
settings.register_profile("thorough", COMMON, max_examples=20_000)
settings.load_profile("ci" if settings.get_current_profile_name() == "ci" else "dev")

DEFAULT_TARGETS = ("model",)
DEFAULT_ASSUMPTIONS = (
    "calm",
    "starvation",
    "starvation,stale-after-expiry",
    "starvation,stale-for-good",
    "starvation,stale-on-arrival",
    "outage",
    "outage,rotated-credential",
    "revocation",
)

FINDINGS = pytest.StashKey[dict[Cell, Findings]]()
KNOWN = pytest.StashKey[tuple[expectations.Finding, ...]]()
TARGETS = pytest.StashKey[dict[str, Target]]()
CELLS = pytest.StashKey[list[Cell]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Every option of ours, in one group of `pytest --help`."""
    group = parser.getgroup("sessionproof", "sessionproof: what to check, and against what")
    group.addoption(
        "--target",
        action="append",
        metavar="NAME",
        help=f"a system to check: {FORMS} (repeatable; default: model)",
    )
    group.addoption(
        "--assume",
        action="append",
        metavar="NAME[,NAME...]",
        help=f"what the world may do: {', '.join(ASSUMPTIONS)}; joined by commas they add up (repeatable)",
    )
    group.addoption(
        "--invariant",
        action="append",
        metavar="ID",
        help=f"what must hold: {', '.join(INVARIANTS)} (repeatable)",
    )
    group.addoption(
        "--runtime", default="headless", metavar="NAME", help=f"where the SDK runs: {', '.join(Runtime)}"
    )
    group.addoption(
        "--expectations",
        metavar="FILE",
        help="a TOML file of known findings: each is then expected to happen, and anything else fails",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Turn the options into cells and make the targets ready. A name that is not ours, or a target that cannot be
    had, ends the run with one line and exit code 2, before anything is searched."""
    config.stash[FINDINGS] = {}
    config.stash[TARGETS] = {}
    try:
        config.stash[KNOWN] = _known(config)
        config.stash[CELLS] = _cells(config)
        for name in config.getoption("invariant") or ():
            _one_of("invariant", name, INVARIANTS)
        for target in config.stash[TARGETS].values():
            target.prepare()
    except (UnknownName, expectations.BadExpectations) as error:
        pytest.exit(str(error), returncode=2)
    except TargetError as error:
        pytest.exit(f"{target.name}: {error}", returncode=2)


def _one_of(kind: str, name: str, known: dict[str, object] | dict[str, Invariant] | tuple[str, ...]) -> str:
    if name not in known:
        raise UnknownName(f"unknown {kind} '{name}' (known: {', '.join(known)})")
    return name


def _known(config: pytest.Config) -> tuple[expectations.Finding, ...]:
    path = config.getoption("expectations")
    return expectations.load(Path(path)) if path else ()


def _cells(config: pytest.Config) -> list[Cell]:
    """Every combination of target and assumptions, each assumption's targets side by side."""
    runtime = Runtime(_one_of("runtime", config.getoption("runtime"), tuple(Runtime)))
    targets = config.stash[TARGETS]
    for spec in config.getoption("target") or DEFAULT_TARGETS:
        target = make_target(spec, lambda line: print(line, file=sys.stderr))  # noqa: T201
        targets[target.name] = target
    cells = []
    for joined in config.getoption("assume") or DEFAULT_ASSUMPTIONS:
        names = tuple(_one_of("assumption", name, tuple(ASSUMPTIONS)) for name in joined.split(","))
        cells += [Cell(name, runtime, Assumptions(names)) for name in targets]
    return cells


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each cell and invariant."""
    if not {"cell", "invariant"} <= set(metafunc.fixturenames):
        return
    parameters = []
    for cell in metafunc.config.stash[CELLS]:
        for name in metafunc.config.getoption("invariant") or INVARIANTS:
            known = [f for f in metafunc.config.stash[KNOWN] if f.covers(cell, name)]
            marks = [pytest.mark.xfail(strict=True, reason=f"{f.reason} ({f.link})") for f in known]
            label = f"{cell.target}-{cell.assumptions}-{name}"
            parameters.append(pytest.param(cell, INVARIANTS[name], id=label, marks=marks))
    metafunc.parametrize(("cell", "invariant"), parameters)


@pytest.fixture(scope="session")
def explore(pytestconfig: pytest.Config) -> Iterator[Callable[[Cell], Findings]]:
    """Search a cell, once for all its invariants."""
    findings = pytestconfig.stash[FINDINGS]
    targets = pytestconfig.stash[TARGETS]
    invariants = [INVARIANTS[name] for name in pytestconfig.getoption("invariant") or INVARIANTS]

    def find(cell: Cell) -> Findings:
        if cell not in findings:
            with _Progress(pytestconfig, cell) as progress:
                try:
                    findings[cell] = search(targets[cell.target], cell, invariants, settings(), progress.tell)
                except TargetError as error:
                    pytest.exit(f"{cell.target}: {error}", returncode=2)
                except KeyboardInterrupt:
                    # pytest would render the traceback, and can trip over one that a signal cut short.
                    raise pytest.exit.Exception("interrupted", returncode=2) from None
        return findings[cell]

    yield find
    try:
        for target in targets.values():
            target.close()
    except TargetError as error:
        pytest.exit(f"{target.name}: {error}", returncode=2)


class _Progress:
    """A line that says what is being searched: rewritten in place on a terminal, once for each cell elsewhere."""

    def __init__(self, config: pytest.Config, cell: Cell) -> None:
        self._cell = cell
        self._live = sys.stderr.isatty()
        capture = config.pluginmanager.getplugin("capturemanager")
        self._uncaptured = capture.global_and_fixture_disabled
        self._last = -1

    def __enter__(self) -> _Progress:
        if not self._live:
            self._write(f"searching {self._cell.target}, assuming {self._cell.assumptions}\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def tell(self, traces: int, of: int) -> None:
        """Show how far the search is; a search that has found something counts its shrinking too."""
        percent = min(100 * traces // max(of, 1), 100)
        if self._live and percent != self._last:
            self._last = percent
            self._write(
                f"\r\x1b[K{self._cell.target}, assuming {self._cell.assumptions}: {traces} traces ({percent} %)"
            )

    def _write(self, text: str) -> None:
        with self._uncaptured():
            sys.stderr.write(text)
            sys.stderr.flush()


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No letters for the cells: the table says it all."""
    if report.when == "call" and "test_invariant[" in report.nodeid:
        word = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        return word, "", word.upper()
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdict table; each violation nobody expected, or else one that was; then what is known."""
    findings = list(config.stash[FINDINGS].values())
    if not findings:
        return
    reasons = {
        (found.cell, name): f"{finding.reason}; {finding.link}"
        for found in findings
        for name in found.verdicts
        for finding in config.stash[KNOWN]
        if finding.covers(found.cell, name)
    }
    violations = {
        (found.cell, name): verdict
        for found in findings
        for name, verdict in found.verdicts.items()
        if isinstance(verdict, Violated)
    }
    news = [verdict for place, verdict in violations.items() if place not in reasons]
    known = [(verdict, reasons[place]) for place, verdict in violations.items() if place in reasons]
    # A model's counterexample is a promise, a real build's is a fact: that is the one to show.
    known.sort(key=lambda pair: pair[0].trace.target.startswith("model"))
    sections: list[RenderableType] = [verdict_table(findings, reasons)]
    sections += map(counterexample, news or [verdict for verdict, _ in known[:1]])
    if known:
        sections.append(known_findings([(verdict.trace, reason) for verdict, reason in known]))
    width = terminalreporter._tw.fullwidth if terminalreporter.isatty else WIDTH
    for section in sections:
        terminalreporter.write("\n" + plain(section, width, terminalreporter.hasmarkup))
