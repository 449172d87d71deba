"""The untimed pass of a proof: time is abstracted away, so every comparison of instants may be true or false.

Any timer may fire at any time, and any token may have expired or not. This over-approximates what can happen, so
an invariant that no step here violates is proved. Only rules that do not depend on the clock can be proved so:
that a 401 in the background sends no request, for example, but not that a token of some age is not refreshed. The
rest is left to the timed passes (`prove.py`).

Without instants, world and client interact little: the world does not see what the client remembers, only its
outputs. So a state is a pair of a world and a client, and successors are looked up in tables:

- `begun`: for each world, the events that may happen in it. Each has its *input* for a client, and a table of the
  worlds that it ends in, by the client's *effect*.
- `answers`: for each client and input, the clients that result, and their effects.

Missing entries are computed with the model's own functions, which remain the only definition: no rule is repeated
here.

The abstraction covers every step of the system. A step is an event with its input, then the answers that a
`RestartApp` has given at once, and then timers one by one (`model/step.py`). Each of these is a step here, with
the same outcomes of its comparisons. The untimed form (`untimed_states.py`) drops only what comparisons read,
with one exception: whether the last token had expired when a request was sent, or is answered. Here it always
has, because no assumption permits less in that case.
Since the facts of one step are spread over several steps here, only invariants that read single facts, or the
facts of one input, may be checked (`Invariant.timeless`); or else a property of single states that implies one
(`Invariant.stronger`).
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct

from model.assumptions.landmarks import Landmark
from model.io import CallSettled, Output, Stimulus, TimerDue
from model.sdk import Client
from model.step import Step, at_an_instant
from model.terms import CallId, Millis
from model.world.course import begin, prompt, without_timer
from model.world.events import Advance, Event, Freeze, FreezeKind
from model.world.facts import Fact, TimerFired
from model.world.outputs import absorb
from model.world.state import System, Timer
from properties.invariants.invariant import Invariant
from properties.prove.runs import either_way
from properties.prove.state import NOW
from properties.prove.successors import Problem, landmarks, look_for
from properties.prove.untimed_states import DEVICE_TIME, Names, UntimedForm, names_of, untimed
from properties.prove.zone import Instant, UntimedZone

ANY_LENGTH: Millis = 1
"""The duration of every step, in ms: a placeholder, because the untimed form drops all instants."""

Number = int
"""The number of a world, client, input or effect in the tables."""

BITS, LOW = 32, (1 << 32) - 1
"""A state is one integer: the number of its world, shifted by `BITS`, plus the number of its client."""


class Effect(Struct, frozen=True):
    """What a client does on an input: its outputs, and the names of what it still refers to."""

    outputs: tuple[Output, ...]
    names: Names


class ClientInput(Struct, frozen=True):
    """What a client reacts to: a stimulus (None: nothing reaches it), and the calls that are pending."""

    stimulus: Stimulus | None
    calls: tuple[CallId, ...]


class Begun(Struct, frozen=True):
    """An event or a timer that has begun in a world: its input for the client, and the worlds that it ends in, by
    the client's effect."""

    before: System
    system: System
    event: Event
    facts: tuple[Fact, ...]
    input: Number
    settled: dict[Number, list[Number]]


class UntimedResult(Struct, frozen=True):
    """The result of the untimed pass: the size of the graph, whether it is `closed`, the ids of the invariants
    that are `broken`, and the landmarks that were `reached`."""

    states: int
    transitions: int
    closed: bool
    broken: frozenset[str]
    reached: dict[str, int]


Value = TypeVar("Value", bound=Hashable)


class Numbering(Generic[Value]):
    """A numbering of distinct values, from 0."""

    def __init__(self) -> None:
        self.all: list[Value] = []
        self._numbers: dict[Value, Number] = {}

    def number(self, value: Value) -> Number:
        """The number of a value, assigned if it is new."""
        number = self._numbers.setdefault(value, len(self.all))
        if number == len(self.all):
            self.all.append(value)
        return number


