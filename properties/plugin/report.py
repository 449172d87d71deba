"""The report at the end of a pytest run, and its exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import RenderableType

from properties.invariants.verdict import Findings, Vacuous, Violated
from properties.plugin import summary as terminal_summary
from properties.plugin.observers import observed
from properties.plugin.stash import CELLS, FINDINGS, KNOWN, REPORTS
from properties.plugin.workers import is_worker
from properties.render.matrix import write_pages
from properties.render.sarif import sarif
from properties.render.summary import summary
from properties.render.tables import (
    WIDTH,
    as_expected,
    known_findings,
    never_used,
    no_longer_happens,
    plain,
    verdict_table,
)
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found
from properties.run.known import Claim, Finding, gone
from properties.system.trace import write


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No progress letters for the cells: the verdict table replaces them."""
    if report.when == "call" and "test_invariants.py::test_invariant[" in report.nodeid:
        word = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        return word, "", word.upper()
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --update-expectations violations are no failures; a run that is no evidence remains one."""
    verdicts = [one for found in session.config.stash[FINDINGS].values() for one in found.verdicts.values()]
    accepted = session.config.getoption("update_expectations") and not any(
        isinstance(v, Vacuous) for v in verdicts
    )
    if accepted and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The report. It is short if a run is to say little (-qq) and every verdict is the expected one."""
    cells = config.stash[CELLS]
    findings = sorted(config.stash[FINDINGS].values(), key=lambda found: cells.index(found.cell))
    if not findings or is_worker(config):
        return
    known, reported = config.stash[KNOWN], config.stash[REPORTS]
    violations = [one for found in findings for one in found.violations]
    for one in violations:  # an interrupt may come before the explanation
        reported.setdefault(one.trace, (Counterexample(one.trace, one.played, Found({})), []))
    news = [one for one in violations if one.accepted is None]
    expected = [one for one in violations if one.accepted is not None]
    stopped = {(found.cell, name): gone(found, name, known) for found in findings for name in found.verdicts}
    stopped = {claim: some for claim, some in stopped.items() if some}
    vacuous = any(isinstance(verdict, Vacuous) for found in findings for verdict in found.verdicts.values())
    if config.option.verbose < -1 and not (news or stopped or vacuous):
        sections: list[RenderableType] = [as_expected(findings, expected)]
    else:
        sections = [*_sections(config, findings, news, expected, stopped)]
    width = terminalreporter._tw.fullwidth if terminalreporter.isatty else WIDTH
    for section in sections:
        terminalreporter.write("\n" + plain(section, width, terminalreporter.hasmarkup))
    terminalreporter.write("".join(f"{line}\n" for line in observed(config)))
    if config.getoption("update_expectations"):
        path = Path(config.getoption("expectations"))
        terminalreporter.write("\n" + terminal_summary.update_expectations(path, findings, reported))
    if folder := config.getoption("pages"):
        index = write_pages(Path(folder), findings, [found for found, _ in reported.values()])
        terminalreporter.write(f"\npages   {index}\n")
    if file := config.getoption("sarif"):
        document = sarif(findings, known, config.getoption("expectations") or "sessionproof.toml")
        write(Path(file), document)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary(findings, stopped, [reported[one.trace][0] for one in news]))


def _sections(
    config: pytest.Config,
    findings: Sequence[Findings],
    news: Sequence[Violated],
    expected: Sequence[Violated],
    stopped: Mapping[Claim, Sequence[Finding]],
) -> Iterator[RenderableType]:
    """The whole report: the verdict table, each new violation or else one known violation, and what is known."""
    yield verdict_table(findings, stopped)
    if unused := never_used(findings):
        yield unused
    reported, known = config.stash[REPORTS], config.stash[KNOWN]
    yield from terminal_summary.violation_sections(news, reported, known)
    if expected and not news:
        # Prefer the counterexample of a build to that of a model.
        first = min(expected, key=lambda one: one.trace.target.startswith("model"))
        yield timeline(view(Counterexample(first.trace, first.played, Found({}))))
    if expected:
        yield known_findings([(one.trace, str(one.accepted)) for one in expected])
    if stopped and not config.getoption("update_expectations"):
        gone_ones = dict.fromkeys(finding for some in stopped.values() for finding in some)
        yield no_longer_happens(config.getoption("expectations"), gone_ones)
