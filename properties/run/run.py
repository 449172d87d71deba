"""One run of one target in a world. Traces are extended and checked here and nowhere else.

The random search, replays and tests all drive a `Run`, which depends on none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from msgspec.structs import replace

from model import step as relation
from model.app import App
from model.assumptions.landmarks import LATE_TIMER, Landmark
from model.assumptions.sets import Assumptions
from model.requests import FAILURES, Outcome
from model.step import Step
from model.terms import Runtime
from model.world.events import Answer, Deliver, Event, StartApp
from model.world.facts import Answered, Fact, Origin, SessionDropped
from model.world.state import System, World
from properties.invariants.identity import cause_of
from properties.invariants.invariant import Invariant
from properties.run.lockstep import LockStep
from properties.run.reference import with_reference
from properties.run.speculation import Speculated
from properties.system.fact_kinds import facts_of
from properties.system.target import Target, started, stepped
from properties.system.trace import Trace

HEALTHY_EVENTS = 20
"""The maximum number of events in the healthy end of a trace: enough to settle every pending call."""


class Violation(Exception):
    """A trace violates an invariant. `trace` has the events, `played` the steps."""

    def __init__(self, trace: Trace, played: tuple[Step, ...]) -> None:
        super().__init__(f"{trace.invariant}: {trace.why}")
        self.trace = trace
        self.played = played


def _is_401(fact: Fact, origin: Origin) -> bool:
    return isinstance(fact, Answered) and fact.outcome is Outcome.UNAUTHORIZED and fact.origin is origin


LANDMARKS: tuple[Landmark, ...] = (
    LATE_TIMER,
    Landmark(
        "frozen or slow in flight", lambda fact: isinstance(fact, Answered) and fact.at - fact.sent_at > 1000
    ),
    Landmark("background 401", lambda fact: _is_401(fact, Origin.BACKGROUND)),
    Landmark("foreground 401", lambda fact: _is_401(fact, Origin.FOREGROUND)),
    Landmark("other failure", lambda fact: isinstance(fact, Answered) and fact.outcome in FAILURES),
    Landmark("sign-out", lambda fact: isinstance(fact, SessionDropped)),
)
"""The landmarks that reports count in every search, so that a reader sees what the traces reached."""


Counts: TypeAlias = Callable[[Violation], bool]
"""Does this violation count? One that does not is passed over, and the trace goes on."""


def always(_violation: Violation) -> bool:
    """Every violation counts."""
    return True


class Run:
    """A trace in progress on a target. `play` raises `NotEnabled`, `TargetError`, and each `Violation` that
    `counts`."""

    def __init__(
        self,
        target: Target,
        runtime: Runtime,
        assumptions: Assumptions,
        invariants: Iterable[Invariant],
        counts: Counts = always,
    ) -> None:
        self.counts = counts
        self.assumptions = assumptions
        self.invariants = tuple(one for one in invariants if runtime in one.runtimes)
        self.target = with_reference(target, self.invariants)
        self.steps: list[Step] = []
        self.system: System = started(self.target, runtime)
        self.foreseen = self.target.foreseen() if isinstance(self.target, Speculated) else None
        """The steps of what is played first, if they are known."""

    @property
    def world(self) -> World:
        """The current world."""
        return self.system.world

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far."""
        return tuple(step.event for step in self.steps)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts so far."""
        return facts_of(self.steps)

    @property
    def trace(self) -> Trace:
        """The events so far, as a trace without a violation."""
        return Trace(self.target.name, self.world.runtime, self.assumptions, self.events)

    def permits(self, event: Event) -> bool:
        """Do the assumptions permit this event now?"""
        return relation.permits(self.system, self.assumptions, event)

    def play(self, event: Event) -> Step:
        """Take the step of one event, and check the invariants."""
        if self.foreseen is not None and len(self.steps) < len(self.foreseen):
            step = self.foreseen[len(self.steps)]
            assert step.event == event, "the steps foreseen are those of what is played"
        else:
            step = stepped(self.system, event, self.target)
        if isinstance(self.target, LockStep) and self.target.difference:
            step = replace(step, diverged=str(self.target.difference))
        self.system = step.end
        self.steps.append(step)
        for invariant in self.invariants:
            if breach := invariant.check(step):
                cause = cause_of(self.steps, breach)
                trace = replace(self.trace, invariant=invariant.id, why=breach.why, cause=cause)
                violation = Violation(trace, tuple(self.steps))
                if self.counts(violation):
                    raise violation
        return step

    def recover(self) -> None:
        """Play the healthy end of a trace: faults end, the server answers every request honestly and at once, a
        client that has not loaded is started again, and the app makes one call for the session's token. This is
        what invariants with a liveness part are checked on."""
        asked = False
        for _ in range(HEALTHY_EVENTS):
            event = next(self._healthy(asked), None)
            if event is None:
                return
            asked = asked or event == self.target.sdk.operations[0]
            self.play(event)

    def _healthy(self, asked: bool) -> Iterator[Event]:
        """The events that are enabled in a healthy world while no time passes, in order of preference."""
        yield from (relief for relief in relation.RELIEFS if self.permits(relief))
        for request in self.world.requests:
            if request.reply:
                yield Deliver(request.request)
            else:
                yield Answer(request.request, self.world.honest_answer(request))
        if not self.world.loaded and self.permits(StartApp()):
            yield StartApp()
        ask = self.target.sdk.operations[0]
        if not asked and relation.permits(self.system, self.assumptions, ask, App((ask,))):
            yield ask

    def reached(self, landmarks: Iterable[Landmark]) -> set[str]:
        """The names of the landmarks that this trace has reached."""
        facts = self.facts
        return {landmark.name for landmark in landmarks if any(map(landmark.seen, facts))}
