"""The command `bisect`: with which release does a verdict change?"""

from __future__ import annotations

import itertools

import click

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Runtime
from properties.cli.common import RUNTIMES, assuming, fail, profile, say
from properties.conformance.bisect import Bisection, Look, evidence
from properties.invariants.catalogue import INVARIANTS
from properties.system.target import Target, TargetError
from properties.targets.clerk.builds import numbers, released_versions
from properties.targets.clerk.target import clerk_js_target
from properties.targets.names import UnknownName, one_of


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
        one_of("invariant", name, INVARIANTS)
        assumptions = assuming(names)
        versions = _between(first, last)
        looked = Bisection(_target_of, INVARIANTS[name], Runtime(runtime), assumptions, profile(traces), _tell)
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
    return clerk_js_target(version, say)


def _tell(look: Look) -> None:
    click.echo(f"  {look.version:<9} {evidence(look.verdict)}")
