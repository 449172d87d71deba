"""The modular pass of a proof: the untimed pass for a client whose parts multiply.

A client that caches many tokens has as many timers and requests, and the product of what each is doing can be too
large (`untimed.py`). But they read little of each other. So this pass follows each on its own, as thread-modular
model checking follows threads (Flanagan and Qadeer 2003). A *core* is a system and a client without its parts.
For each core there is a set of the parts that may be beside it: any of them, any number of each, in any
combination. That over-approximates what can happen, as leaving out time does, so an invariant that no step here
violates is proved.

A step is taken in the core and what it needs: the part whose timer runs or whose request is answered, and what is
in each slot that a rule looks into. That is unknown until a rule asks (`SlotUnknown`); then each part that may be
there is tried, and none. Whatever else is beside the core stays there (`Change`): the parts that may be beside it
before the step may be beside the core after it.

Of a part in a slot a rule may read less than all (`Part.seen`), and may put something else in its place: parts
that look the same are tried once, unless the step takes over more of one (`MoreThanSeen`). Two parts may share an
object of the client, such as a Session object. Once the core has lost that, each has a copy. So if a step changes
an object, a copy that is equal to it may stay as it is or change too; and if a step takes two parts that have
equal copies, they are tried as one object, and as two.

A call is in a part, too, with the request or timer that it waits for, and with the calls that wait for the same.
A core has the number of these calls, so that the app makes no more of them than it may, and no more than those
are beside one another. What a part does may be caused by a call of another part. Which one is left open: once one
has settled, that may have been it.

World and client of a step have little to do with each other. As in `untimed.py`, what either does is looked up in
tables: for a system and what the parts have in it, and for a client and its parts.

The steps are those of `untimed.py`, and so are the invariants that may be checked. A property of states has to
hold of the core and of each part by itself.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from model.assumptions.landmarks import Landmark
from model.io import Output, Started, Stimulus, TimerDue
from model.parts import SlotUnknown
from model.sdk import Client
from model.step import Step
from model.world.course import begin, prompt
from model.world.events import OF_REQUEST, Advance, Event, RestartApp, StartApp
from model.world.facts import Fact
from model.world.outputs import absorb
from model.world.state import System
from properties.invariants.invariant import Invariant
from properties.prove.apart import Change, Chosen, Core, InWorld, MoreThanSeen, Thread
from properties.prove.halves import (
    Apart,
    ApartClient,
    ApartSystem,
    Calls,
    Effect,
    WholeClient,
    WholeSystem,
    change_of,
)
from properties.prove.runs import either_way
from properties.prove.state import NOW
from properties.prove.successors import Problem, landmarks, look_for
from properties.prove.untimed import ANY_LENGTH, UntimedResult, events, gc_paused, run_of
from properties.prove.untimed_states import DEVICE_TIME

Option: TypeAlias = Event | TimerDue
End: TypeAlias = tuple[Core, tuple[Thread, ...], Change | None]
"""The core after a step, the parts that it has made, and what it does to others; None if it leaves none."""


class Input(Struct, frozen=True, cache_hash=True):
    """What a client reacts to: a stimulus (None: nothing reaches it), and which calls are pending."""

    stimulus: Stimulus | None
    calls: Calls


class Begun(Struct, frozen=True):
    """An event or a timer that has begun in a system put together: the system then, its input for the client, and
    how it ends, by the client's effect."""

    whole: WholeSystem
    system: System
    event: Event
    facts: tuple[Fact, ...]
    input: Input
    ended: dict[Effect, list[ApartSystem]]


