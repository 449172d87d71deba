"""The commands that compare a build with the model in lock step: `conform` and `tour`."""

from __future__ import annotations

import contextlib
import random
import sys
import time

import click
from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from model.assumptions.sets import everything
from model.terms import Runtime
from properties.campaign.progress import counter
from properties.cli.common import (
    app_of,
    app_options,
    assume_option,
    parse_assumptions,
    profile,
    runtime_option,
    say,
    terminal,
)
from properties.cli.traces import read_document
from properties.conformance.outcomes import outcome_traces
from properties.conformance.plan import plan_tour
from properties.conformance.tour import walk
from properties.invariants.verdict import Cell, Findings, Held, Vacuous, Violated
from properties.prove.prove import Limits, problem
from properties.render.tables import plain
from properties.render.timeline import Timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found
from properties.run.lockstep import CONFORMS, Difference, LockStep, conforms
from properties.run.run import Violation
from properties.run.shrink import reduce, violates
from properties.search.search import search
from properties.system.failures import Failure
from properties.system.target import TargetError
from properties.system.trace import decode
from properties.system.wording import clock
from properties.targets.model import as_model
from properties.targets.names import (
    UnknownName,
    adapter_of,
    build_forms,
    built_in,
    make_target,
    model_named,
    policies,
    policy,
)

DEFAULT_BUILDS = [build for name in built_in().checked if (build := built_in().build_of(name))]


# -- conform ------------------------------------------------------------------------------------------------


@click.command()
@click.argument("trace_words", metavar="[TRACE]", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help=f"{build_forms()}; repeatable (default: {', '.join(DEFAULT_BUILDS)})",
)
@click.option(
    "--policy",
    "policy_name",
    metavar="NAME",
    help=f"the model to compare with: {', '.join(policies())} (default: the release's own)",
)
@click.option("--against", metavar="NAME", help="compare with another build instead of a model")
@click.option("--assume", "names", metavar="NAME[,NAME...]", help="(default: all that apply)")
@runtime_option
@click.option("--traces", type=click.IntRange(min=1), default=1000, show_default=True, help="for each build")
@click.option("--seed", type=int, help="the seed of the traces (default: a fixed one)")
def conform(
    trace_words: str | None,
    targets: tuple[str, ...],
    policy_name: str | None,
    against: str | None,
    names: str | None,
    runtime: str,
    traces: int,
    seed: int | None,
) -> None:
    """Does the model agree with the builds? Run both in lock step: on traces in which each call ends in every
    way, and on random ones; or on one trace, as for replay.

    After every stimulus it compares the requests with what they carry, sign-outs, results of getToken, the last
    active token, and when timers are due. With --against it compares two builds.

    Exits 0 when they agree, 1 when they differ, or when the traces never reached what is assumed. A difference is
    shrunk, saved and shown.
    """
    agreed = True
    trace = decode(read_document(trace_words), trace_words) if trace_words else None
    specs = targets or ((trace.target,) if trace else DEFAULT_BUILDS)
    table = _table()
    try:
        for spec in specs:
            with contextlib.closing(_pair(spec, policy_name, against)) as pair:
                pair.prepare(trace.runtime if trace else Runtime(runtime))
                if trace:
                    found = violates(trace, pair, conforms(pair), beyond_assumptions=True)
                    word = "differ" if found else "agree"
                    click.echo(f"{pair.build.name} and {pair.model.name} {word}: {trace}")
                else:
                    assumed = (
                        parse_assumptions(names, runtime) if names else everything(pair.sdk, Runtime(runtime))
                    )
                    cell = Cell(spec, Runtime(runtime), assumed)
                    if found := _in_outcome_traces(pair, cell):
                        agreed = False
                        _show(pair, found)
                        continue
                    findings = search(pair, cell, [conforms(pair)], profile(traces), counter(spec), seed)
                    found = _violation(findings)
                    agreed = _add(table, pair, findings) and agreed
                if found:
                    agreed = False
                    _show(pair, found)
    finally:  # an interrupt does not hide what is known by then
        if table.rows:
            click.echo(plain(table, *terminal()), nl=False)
    sys.exit(not agreed)


def _in_outcome_traces(pair: LockStep, cell: Cell) -> Violation | None:
    """The first difference in the traces of `outcomes.py`, shrunk. Two builds have none."""
    model = as_model(pair.model)
    traces = outcome_traces(model, cell.runtime, cell.assumptions) if model else ()
    for trace in traces:
        if found := violates(replace(trace, target=cell.target), pair, conforms(pair)):
            return reduce(found, pair, conforms(pair))
    return None


