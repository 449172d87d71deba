"""The pytest front end: options, Hypothesis profiles, and the glue between search and reports."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from msgspec.structs import replace
from rich.console import RenderableType

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Runtime
from properties.campaign.progress import SearchLine
from properties.conformance.plan import TransitionCoverage, plan_tour
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS, Invariant, default_invariants
from properties.invariants.verdict import Cell, Findings, Vacuous, Violated
from properties.plugin import options
from properties.plugin import summary as terminal_summary
from properties.prove.prove import Limits, problem
from properties.render.files import save
from properties.render.summary import summary
from properties.render.tables import WIDTH, known_findings, never_used, no_longer_happens, plain, verdict_table
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run import known as expectations
from properties.run.counterexample import Counterexample, Found
from properties.run.explain import explain
from properties.run.known import Claim
from properties.run.run import Violation
from properties.search.examples import FORMS as EXAMPLE_FORMS
from properties.search.examples import BadDatabase
from properties.search.observe import ModelCoverage, say_branches, write_observations
from properties.search.search import search
from properties.system.registry import sdks
from properties.system.target import Target, TargetError
from properties.system.trace import BadTrace
from properties.targets.closing import close_all
from properties.targets.model import as_model
from properties.targets.names import UnknownName, forms, one_of

# `dev` stores failures and draws new traces in every run; `ci` and `check` are deterministic. Traces can be slow
# to generate on a cold machine, so the health check too_slow is off. On CI, Hypothesis loads a profile of its
# own; ours are based on its default profile, so that they mean the same everywhere.
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
REPORTS = pytest.StashKey[dict[Claim, tuple[Counterexample, list[Path]]]]()
KNOWN = pytest.StashKey[tuple[expectations.Finding, ...]]()
TARGETS = pytest.StashKey[dict[str, Target]]()
PROFILE = pytest.StashKey[settings]()
COVERAGE = pytest.StashKey[ModelCoverage]()
TRANSITIONS = pytest.StashKey[dict[Cell, TransitionCoverage | str]]()
CELLS = pytest.StashKey[list[Cell]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, in one group of `pytest --help`."""
    group = parser.getgroup("sessionproof", "sessionproof: targets, assumptions and invariants to check")
    group.addoption(
        "--target",
        action="append",
        metavar="NAME",
        help=f"a target to check: {forms()} (repeatable; default: model)",
    )
    group.addoption(
        "--assume",
        action="append",
        metavar="NAME[,NAME...]",
        help=f"what the world may do: {', '.join(ASSUMPTIONS)}; a list with commas is one set (repeatable)",
    )
    group.addoption(
        "--invariant",
        action="append",
        metavar="ID",
        help=f"an invariant: {', '.join(INVARIANTS)} (repeatable; default: {', '.join(DEFAULT_INVARIANTS)})",
    )
    group.addoption(
        "--runtime", default="headless", metavar="NAME", help=f"the runtime of the SDK: {', '.join(Runtime)}"
    )
    group.addoption(
        "--expectations",
        metavar="FILE",
        help="a TOML file of known findings: fail on new violations, and on listed ones that stopped",
    )
    group.addoption(
        "--update-expectations",
        action="store_true",
        help="add the findings of this run to that file, and remove those that no longer happen",
    )
    group.addoption(
        "--examples",
        metavar="WHERE",
        help=f"the database of failures, which are replayed first: {EXAMPLE_FORMS}; comma-separated "
        "(default: SESSIONPROOF_EXAMPLES, or else Hypothesis's own folder)",
    )
    group.addoption(
        "--observe",
        metavar="FOLDER",
        help="write every generated trace to this folder, as JSON lines (for Tyche)",
    )
    group.addoption(
        "--model-coverage",
        action="store_true",
        help="report which branches and transitions of the model were taken (slower; one process only)",
    )
    group.addoption(
        "--pages",
        metavar="FOLDER",
        help="write the verdict table to this folder as a page, with a page for each counterexample",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Turn the options into cells and prepare the targets. An unknown name or an unavailable target ends the run
    with one line and exit code 2, before any search."""
    config.stash[FINDINGS] = {}
    config.stash[REPORTS] = {}
    config.stash[TRANSITIONS] = {}
    try:
        config.stash[KNOWN] = options.known(config)
        config.stash[TARGETS] = targets = options.targets(config)
        config.stash[CELLS] = options.cells(config, targets)
        for name in config.getoption("invariant") or ():
            one_of("invariant", name, INVARIANTS)
        for target in targets.values():
            target.prepare(Runtime(config.getoption("runtime")))
            if _workers(config):  # the workers have their own targets; this was only a check
                target.close()
        _watch(config)
    except (UnknownName, expectations.BadExpectations) as error:
        pytest.exit(str(error), returncode=2)
    except TargetError as error:
        pytest.exit(f"{target.name}: {error}", returncode=2)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the profile; Hypothesis has loaded it by now."""
    try:
        session.config.stash[PROFILE] = options.profile(session.config)
    except (UnknownName, BadDatabase) as error:
        pytest.exit(str(error), returncode=2)


def _watch(config: pytest.Config) -> None:
    """Start the observers that the options enable."""
    if config.getoption("model_coverage"):
        if _workers(config):
            raise UnknownName("--model-coverage works in one process only: leave out -n")
        try:
            config.stash[COVERAGE] = ModelCoverage(sdks())
        except ImportError:
            raise UnknownName("--model-coverage needs coverage.py: pip install coverage") from None
    if (folder := config.getoption("observe")) and not _workers(config):
        worker = config.workerinput["workerid"] if _is_worker(config) else "traces"  # type: ignore[attr-defined]
        try:
            config.add_cleanup(write_observations(Path(folder), worker))
        except OSError as error:
            raise UnknownName(f"--observe {folder}: {error.strerror}") from None


def _workers(config: pytest.Config) -> bool:
    """Is this the controller of pytest-xdist workers?"""
    return bool(getattr(config.option, "numprocesses", None)) and not _is_worker(config)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Assign whole cells to workers, because a cell is searched once for all its tests."""
    from properties.search.workers import CellScheduling  # noqa: PLC0415 (without pytest-xdist there is no such hook)

    return CellScheduling(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker sends its findings to the controller. With --update-expectations violations are no failures; a run
    that is no evidence remains one."""
    verdicts = [one for found in session.config.stash[FINDINGS].values() for one in found.verdicts.values()]
    accepted = session.config.getoption("update_expectations") and not any(
        isinstance(v, Vacuous) for v in verdicts
    )
    if accepted and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK
    if _is_worker(session.config):
        stash = session.config.stash
        session.config.workeroutput["sessionproof"] = pickle.dumps((stash[FINDINGS], stash[REPORTS]))  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the findings of a worker."""
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
        for name in metafunc.config.getoption("invariant") or default_invariants(cell.runtime):
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
    profile = pytestconfig.stash[PROFILE]

    def find(cell: Cell) -> Findings:
        if cell not in findings:
            named = pytestconfig.getoption("invariant") or default_invariants(cell.runtime)
            invariants = [INVARIANTS[name] for name in named]
            capture = pytestconfig.pluginmanager.getplugin("capturemanager")
            live = sys.stderr.isatty() and not _is_worker(pytestconfig)
            with SearchLine(cell, capture.global_and_fixture_disabled, live) as progress:
                try:
                    target = targets[cell.target]
                    again = expectations.replays(cell, named, pytestconfig.stash[KNOWN], target)
                    judged = [one for one in invariants if one.id not in again]
                    found = search(target, cell, _watched(pytestconfig, cell, judged), profile, progress.tell)
                    findings[cell] = replace(
                        found, verdicts={name: (again | found.verdicts)[name] for name in named}
                    )
                    _explain(pytestconfig, findings[cell], target)
                except (BadTrace, TargetError) as error:
                    pytest.exit(f"{cell.target}: {error}", returncode=2)
                except KeyboardInterrupt:
                    # pytest may fail to render the traceback of an interrupt.
                    raise pytest.exit.Exception("interrupted", returncode=2) from None
        return findings[cell]

    yield find
    try:
        close_all(targets.values())
    except TargetError as error:
        pytest.exit(str(error), returncode=2)


def _watched(config: pytest.Config, cell: Cell, invariants: list[Invariant]) -> list[Invariant]:
    """The invariants; with --model-coverage, the first one also records the transitions of the model."""
    target = as_model(config.stash[TARGETS][cell.target])
    if COVERAGE not in config.stash or target is None or not invariants:
        return invariants
    coverage = config.stash[TRANSITIONS]
    try:
        limits = Limits(seconds=30, states=3_000)
        seen = plan_tour(problem(target, cell.runtime, cell.assumptions), limits, lambda line: None)
    except TargetError as error:
        coverage[cell] = str(error).partition(":")[0]
        return invariants
    watcher = coverage[cell] = TransitionCoverage(seen, target)
    return [watcher.watching(invariants[0]), *invariants[1:]]


def _explain(config: pytest.Config, findings: Findings, target: Target) -> None:
    """Explain each new violation, or every one if pages are written, while its target is running."""
    for name, verdict in findings.verdicts.items():
        known = any(finding.covers(findings.cell, name) for finding in config.stash[KNOWN])
        if isinstance(verdict, Violated) and (config.getoption("pages") or not known):
            seed = config.getoption("hypothesis_seed", None)
            found = explain(Violation(verdict.trace, verdict.played), target, seed)
            config.stash[REPORTS][findings.cell, name] = (found, save(found))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No progress letters for the cells: the verdict table replaces them."""
    if report.when == "call" and "test_invariant[" in report.nodeid:
        word = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        return word, "", word.upper()
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdict table, each new violation (or else one known violation), and the known findings."""
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
    # Prefer the counterexample of a build to that of a model.
    expected.sort(key=lambda pair: pair[0].trace.target.startswith("model"))
    sections: list[RenderableType] = [verdict_table(findings, reasons)]
    if unused := never_used(findings):
        sections.append(unused)
    sections += terminal_summary.violation_sections(news)
    if expected and not news:
        first = expected[0][0]
        sections.append(timeline(view(Counterexample(first.trace, first.played, Found({})))))
    if expected:
        sections.append(known_findings([(verdict.trace, reason) for verdict, reason in expected]))
    judged = {place: verdict for place, verdict in verdicts.items() if not isinstance(verdict, Vacuous)}
    gone = [known[place] for place in known if place in judged and place not in violations]
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
        terminalreporter.write("\n" + terminal_summary.update_expectations(path, judged, violations, reported))
    if folder := config.getoption("pages"):
        index = terminal_summary.write_pages(Path(folder), config.stash[FINDINGS].values(), reasons, reported)
        terminalreporter.write(f"\npages   {index}\n")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary(findings, reasons, [found for found, _ in news]))
