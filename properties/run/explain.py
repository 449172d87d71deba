"""Turn a violation into a counterexample: run the model on it, and find which parts of the trace are
necessary."""

from __future__ import annotations

from collections.abc import Callable

from model.sdk import Client
from model.world.possible import NotEnabled, impossible
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.invariant import Invariant
from properties.run.counterexample import Counterexample, Found, Opinion, versions
from properties.run.reference import model_of
from properties.run.run import Run, Violation
from properties.run.variation import necessities
from properties.system.target import Target
from properties.system.trace import Trace
from properties.targets.model import as_model


def explain(violation: Violation, target: Target, seed: int | None = None) -> Counterexample:
    """The counterexample of `violation`. Takes some hundred runs of `target`. Raises `TargetError`."""
    invariant = INVARIANTS[str(violation.trace.invariant)]
    opinion, clients = _model_says(violation.trace, target, invariant)
    needs = necessities(violation, target, invariant)
    return Counterexample(violation.trace, violation.played, Found(versions(), seed), opinion, needs, clients)


def replay(
    trace: Trace, target: Target, tell: Callable[[int, str], None] = lambda place, reason: None
) -> Violation | None:
    """Replay `trace` on `target`. Returns the violation of its invariant (of any, if it names none), or None.

    If an event is not enabled, because the target behaves differently there or the assumptions do not allow it,
    the replay ends, and `tell` gets the event's number, from 1, and the reason. Raises `TargetError`.
    """
    judged = [
        one
        for one in INVARIANTS.values()
        if trace.invariant == one.id or (trace.invariant is None and one.reference is None)
    ]
    run = Run(target, trace.runtime, trace.assumptions, judged)
    for place, event in enumerate(trace.events, 1):
        if not run.permits(event):
            why = impossible(run.world, event) or f"it is not allowed assuming {trace.assumptions}"
            tell(place, why)
            break
        try:
            run.play(event)
        except Violation as violation:
            target.finish()
            return violation
    target.finish()
    return None


def _model_says(trace: Trace, target: Target, invariant: Invariant) -> tuple[Opinion | None, tuple[Client, ...]]:
    """The verdict of the model of the same release, and its client after each step if it plays the whole
    trace."""
    model = as_model(target) or model_of(target)
    if model is None or trace.runtime not in model.sdk.runtimes:
        return None, ()
    run = Run(model, trace.runtime, trace.assumptions, [invariant])
    clients = [model.client]
    says = "it comes to the end of the trace, and the invariant holds"
    violated = False
    for place, event in enumerate(trace.events, 1):
        try:
            run.play(event)
        except Violation:
            violated, says = True, f"violated too, by the same {place} events"
            clients.append(model.client)
            break
        except NotEnabled as reason:
            says = f"event {place} cannot happen there ({reason})"
            break
        clients.append(model.client)
    followed = tuple(client for client in clients if client is not None)
    opinion = None if model is target else Opinion(model.name, violated, says)
    return opinion, followed if len(followed) == len(trace.events) + 1 else ()
