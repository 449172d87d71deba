"""A shorter trace with the same violation, by a second search, on the model where there is one.

Shrinking (`run/shrink.py`) ends in a trace that no move of a few events makes simpler. Another trace of the same
cause may be shorter by far: one in which the app asks for something else, or nothing goes wrong before. So more
violations that count are looked for, which costs little on a model, and each is shrunk. Where no model is like
the target, fewer are looked for, on the target itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from msgspec import Struct

from model.app import App
from model.operations import Operation
from model.world.events import Event
from properties.invariants.invariant import Invariant
from properties.run.reference import model_like
from properties.run.run import Counts, Run, Violation
from properties.run.shrink import readdressed, reduce, violates
from properties.search.generate import SWARM, WIDTH, read
from properties.system.target import Target
from properties.targets.model import as_model

FEW = 4
"""One with so few is only compared with those near it."""


class Effort(Struct, frozen=True):
    """What a shorter trace is worth. One of `shortest` events is not looked into. For each event of the one that
    was found, so many `traces` near it are tried, and as many of any kind; after `fruitless` violations that
    shrink to nothing shorter, no more."""

    shortest: int
    traces: int
    fruitless: int


ON_MODEL, ON_BUILD = Effort(2, 60, 8), Effort(3, 10, 2)
"""A trace takes some ms on a model, and on a page, which has none, fifty."""

OFTEN = 0.3
"""The probability that an event is left out, that one comes before it, and that a call becomes another."""

MORE = 4
"""The events after those of the trace that was found."""

EVENTS = 30
"""The events of a trace of any kind."""


def shorter(violation: Violation, target: Target, invariant: Invariant, counts: Counts, app: App) -> Violation:
    """A violation that counts with a shorter trace, if one is found; else the same. The same each time. Raises
    `TargetError`."""
    runtime, events = violation.trace.runtime, violation.trace.events
    model = as_model(target) or model_like(target, runtime)
    if model and violates(violation.trace, model, invariant, counts=counts) is None:
        return violation
    on, effort = (model, ON_MODEL) if model else (target, ON_BUILD)
    draw, best = random.Random(str(violation.trace)), violation
    for drawn, least in ((partial(_near, events), effort.shortest), (_of_any_kind, FEW)):
        tried = fruitless = 0
        while (
            len(best.trace.events) > least
            and tried < effort.traces * len(events)
            and fruitless < effort.fruitless
        ):
            tried += 1
            run = Run(on, runtime, violation.trace.assumptions, [invariant], counts)
            if found := _played(run, drawn(run, app, draw)):
                found = reduce(found, on, invariant, counts)
                better = len(found.trace.events) < len(best.trace.events)
                best, fruitless = (found, 0) if better else (best, fruitless + 1)
    return (best is not violation and violates(best.trace, target, invariant, counts=counts)) or violation


def _played(run: Run, events: Iterator[Event]) -> Violation | None:
    """The violation of a run, if it has one."""
    try:
        for event in events:
            run.play(event)
        run.recover()
    except Violation as violation:
        return violation.with_traceback(None)
    finally:
        run.target.finish()
    return None


def _near(events: tuple[Event, ...], run: Run, app: App, draw: random.Random) -> Iterator[Event]:
    """These events, some of them left out or other calls, with others between them."""

    def others(number: int) -> Iterator[Event]:
        return read(bytes(SWARM) + draw.randbytes(number * WIDTH), run, app)

    for event in events:
        while draw.random() < OFTEN:
            yield from others(1)
        another = isinstance(event, Operation) and draw.random() < OFTEN
        here = draw.choice(app.operations or (event,)) if another else readdressed(event, run.world)
        if draw.random() >= OFTEN and run.permits(here):
            yield here
    yield from others(MORE)


def _of_any_kind(run: Run, app: App, draw: random.Random) -> Iterator[Event]:
    """Any events."""
    return read(draw.randbytes(SWARM + EVENTS * WIDTH), run, app)
