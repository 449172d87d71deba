"""The command `bisect`: which release changed a verdict?"""

from __future__ import annotations

import itertools

import click

from model.terms import Runtime
from properties.cli.common import assume_option, parse_assumptions, profile, runtime_option, say
from properties.conformance.bisect import Bisection, ReleaseVerdict, evidence
from properties.invariants.catalogue import INVARIANTS
from properties.system.failures import Failure
from properties.system.target import TargetError
from properties.targets.adapter import Adapter
from properties.targets.names import adapter_named, built_in, one_of


@click.command()
@click.option("--invariant", "name", required=True, metavar="ID", help=", ".join(INVARIANTS))
@assume_option(required=True)
@click.option("--from", "first", required=True, metavar="VERSION", help="the oldest release")
@click.option("--to", "last", required=True, metavar="VERSION", help="the newest release")
@runtime_option
@click.option(
    "--traces",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="traces for each release",
)
@click.option("--every", is_flag=True, help="judge every release in between, to find all changes")
@click.option("--sdk", default=built_in().name, show_default=True, metavar="NAME", help="the SDK")
def bisect(
    name: str, names: str, first: str, last: str, runtime: str, traces: int, every: bool, sdk: str
) -> None:
    """Find the release of an SDK that changed a verdict, among the versions on npm.

    Exits 0 when a change is found, 2 when the verdict is the same at both ends.
    """
    one_of("invariant", name, INVARIANTS)
    assumptions = parse_assumptions(names, runtime)
    adapter = adapter_named(sdk)
    versions = _between(adapter, first, last)
    place = (INVARIANTS[name], Runtime(runtime), assumptions)
    bisection = Bisection(adapter, *place, profile(traces), _tell, say)
    click.echo(f"{name}, assuming {assumptions}, {len(versions)} releases from {versions[0]} to {versions[-1]}")
    if every:
        verdicts = [bisection.judge(version) for version in versions]
        pairs = [(a, b) for a, b in itertools.pairwise(verdicts) if a.violated != b.violated]
    else:
        pairs = [bisection.find_change(versions)]
    for before, after in pairs:
        what = "breaks with" if after.violated else "holds again with"
        click.echo(f"{what} {after.version} (the one before is {before.version})")
    if not pairs:
        raise Failure("the verdict is the same on all of them")


def _between(sdk: Adapter, first: str, last: str) -> list[str]:
    known, numbers = sdk.released_versions(), sdk.numbers
    for version in (first, last):
        if version not in known:
            near = [one for one in known if numbers(one)[:2] == numbers(version)[:2]] or known[-5:]
            raise TargetError(f"npm has no {version}; it has {', '.join(near)}")
    versions = [one for one in known if numbers(first) <= numbers(one) <= numbers(last)]
    if len(versions) < 2:
        raise TargetError(f"there is nothing between {first} and {last}")
    return versions


def _tell(found: ReleaseVerdict) -> None:
    click.echo(f"  {found.version:<9} {evidence(found.verdict)}")
