"""The commands that prove invariants on the model: `prove` and `matrix`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click

from properties.campaign.progress import teller
from properties.cli.common import say, terminal
from properties.cli.proof_options import ProofRequest, proof_command
from properties.invariants.verdict import Findings, HeldTo, MayStarve, Vacuous, Violated
from properties.prove.matrix import EVERY_ASSUMPTION, EVERY_POLICY, confirmed, prove_all
from properties.prove.prove import Limits
from properties.render.matrix import as_json, as_markdown, write_pages
from properties.render.tables import plain, verdict_table
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample
from properties.run.explain import explain
from properties.run.run import Violation
from properties.system.failures import Failure
from properties.system.files import write
from properties.system.trace import write as write_trace
from properties.targets.names import model_named, newest

MATRIX_STEPS = 14_000
"""The limit on model steps in each pass of a matrix cell. Graphs that close within minutes close within it."""


@click.command()
@proof_command((newest(),), "the newest release", (("starvation", "stale-after-expiry"),), Limits().steps)
def prove(request: ProofRequest) -> None:
    """Prove the invariants on the model, for traces of any length and all durations, or find counterexamples.

    Exits 0 when everything is proved, 1 when something is violated or vacuous, 2 when a limit was hit first.
    """
    tell = teller()
    findings: list[Findings] = []
    with _shown_if_cut_short(findings):
        for task in request.tasks():
            findings.append(task.run(tell))
        tell("")
        if request.confirm:
            findings = confirmed(findings, say)
    _print(findings)
    click.echo(f"the app makes {request.apps}")
    for found in findings:
        for trace in _timelines(found):
            click.echo("\n" + trace, nl=False)
    _exit(findings)


@click.command()
@proof_command(EVERY_POLICY, "all", EVERY_ASSUMPTION, MATRIX_STEPS)
@click.option("--workers", type=click.IntRange(min=1), help="processes (default: one per core)")
@click.option("--markdown", type=click.Path(path_type=Path), help="write the matrix to this file, as Markdown")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="write the matrix to this file, as JSON"
)
@click.option(
    "--html",
    "folder",
    type=click.Path(path_type=Path),
    help="write the matrix to this folder, as a page with links to a page for each violation",
)
@click.option(
    "--traces",
    "traces_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="write the counterexamples to this folder, but none that begins another",
)
def matrix(
    request: ProofRequest,
    workers: int | None,
    markdown: Path | None,
    json_file: Path | None,
    folder: Path | None,
    traces_folder: Path | None,
) -> None:
    """Prove every policy under every assumption: releases and proposed fixes, side by side.

    Exits 0 when the matrix is complete, whatever its verdicts.
    """
    tasks, tell = request.tasks(), teller()
    done: list[Findings] = []

    def count(last: Findings) -> None:
        done.append(last)
        place = f"{last.cell.target}, assuming {last.cell.assumptions}"
        tell(f"{len(done)} of {len(tasks)} cells; {place}, took {last.seconds:.1f} s")

    with _shown_if_cut_short(done):
        findings = prove_all(tasks, workers or os.cpu_count() or 1, count)
        tell("")
        if request.confirm:
            findings = confirmed(findings, say)
    _print(findings)
    click.echo(f"the app makes {request.apps}")
    if json_file:
        write(json_file, as_json(findings))
    if markdown:
        write(markdown, as_markdown(findings))
    if traces_folder:
        click.echo(f"traces  {_write_traces(traces_folder, findings)} in {traces_folder}")
    if folder:
        click.echo(f"pages   {write_pages(folder, findings, _explained(findings))}")


def _write_traces(folder: Path, findings: Sequence[Findings]) -> int:
    """Write the traces of the violations. Returns how many there are. Raises `NotWritten`."""
    traces = [one.trace for found in findings for one in found.violations]
    begun = {one.events[:length] for one in traces for length in range(len(one.events))}
    whole = {one.events: one for one in reversed(traces) if one.events not in begun}
    for one in whole.values():
        write_trace(folder / one.path.name, one.document())
    return len(whole)


def _explained(findings: Sequence[Findings]) -> Iterator[Counterexample]:
    for found in findings:
        target = model_named(found.cell.target.removeprefix("model@"))
        yield from (explain(Violation(one.trace, one.played), target) for one in found.violations)


@contextlib.contextmanager
def _shown_if_cut_short(done: Sequence[Findings]) -> Iterator[None]:
    """Print the table of what is done by then, if something ends the proofs early."""
    try:
        yield
    except BaseException:
        if done:
            _print(done)
        raise


def _print(findings: Sequence[Findings]) -> None:
    click.echo(plain(verdict_table(findings), *terminal()), nl=False)


def _timelines(found: Findings) -> list[str]:
    """The timeline of each violation of a cell; each distinct trace once."""
    target = model_named(found.cell.target.removeprefix("model@"))
    told: dict[str, str] = {}
    for verdict in found.verdicts.values():
        if isinstance(verdict, Violated) and str(verdict.trace) not in told:
            counterexample = explain(Violation(verdict.trace, verdict.played), target)
            told[str(verdict.trace)] = plain(timeline(view(counterexample)), *terminal())
    return list(told.values())


def _exit(findings: Sequence[Findings]) -> NoReturn:
    verdicts = [verdict for found in findings for verdict in found.verdicts.values()]
    if any(isinstance(verdict, Violated | Vacuous) for verdict in verdicts):
        sys.exit(1)
    if any(isinstance(verdict, HeldTo) for verdict in verdicts):
        raise Failure(
            "not everything is proved: a limit was hit; raise --seconds, --steps or --states, or assume less"
        )
    if any(isinstance(verdict, MayStarve) for verdict in verdicts):
        raise Failure("not everything is proved: the foreground may not recover, after the events above")
    sys.exit(0)
