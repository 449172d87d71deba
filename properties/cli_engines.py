"""The commands that run an engine of their own: `prove`, `condition`, `matrix` and `campaign`."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from model.assumptions import ASSUMPTIONS, Assumptions
from model.terms import Runtime
from model.transition import MODELLED
from properties.app import App
from properties.campaign import run as run_campaign
from properties.explain import explain
from properties.invariants import INVARIANTS, USUAL, usual
from properties.matrix import (
    EVERY_ASSUMPTION,
    EVERY_POLICY,
    Task,
    as_json,
    as_markdown,
    confirmed,
    prove_all,
    write_pages,
)
from properties.prove import Limits
from properties.render import tally
from properties.render.timeline import timeline
from properties.render.view import view
from properties.report import WIDTH, plain, verdict_table
from properties.run import Violation
from properties.search import Findings
from properties.shards import CampaignError, Plan
from properties.target import TargetError
from properties.targets.model_target import ModelTarget
from properties.targets.names import FORMS, UnknownName, policy
from properties.trace import duration
from properties.verdict import HeldTo, Vacuous, Violated

RUNTIMES = click.Choice([one.value for one in Runtime])

Command = TypeVar("Command", bound=Callable[..., Any])


def fail(message: str) -> NoReturn:
    """One line, exit code 2."""
    click.echo(f"sessionproof: {message}", err=True)
    sys.exit(2)


def _options(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which the help lists them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_PROOF = _options(
    click.option(
        "--assume",
        "assumptions",
        multiple=True,
        metavar="NAME[,NAME...]",
        help=f"{', '.join(ASSUMPTIONS)}; repeatable",
    ),
    click.option(
        "--invariant", "invariants", multiple=True, metavar="ID", help=f"{', '.join(INVARIANTS)}; repeatable"
    ),
    click.option(
        "--runtime",
        type=click.Choice([one.value for one in Runtime]),
        default=Runtime.HEADLESS.value,
        show_default=True,
    ),
    click.option(
        "--calls", type=click.IntRange(min=0, max=3), default=1, show_default=True, help="of getToken at a time"
    ),
    click.option("--templates", is_flag=True, help="the app asks for a template's token too"),
    click.option("--organizations", is_flag=True, help="the app asks for another organization's token too"),
    click.option("--switches", is_flag=True, help="the app makes another organization the active one too"),
    click.option("--touches", is_flag=True, help="the app touches the session too"),
    click.option(
        "--depth",
        type=click.IntRange(min=1),
        default=12,
        show_default=True,
        help="look no deeper for a trace, in events",
    ),
    click.option(
        "--states",
        type=click.IntRange(min=1),
        default=Limits().states,
        show_default=True,
        help="give a pass up after so many, which bounds its memory",
    ),
    click.option(
        "--seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=Limits().seconds,
        show_default=True,
        help="give a pass up after this long",
    ),
    click.option("--confirm", is_flag=True, help="play every counterexample of a release on its real build too"),
)


A_LOOK_AT_EACH = 16_000
"""Steps for each pass of a cell in a matrix: what closes without taking minutes has closed by then."""


def _steps(default: int) -> Callable[[Command], Command]:
    return click.option(
        "--steps",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="give a pass up after asking the model for so many: the same place on every machine",
    )


@click.command()
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(EVERY_POLICY)}; repeatable (default: the newest release)",
)
@_PROOF
@_steps(Limits().steps)
def prove(
    policies: tuple[str, ...],
    assumptions: tuple[str, ...],
    invariants: tuple[str, ...],
    runtime: str,
    calls: int,
    templates: bool,
    organizations: bool,
    switches: bool,
    touches: bool,
    depth: int,
    states: int,
    seconds: float,
    confirm: bool,
    steps: int,
) -> None:
    """Prove the invariants on the model, for traces of any length and every length of time, or break them.

    Exits 0 when everything is proved, 1 when something is violated, 2 when a limit was hit before either.
    """
    chosen = [tuple(names.split(",")) for names in assumptions] or [("starvation", "stale-after-expiry")]
    tasks = _tasks(
        policies or ("CLERK_JS_6_40_0",),
        chosen,
        invariants,
        runtime,
        App(calls, templates, touches, organizations, switches),
        Limits(depth, seconds, states, steps),
    )
    tell = _teller()
    findings = []
    try:
        for task in tasks:
            findings.append(task.run(tell))
        tell("")
        if confirm:
            findings = confirmed(findings, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        fail("interrupted")
    except TargetError as error:
        fail(str(error))
    _print(findings)
    click.echo(f"the app makes {App(calls, templates, touches, organizations, switches)}")
    for found in findings:
        for trace in _stories(found):
            click.echo("\n" + trace, nl=False)
    _exit(findings)


@click.command()
@click.option(
    "--policy", "policy_name", default="CLERK_JS_6_40_0", show_default=True, metavar="NAME", help="a model"
)
@click.option(
    "--assume",
    "names",
    default="starvation,stale-on-arrival",
    show_default=True,
    metavar="NAME[,NAME...]",
    help=", ".join(ASSUMPTIONS),
)
@click.option("--invariant", "name", default=next(iter(INVARIANTS)), show_default=True, metavar="ID")
@click.option("--runtime", type=RUNTIMES, default=Runtime.HEADLESS.value, show_default=True)
@click.option("--depth", type=click.IntRange(min=1), default=4, show_default=True, help="events in a trace")
@click.option(
    "--calls", type=click.IntRange(min=0, max=3), default=0, show_default=True, help="of getToken at a time"
)
def condition(policy_name: str, names: str, name: str, runtime: str, depth: int, calls: int) -> None:
    """For which lengths does an invariant break? A token's lifetime, how long ahead it is refreshed, the delay of
    the network and the length of a freeze are unknowns here, and z3 solves for them.

    Exact for traces of up to --depth events. Exits 0 when the condition was found, 2 when it could not be.
    """
    try:
        symbolic = importlib.import_module("properties.condition")
        unknowns = importlib.import_module("properties.unknowns")
    except ImportError:
        fail("the condition needs the package z3-solver: pip install 'sessionproof[symbolic]'")
    (task,) = _tasks((policy_name,), [tuple(names.split(","))], (name,), runtime, App(calls), Limits(depth))
    judged, assumed = INVARIANTS[name], Assumptions(task.assumptions)
    if task.runtime not in judged.runtimes:
        fail(f"{name} is not about the runtime {runtime}")
    say = _teller()
    try:
        found = symbolic.condition(policy(policy_name), task.runtime, assumed, judged, depth, calls, say)
    except KeyboardInterrupt:
        fail("interrupted")
    say("")
    app = f"while the app makes {App(calls)}" if calls else "without a call of the app"
    click.echo(f"model@{policy_name}, assuming {assumed}, in traces of up to {depth} events {app}:")
    verdict = {"never": "never breaks", "always": "breaks"}.get(found.words or "", "breaks exactly if")
    click.echo(f"{name} {verdict}{', whatever the lengths' if found.words in ('never', 'always') else ''}")
    if found.words not in ("never", "always"):
        click.echo(f"\n    {found.words or found.formula}\n")
        for unknown, meaning in unknowns.UNKNOWNS.items():
            ours = f" ({duration(unknowns.NUMBERS[unknown])} here)" if unknown in unknowns.NUMBERS else ""
            click.echo(f"{unknown:<9} {meaning}{ours}")
        click.echo()
        if edge := symbolic.shortest_harmful_freeze(found.formula):
            ms, itself = edge
            click.echo(f"Here, then, a freeze {'of' if itself else 'longer than'} {duration(ms)} is enough.")
        else:
            click.echo("Here, then, it does not break.")
    click.echo(f"{found.tried:,} steps were tried, each for every length of everything.")


def _teller() -> Callable[[str], None]:
    """Progress: a line that is rewritten on a terminal, lines elsewhere."""
    live = sys.stderr.isatty()

    def tell(line: str) -> None:
        if line or live:
            click.echo(f"\r\x1b[K{line}" if live else line, err=True, nl=not live)

    return tell


@click.command()
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(EVERY_POLICY)}; repeatable (default: all)",
)
@_PROOF
@_steps(A_LOOK_AT_EACH)
@click.option("--workers", type=click.IntRange(min=1), help="processes (default: one for each core)")
@click.option("--markdown", type=click.Path(path_type=Path), help="write the matrix into this file, as Markdown")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write it into this file, as JSON")
@click.option(
    "--html",
    "folder",
    type=click.Path(path_type=Path),
    help="write it into this folder, as a page that leads to one for each violation",
)
def matrix(
    policies: tuple[str, ...],
    assumptions: tuple[str, ...],
    invariants: tuple[str, ...],
    runtime: str,
    calls: int,
    templates: bool,
    organizations: bool,
    switches: bool,
    touches: bool,
    depth: int,
    states: int,
    seconds: float,
    confirm: bool,
    steps: int,
    workers: int | None,
    markdown: Path | None,
    json_file: Path | None,
    folder: Path | None,
) -> None:
    """What is proved of which policy under which assumption: releases and proposed fixes, side by side.

    Exits 0 when the matrix is there, whatever it says: `prove` is the judge.
    """
    chosen = [tuple(names.split(",")) for names in assumptions] or list(EVERY_ASSUMPTION)
    tasks = _tasks(
        policies or EVERY_POLICY,
        chosen,
        invariants,
        runtime,
        App(calls, templates, touches, organizations, switches),
        Limits(depth, seconds, states, steps),
    )
    live = sys.stderr.isatty()

    def tell(done: int, last: Findings) -> None:
        place = f"{last.cell.target}, assuming {last.cell.assumptions}"
        line = f"{done} of {len(tasks)} cells; {place}, took {last.seconds:.1f} s"
        click.echo(f"\r\x1b[K{line}" if live else line, err=True, nl=not live)

    try:
        findings = prove_all(tasks, workers or os.cpu_count() or 1, tell)
        if live:
            click.echo("\r\x1b[K", err=True, nl=False)
        if confirm:
            findings = confirmed(findings, lambda line: click.echo(line, err=True))
        if json_file:
            json_file.write_text(as_json(findings), encoding="utf-8")
        if markdown:
            markdown.write_text(as_markdown(findings), encoding="utf-8")
        _print(findings)
        click.echo(f"the app makes {App(calls, templates, touches, organizations, switches)}")
        if folder:
            click.echo(f"pages   {write_pages(findings, folder)}")
    except KeyboardInterrupt:
        fail("interrupted")
    except TargetError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


def _tasks(
    policies: Sequence[str],
    assumptions: Sequence[tuple[str, ...]],
    invariants: Sequence[str],
    runtime: str,
    app: App,
    limits: Limits,
) -> list[Task]:
    """One for each policy and set of assumptions; what is unknown is told."""
    try:
        for name in policies:
            policy(name)
        asked = [("assumption", name, tuple(ASSUMPTIONS)) for names in assumptions for name in names]
        for kind, name, known in [*asked, *(("invariant", name, tuple(INVARIANTS)) for name in invariants)]:
            if name not in known:
                raise UnknownName(f"unknown {kind} '{name}' (known: {', '.join(known)})")
    except UnknownName as error:
        fail(str(error))
    if Runtime(runtime) not in MODELLED:
        fail(f"the model does not describe the runtime {runtime}: nothing to prove; search a real build")
    judged = tuple(invariants) or tuple(USUAL)
    return [
        Task(name, names, Runtime(runtime), judged, app, limits) for names in assumptions for name in policies
    ]


def _print(findings: Sequence[Findings]) -> None:
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    click.echo(plain(verdict_table(findings, ()), width, terminal), nl=False)


def _stories(found: Findings) -> list[str]:
    """The timeline of each violation of a cell; the same events are told once."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    target = ModelTarget(policy(found.cell.target.removeprefix("model@")))
    told: dict[str, str] = {}
    for verdict in found.verdicts.values():
        if isinstance(verdict, Violated) and str(verdict.trace) not in told:
            counterexample = explain(Violation(verdict.trace, verdict.played), target)
            told[str(verdict.trace)] = plain(timeline(view(counterexample), verdict.trace.path), width, terminal)
    return list(told.values())


