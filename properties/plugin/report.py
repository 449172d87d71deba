"""The report at the end of a pytest run, and its exit code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import RenderableType

from properties.invariants.verdict import Vacuous, Violated
from properties.plugin import summary as terminal_summary
from properties.plugin.observers import observed
from properties.plugin.stash import CELLS, FINDINGS, KNOWN, REPORTS
from properties.plugin.workers import is_worker
from properties.render.summary import summary
from properties.render.tables import WIDTH, known_findings, never_used, no_longer_happens, plain, verdict_table
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found


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
    """The verdict table, each new violation (or else one known violation), and the known findings."""
    cells = config.stash[CELLS]
    findings = sorted(config.stash[FINDINGS].values(), key=lambda found: cells.index(found.cell))
    if not findings or is_worker(config):
        return
    verdicts = {(found.cell, name): verdict for found in findings for name, verdict in found.verdicts.items()}
    known = {place: finding for place in verdicts for finding in config.stash[KNOWN] if finding.covers(*place)}
    reasons = {place: str(finding) for place, finding in known.items()}
    violations = {place: verdict for place, verdict in verdicts.items() if isinstance(verdict, Violated)}
    reported = config.stash[REPORTS]
    for place, found in violations.items():  # an interrupt may come before the explanation
        bare = Counterexample(found.trace, found.played, Found({}))
        reported.setdefault(place, (bare, []))
    news = [reported[place] for place in violations if place not in known]
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
    terminalreporter.write("".join(f"{line}\n" for line in observed(config)))
    if config.getoption("update_expectations"):
        path = Path(config.getoption("expectations"))
        terminalreporter.write("\n" + terminal_summary.update_expectations(path, judged, violations, reported))
    if folder := config.getoption("pages"):
        index = terminal_summary.write_pages(Path(folder), findings, reasons, reported)
        terminalreporter.write(f"\npages   {index}\n")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary(findings, reasons, [found for found, _ in news]))
