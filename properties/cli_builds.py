"""The commands that ask about released builds: `conform`, `tour` and `bisect`."""

from __future__ import annotations

import itertools
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from hypothesis import HealthCheck, settings
from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from model.assumptions import ASSUMPTIONS, Assumptions
from model.policy import POLICIES, Policy, policy_of
from model.terms import Runtime
from properties.app import App
from properties.bisect import Bisection, Look, evidence
from properties.cli_engines import RUNTIMES, fail
from properties.conform import CONFORMS, Difference, LockStep, conforms
from properties.counterexample import Counterexample, Found
from properties.invariants import INVARIANTS
from properties.prove import Limits
from properties.reduce import reduce, violates
from properties.render.timeline import Timeline
from properties.render.view import view
from properties.report import WIDTH, plain
from properties.run import Violation
from properties.search import Cell, Findings, search
from properties.target import Target, TargetError
from properties.targets.builds import numbers, released_versions
from properties.targets.clerk_js import ClerkJsTarget, clerk_js_target
from properties.targets.model_target import ModelTarget
from properties.targets.names import UnknownName, make_target, policy
from properties.tour import walk
from properties.tour_plan import plan
from properties.trace import BadTrace, load
from properties.verdict import Held, Vacuous, Violated
from properties.wording import clock

EVERYTHING = (
    "starvation,stale-for-good,stale-on-arrival,rotated-credential,outage,locked-keychain,revocation,restart"
)
"""All that the world may do, so that the two meet in every mood."""

PINNED = ("clerk-js@6.7.1", "clerk-js@6.7.4", "clerk-js@6.40.0")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _profile(traces: int) -> settings:
    return settings(
        settings.get_profile("default"),
        max_examples=traces,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def _assuming(names: str) -> Assumptions:
    for name in names.split(","):
        if name not in ASSUMPTIONS:
            raise UnknownName(f"unknown assumption '{name}' (known: {', '.join(ASSUMPTIONS)})")
    return Assumptions(tuple(names.split(",")))


def _progress(what: str) -> Callable[[int, int], None]:
    """A line that is rewritten on a terminal; elsewhere one every ten seconds."""
    live = sys.stderr.isatty()
    said = time.monotonic()

    def tell(traces: int, of: int) -> None:
        nonlocal said
        if time.monotonic() - said > (0.2 if live else 10):
            said = time.monotonic()
            click.echo(
                f"{chr(13) * live}{chr(27) * live}{'[K' * live}{what}: {traces} of {of} traces",
                err=True,
                nl=not live,
            )

    return tell


def _width() -> tuple[int, bool]:
    terminal = sys.stdout.isatty()
    return (shutil.get_terminal_size().columns if terminal else WIDTH), terminal


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
                    cell = Cell(spec, Runtime(runtime), _assuming(names))
                    findings = search(pair, cell, [conforms(pair)], _profile(traces), _progress(spec), seed)
                    found = _violation(findings)
                    agreed = _add(table, pair, findings) and agreed
                if found:
                    agreed = False
                    _show(pair, found)
            finally:
                pair.close()
        if table:
            width, color = _width()
            click.echo(plain(table, width, color), nl=False)
    except (BadTrace, UnknownName, TargetError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted")
    sys.exit(not agreed)


def _pair(spec: str, policy_name: str | None, against: str | None = None) -> LockStep:
    """A build, and the model or the other build that it is compared with.

    Raises `UnknownName`, and `TargetError` where a build has to be fetched to know which release it is.
    """
    build = make_target(spec, _say)
    if not isinstance(build, ClerkJsTarget):
        raise UnknownName(f"{spec} is a model: name a build, clerk-js@VERSION, expo@VERSION or path:FILE")
    if against and policy_name:
        raise UnknownName("--policy and --against exclude each other: compare with a model, or with a build")
    if against:
        return LockStep(build, make_target(against, _say))
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
    width, color = _width()
    moments = view(Counterexample(found.trace, again.played, Found({}))).moments
    click.echo(f"{pair.build.name} and {pair.model.name} differ, in the last of these:\n")
    click.echo(plain(Timeline(moments), width, color))
    click.echo(plain(sides, width, color))
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
    default=60.0,
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
        if _assuming(names).locks and type(pair.model) is not ModelTarget:
            raise UnknownName(
                f"the graph is that of a client without a store, and {spec} has one: leave out locked-keychain, "
                "or compare the two with `sessionproof conform`"
            )
        try:
            pair.prepare(Runtime(runtime))
            limits = Limits(seconds=seconds, states=states)
            chosen = policy(pair.model.name.removeprefix("model@"))
            seen = plan(chosen, Runtime(runtime), _assuming(names), App(touches=touches), limits, _say, pairs)
            what = "pairs of transitions" if pairs else "transitions"
            click.echo(f"graph   {len(seen.graph.states):,} states of {len(seen.shapes):,} shapes")
            click.echo(f"        {len(seen.transitions):,} {what} from shape to shape, closed")
            way = walk(seen, random.Random(seed), limits, _say)
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


# -- bisect -------------------------------------------------------------------------------------------------


@click.command()
@click.option("--invariant", "name", required=True, metavar="ID", help=", ".join(INVARIANTS))
@click.option("--assume", "names", required=True, metavar="NAME[,NAME...]", help=", ".join(ASSUMPTIONS))
@click.option("--from", "first", required=True, metavar="VERSION", help="the oldest release to look at")
@click.option("--to", "last", required=True, metavar="VERSION", help="the newest")
@click.option("--runtime", type=RUNTIMES, default=Runtime.HEADLESS.value, show_default=True)
@click.option(
    "--traces",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="before a release counts as held",
)
@click.option("--every", is_flag=True, help="look at every release between them, for every change")
def bisect(name: str, names: str, first: str, last: str, runtime: str, traces: int, every: bool) -> None:
    """Find the release of @clerk/clerk-js with which a verdict changes, among those that npm has.

    Exits 0 when a change is found, 2 when the verdict is the same at both ends.
    """
    try:
        if name not in INVARIANTS:
            raise UnknownName(f"unknown invariant '{name}' (known: {', '.join(INVARIANTS)})")
        assumptions = _assuming(names)
        versions = _between(first, last)
        looked = Bisection(_target_of, INVARIANTS[name], Runtime(runtime), assumptions, _profile(traces), _tell)
        click.echo(
            f"{name}, assuming {assumptions}, {len(versions)} releases from {versions[0]} to {versions[-1]}"
        )
        if every:
            looks = [looked.look(version) for version in versions]
            pairs = [(a, b) for a, b in itertools.pairwise(looks) if a.violated != b.violated]
        else:
            pairs = [looked.change(versions)]
        for before, after in pairs:
            what = "breaks with" if after.violated else "holds again with"
            click.echo(f"{what} {after.version} (the one before is {before.version})")
        if not pairs:
            fail("the verdict is the same on all of them")
    except (UnknownName, TargetError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted")


def _between(first: str, last: str) -> list[str]:
    known = released_versions()
    for version in (first, last):
        if version not in known:
            near = [one for one in known if numbers(one)[:2] == numbers(version)[:2]] or known[-5:]
            raise TargetError(f"npm has no {version}; it has {', '.join(near)}")
    versions = [one for one in known if numbers(first) <= numbers(one) <= numbers(last)]
    if len(versions) < 2:
        raise TargetError(f"there is nothing between {first} and {last}")
    return versions


def _target_of(version: str) -> Target:
    return clerk_js_target(version, _say)


def _tell(look: Look) -> None:
    click.echo(f"  {look.version:<9} {evidence(look.verdict)}")