def _exit(findings: Sequence[Findings]) -> NoReturn:
    verdicts = [verdict for found in findings for verdict in found.verdicts.values()]
    if any(isinstance(verdict, Violated | Vacuous) for verdict in verdicts):
        sys.exit(1)
    if any(isinstance(verdict, HeldTo) for verdict in verdicts):
        fail("not everything is proved: a limit was hit; raise --seconds, --steps or --states, or assume less")
    sys.exit(0)


@click.command()
@click.option(
    "--traces", type=click.IntRange(min=1), default=100_000, show_default=True, help="traces for each cell"
)
@click.option("--target", "--targets", "targets", multiple=True, metavar="NAME", help=f"{FORMS}; repeatable")
@click.option(
    "--assume",
    "assumptions",
    multiple=True,
    metavar="NAME[,NAME...]",
    help=f"{', '.join(ASSUMPTIONS)}; repeatable",
)
@click.option(
    "--invariant", "invariants", multiple=True, metavar="ID", help=f"{', '.join(INVARIANTS)}; repeatable"
)
@click.option(
    "--runtime",
    type=click.Choice([one.value for one in Runtime]),
    default=Runtime.HEADLESS.value,
    show_default=True,
)
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
        done = run_campaign(
            plan, scheduler, workers or os.cpu_count() or 1, lambda line: click.echo(line, err=True)
        )
    except KeyboardInterrupt:
        fail("interrupted; the shards that are done are kept: the same command goes on from there")
    except (CampaignError, UnknownName, TargetError) as error:
        fail(str(error))
    terminal = sys.stdout.isatty()
    click.echo(
        plain(tally.render(done), shutil.get_terminal_size().columns if terminal else WIDTH, terminal), nl=False
    )
    if report:
        report.write_text(tally.as_markdown(done), encoding="utf-8")
    words = {judged.word for cell in done.cells for judged in cell.verdicts.values()}
    sys.exit(1 if words & {"VIOLATED", "vacuous"} else 0)