def events(system: System, problem: Problem) -> list[Event]:
    """The events that are enabled, including freezes. Time that passes has no effect except through timers."""
    Instant.zone = UntimedZone()
    Instant.zone.assume_nothing = True
    assumptions = problem.assumptions
    freezes = [Freeze(ANY_LENGTH, kind) for kind in FreezeKind if assumptions.may_freeze]
    return [*at_an_instant(system, assumptions, problem.app), *freezes]


def run_of(timer: Timer, system: System, problem: Problem) -> tuple[System, TimerFired]:
    """The system after a timer was taken to run, and the fact that it runs."""
    late_by = ANY_LENGTH if problem.assumptions.may_freeze else 0
    fired = TimerFired(system.world.now, timer.timer, timer.set_at, late_by)
    return without_timer(system, timer.timer), fired


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection: values have no reference cycles, and scanning millions of them takes time. What
    is left is never scanned, so that the process ends soon, whatever ends it."""
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if usual:
            gc.enable()


@dataclass(slots=True)
class Product:
    """The product of worlds and clients without instants: the tables, and the search that fills them on
    demand."""

    problem: Problem
    most_timers: int
    invariants: Sequence[Invariant]

    worlds: Numbering[System] = field(default_factory=Numbering)
    clients: Numbering[Client] = field(default_factory=Numbering)
    inputs: Numbering[ClientInput] = field(default_factory=Numbering)
    effects: Numbering[Effect] = field(default_factory=Numbering)
    begun: dict[Number, list[Begun]] = field(default_factory=dict)
    answers: defaultdict[Number, dict[Number, list[tuple[Number, Number]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    absorbed: dict[tuple[System, Number], list[tuple[System, tuple[Fact, ...], Number]]] = field(
        default_factory=dict
    )
    forms: dict[tuple[Client, tuple[Output, ...], tuple[CallId, ...]], tuple[Number, Number]] = field(
        default_factory=dict
    )
    broken: set[str] = field(default_factory=set)
    reached: dict[str, int] = field(default_factory=dict)
    ahead: dict[str, Landmark] = field(default_factory=dict)
    asked: int = 0
    timers_unbounded: bool = False
    states: set[Number] = field(default_factory=set)

    def search(
        self, seconds: float, states: int, steps: int, tell: Callable[[int], None] = lambda states: None
    ) -> UntimedResult:
        """Explore until the graph is closed, a limit is hit, every invariant is violated, or the number of timers
        proves unbounded. Limits: `seconds` of real time, expanded `states`, model `steps`. `tell` gets the number
        of states now and then."""
        with gc_paused():
            return self._search(seconds, states, steps, tell)

    def _search(self, seconds: float, states: int, steps: int, tell: Callable[[int], None]) -> UntimedResult:
        began = reported_at = time.perf_counter()
        self.ahead = landmarks(self.problem)
        first = self.number(*self.problem.at_sign_in())
        seen, waiting = {first}, {first >> BITS: [first & LOW]}
        transitions, looked_at = 0, 0
        while waiting and looked_at < states and self.asked < steps and not self.timers_unbounded:
            world, clients = waiting.popitem()  # all states of one world: half of the look-ups are the same
            reached = self.successors(world, clients)
            transitions += len(reached)
            new = set(reached) - seen
            seen |= new
            for state in new:
                waiting.setdefault(state >> BITS, []).append(state & LOW)
            looked_at += len(clients)
            now = time.perf_counter()
            if now - began > seconds or len(self.broken) == len(self.invariants) > 0:
                break
            if now - reported_at > 1:
                reported_at = now
                tell(len(seen))
        self.states = seen
        closed = not waiting and not self.timers_unbounded
        return UntimedResult(len(seen), transitions, closed, frozenset(self.broken), self.reached)

    def successors(self, world: Number, clients: Sequence[Number]) -> list[Number]:
        """The successors of the states with this world and any of these clients, with repetitions."""
        known = [(client, self.answers[client]) for client in clients]
        return [
            other | after
            for begun in self.begun.get(world) or self._begin(world)
            for client, answers in known
            for effect, after in answers.get(begun.input) or self._answer(client, begun.input)
            for other in begun.settled.get(effect) or self._settle(begun, effect)
        ]

    def number(self, system: System, client: Client) -> Number:
        """The number of the untimed state of a system and a client."""
        sdk, memory = self.problem.model.sdk, self.problem.memory
        form = UntimedForm(names_of(sdk, client, {call.call for call in system.world.calls}, memory), memory)
        client_number = self.clients.number(sdk.canonical(client, form))
        return self.worlds.number(form.of_system(system)) << BITS | client_number

    # -- the tables ---------------------------------------------------------------------------------------------

    def _begin(self, number: Number) -> list[Begun]:
        system = self.worlds.all[number]
        possible: list[Begun] = []
        answer = prompt(system.world)
        for timer in () if answer else system.world.timers:
            after, fired = run_of(timer, system, self.problem)
            possible.append(self._entered(system, after, Advance(ANY_LENGTH), (fired,), TimerDue(timer.timer)))
        for option in [answer] if answer else events(system, self.problem):
            for after, facts, cue in either_way(partial(begin, system, option)):
                possible.append(self._entered(system, after, option, facts, cue.stimulus if cue else None))
        self.begun[number] = possible
        return possible

    def _entered(
        self, before: System, system: System, event: Event, facts: tuple[Fact, ...], stimulus: Stimulus | None
    ) -> Begun:
        number = self.inputs.number(ClientInput(stimulus, tuple(call.call for call in system.world.calls)))
        return Begun(before, system, event, facts, number, settled={})

    def _answer(self, client_number: Number, input_number: Number) -> list[tuple[Number, Number]]:
        client, given = self.clients.all[client_number], self.inputs.all[input_number]
        at = DEVICE_TIME if self.problem.assumptions.skews else NOW
        step = self.problem.model.sdk.step
        ends: dict[tuple[Number, Number], None] = {}
        self.asked += 1
        for after, outputs in either_way(
            lambda: step(client, given.stimulus, at) if given.stimulus else (client, ())
        ):
            end = self.forms.get((after, outputs, given.calls))
            ends[end or self._formed(after, outputs, given.calls)] = None
        answers = self.answers[client_number][input_number] = list(ends)
        return answers

    def _formed(
        self, client: Client, outputs: tuple[Output, ...], calls: tuple[CallId, ...]
    ) -> tuple[Number, Number]:
        settled = {output.call for output in outputs if isinstance(output, CallSettled)}
        sdk, memory = self.problem.model.sdk, self.problem.memory
        known_as = names_of(sdk, client, {*calls} - settled, memory)
        self.timers_unbounded = self.timers_unbounded or len(known_as.timers) > self.most_timers
        effect = self.effects.number(Effect(tuple(untimed(one, memory) for one in outputs), known_as))
        end = effect, self.clients.number(sdk.canonical(client, UntimedForm(known_as, memory)))
        self.forms[client, outputs, calls] = end
        return end

    def _settle(self, begun: Begun, effect: Number) -> list[Number]:
        ends: dict[Number, None] = {}
        for after, facts, end in self.absorbed.get((begun.system, effect)) or self._absorb(begun.system, effect):
            self._judge(Step(begun.before, begun.event, (*begun.facts, *facts), after))
            ends[end] = None
        begun.settled[effect] = list(ends)
        return list(ends)

    def _absorb(self, system: System, number: Number) -> list[tuple[System, tuple[Fact, ...], Number]]:
        effect = self.effects.all[number]
        self.asked += 1
        form = UntimedForm(effect.names, self.problem.memory)
        ends = self.absorbed[system, number] = [
            (after, facts, self.worlds.number(form.of_system(after)) << BITS)
            for after, facts in either_way(lambda: absorb(system, effect.outputs))
        ]
        return ends

    def _judge(self, taken: Step) -> None:
        for one in self.invariants:
            if one.id not in self.broken and one.may_break(taken, (taken.end,), self.problem.assumptions):
                self.broken.add(one.id)
        look_for(self.ahead, taken, self.reached)
