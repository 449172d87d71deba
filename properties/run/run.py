"""One run of one target through a world: the only place where a trace grows and is judged.

The random machine, the replay and the tests all drive a `Run`; it knows nothing of any of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from model.assumptions.landmarks import LATE_TIMER, Sometimes
from model.assumptions.sets import Assumptions
from model.terms import Outcome, Runtime
from model.world.events import Answer, Event, GetToken, GoOnline, UnlockKeychain
from model.world.facts import Dropped, Fact, Origin, Told
from model.world.state import World
from properties.invariants.catalogue import Invariant
from properties.run.lockstep import LockStep
from properties.run.reference import accompanied
from properties.system.step import Step, facts_of, play, start
from properties.system.target import Target
from properties.system.trace import Trace

EPILOGUE_EVENTS = 20
"""More than enough honest answers to settle every call that may be pending."""


class Violation(Exception):
    """A trace breaks an invariant: `trace` is what happened, `played` the same with what was seen of it."""

    def __init__(self, trace: Trace, played: tuple[Step, ...]) -> None:
        super().__init__(f"{trace.invariant}: {trace.why}")
        self.trace = trace
        self.played = played


_FAILURES = (Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST)


def _is_401(fact: Fact, origin: Origin) -> bool:
    return isinstance(fact, Told) and fact.outcome is Outcome.UNAUTHORIZED and fact.origin is origin


LANDMARKS: tuple[Sometimes, ...] = (
    LATE_TIMER,
    Sometimes("frozen or slow in flight", lambda fact: isinstance(fact, Told) and fact.at - fact.sent_at > 1000),
    Sometimes("background 401", lambda fact: _is_401(fact, Origin.BACKGROUND)),
    Sometimes("foreground 401", lambda fact: _is_401(fact, Origin.FOREGROUND)),
    Sometimes("other failure", lambda fact: isinstance(fact, Told) and fact.outcome in _FAILURES),
    Sometimes("sign-out", lambda fact: isinstance(fact, Dropped)),
)
"""What the reports count, so that a reader sees whether anything interesting happened."""


class Run:
    """A trace under way on a target. Raises `Violation`, `NotEnabled` and `TargetError`, from `play`."""

    def __init__(
        self, target: Target, runtime: Runtime, assumptions: Assumptions, invariants: Iterable[Invariant]
    ) -> None:
        self.assumptions = assumptions
        self.invariants = tuple(one for one in invariants if runtime in one.runtimes)
        self.target = accompanied(target, self.invariants)
        self.steps: list[Step] = []
        self.world: World = start(self.target, runtime)

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far."""
        return tuple(step.event for step in self.steps)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What was seen so far."""
        return facts_of(self.steps)

    @property
    def trace(self) -> Trace:
        """What happened so far, as a trace that breaks nothing yet."""
        return Trace(self.target.name, self.world.runtime, self.assumptions, self.events)

    def play(self, event: Event) -> Step:
        """Let one event happen, and judge the step."""
        step = play(self.world, event, self.target)
        if isinstance(self.target, LockStep) and self.target.difference:
            step = replace(step, parted=str(self.target.difference))
        self.world = step.after
        self.steps.append(step)
        for invariant in self.invariants:
            if why := invariant.check(step):
                raise Violation(replace(self.trace, invariant=invariant.id, why=why), tuple(self.steps))
        return step

    def recover(self) -> None:
        """The healthy end of a trace: the device is unlocked, and online, the server answers everything,
        truthfully and at once, and the app asks for a token. This gives the liveness-like invariants something to
        judge in every trace."""
        asked = False
        if self.world.locked:
            self.play(UnlockKeychain())
        if self.world.offline:
            self.play(GoOnline())
        for _ in range(EPILOGUE_EVENTS):
            if self.world.requests:
                request = self.world.requests[0]
                self.play(Answer(request.request, self.world.told(request)))
            elif not asked and self.world.signed_in:
                self.play(GetToken())
                asked = True
            else:
                return

    def reached(self, sometimes: Iterable[Sometimes]) -> set[str]:
        """Which of these this trace has reached."""
        facts = self.facts
        return {landmark.name for landmark in sometimes if any(map(landmark.seen, facts))}
