"""The commands `advise`, for those who ship a release, and `releases`, for the table that it reads."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import click

from properties.campaign.progress import counter
from properties.cli.common import options, profile, say, terminal
from properties.conformance.releases import recompute
from properties.render.advice import advice, as_markdown
from properties.render.tables import plain
from properties.run.advice import answers, spec
from properties.run.releases import Table, load
from properties.system.registry import available_adapters
from properties.targets.adapter import Adapter
from properties.targets.lockfile import installed
from properties.targets.names import UnknownName, adapter_named, built_in
from properties.targets.npm import nearest

OWNERS: dict[str, Adapter] = {package: one for one in available_adapters() for package in one.packages}
"""The SDK of each package that a lock file may name, by the package's short name."""

package_options = options(
    *(
        click.option(
            f"--{short}", metavar="VERSION", help=f"the release of {one.packages[short].name} that you run"
        )
        for short, one in OWNERS.items()
    )
)


@click.command()
@package_options
@click.option(
    "--lockfile",
    type=click.Path(path_type=Path),
    help="read the releases from this package-lock.json, pnpm-lock.yaml or yarn.lock instead",
)
def advise(lockfile: Path | None, **named: str | None) -> None:
    """Which known findings do the releases that you run have? How does each show in logs, what can an app do
    today, and which release is without it? The answers come from the table of releases; nothing is run.

    Exits 0, or 2 when there is no answer.
    """
    given = {short.replace("_", "-"): version for short, version in named.items() if version}
    found = {**(_in_lock_file(lockfile, given) if lockfile else {}), **given}
    sdk = next((OWNERS[short] for short in OWNERS if short in found), built_in())
    innermost = [*sdk.packages][-1]
    if innermost not in found:
        where, what = lockfile or "the command line", sdk.packages[innermost].name
        raise UnknownName(f"{where} names no {what}: add --{innermost} VERSION")
    table = load(sdk.releases)
    held = {short: _held(table, sdk, short, found[short]) for short in sdk.packages if short in found}
    click.echo(plain(advice(spec(held), answers(sdk, table, held)), *terminal()), nl=False)


def _in_lock_file(path: Path, given: Collection[str]) -> dict[str, str]:
    """The version of each package that the file has, by the package's short name, but for those that are `given`.
    Raises `BadLockFile`."""
    names = {one.packages[short].name: short for short, one in OWNERS.items() if short not in given}
    return {names[name]: version for name, version in installed(path, names).items()}


def _held(table: Table, sdk: Adapter, short: str, version: str) -> str:
    """The version in the table that stands for this one: itself, or the nearest older one. Raises
    `UnknownName`."""
    known, name = table.releases.get(short, ()), sdk.packages[short].name
    if not re.match(r"\d+\.\d+\.\d+", version):
        raise UnknownName(f"'{version}' is no exact version of {name}: your lock file has one")
    if not known or sdk.numbers(version) < sdk.numbers(known[0]):
        oldest = next(iter(known), "none")
        raise UnknownName(f"there is no verdict on {name} {version}: the oldest release judged is {oldest}")
    if (held := nearest(version, known)) != version:
        say(f"there is no verdict on {name} {version}: this is about {held}, the nearest release before it")
    return held


@click.command()
@click.option("--sdk", "name", default=built_in().name, show_default=True, metavar="NAME", help="the SDK")
@click.option("--traces", type=click.IntRange(min=1), default=100, show_default=True, help="traces of a search")
@click.option("--again", is_flag=True, help="judge all releases again, not only those without a judgement")
def releases(name: str, traces: int, again: bool) -> None:
    """Judge every release on npm by every known finding, write the table that `advise` reads, and print it.

    Releases that no policy describes are left out. The table is saved after each release, and the same command
    goes on from there. It is the same every time. Exits 0.
    """
    sdk = adapter_named(name)
    if not sdk.packages:
        raise UnknownName(f"{name} has no releases")
    before = load(sdk.releases) if sdk.releases.exists() and not again else Table({}, ())
    for table in recompute(sdk, before, profile(traces), say, counter):
        table.save(sdk.releases)
    click.echo(as_markdown(load(sdk.releases)), nl=False)