def _pair(spec: str, policy_name: str | None, against: str | None = None) -> LockStep:
    """A build, and the model or build to compare it with.

    Raises `UnknownName`, and `TargetError` if a build cannot be fetched to find out its release.
    """
    build, adapter = make_target(spec, say), adapter_of(spec)
    if as_model(build) or adapter is None:
        raise UnknownName(f"{spec} is a model: name a build, {build_forms()}")
    if against and policy_name:
        raise UnknownName("--policy and --against exclude each other: compare with a model, or with a build")
    if against:
        return LockStep(build, make_target(against, say))
    model = adapter.model(spec, policy(policy_name)) if policy_name else build.described_by()
    if model is None:
        raise UnknownName(
            f"no policy describes {spec}: add --policy NAME (known: {', '.join(adapter.sdk.policies)})"
        )
    return LockStep(build, model)


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


def _add(table: Table, pair: LockStep, findings: Findings) -> bool:
    """Add a row to the table. Returns whether the two agree."""
    verdict = findings.verdicts[CONFORMS]
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
    """Show the shrunk trace, and what both do after its last stimulus."""
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
    kind = "policy" if as_model(pair.model) else "against"
    other = pair.model.name.removeprefix("model@")
    click.echo(f"again   sessionproof conform --{kind} {other} {found.trace.path}\n")


# -- tour ---------------------------------------------------------------------------------------------------


@click.command()
@click.option(
    "--target", "spec", default=DEFAULT_BUILDS[-1], show_default=True, metavar="NAME", help="the build to compare"
)
@click.option(
    "--policy", "policy_name", metavar="NAME", help="the model to compare with (default: the release's own)"
)
@assume_option(default="starvation,stale-after-expiry")
@runtime_option
@click.option("--seed", type=int, default=0, show_default=True, help="the seed of the paths and durations")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=180.0,
    show_default=True,
    help="the limit for the graph, and again for the tour",
)
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=Limits().states,
    show_default=True,
    help="the limit on the size of the graph; bounds the memory",
)
@click.option("--pairs", is_flag=True, help="cover every pair of consecutive transitions")
@click.option("--bounded", is_flag=True, help="if the graph does not close, cover what was found of it")
@app_options
def tour(
    spec: str,
    policy_name: str | None,
    names: str,
    runtime: str,
    seed: int,
    seconds: float,
    states: int,
    pairs: bool,
    bounded: bool,
    operations: tuple[str, ...],
    calls: int,
) -> None:
    """Drive a build through every transition of its model's graph, in lock step with the model.

    Exits 0 when every transition was taken and the two agree, 1 when they differ, 2 when some transition was not
    reached. With --bounded that is every transition that was found within --states.
    """
    began = time.perf_counter()
    pair = _pair(spec, policy_name)
    beside = as_model(pair.model)
    costs = {*beside.loses_credential_by} if beside else set()
    if without := [one.name for one in parse_assumptions(names, runtime).members if costs & {*one.events}]:
        raise UnknownName(
            f"the graph is that of a client without a store, and {spec} has one: leave out {', '.join(without)}, "
            "or compare the two with `sessionproof conform`"
        )
    try:
        pair.prepare(Runtime(runtime))
        limits = Limits(seconds=seconds, states=states)
        model = model_named(pair.model.name.removeprefix("model@"))
        assumptions = parse_assumptions(names, runtime)
        app = app_of(model.sdk, operations, calls, assumptions)
        seen = plan_tour(problem(model, Runtime(runtime), assumptions, app), limits, say, pairs, bounded)
        what = "pairs of transitions" if pairs else "transitions"
        click.echo(f"graph   {len(seen.graph.states):,} states of {len(seen.shapes):,} shapes")
        reach = "closed" if seen.closed else "not closed: there may be more"
        click.echo(f"        {len(seen.transitions):,} {what} from shape to shape, {reach}")
        way = walk(seen, random.Random(seed), limits, say)
        for trace in way.traces:
            found = violates(replace(trace, target=spec), pair, conforms(pair))
            if found:
                _show(pair, reduce(found, pair, conforms(pair)))
                sys.exit(1)
    finally:
        pair.close()
    events = sum(len(trace.events) for trace in way.traces)
    share = f"{len(way.taken):,} of {len(seen.transitions):,}"
    click.echo(f"tour    {len(way.traces):,} traces, {events:,} events: {share} {what}")
    click.echo(
        f"agreed  {pair.build.name} and {pair.model.name}, in all of them, in {time.perf_counter() - began:.1f} s"
    )
    if way.missed:
        raise Failure(f"{len(way.missed):,} {what} were not reached: try another --seed, or more --seconds")
