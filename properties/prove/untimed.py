"""A proof that does not ask how much time passes: whatever may come of a comparison of instants, does.

Any timer may run at any time, any token may have expired or not. That is more than can happen, so what nothing
here breaks is proved. Only a rule that holds by something else than the clock can be proved so: that a 401 in the
background asks nothing, say, but not the guard of #8303. What is left over is for the zones (`prove.py`).

Without instants world and client have little to do with each other: the world does not see what the client
remembers, only what it puts out. So the states are pairs, and what comes of a step is looked up in tables:

- `begun`: what may happen in this world: the cue that each such event has for a client, and a table of its own,
  of what becomes of the world after each *effect*;
- `answers`: what a cue makes of this client, and what that puts out: the effect.

A table asks the model's own functions for what it does not have yet. They remain the only definition; nothing
here knows a rule.

That nothing is left out: let any step of the system be given. It is an event with a cue, and then timers one by
one (`system.py`). Each of these is a step here, with comparisons that come out as they did. What is forgotten of
a state (`anonymous.py`) is what only comparisons asked for, but for one thing: whether a request was sent, or is
answered, after the last token expired. Here it always was, because no assumption allows less then. A step's facts
are found in several steps here, so an invariant may be judged here only if it looks at facts one by one, or at
those of one cue (`Invariant.timeless`).
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
from msgspec.structs import replace

from model.assumptions.landmarks import Sometimes
from model.assumptions.sets import Assumptions
from model.clerk.policy import Policy
from model.clerk.state import Client
from model.clerk.transition import step
from model.terms import (
    CallId,
    CallSettled,
    Millis,
    Output,
    Runtime,
    Stimulus,
    TimerDue,
)
from model.world.course import absorb, begin
from model.world.events import Advance, Event, Freeze, FreezeKind
from model.world.facts import Fact, Fired
from model.world.state import World
from properties.invariants.catalogue import Invariant
from properties.prove.app import App
from properties.prove.canonical import NOW, Memory
from properties.prove.untimed_states import OFTEN, SKEWED, Anonymous, Names, anonymous, names_of
from properties.prove.zone import Instant, either_way
from properties.system.step import Step, start
from properties.targets.model import ModelTarget

AT_ONCE: Millis = 1
"""A length of time that says nothing: instants are forgotten after it."""

Number = int
"""A world, client, cue, effect or beginning, as the tables know it."""

BITS, LOW = 32, (1 << 32) - 1
"""Two numbers are one: the first shifted by so many bits, and the second. A state is a world's and a client's."""


class Effect(Struct, frozen=True):
    """What a client put out."""

    outputs: tuple[Output, ...]
    names: Names


class Cue(Struct, frozen=True):
    """What reaches a client, or None; and the calls that are under way then."""

    stimulus: Stimulus | None
    calls: tuple[CallId, ...]


class Begun(Struct, frozen=True):
    """An event, or a timer, has begun in a world: its cue for the client, and in which worlds it ends after each
    effect."""

    before: World
    world: World
    event: Event
    facts: tuple[Fact, ...]
    cue: Number
    settled: dict[Number, list[Number]]


class Reach(Struct, frozen=True):
    """What a search came to. Unless it is `closed`, there may be more."""

    states: int
    transitions: int
    closed: bool
    broken: frozenset[str]
    reached: dict[str, int]


Value = TypeVar("Value", bound=Hashable)


class Numbered(Generic[Value]):
    """Values, each with a number of its own."""

    def __init__(self) -> None:
        self.all: list[Value] = []
        self._numbers: dict[Value, Number] = {}

    def number(self, value: Value) -> Number:
        """The number of a value; a new one if it is new."""
        number = self._numbers.setdefault(value, len(self.all))
        if number == len(self.all):
            self.all.append(value)
        return number


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile: values have no cycles, and to look for one among millions takes time."""
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if usual:
            gc.enable()


