"""The command `campaign`: many traces, on many cores or machines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from model.terms import Runtime
from properties.campaign import tally
from properties.campaign.campaign import run
from properties.campaign.shards import CampaignError, Plan
from properties.cli.common import fail, judging, say, terminal
from properties.invariants.catalogue import usual
from properties.render.tables import plain
from properties.system.target import TargetError
from properties.targets.names import FORMS, UnknownName


@click.command()
@click.option(
    "--traces", type=click.IntRange(min=1), default=100_000, show_default=True, help="traces for each cell"
)
@click.option("--target", "--targets", "targets", multiple=True, metavar="NAME", help=f"{FORMS}; repeatable")
@judging
@click.option("--scheduler", metavar="ADDRESS", help="of a dask cluster; without one, a cluster on this machine")
@click.option("--workers", type=click.IntRange(min=1), help="on this machine (default: one for each core)")
@click.option(
    "--report", type=click.Path(path_type=Path), help="write the report into this file too, as Markdown"
)
@click.option(
    "--model-coverage", is_flag=True, help="say which branches of the model were taken; takes twice as long"
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
    """Many traces on many cores or machines, in shards that are kept: run it again, and it goes on where it was.

    Exits 0 when every invariant held in all of them, 1 when one was violated or a run was vacuous.
    """
    plan = Plan(
        traces,
        targets or ("model",),
        tuple(tuple(names.split(",")) for names in assumptions or ("starvation,stale-after-expiry",)),
        Runtime(runtime),
        invariants or tuple(usual(Runtime(runtime))),
        coverage=model_coverage,
    )
    try:
        done = run(plan, scheduler, workers or os.cpu_count() or 1, say)
    except KeyboardInterrupt:
        fail("interrupted; the shards that are done are kept: the same command goes on from there")
    except (CampaignError, UnknownName, TargetError) as error:
        fail(str(error))
    click.echo(plain(tally.render(done), *terminal()), nl=False)
    if report:
        report.write_text(tally.as_markdown(done), encoding="utf-8")
    words = {judged.word for cell in done.cells for judged in cell.verdicts.values()}
    sys.exit(1 if words & {"VIOLATED", "vacuous"} else 0)
