"""What the commands share: options, output and errors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click
from hypothesis import HealthCheck, settings
from msgspec.structs import replace

from model.app import MAX_CALLS, App
from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.operations import Load, Operation
from model.sdk import Sdk
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.prove.prove import one_call
from properties.render.tables import WIDTH
from properties.system.event_kinds import parsed
from properties.targets.names import assumed, one_of

RUNTIMES = click.Choice([one.value for one in Runtime])

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


def say(line: str) -> None:
    """Print one line to stderr."""
    click.echo(line, err=True)


def terminal() -> tuple[int, bool]:
    """The width of a report in columns, and whether it may have colours."""
    live = sys.stdout.isatty()
    return (shutil.get_terminal_size().columns if live else WIDTH), live


def options(*several: Callable[[Any], Any]) -> Callable[[CommandFunction], CommandFunction]:
    """Several options as one decorator, in the order of the help text."""

    def add(command: CommandFunction) -> CommandFunction:
        for option in reversed(several):
            command = option(command)
        return command

    return add


runtime_option = click.option("--runtime", type=RUNTIMES, default=Runtime.HEADLESS.value, show_default=True)


def assume_option(**default: Any) -> Callable[[CommandFunction], CommandFunction]:
    """The option for one set of assumptions. It has a `default`, or is `required`."""
    known = ", ".join(ASSUMPTIONS)
    return click.option("--assume", "names", metavar="NAME[,NAME...]", help=known, show_default=True, **default)


search_options = options(
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
    runtime_option,
)
"""The options for assumptions, invariants and the runtime."""

app_options = options(
    click.option(
        "--operation",
        "operations",
        multiple=True,
        metavar="NAME",
        help="a call that the app may make: getToken, 'getToken(organization=acme)' or 'all'; repeatable "
        "(default: those with which proofs close)",
    ),
    click.option(
        "--calls",
        type=click.IntRange(min=0, max=MAX_CALLS),
        default=1,
        show_default=True,
        help="concurrent calls",
    ),
)
"""The options for the app."""


def app_of(sdk: Sdk, names: Collection[str], calls: int, assumptions: Assumptions) -> App:
    """The app that makes these calls, each named with or without arguments; without any, the default one of a
    proof. A call may have arguments of its own: another template, another organization. Raises `UnknownName`."""
    if not names:
        return replace(one_call(sdk, assumptions), calls=calls)
    known = ("all", *dict.fromkeys(one.verb for one in sdk.operations), *map(str, sdk.operations))
    further = {name: call for name in names if name not in known and (call := _call(sdk, name))}
    for name in names:
        one_of("operation", name, (*known, *further))
    chosen = [one for one in sdk.operations if "all" in names or one.verb in names or str(one) in names]
    return App(tuple(dict.fromkeys((*chosen, *further.values()))), calls, loads=1)


def _call(sdk: Sdk, words: str) -> Operation | None:
    """The call that these words are, if they are one. The users are those of the SDK's own operations."""
    try:
        call = parsed(words, [sdk])
    except ValueError:
        return None
    return call if isinstance(call, Operation) and not isinstance(call, Load) and call.user is None else None


def parse_assumptions(names: str, runtime: str) -> Assumptions:
    """The assumptions in a comma-separated list of names. Raises `UnknownName`, also for one that is about other
    runtimes."""
    return assumed(names.split(","), Runtime(runtime))


def profile(traces: int) -> settings:
    """The Hypothesis profile of a deterministic search of so many traces."""
    return settings(
        settings.get_profile("default"),
        max_examples=traces,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