@dataclass(slots=True)
class Product:
    """World x Client without instants: the tables, and the search that fills them in as it goes."""

    policy: Policy
    runtime: Runtime
    assumptions: Assumptions
    app: App
    memory: Memory
    invariants: Sequence[Invariant]

    worlds: Numbered[World] = field(default_factory=Numbered)
    clients: Numbered[Client] = field(default_factory=Numbered)
    cues: Numbered[Cue] = field(default_factory=Numbered)
    effects: Numbered[Effect] = field(default_factory=Numbered)
    begun: dict[Number, list[Begun]] = field(default_factory=dict)
    answers: defaultdict[Number, dict[Number, list[tuple[Number, Number]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    absorbed: dict[tuple[World, Number], list[tuple[World, tuple[Fact, ...], Number]]] = field(
        default_factory=dict
    )
    forms: dict[tuple[Client, tuple[Output, ...], tuple[CallId, ...]], tuple[Number, Number]] = field(
        default_factory=dict
    )
    broken: set[str] = field(default_factory=set)
    reached: dict[str, int] = field(default_factory=dict)
    ahead: dict[str, Sometimes] = field(default_factory=dict)
    asked: int = 0
    gathers: bool = False
    states: set[Number] = field(default_factory=set)

    def search(
        self, seconds: float, states: int, steps: int, tell: Callable[[int], None] = lambda states: None
    ) -> Reach:
        """Every state that can be reached, unless `seconds` of real time run out, so many `states` have been
        looked at, the model was asked for so many `steps`, every invariant is broken, or the client gathers ever
        more timers. `tell` is given the number of states now and then."""
        with uncollected():
            return self._search(seconds, states, steps, tell)

    def _search(self, seconds: float, states: int, steps: int, tell: Callable[[int], None]) -> Reach:
        began = said = time.perf_counter()
        landmarks = (*self.assumptions.sometimes, *self.assumptions.faults)
        self.ahead = {landmark.name: landmark for landmark in landmarks}
        first = self._first()
        seen, waiting = {first}, {first >> BITS: [first & LOW]}
        transitions, looked_at = 0, 0
        while waiting and looked_at < states and self.asked < steps and not self.gathers:
            world, clients = (
                waiting.popitem()
            )  # all that wait in one world: half of what is looked up is the same
            reached = self.successors(world, clients)
            transitions += len(reached)
            new = set(reached) - seen
            seen |= new
            for state in new:
                waiting.setdefault(state >> BITS, []).append(state & LOW)
            looked_at += len(clients)
            now = time.perf_counter()
            if now - began > seconds or self._all_broken:
                break
            if now - said > 1:
                said = now
                tell(len(seen))
        self.states = seen
        closed = not waiting and not self.gathers
        return Reach(len(seen), transitions, closed, frozenset(self.broken), self.reached)

    def successors(self, world: Number, clients: Sequence[Number]) -> list[Number]:
        """The states that one step leads to from each state of this world and one of these clients; one as often
        as there are ways to it."""
        known = [(client, self.answers[client]) for client in clients]
        return [
            other | after
            for begun in self.begun.get(world) or self._begin(world)
            for client, answers in known
            for effect, after in answers.get(begun.cue) or self._answer(client, begun.cue)
            for other in begun.settled.get(effect) or self._settle(begun, effect)
        ]

    @property
    def _all_broken(self) -> bool:
        return len(self.broken) == len(self.invariants) > 0

    def _first(self) -> Number:
        """Just signed in."""
        target = ModelTarget(self.policy)
        world = start(target, self.runtime)
        assert target.client is not None
        return self.number(world, target.client)

    def number(self, world: World, client: Client) -> Number:
        """The number of a state of world and client, whose instants are of no interest."""
        # Requests are named in an order that asks for the count of tries, which is forgotten: so forget it first.
        flights = tuple(replace(flight, tries=OFTEN) for flight in client.flights)
        resends = tuple((timer, replace(flight, tries=OFTEN)) for timer, flight in client.resends)
        client = replace(client, flights=flights, resends=resends)
        form = Anonymous(world, client, names_of(client, {call.call for call in world.calls}), self.memory)
        return self.worlds.number(form.of_world()) << BITS | self.clients.number(form.of_client())

    # -- the tables ---------------------------------------------------------------------------------------------

    def _begin(self, number: Number) -> list[Begun]:
        world = self.worlds.all[number]
        possible: list[Begun] = []
        for timer in world.timers:
            after = world.but(timers=tuple(other for other in world.timers if other is not timer))
            late_by = AT_ONCE if self.assumptions.may_freeze else 0
            fired = Fired(after.now, timer.timer, timer.set_at, late_by)
            possible.append(self._entered(world, after, Advance(AT_ONCE), (fired,), TimerDue(timer.timer)))
        events = [*self.app.events(world, self.assumptions)]
        events += [Freeze(AT_ONCE, kind) for kind in FreezeKind if self.assumptions.may_freeze]
        for event in events:
            for after, facts, cue in either_way(partial(begin, world, event)):
                possible.append(self._entered(world, after, event, facts, cue.stimulus if cue else None))
        self.begun[number] = possible
        return possible

    def _entered(
        self, before: World, world: World, event: Event, facts: tuple[Fact, ...], stimulus: Stimulus | None
    ) -> Begun:
        cue = self.cues.number(Cue(stimulus, tuple(call.call for call in world.calls)))
        return Begun(before, world, event, facts, cue, settled={})

    def _answer(self, client_number: Number, cue_number: Number) -> list[tuple[Number, Number]]:
        client, cue = self.clients.all[client_number], self.cues.all[cue_number]
        at = SKEWED if self.assumptions.skews else NOW
        ends: dict[tuple[Number, Number], None] = {}
        self.asked += 1
        for after, outputs in either_way(
            lambda: step(client, cue.stimulus, at) if cue.stimulus else (client, ())
        ):
            end = self.forms.get((after, outputs, cue.calls))
            ends[end or self._formed(after, outputs, cue.calls)] = None
        answers = self.answers[client_number][cue_number] = list(ends)
        return answers

    def _formed(
        self, client: Client, outputs: tuple[Output, ...], calls: tuple[CallId, ...]
    ) -> tuple[Number, Number]:
        settled = {output.call for output in outputs if isinstance(output, CallSettled)}
        known_as = names_of(client, {*calls} - settled)
        self.gathers = self.gathers or len(known_as.timers) > self.app.timers
        effect = self.effects.number(Effect(tuple(map(anonymous, outputs)), known_as))
        end = effect, self.clients.number(Anonymous(None, client, known_as, self.memory).of_client())
        self.forms[client, outputs, calls] = end
        return end

    def _settle(self, begun: Begun, effect: Number) -> list[Number]:
        ends: dict[Number, None] = {}
        for after, facts, end in self.absorbed.get((begun.world, effect)) or self._absorb(begun.world, effect):
            self._judge(Step(begun.before, begun.event, (*begun.facts, *facts), after))
            ends[end] = None
        begun.settled[effect] = list(ends)
        return list(ends)

    def _absorb(self, world: World, number: Number) -> list[tuple[World, tuple[Fact, ...], Number]]:
        effect = self.effects.all[number]
        self.asked += 1
        ends = self.absorbed[world, number] = [
            (
                after,
                facts,
                self.worlds.number(Anonymous(after, None, effect.names, self.memory).of_world()) << BITS,
            )
            for after, facts in either_way(lambda: absorb(world, effect.outputs, wake=False))
        ]
        return ends

    def _judge(self, taken: Step) -> None:
        for one in self.invariants:
            if one.id not in self.broken and one.check(taken):
                self.broken.add(one.id)
        Instant.zone.lenient = True
        for name, landmark in [*self.ahead.items()]:
            if any(map(landmark.seen, taken.facts)):
                self.reached[name] = 1
                del self.ahead[name]
        Instant.zone.lenient = False
