"""pytest as the front end: options, Hypothesis profiles, and the glue between the search and the reports."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from rich.console import RenderableType

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Runtime
from properties.campaign.progress import SearchLine
from properties.conformance.plan import Coverage, plan
from properties.invariants.catalogue import INVARIANTS, USUAL, Invariant, usual
from properties.invariants.verdict import Cell, Findings, Violated
from properties.plugin import options as asked
from properties.plugin import summary as ending
from properties.prove.app import App
from properties.prove.prove import Limits
from properties.render.files import save
from properties.render.summary import summary
from properties.render.tables import WIDTH, known_findings, never_used, no_longer_happens, plain, verdict_table
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run import known as expectations
from properties.run.counterexample import Counterexample, Found
from properties.run.explain import explain
from properties.run.known import Place
from properties.run.run import Violation
from properties.search.examples import FORMS as EXAMPLE_FORMS
from properties.search.examples import BadDatabase
from properties.search.observe import ModelCoverage, say_branches, write_observations
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.system.trace import BadTrace
from properties.targets.model import ModelTarget
from properties.targets.names import FORMS, UnknownName, one_of

# `dev` keeps a database of failures and tries something new every time; `ci` and `check` do the same every time.
# A trace on a cold machine can be slow to generate, and that is no fault of a test: too_slow is off, the other
# health checks stay on. Hypothesis starts with a profile of its own on a CI machine: ours begin at its plain one,
# so that a profile means the same everywhere.
COMMON = settings(
    settings.get_profile("default"),
    deadline=None,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", COMMON, max_examples=1000)
settings.register_profile("ci", COMMON, max_examples=1000, derandomize=True, database=None)
settings.register_profile(
    "check", COMMON, max_examples=300, stateful_step_count=15, derandomize=True, database=None
)
settings.register_profile("glance", settings.get_profile("check"), max_examples=100)
settings.register_profile("thorough", COMMON, max_examples=20_000)
settings.load_profile("ci" if settings.get_current_profile_name() == "ci" else "dev")

FINDINGS = pytest.StashKey[dict[Cell, Findings]]()
REPORTS = pytest.StashKey[dict[Place, tuple[Counterexample, list[Path]]]]()
KNOWN = pytest.StashKey[tuple[expectations.Finding, ...]]()
TARGETS = pytest.StashKey[dict[str, Target]]()
PROFILE = pytest.StashKey[settings]()
COVERAGE = pytest.StashKey[ModelCoverage]()
TRANSITIONS = pytest.StashKey[dict[Cell, Coverage | str]]()
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
        help=f"what must hold: {', '.join(INVARIANTS)} (repeatable; default: {', '.join(USUAL)})",
    )
    group.addoption(
        "--runtime", default="headless", metavar="NAME", help=f"where the SDK runs: {', '.join(Runtime)}"
    )
    group.addoption(
        "--expectations",
        metavar="FILE",
        help="a TOML file of known findings: each is then expected to happen, and anything else fails",
    )
    group.addoption(
        "--update-expectations",
        action="store_true",
        help="write what this run finds into that file, and out of it what no longer happens",
    )
    group.addoption(
        "--examples",
        metavar="WHERE",
        help=f"where failures are kept and tried again first: {EXAMPLE_FORMS}; several joined by commas "
        "(default: SESSIONPROOF_EXAMPLES, or else a folder of Hypothesis's own)",
    )
    group.addoption(
        "--observe",
        metavar="FOLDER",
        help="write every trace that Hypothesis generates into this folder, as JSON lines (for Tyche)",
    )
    group.addoption(
        "--model-coverage",
        action="store_true",
        help="say which branches and transitions of the model the run took (slower; in one process)",
    )
    group.addoption(
        "--pages",
        metavar="FOLDER",
        help="write the verdict table as a page into this folder, with a page for each counterexample",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Turn the options into cells and make the targets ready. A name that is not ours, or a target that cannot be
    had, ends the run with one line and exit code 2, before anything is searched."""
    config.stash[FINDINGS] = {}
    config.stash[REPORTS] = {}
    config.stash[TRANSITIONS] = {}
    try:
        config.stash[KNOWN] = asked.known(config)
        config.stash[TARGETS] = targets = asked.targets(config)
        config.stash[CELLS] = asked.cells(config, targets)
        for name in config.getoption("invariant") or ():
            one_of("invariant", name, INVARIANTS)
        for target in targets.values():
            target.prepare(Runtime(config.getoption("runtime")))
            if _workers(config):  # they have targets of their own; here it was only tried
                target.close()
        _watch(config)
    except (UnknownName, expectations.BadExpectations) as error:
        pytest.exit(str(error), returncode=2)
    except TargetError as error:
        pytest.exit(f"{target.name}: {error}", returncode=2)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Only now has Hypothesis loaded the profile that was asked for."""
    try:
        session.config.stash[PROFILE] = asked.profile(session.config)
    except (UnknownName, BadDatabase) as error:
        pytest.exit(str(error), returncode=2)


def _watch(config: pytest.Config) -> None:
    """Begin to observe, as far as that is asked for."""
    if config.getoption("model_coverage"):
        if _workers(config):
            raise UnknownName("--model-coverage counts in one process: leave out -n")
        try:
            config.stash[COVERAGE] = ModelCoverage()
        except ImportError:
            raise UnknownName("--model-coverage needs coverage.py: pip install coverage") from None
    if (folder := config.getoption("observe")) and not _workers(config):
        worker = config.workerinput["workerid"] if _is_worker(config) else "traces"  # type: ignore[attr-defined]
        try:
            config.add_cleanup(write_observations(Path(folder), worker))
        except OSError as error:
            raise UnknownName(f"--observe {folder}: {error.strerror}") from None


def _workers(config: pytest.Config) -> bool:
    """Is this the process that others work for (pytest-xdist)?"""
    return bool(getattr(config.option, "numprocesses", None)) and not _is_worker(config)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A worker gets whole cells: what is searched once is searched by one."""
    from properties.search.workers import CellScheduling  # noqa: PLC0415 (without pytest-xdist there is no such hook)

    return CellScheduling(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker sends home what it found; what has become a known finding is no failure."""
    if session.config.getoption("update_expectations") and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK
    if _is_worker(session.config):
        stash = session.config.stash
        session.config.workeroutput["sessionproof"] = pickle.dumps((stash[FINDINGS], stash[REPORTS]))  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker found."""
    if sent := getattr(node, "workeroutput", {}).get("sessionproof"):
        findings, reports = pickle.loads(sent)
        node.config.stash[FINDINGS] |= findings
        node.config.stash[REPORTS] |= reports


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each cell and invariant."""
    if not {"cell", "invariant"} <= set(metafunc.fixturenames):
        return
    parameters = []
    for cell in metafunc.config.stash[CELLS]:
        for name in metafunc.config.getoption("invariant") or usual(cell.runtime):
            known = [f for f in metafunc.config.stash[KNOWN] if f.covers(cell, name)]
            marks = [pytest.mark.xfail(strict=True, reason=str(f)) for f in known]
            label = f"{cell.target}-{cell.assumptions}-{name}"
            parameters.append(pytest.param(cell, INVARIANTS[name], id=label, marks=marks))
    metafunc.parametrize(("cell", "invariant"), parameters)


@pytest.fixture(scope="session")
def explore(pytestconfig: pytest.Config) -> Iterator[Callable[[Cell], Findings]]:
    """Search a cell, once for all its invariants."""
    findings = pytestconfig.stash[FINDINGS]
    targets = pytestconfig.stash[TARGETS]
    profile = pytestconfig.stash[PROFILE]

    def find(cell: Cell) -> Findings:
        if cell not in findings:
            named = pytestconfig.getoption("invariant") or usual(cell.runtime)
            invariants = [INVARIANTS[name] for name in named]
            judged = _watched(pytestconfig, cell, invariants)
            capture = pytestconfig.pluginmanager.getplugin("capturemanager")
            live = sys.stderr.isatty() and not _is_worker(pytestconfig)
            with SearchLine(cell, capture.global_and_fixture_disabled, live) as progress:
                try:
                    target = targets[cell.target]
                    found = search(target, cell, judged, profile, progress.tell)
                    findings[cell] = expectations.remembered(found, pytestconfig.stash[KNOWN], target)
                    _explain(pytestconfig, findings[cell], target)
                except (BadTrace, TargetError) as error:
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


def _watched(config: pytest.Config, cell: Cell, invariants: list[Invariant]) -> list[Invariant]:
    """The invariants, of which one takes down the transitions of the model, if coverage is asked for."""
    target = config.stash[TARGETS][cell.target]
    if COVERAGE not in config.stash or not isinstance(target, ModelTarget):
        return invariants
    coverage = config.stash[TRANSITIONS]
    try:
        limits = Limits(seconds=30, states=3_000)
        seen = plan(target.policy, cell.runtime, cell.assumptions, App(), limits, lambda line: None)
    except TargetError as error:
        coverage[cell] = str(error).partition(":")[0]
        return invariants
    watcher = coverage[cell] = Coverage(seen, target)
    return [watcher.watching(invariants[0]), *invariants[1:]]


def _explain(config: pytest.Config, findings: Findings, target: Target) -> None:
    """Make a report of each violation that nobody expected, or of each for the pages, while its target runs."""
    for name, verdict in findings.verdicts.items():
        known = any(finding.covers(findings.cell, name) for finding in config.stash[KNOWN])
        if isinstance(verdict, Violated) and (config.getoption("pages") or not known):
            seed = config.getoption("hypothesis_seed", None)
            found = explain(Violation(verdict.trace, verdict.played), target, seed)
            config.stash[REPORTS][findings.cell, name] = (found, save(found))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No letters for the cells: the table says it all."""
    if report.when == "call" and "test_invariant[" in report.nodeid:
        word = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        return word, "", word.upper()
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdict table; each violation nobody expected, or else one that was; then what is known."""
    cells = config.stash[CELLS]
    findings = sorted(config.stash[FINDINGS].values(), key=lambda found: cells.index(found.cell))
    if not findings or _is_worker(config):
        return
    verdicts = {(found.cell, name): verdict for found in findings for name, verdict in found.verdicts.items()}
    known = {place: finding for place in verdicts for finding in config.stash[KNOWN] if finding.covers(*place)}
    reasons = {place: str(finding) for place, finding in known.items()}
    violations = {place: verdict for place, verdict in verdicts.items() if isinstance(verdict, Violated)}
    news = [config.stash[REPORTS][place] for place in violations if place not in known]
    expected = [(violations[place], reasons[place]) for place in violations if place in known]
    # A model's counterexample is a promise, a real build's is a fact: that is the one to show.
    expected.sort(key=lambda pair: pair[0].trace.target.startswith("model"))
    sections: list[RenderableType] = [verdict_table(findings, reasons)]
    if unused := never_used(findings):
        sections.append(unused)
    sections += ending.stories(news)
    if expected and not news:
        first = expected[0][0]
        sections.append(timeline(view(Counterexample(first.trace, first.played, Found({})))))
    if expected:
        sections.append(known_findings([(verdict.trace, reason) for verdict, reason in expected]))
    gone = [known[place] for place in known if place not in violations]
    if gone and not config.getoption("update_expectations"):
        sections.append(no_longer_happens(config.getoption("expectations"), dict.fromkeys(gone)))
    width = terminalreporter._tw.fullwidth if terminalreporter.isatty else WIDTH
    for section in sections:
        terminalreporter.write("\n" + plain(section, width, terminalreporter.hasmarkup))
    if COVERAGE in config.stash:
        terminalreporter.write("\nbranches of the model\n")
        terminalreporter.write("".join(f"  {line}\n" for line in say_branches(config.stash[COVERAGE].end())))
        terminalreporter.write("transitions of the model, where the app makes one call at a time\n")
        for cell, taken in config.stash[TRANSITIONS].items():
            terminalreporter.write(f"  {cell.target}, assuming {cell.assumptions}: {taken}\n")
    reported = config.stash[REPORTS]
    if config.getoption("update_expectations"):
        path = Path(config.getoption("expectations"))
        terminalreporter.write("\n" + ending.update_expectations(path, verdicts, violations, reported))
    if folder := config.getoption("pages"):
        index = ending.write_pages(Path(folder), config.stash[FINDINGS].values(), reasons, reported)
        terminalreporter.write(f"\npages   {index}\n")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary(findings, reasons, [found for found, _ in news]))
