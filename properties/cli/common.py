"""What the commands have in common: options, how they speak, and how they fail."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click
from hypothesis import HealthCheck, settings

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.render.tables import WIDTH
from properties.targets.names import one_of

RUNTIMES = click.Choice([one.value for one in Runtime])

Command = TypeVar("Command", bound=Callable[..., Any])


def fail(message: str) -> NoReturn:
    """One line, exit code 2."""
    click.echo(f"sessionproof: {message}", err=True)
    sys.exit(2)


def say(line: str) -> None:
    """A line about what goes on, apart from what was asked for."""
    click.echo(line, err=True)


def terminal() -> tuple[int, bool]:
    """How many columns a report may have, and whether colours too."""
    live = sys.stdout.isatty()
    return (shutil.get_terminal_size().columns if live else WIDTH), live


def options(*several: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Options as one decorator, in the order in which the help lists them."""

    def add(command: Command) -> Command:
        for option in reversed(several):
            command = option(command)
        return command

    return add


judging = options(
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
    click.option("--runtime", type=RUNTIMES, default=Runtime.HEADLESS.value, show_default=True),
)
"""What to search, and for what: assumptions, invariants and the runtime."""


def assuming(names: str) -> Assumptions:
    """The assumptions with these names, joined by commas. Raises `UnknownName`."""
    return Assumptions(tuple(one_of("assumption", name, ASSUMPTIONS) for name in names.split(",")))


def profile(traces: int) -> settings:
    """A search of so many traces, the same every time."""
    return settings(
        settings.get_profile("default"),
        max_examples=traces,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
