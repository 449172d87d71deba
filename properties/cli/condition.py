"""The command `condition`: for which lengths of time an invariant holds."""

from __future__ import annotations

import importlib

import click
from msgspec.structs import replace

from model.app import MAX_CALLS, App
from model.assumptions.sets import Assumptions
from properties.campaign.progress import teller
from properties.cli.common import assume_option, runtime_option
from properties.cli.proof_options import ProofRequest
from properties.invariants.catalogue import INVARIANTS
from properties.prove.prove import Limits
from properties.prove.zone import NotLinear
from properties.system.failures import Failure
from properties.system.wording import duration
from properties.targets.names import adapter_of, model_named, newest

STEPS = 4_000
"""The limit on model steps in each pass. Without calls of the app, graphs close within it."""


@click.command()
@click.option(
    "--policy", "policy_name", default=newest(), show_default=True, metavar="NAME", help="the policy of the model"
)
@assume_option(default="starvation,stale-on-arrival")
@click.option("--invariant", "name", default=next(iter(INVARIANTS)), show_default=True, metavar="ID")
@runtime_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=STEPS,
    show_default=True,
    help="the limit on model steps in each pass; deterministic on every machine",
)
@click.option(
    "--calls", type=click.IntRange(min=0, max=MAX_CALLS), default=0, show_default=True, help="concurrent calls"
)
def condition(policy_name: str, names: str, name: str, runtime: str, steps: int, calls: int) -> None:
    """For which lengths of time can an invariant be violated? Unknown are how long a token lives, how long before
    its expiry it is refreshed, with how much life left it is not handed out, how late a timer may run, and how
    long a request may be in flight.

    The first line says whether the answer is proved for traces of any length, or bounded. Exits 0 with an
    answer, else 2.
    """
    try:
        prover = importlib.import_module("properties.prove.condition")
        formulas = importlib.import_module("properties.prove.formulas")
        instances = importlib.import_module("properties.prove.instance")
        parameters = importlib.import_module("properties.prove.parameters")
    except ImportError:
        raise Failure("the condition needs the package z3-solver: pip install 'sessionproof[symbolic]'") from None
    assumed = (tuple(names.split(",")),)
    (task,) = ProofRequest((policy_name,), assumed, (name,), runtime, (), calls, Limits()).tasks()
    model = model_named(policy_name)
    app = App(model.sdk.proved_operations, calls)
    judged, assumptions = INVARIANTS[name], Assumptions(task.assumptions)
    if task.runtime not in judged.runtimes:
        raise Failure(f"{name} is not about the runtime {runtime}")
    if judged.reference:
        raise Failure(f"{name} compares two clients: only prove and a search can do that")
    tell = teller()
    cell = model, task.runtime, assumptions, judged, app
    try:
        found = prover.condition(prover.parametric(*cell), judged, steps, tell)
    except NotLinear:
        raise Failure(f"{name} is not linear in the lengths of time: use prove") from None
    numbers = formulas.numbers(model.policy.timings)
    here = formulas.given(found.formula, numbers)
    least = instances.delays(here)
    shown = instances.instance(*cell, *least, steps) if least else None
    tell("")
    said = f"while the app makes {app}" if calls else "without a call of the app"
    reach = (
        "proved for traces of any length"
        if found.closed
        else f"bounded: traces of up to {found.depth} events only"
    )
    click.echo(f"{reach}: model@{policy_name}, assuming {assumptions}, {said}")
    words = formulas.in_words(found.formula)
    if words in ("never", "always"):
        click.echo(f"{name} {_PLAINLY[words, found.closed]}, whatever the lengths")
    else:
        click.echo(f"{name} {'breaks exactly if' if found.closed else 'breaks if'}\n\n    {words}\n")
        for unknown, meaning in parameters.PARAMETERS.items():
            ours = f" ({duration(numbers[unknown])} here)" if unknown in numbers else ""
            click.echo(f"{unknown:<9} {meaning}{ours}")
        click.echo(f"\nHere, then, {_here(formulas.in_words(here))}.")
    if found.closed:
        click.echo(_about_rounding(found.sooner))
    if shown:
        trace = shown.violation.trace
        adapter = adapter_of(model.name)
        build = adapter.build_of(policy_name) if adapter else None
        late, flight = duration(shown.late), duration(shown.flight)
        click.echo(
            f"\nWith timers up to {late} late and requests up to {flight} in flight it breaks by\n\n    {trace}\n"
        )
        click.echo(f"replay  {replace(trace, target=build or trace.target).command}")
    elif least:
        patience = duration(model.timings(task.runtime).patience)
        click.echo(f"No instance of it was found on the model, whose network answers within {patience}.")
    click.echo(f"{found.steps:,} steps were tried, each for all lengths of time at once.")


_PLAINLY = {
    ("never", True): "never breaks",
    ("never", False): "does not break in these",
    ("always", True): "breaks",
    ("always", False): "breaks",
}
"""The verdict, where no length of time matters, by formula and by whether the graph closed."""


def _here(words: str) -> str:
    match words:
        case "never":
            return "it does not break"
        case "always":
            return "it breaks"
        case _:
            return f"it breaks if {words}"


def _about_rounding(sooner: int | None) -> str:
    match sooner:
        case None:
            return "Time is continuous here. Tokens live whole seconds; the effect of that is unknown."
        case 0:
            return "That tokens live whole seconds changes nothing."
        case _:
            return f"Tokens live whole seconds: that may break it up to {duration(sooner)} sooner, and no more."
