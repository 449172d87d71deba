"""The commands that hold a build against the model, step by step: `conform` and `tour`."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import click
from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from model.assumptions.catalogue import ASSUMPTIONS
from model.clerk.policy import POLICIES, Policy, policy_of
from model.terms import Runtime
from properties.campaign.progress import counter
from properties.cli.common import RUNTIMES, assuming, fail, profile, say, terminal
from properties.conformance.plan import plan
from properties.conformance.tour import walk
from properties.invariants.verdict import Cell, Findings, Held, Vacuous, Violated
from properties.prove.app import App
from properties.prove.prove import Limits
from properties.render.tables import plain
from properties.render.timeline import Timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found
from properties.run.lockstep import CONFORMS, Difference, LockStep, conforms
from properties.run.run import Violation
from properties.run.shrink import reduce, violates
from properties.search.search import search
from properties.system.target import TargetError
from properties.system.trace import BadTrace, load
from properties.system.wording import clock
from properties.targets.clerk.target import ClerkJsTarget
from properties.targets.model import ModelTarget
from properties.targets.names import UnknownName, make_target, policy

EVERYTHING = (
    "starvation,stale-for-good,stale-on-arrival,rotated-credential,outage,locked-keychain,revocation,restart"
)
"""All that the world may do, so that the two meet in every mood."""

PINNED = ("clerk-js@6.7.1", "clerk-js@6.7.4", "clerk-js@6.40.0")


# -- conform ------------------------------------------------------------------------------------------------


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help=f"clerk-js@VERSION, expo@VERSION or path:FILE; repeatable (default: {', '.join(PINNED)})",
)
@click.option(
    "--policy",
    "policy_name",
    metavar="NAME",
    help=f"the model to compare with: {', '.join(POLICIES)} (default: the release's own)",
)
@click.option("--against", metavar="NAME", help="compare with another build, rather than with a model")
@click.option("--assume", "names", default=EVERYTHING, metavar="NAME[,NAME...]", help="(default: all of them)")
@click.option("--runtime", type=RUNTIMES, default=Runtime.HEADLESS.value, show_default=True)
@click.option("--traces", type=click.IntRange(min=1), default=1000, show_default=True, help="for each build")
@click.option("--seed", type=int, help="other traces than the usual ones, the same for each seed")
def conform(
    file: Path | None,
    targets: tuple[str, ...],
    policy_name: str | None,
    against: str | None,
    names: str,
    runtime: str,
    traces: int,
    seed: int | None,
) -> None:
    """Does the model do what the builds do? Random traces on both, in lock step; or the one in FILE.

    After every stimulus it compares requests, sign-outs, what getToken gave, the last active token, and when the
    next timers are due. With --against it asks whether two builds do the same.
    Exits 0 when they agree, 1 at a difference, which is shrunk, saved and shown, or when so few traces ran that
    what is assumed never happened.
    """
    agreed = True
    try:
        trace = load(file) if file else None
        specs = targets or ((trace.target,) if trace else PINNED)
        table = _table() if not trace else None
        for spec in specs:
            pair = _pair(spec, policy_name, against)
            try:
                pair.prepare(trace.runtime if trace else Runtime(runtime))
                if trace:
                    found = violates(trace, pair, conforms(pair), beyond_assumptions=True)
                    click.echo(
                        f"{pair.build.name} and {pair.model.name} {'differ' if found else 'agree'}: {trace}"
                    )
                else:
                    cell = Cell(spec, Runtime(runtime), assuming(names))
                    findings = search(pair, cell, [conforms(pair)], profile(traces), counter(spec), seed)
                    found = _violation(findings)
                    agreed = _add(table, pair, findings) and agreed
                if found:
                    agreed = False
                    _show(pair, found)
            finally:
                pair.close()
        if table:
            click.echo(plain(table, *terminal()), nl=False)
    except (BadTrace, UnknownName, TargetError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted")
    sys.exit(not agreed)


def _pair(spec: str, policy_name: str | None, against: str | None = None) -> LockStep:
    """A build, and the model or the other build that it is compared with.

    Raises `UnknownName`, and `TargetError` where a build has to be fetched to know which release it is.
    """
    build = make_target(spec, say)
    if not isinstance(build, ClerkJsTarget):
        raise UnknownName(f"{spec} is a model: name a build, clerk-js@VERSION, expo@VERSION or path:FILE")
    if against and policy_name:
        raise UnknownName("--policy and --against exclude each other: compare with a model, or with a build")
    if against:
        return LockStep(build, make_target(against, say))
    chosen: Policy | None = policy(policy_name) if policy_name else policy_of(build.release or "")
    if chosen is None:
        raise UnknownName(f"no policy describes {spec}: say --policy NAME (known: {', '.join(POLICIES)})")
    return LockStep(build, build.model(chosen))


def _violation(findings: Findings) -> Violation | None:
    verdict = findings.verdicts[CONFORMS]
    return Violation(verdict.trace, verdict.played) if isinstance(verdict, Violated) else None


def _table() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("build", "beside", "runtime", "verdict", "traces", "steps", "s"):
        table.add_column(
            heading, no_wrap=True, justify="right" if heading in ("traces", "steps", "s") else "left"
        )
    return table


def _add(table: Table | None, pair: LockStep, findings: Findings) -> bool:
    """A row; says whether it is one of agreement."""
    verdict = findings.verdicts[CONFORMS]
    assert table is not None
    match verdict:
        case Held():
            word = Text("agrees", "green")
        case Vacuous(never=never):
            word = Text(f"VACUOUS, never reached: {', '.join(never)}", "bold red")
        case _:
            word = Text("DIFFERS", "bold red")
    row = (pair.build.name, pair.model.name, findings.cell.runtime.value)
    steps = getattr(verdict, "steps", 0)
    table.add_row(*row, word, f"{findings.traces:,}", f"{steps:,}", f"{findings.seconds:.1f}")
    return isinstance(verdict, Held)


def _show(pair: LockStep, found: Violation) -> None:
    """The shrunk trace, and its last stimulus on both."""
    again = violates(found.trace, pair, conforms(pair), beyond_assumptions=True)
    difference: Difference | None = pair.difference
    if again is None or difference is None:
        raise TargetError("the difference does not happen again: not deterministic")
    found.trace.save()
    sides = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", pair.build.name, pair.model.name):
        sides.add_column(heading)
    sides.add_row("does", *("\n".join(side.did) or "nothing" for side in (difference.build, difference.model)))
    due = (", ".join(map(clock, side.due)) for side in (difference.build, difference.model))
    sides.add_row("timers due", *due)
    moments = view(Counterexample(found.trace, again.played, Found({}))).moments
    click.echo(f"{pair.build.name} and {pair.model.name} differ, in the last of these:\n")
    click.echo(plain(Timeline(moments), *terminal()))
    click.echo(plain(sides, *terminal()))
    click.echo(f"events  {found.trace}")
    kind = "policy" if isinstance(pair.model, ModelTarget) else "against"
    other = pair.model.name.removeprefix("model@")
    click.echo(f"again   sessionproof conform --{kind} {other} {found.trace.path}\n")


# -- tour ---------------------------------------------------------------------------------------------------


@click.command()
@click.option("--target", "spec", default=PINNED[-1], show_default=True, metavar="NAME", help="the build")
@click.option(
    "--policy", "policy_name", metavar="NAME", help="the model to compare with (default: the release's own)"
)
@click.option(
    "--assume",
    "names",
    default="starvation,stale-after-expiry",
    show_default=True,
    metavar="NAME[,NAME...]",
    help=", ".join(ASSUMPTIONS),
)
@click.option("--runtime", type=RUNTIMES, default=Runtime.HEADLESS.value, show_default=True)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="other lengths and ways, the same for each seed"
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=180.0,
    show_default=True,
    help="for the graph, and again for the way through it",
)
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=Limits().states,
    show_default=True,
    help="give up when the graph has so many, which bounds the memory too",
)
@click.option("--pairs", is_flag=True, help="every two transitions that can follow each other, too")
@click.option("--touches", is_flag=True, help="the app touches the session too")
def tour(
    spec: str,
    policy_name: str | None,
    names: str,
    runtime: str,
    seed: int,
    seconds: float,
    states: int,
    pairs: bool,
    touches: bool,
) -> None:
    """Take a build through every transition of its model's graph, in lock step with the model.

    The exhaustive engine's graph is the plan. The app makes one call at a time. Exits 0 when every
    transition was taken and the two agree, 1 when they differ, 2 when some transition was not reached.
    """
    began = time.perf_counter()
    try:
        pair = _pair(spec, policy_name)
        if assuming(names).locks and type(pair.model) is not ModelTarget:
            raise UnknownName(
                f"the graph is that of a client without a store, and {spec} has one: leave out locked-keychain, "
                "or compare the two with `sessionproof conform`"
            )
        try:
            pair.prepare(Runtime(runtime))
            limits = Limits(seconds=seconds, states=states)
            chosen = policy(pair.model.name.removeprefix("model@"))
            seen = plan(chosen, Runtime(runtime), assuming(names), App(touches=touches), limits, say, pairs)
            what = "pairs of transitions" if pairs else "transitions"
            click.echo(f"graph   {len(seen.graph.states):,} states of {len(seen.shapes):,} shapes")
            click.echo(f"        {len(seen.transitions):,} {what} from shape to shape, closed")
            way = walk(seen, random.Random(seed), limits, say)
            for trace in way.traces:
                found = violates(replace(trace, target=spec), pair, conforms(pair))
                if found:
                    _show(pair, reduce(found, pair, conforms(pair)))
                    sys.exit(1)
        finally:
            pair.close()
    except (UnknownName, TargetError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted")
    events = sum(len(trace.events) for trace in way.traces)
    share = f"{len(way.taken):,} of {len(seen.transitions):,}"
    click.echo(f"tour    {len(way.traces):,} traces, {events:,} events: {share} {what}")
    click.echo(
        f"agreed  {pair.build.name} and {pair.model.name}, in all of them, in {time.perf_counter() - began:.1f} s"
    )
    if way.missed:
        fail(f"{len(way.missed):,} {what} were not reached: try another --seed, or more --seconds")
