"""The command `sensitivity`: which changes of a build does this harness notice?"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.table import Table

from properties.campaign.progress import counter, teller
from properties.cli.common import profile, say, terminal
from properties.cli.conformance import DEFAULT_BUILDS
from properties.conformance.mutants import Experiment, Fate, Trial, mutants, prepare, sample
from properties.conformance.survivors import (
    Reason,
    Row,
    Why,
    parts_in,
    reasons_in,
    rows,
    stale,
    unexplained,
)
from properties.render.tables import plain
from properties.system.files import write
from properties.system.processes import run_all
from properties.targets.adapter import Adapter
from properties.targets.names import UnknownName, adapter_of, build_forms


@click.command()
@click.option(
    "--target", "spec", default=DEFAULT_BUILDS[-1], show_default=True, metavar="NAME", help=build_forms()
)
@click.option("--mutants", "count", type=click.IntRange(min=1), default=100, show_default=True, help="to try")
@click.option(
    "--traces", type=click.IntRange(min=1), default=200, show_default=True, help="random ones, on each runtime"
)
@click.option("--seed", type=int, default=0, show_default=True, help="of the mutants and the random traces")
@click.option("--everywhere", is_flag=True, help="all code that runs, not only the session's logic")
@click.option("--workers", type=click.IntRange(min=1), help="processes (default: one per core)")
@click.option("--out", type=click.Path(path_type=Path), help="also write everything to this file, as JSON")
@click.option("--json", "as_json", is_flag=True, help="print everything as JSON, and no tables")
def sensitivity(
    spec: str,
    count: int,
    traces: int,
    seed: int,
    everywhere: bool,
    workers: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Change one token of a build at a time. Which changes are noticed: by a build that does not load, by an
    invariant, or by a difference from the model, in the known traces and in random ones?

    Exits 0 when every change that nothing notices is explained, else 1.
    """
    adapter = adapter_of(spec)
    if adapter is None:
        raise UnknownName(f"{spec} is no build: name one, {build_forms()}")
    parts = parts_in(adapter.logic) if adapter.logic.exists() else ()
    experiment = prepare(adapter, spec, parts, profile(traces), seed, counter(spec), say)
    mutations = sample(experiment.code, everywhere or not parts, count, seed)
    trials: list[Trial] = []
    tell = teller()

    def done(trial: Trial) -> None:
        trials.append(trial)
        survived = sum(one.fate is Fate.SURVIVED for one in trials)
        if sys.stderr.isatty() or len(trials) % 10 == 0:
            tell(f"{spec}: {len(trials)} of {len(mutations)} mutants, {survived} not noticed")

    reasons: Sequence[Reason] = ()
    try:
        reasons = [one for one in reasons_in(adapter.survivors) if one.build == experiment.target]
        run_all(mutants(experiment, mutations), workers or os.cpu_count() or 1, done)
    finally:  # an interrupt does not hide what is known by then
        tell("")
        trials.sort(key=lambda trial: trial.mutation.start)
        document = _document(experiment, trials, reasons)
        if out:
            write(out, document)
        if as_json:
            click.echo(document)
        elif trials:
            _print(adapter, experiment, trials, reasons)
    sys.exit(bool(unexplained(trials, reasons) or stale(experiment, trials, reasons)))


def _document(experiment: Experiment, trials: Sequence[Trial], reasons: Sequence[Reason]) -> bytes:
    known = {code: reason for reason in reasons for code in reason.mutations}
    content = {
        "target": experiment.target,
        "traces": len(experiment.traces),
        "functions": experiment.code.functions,
        "missing": experiment.code.missing,
        "trials": [
            {
                **msgspec.to_builtins(trial.mutation),
                "fate": trial.fate,
                "how": trial.how,
                "traces": trial.traces,
                "why": known[trial.mutation.code].why if trial.mutation.code in known else None,
                "reason": known[trial.mutation.code].reason if trial.mutation.code in known else None,
            }
            for trial in trials
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _print(adapter: Adapter, experiment: Experiment, trials: Sequence[Trial], reasons: Sequence[Reason]) -> None:
    code = experiment.code
    known = {one.code: reason for reason in reasons for one in code.mutations if one.code in reason.mutations}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    headings = ("part", "functions that run", "mutants", *Fate, *Why, "not explained", "noticed")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for row in rows(experiment, trials, reasons):
        table.add_row(*_cells(row))
    click.echo(plain(table, *terminal()), nl=False)
    for texts in code.missing:
        click.echo(f"not found in this build: the part of the session's logic with {' and '.join(texts)}")
    for trial in (one for one in trials if one.fate is Fate.SURVIVED and one.mutation.code not in known):
        mutation = trial.mutation
        click.echo(f"\nnot noticed, and not explained: {mutation.kind} in {mutation.scope}\n  {mutation.code}")
    for line in stale(experiment, trials, reasons):
        click.echo(f"\n{adapter.survivors.name} is out of date: {line}")


def _cells(row: Row) -> list[str]:
    share = f"{100 * row.noticed / row.relevant:.0f} %" if row.relevant else ""
    return [
        row.name,
        f"{row.run} of {row.functions}",
        str(len(row.trials)),
        *(str(row.count(fate)) for fate in Fate),
        *(str(row.survived(why)) for why in Why),
        str(row.survived(None)),
        share,
    ]