@dataclass(slots=True)
class Modular:
    """The cores, the parts that each may have beside it, and the search that finds them."""

    problem: Problem
    invariants: Sequence[Invariant]

    threads: defaultdict[Core, dict[Thread, None]] = field(default_factory=lambda: defaultdict(dict))
    changes: defaultdict[Core, dict[tuple[Core, Change], None]] = field(default_factory=lambda: defaultdict(dict))
    left: defaultdict[Change, dict[Thread, list[Thread]]] = field(default_factory=lambda: defaultdict(dict))
    waiting: dict[Core, None] = field(default_factory=dict)
    ends: dict[tuple[Core, Chosen, Option], list[End] | SlotUnknown | MoreThanSeen] = field(default_factory=dict)
    may_happen: dict[tuple[System, int, InWorld | None], list[Option]] = field(default_factory=dict)
    begun: dict[Hashable, list[Begun]] = field(default_factory=dict)
    answers: dict[Hashable, list[ApartClient] | SlotUnknown | MoreThanSeen] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    reached: dict[str, int] = field(default_factory=dict)
    ahead: dict[str, Landmark] = field(default_factory=dict)
    transitions: int = 0

    def search(
        self, seconds: float, states: int, steps: int, tell: Callable[[int], None] = lambda states: None
    ) -> UntimedResult:
        """Explore until nothing is new, a limit is hit, or every invariant is violated. Limits: `seconds` of real
        time, `states`, model `steps`. `tell` gets the number of states now and then."""
        with gc_paused():
            began = reported_at = time.perf_counter()
            self.ahead = landmarks(self.problem)
            first = Apart(self.problem.model.sdk, self.problem.memory, *self.problem.at_sign_in())
            self.reach(first.core, first.threads)
            while self.waiting and self.states < states and len(self.ends) < steps:
                if len(self.broken) == len(self.invariants) > 0:
                    break
                core = next(iter(self.waiting))
                del self.waiting[core]
                self.expand(core, steps)
                now = time.perf_counter()
                if now - began > seconds:
                    break
                if now - reported_at > 1:
                    reported_at = now
                    tell(self.states)
        return UntimedResult(
            self.states, self.transitions, not self.waiting, frozenset(self.broken), self.reached
        )

    @property
    def states(self) -> int:
        """How many cores there are, and pairs of a core and a part."""
        return sum(1 + len(threads) for threads in self.threads.values())

    # -- the fixed point ----------------------------------------------------------------------------------------

    def reach(self, core: Core, threads: Iterable[Thread]) -> None:
        """A core is reachable, and these parts may be beside it. So they may be beside the cores after it."""
        ahead = [(core, threads)]
        while ahead:
            core, threads = ahead.pop()
            if core not in self.threads:
                self.waiting[core] = None
            known = self.threads[core]
            if new := [one for one in threads if one not in known]:
                known.update(dict.fromkeys(new))
                self.waiting[core] = None
                ahead += [(after, self.carried(change, new)) for after, change in self.changes[core]]

    def carried(self, change: Change, threads: Sequence[Thread]) -> list[Thread]:
        """What these parts may be after a step that leaves them alone."""
        known = self.left[change]
        for one in threads:
            if one not in known:
                known[one] = change.carried(one)
        return [left for one in threads for left in known[one]]

    def expand(self, core: Core, steps: int = 1_000_000_000) -> None:
        """Take every step of a core, and of each part beside it. Beyond so many `steps` in all it waits again."""
        threads = [*self.threads[core]]
        for thread in (None, *threads):
            if len(self.ends) > steps:
                self.waiting[core] = None
                return
            for option in self.options(core, thread):
                for ends in self.with_others(core, thread, option, threads):
                    for after, made, change in ends:
                        self.reach(after, made)
                        if change and (after, change) not in self.changes[core]:
                            self.changes[core][after, change] = None
                            self.reach(after, self.carried(change, [*self.threads[core]]))

    def with_others(
        self, core: Core, thread: Thread | None, option: Option, threads: Sequence[Thread]
    ) -> Iterator[list[End]]:
        """The ends of a step of a core or of a part of it, with each choice of what else a rule looks at."""
        choices = [Chosen.of(thread)]
        while choices:
            chosen = choices.pop()
            if chosen.calls > core.calls:
                continue
            if (ends := self.ends.get((core, chosen, option))) is None:
                ends = self.ends[core, chosen, option] = self.step(core, chosen, option)
            match ends:
                case SlotUnknown(slot=slot):
                    room = core.calls - chosen.calls
                    fit = [one for one in threads if len(one.world.calls) <= room]
                    choices += chosen.with_slot(slot, fit)
                case MoreThanSeen(seen=seen):
                    choices += chosen.in_full(seen, threads)
                case _:
                    yield ends

    # -- one step -----------------------------------------------------------------------------------------------

    def options(self, core: Core, thread: Thread | None) -> list[Option]:
        """What may happen in a core: to a part of it, or else to itself."""
        key = core.system, core.calls, None if thread is None else thread.world
        if (known := self.may_happen.get(key)) is None:
            known = self.may_happen[key] = self._options(*key)
        return known

    def _options(self, system: System, calls: int, part: InWorld | None) -> list[Option]:
        if answer := prompt(system.world):
            return [] if part else [answer]
        whole = WholeSystem.of(system, calls, (part,) if part else ()).system
        enabled, world = events(whole, self.problem), whole.world
        if part is None:
            return [*(TimerDue(timer.timer) for timer in world.timers), *enabled]
        own = {one.request for one in world.requests[len(system.world.requests) :]}
        answers = [one for one in enabled if isinstance(one, OF_REQUEST) and one.request in own]
        return [*(TimerDue(timer.timer) for timer in world.timers[len(system.world.timers) :]), *answers]

    def step(self, core: Core, chosen: Chosen, option: Option) -> list[End] | SlotUnknown | MoreThanSeen:
        """The ends of a step with the parts that were chosen, or what it takes besides."""
        try:
            return [*dict.fromkeys(self._ends(core, chosen, option))]
        except (SlotUnknown, MoreThanSeen) as more:
            return more.with_traceback(None)

    def _ends(self, core: Core, chosen: Chosen, option: Option) -> Iterator[End]:
        over = isinstance(option, RestartApp | StartApp)
        for begun in self._begun(core.system, core.calls, chosen.world, option):
            for client in self._answers(core.client, chosen, begun.input):
                for system in self._absorbed(begun, client.effect):
                    self.transitions += 1
                    after = Core(system.system, client.core, system.calls)
                    threads = map(Thread, client.parts, system.parts)
                    if over:
                        yield after, tuple(threads), None
                    else:
                        change = change_of(core, chosen, begun.whole, client, system)
                        yield after, tuple(one for thread in threads for one in change.made(thread)), change

    # -- the tables ---------------------------------------------------------------------------------------------

    def _begun(self, system: System, calls: int, parts: tuple[InWorld, ...], option: Option) -> list[Begun]:
        """The system after a timer was taken, or an event has begun."""
        key = system, calls, parts, option
        if (known := self.begun.get(key)) is not None:
            return known
        whole = WholeSystem.of(system, calls, parts)
        found = self.begun[key] = []
        if isinstance(option, TimerDue):
            timer = next(one for one in whole.system.world.timers if one.timer == option.timer)
            after, fired = run_of(timer, whole.system, self.problem)
            found.append(Begun(whole, after, Advance(ANY_LENGTH), (fired,), Input(option, Calls.of(after)), {}))
        else:
            for after, facts, cue in either_way(partial(begin, whole.system, option)):
                given = Input(cue.stimulus if cue else None, Calls.of(after))
                found.append(Begun(whole, after, option, facts, given, {}))
        return found

    def _answers(self, core: Client, chosen: Chosen, given: Input) -> list[ApartClient]:
        """Every way in which the client goes on."""
        key = core, chosen.parts, chosen.seen, chosen.slots, given
        if (known := self.answers.get(key)) is None:
            try:
                known = [*dict.fromkeys(self._answered(core, chosen, given))]
            except (SlotUnknown, MoreThanSeen) as more:
                known = more.with_traceback(None)
            self.answers[key] = known
        if isinstance(known, SlotUnknown | MoreThanSeen):
            raise known
        return known

    def _answered(self, core: Client, chosen: Chosen, given: Input) -> Iterator[ApartClient]:
        sdk, memory, stimulus = self.problem.model.sdk, self.problem.memory, given.stimulus
        at = DEVICE_TIME if self.problem.assumptions.skews else NOW
        for whole in WholeClient.each(sdk, core, chosen):
            before = None if isinstance(stimulus, Started) else whole
            ends: Iterable[tuple[Client, tuple[Output, ...]]] = [(whole.client, ())]
            if stimulus:
                ends = either_way(partial(sdk.step, whole.client, stimulus, at))
            for client, outputs in dict.fromkeys(ends):
                yield ApartClient.of(sdk, memory, client, given.calls, outputs, before)

    def _absorbed(self, begun: Begun, effect: Effect) -> list[ApartSystem]:
        """The systems in which what the client does results. Each is judged once."""
        if (known := begun.ended.get(effect)) is None:
            known = begun.ended[effect] = []
            whole, memory = begun.whole, self.problem.memory
            for after, facts in either_way(partial(absorb, begun.system, effect.outputs, tainted=False)):
                end = ApartSystem.of(after, effect, memory, whole)
                self._judge(Step(whole.system, begun.event, (*begun.facts, *facts), after), end.each)
                if end not in known:
                    known.append(end)
        return known

    def _judge(self, taken: Step, ends: Sequence[System]) -> None:
        for one in self.invariants:
            if one.id not in self.broken and one.may_break(taken, ends, self.problem.assumptions):
                self.broken.add(one.id)
        look_for(self.ahead, taken, self.reached)
