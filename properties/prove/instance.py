"""An instance of a condition: numbers for the parameters, and a trace that violates the invariant with them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import z3
from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.sets import Assumptions
from model.sdk import Client
from model.step import Span, permits
from model.terms import Millis, Runtime
from model.world.events import OF_REQUEST, Advance, Event, Freeze
from model.world.state import System
from properties.invariants.invariant import Invariant
from properties.prove.canonical import request_names
from properties.prove.condition import explore
from properties.prove.formulas import Formula, numbers
from properties.prove.parameters import LENGTH, NUMBERS, RoundingZone, within
from properties.prove.polyhedra import Row, formula, row, variable
from properties.prove.prove import problem
from properties.prove.runs import every_way
from properties.prove.state import symbolic
from properties.prove.successors import Problem, lasting
from properties.run.run import Violation
from properties.run.shrink import violates
from properties.system.target import stepped
from properties.system.trace import Trace
from properties.targets.model import ModelTarget

GRIDS: tuple[Millis, ...] = (1000, 100, 1)
"""Events happen at multiples of these, of the first that will do."""


class Instance(Struct, frozen=True):
    """A violation in which no timer is later than `late` ms, and no request is in flight for more than
    `flight`."""

    late: Millis
    flight: Millis
    violation: Violation


def delays(here: Formula) -> tuple[Millis, Millis] | None:
    """How late timers and how long in flight requests may be for a formula about these to be true, with 1 s to
    spare: the least whole seconds, as equal as they can be. None if it never is."""
    search = z3.Optimize()
    late, flight = variable(NUMBERS["late"]), variable(NUMBERS["flight"])
    for delay, least in ((late, 0), (flight, 1000)):
        search.add(delay == 1000 * z3.ToReal(z3.Int(f"{delay} in s")), delay >= least)
    spare = [[one._replace(ms=one.ms + 1000) for one in part] for part in here]
    search.add(z3.Or(*(z3.And(*map(formula, part)) for part in spare)))
    longest = z3.Real("longest")
    search.add(longest >= late, longest >= flight)
    search.minimize(longest)
    search.minimize(late + flight)
    if search.check() != z3.sat:
        return None
    model = search.model()
    return tuple(int(str(model.eval(one, model_completion=True))) for one in (late, flight))  # type: ignore


def instance(
    model: ModelTarget,
    runtime: Runtime,
    assumptions: Assumptions,
    invariant: Invariant,
    app: App,
    late: Millis,
    flight: Millis,
    steps: int,
) -> Instance | None:
    """A shortest trace that violates the invariant with the model's own timings, while no timer is later and no
    request longer in flight. It was played on the model. None if there is none in so many model `steps`."""
    exact = {**numbers(model.timings(runtime)), "late": late, "flight": flight}
    rows = [
        row([(NUMBERS[name], sign)], -sign * ms, strict=False) for name, ms in exact.items() for sign in (1, -1)
    ]
    bound = None if assumptions.may_hang else LENGTH["flight"]
    asked = replace(
        problem(model, runtime, assumptions, app, [invariant]),
        zone=RoundingZone,
        known=tuple(rows),
        within=partial(within, late=LENGTH["late"], flight=bound),
    )
    asked = replace(asked, memory=replace(asked.memory, lateness=True))
    path = explore(asked, invariant, steps, only_first=True).first
    for events in _traces(asked, invariant, path):
        trace = Trace(model.name, runtime, assumptions, events, invariant.id)
        if found := violates(trace, model, invariant):
            return Instance(late, flight, found)
    return None


class _Run(Struct, frozen=True):
    """A run whose instants are symbols, in ms since sign-in. `rows` has the constraints on them, `seconds` those
    that are whole seconds."""

    system: System
    client: Client
    rows: tuple[Row, ...]
    seconds: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()
    broken: bool = False


def _traces(asked: Problem, invariant: Invariant, path: tuple[Event, ...]) -> Iterator[tuple[Event, ...]]:
    """The traces along a path of the graph, with numbers."""
    system, client = symbolic(asked.at_sign_in())
    runs = [_Run(system, client, asked.known)]
    while runs:
        run = runs.pop()
        if run.broken:
            yield from _with_numbers(run)
        elif len(run.events) < len(path):
            runs += _further(run, path[len(run.events)], asked, invariant)


def _further(run: _Run, event: Event, asked: Problem, invariant: Invariant) -> list[_Run]:
    """The run with one more event: one of the same kind as that of the path."""
    sdk = asked.model.sdk

    def happen(zone: Any) -> _Run | None:
        this = event
        match event:
            case Advance():
                this = lasting(Span(None, 0), run.system.world, zone)
            case Freeze(kind=kind):
                this = lasting(Span(kind, 0), run.system.world, zone)
            case _ if isinstance(event, OF_REQUEST):
                names = request_names(sdk, (run.system, run.client))
                numbered = {name: number for number, name in names.items()}
                if event.request not in numbered:
                    return None
                this = replace(event, request=numbered[event.request])
        if not permits(run.system, asked.assumptions, this, asked.app):
            return None
        target = asked.fresh()
        target.client = run.client
        step = stepped(run.system, this, target)
        if not asked.within(step):
            return None
        broken = invariant.check(step) is not None
        seconds = (*run.seconds, *zone.floors.values())
        return _Run(step.end, target.client, tuple(zone.rows), seconds, (*run.events, this), broken)

    return [one for one in every_way(asked.zone, run.rows, happen) if one]


def _with_numbers(run: _Run) -> Iterator[tuple[Event, ...]]:
    """The events of a run with numbers in place of symbols, where there are some."""
    names = {name for one in run.rows for name, _ in one.terms if name > 0}
    for grid in GRIDS:
        search = z3.Solver()
        search.add(*map(formula, run.rows))
        for name in sorted(names):
            unit = 1000 if name in run.seconds else grid
            search.add(variable(name) == unit * z3.ToReal(z3.Int(f"units of {name}")))
        if search.check() == z3.sat:
            found = search.model()

            def ms(length: Any, found: Any = found) -> Millis:
                value = length.ms
                for names, sign in ((length.ups, 1), (length.downs, -1)):
                    value += sign * sum(int(str(found.eval(variable(name)))) for name in names if name)
                return int(value)

            yield tuple(
                replace(one, ms=ms(one.ms)) if isinstance(one, Advance | Freeze) else one for one in run.events
            )
            return
