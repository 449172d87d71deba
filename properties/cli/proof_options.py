"""The options of the commands that prove, as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from msgspec import Struct

from model.app import App
from model.assumptions.sets import Assumptions
from model.terms import Runtime
from properties.cli.common import app_of, app_options, options, search_options
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS
from properties.prove.matrix import EVERY_POLICY, Task
from properties.prove.prove import Limits
from properties.system.failures import Failure
from properties.targets.names import assumed, model_named, one_of


class ProofRequest(Struct, frozen=True):
    """The options of a proof: policies, assumptions, invariants, runtime, app and limits."""

    policies: tuple[str, ...]
    assumptions: tuple[tuple[str, ...], ...]
    invariants: tuple[str, ...]
    runtime: str
    operations: tuple[str, ...]
    calls: int
    limits: Limits
    confirm: bool = False

    def tasks(self) -> list[Task]:
        """One task for each policy and set of assumptions. Raises `Failure`."""
        for name in self.policies:
            model_named(name)
        for name in self.invariants:
            one_of("invariant", name, INVARIANTS)
        runtime = Runtime(self.runtime)
        for names in self.assumptions:
            assumed(names, runtime)
        if runtime not in model_named(self.policies[0]).sdk.runtimes:
            raise Failure(
                f"the model does not describe the runtime {runtime}: nothing to prove; search a real build"
            )
        judged = self.invariants or tuple(DEFAULT_INVARIANTS)
        return [
            Task(name, names, runtime, judged, self.app(names), self.limits)
            for names in self.assumptions
            for name in self.policies
        ]

    def app(self, assumptions: tuple[str, ...]) -> App:
        """What the app does under these assumptions."""
        sdk = model_named(self.policies[0]).sdk
        return app_of(sdk, self.operations, self.calls, Assumptions(assumptions))

    @property
    def apps(self) -> str:
        """What the app does, in words."""
        found = dict.fromkeys(str(self.app(names)) for names in self.assumptions)
        first, *others = found
        return "; ".join((first, *(f"where it may sign out and in, {one}" for one in others)))


_PROOF = options(
    search_options,
    app_options,
    click.option(
        "--depth",
        type=click.IntRange(min=1),
        default=12,
        show_default=True,
        help="the maximum length of a counterexample, in events",
    ),
    click.option(
        "--states",
        type=click.IntRange(min=1),
        default=Limits().states,
        show_default=True,
        help="the limit on states in each pass; bounds the memory",
    ),
    click.option(
        "--seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=Limits().seconds,
        show_default=True,
        help="the time limit of each pass",
    ),
    click.option("--confirm", is_flag=True, help="also replay every counterexample of a release on its build"),
)


def proof_command(
    policies: tuple[str, ...], words: str, assumptions: tuple[tuple[str, ...], ...], steps: int
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator for a command that proves: it adds the options and passes them as one `ProofRequest`.

    The defaults are these `policies` (`words` in the help text), `assumptions`, and limit of `steps` in each
    pass.
    """
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
            help="the limit on model steps in each pass; deterministic on every machine",
        ),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def command_with_options(**given: Any) -> None:
            chosen = given.pop("policies") or policies
            request = ProofRequest(
                chosen,
                tuple(tuple(names.split(",")) for names in given.pop("assumptions")) or assumptions,
                given.pop("invariants"),
                given.pop("runtime"),
                given.pop("operations"),
                given.pop("calls"),
                Limits(**{name: given.pop(name) for name in Limits.__struct_fields__}),
                given.pop("confirm"),
            )
            command(request, **given)

        return every(command_with_options)

    return decorate
