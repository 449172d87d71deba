"""What a command that proves is asked for: many options, one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import chain
from typing import Any

import click
from msgspec import Struct

from model.assumptions.catalogue import ASSUMPTIONS
from model.clerk.transition import MODELLED
from model.terms import Runtime
from properties.cli.common import fail, judging, options
from properties.invariants.catalogue import INVARIANTS, USUAL
from properties.prove.app import App
from properties.prove.matrix import EVERY_POLICY, Task
from properties.prove.prove import Limits
from properties.targets.names import UnknownName, one_of, policy


class Asked(Struct, frozen=True):
    """What is to be proved, in the words of the command line: of which policies, under which assumptions."""

    policies: tuple[str, ...]
    assumptions: tuple[tuple[str, ...], ...]
    invariants: tuple[str, ...]
    runtime: str
    app: App
    limits: Limits
    confirm: bool = False

    def tasks(self) -> list[Task]:
        """One for each policy and set of assumptions; what is unknown is told."""
        try:
            for name in self.policies:
                policy(name)
            for name in chain(*self.assumptions):
                one_of("assumption", name, ASSUMPTIONS)
            for name in self.invariants:
                one_of("invariant", name, INVARIANTS)
        except UnknownName as error:
            fail(str(error))
        runtime = Runtime(self.runtime)
        if runtime not in MODELLED:
            fail(f"the model does not describe the runtime {runtime}: nothing to prove; search a real build")
        judged = self.invariants or tuple(USUAL)
        return [
            Task(name, names, runtime, judged, self.app, self.limits)
            for names in self.assumptions
            for name in self.policies
        ]


_PROOF = options(
    judging,
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


def asking(
    policies: tuple[str, ...], words: str, assumptions: tuple[tuple[str, ...], ...], steps: int
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that proves, which gets them as one value. Without others it proves these
    `policies`, in the help's `words`, under these assumptions, and gives a pass up after so many `steps`."""
    every = options(
        click.option(
            "--policy",
            "policies",
            multiple=True,
            metavar="NAME",
            help=f"{', '.join(EVERY_POLICY)}; repeatable (default: {words})",
        ),
        _PROOF,
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            default=steps,
            show_default=True,
            help="give a pass up after asking the model for so many: the same place on every machine",
        ),
    )

    def told(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**given: Any) -> None:
            asked = Asked(
                given.pop("policies") or policies,
                tuple(tuple(names.split(",")) for names in given.pop("assumptions")) or assumptions,
                given.pop("invariants"),
                given.pop("runtime"),
                App(**{name: given.pop(name) for name in App.__struct_fields__}),
                Limits(**{name: given.pop(name) for name in Limits.__struct_fields__}),
                given.pop("confirm"),
            )
            command(asked, **given)

        return every(called)

    return told
