"""The command `campaign`: many random traces, on many cores or machines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from model.terms import Runtime
from properties.campaign import tally
from properties.campaign.campaign import run
from properties.campaign.shards import CampaignPlan
from properties.cli.common import say, search_options, terminal
from properties.invariants.catalogue import default_invariants
from properties.render.tables import plain
from properties.system.files import write
from properties.targets.names import forms, judged_on


@click.command()
@click.option(
    "--traces", type=click.IntRange(min=1), default=100_000, show_default=True, help="traces for each cell"
)
@click.option("--target", "--targets", "targets", multiple=True, metavar="NAME", help=f"{forms()}; repeatable")
@search_options
@click.option("--scheduler", metavar="ADDRESS", help="a dask scheduler (default: a cluster on this machine)")
@click.option("--workers", type=click.IntRange(min=1), help="processes on this machine (default: one per core)")
@click.option("--report", type=click.Path(path_type=Path), help="also write the report to this file, as Markdown")
@click.option(
    "--model-coverage", is_flag=True, help="report which branches of the model were taken; half as fast"
)
def campaign(
    traces: int,
    targets: tuple[str, ...],
    assumptions: tuple[str, ...],
    invariants: tuple[str, ...],
    runtime: str,
    scheduler: str | None,
    workers: int | None,
    report: Path | None,
    model_coverage: bool,
) -> None:
    """Search many traces on many cores or machines, in shards. Finished shards are saved, so a rerun resumes.

    Exits 0 when every invariant held in all traces, 1 when one was violated or a search was vacuous.
    """
    more = dict.fromkeys(name for spec in targets for name in judged_on(spec))
    plan = CampaignPlan(
        traces,
        targets or ("model",),
        tuple(tuple(names.split(",")) for names in assumptions or ("starvation,stale-after-expiry",)),
        Runtime(runtime),
        invariants or (*default_invariants(Runtime(runtime)), *more),
        coverage=model_coverage,
    )
    done = run(plan, scheduler, workers or os.cpu_count() or 1, say)
    click.echo(plain(tally.render(done), *terminal()), nl=False)
    if report:
        write(report, tally.as_markdown(done))
    words = {judged.word for cell in done.cells for judged in cell.verdicts.values()}
    sys.exit(1 if words & {"VIOLATED", "vacuous"} else 0)
