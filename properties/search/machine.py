"""The random engine's machine: Hypothesis draws what the world may do next, and shrinks what breaks.

One rule for each kind of event, named as a sentence, so that Hypothesis can leave kinds out (swarm testing).
What a rule may draw is decided by the assumptions alone; nothing here knows a target or an invariant.

A rule whose event cannot happen now lets something else happen that the world is waiting for. A precondition
would say that more plainly, but then the number of draws in a step depends on the state, and when the shrinker
deletes a step every later one is out of line: measured over twelve seeds, Hypothesis came to traces of 3 to 14
events instead of 3 to 5, in more than twice the time. Rules for what no trace of a cell may do are not in its
machine at all.

Nothing is steered with `target()`: whatever we rewarded (late timers, faults, questions about the session), the
search then varied few traces and found less, 7 of 10 seeds instead of 9 for the guard's hole within 300 traces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis import event as note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from model.assumptions.sets import Assumptions
from model.terms import CAN_LOOK, Millis, Runtime
from model.world.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    GetToken,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    SwitchOrganization,
    Touch,
    UnlockKeychain,
)
from properties.run.run import LANDMARKS, Run

SECOND: Millis = 1000
FREEZES: tuple[Millis, ...] = tuple(
    seconds * SECOND for seconds in (61, 300, 3600, 8 * 3600, 86_400, 31 * 86_400, 43, 30, 17, 10, 5, 1)
)
ADVANCES: tuple[Millis, ...] = tuple(
    seconds * SECOND for seconds in (43, 17, 30, 10, 5, 1, 61, 300, 3600, 31 * 86_400)
)
"""Lengths of time that mean something to a token of 60 s and a session of 30 days. Shrinking prefers the first:
the shortest freeze that outlives a token, and the way to its refresh timer."""

CHOICES = st.integers(0, 119)
"""A choice among however many options there are now, taken modulo their number: 120 is divisible by most small
numbers. Every rule draws one of these, always from the same range, so that a step is the same few draws whatever
the state: cheap, and a trace stays aligned when the shrinker deletes a step. Shrinks to the first option."""

KINDS: tuple[FreezeKind, ...] = tuple(FreezeKind)

ASKS: tuple[GetToken, ...] = (
    GetToken(),
    GetToken(skip_cache=True),
    GetToken(template="api"),
    GetToken(organization="org_b"),
)
SWITCHES = (SwitchOrganization("org_b"), SwitchOrganization(None))
CALLS: tuple[GetToken | Touch | SwitchOrganization, ...] = (*ASKS[:3] * 3, *ASKS[3:], Touch(), SWITCHES[0])
"""What the app calls, each as often as it is here. A touch brings a token, and with more of them a trace seldom
comes to where one is missing; most of what breaks needs no other organization."""


def lengths(run: Run, menu: tuple[Millis, ...], longest: Millis) -> list[Millis]:
    """Lengths worth trying now: those on the menu, and the edges of whatever is about to happen."""
    world = run.world
    edges = {timer.due - world.now for timer in world.timers}
    edges.add(world.token.expires * 1000 - world.now)
    edges |= {edge + 1 for edge in edges}
    return [ms for ms in (*menu, *sorted(edges - set(menu))) if 0 < ms <= longest]


def steps_to_next_timer(run: Run, longest: Millis) -> list[Millis]:
    """The way to the next timer, if it is permitted, with the weight it deserves: most of what a client does, it
    does there, and a trace that passes by it on foot seldom meets a refresh in flight."""
    way = min((timer.due - run.world.now for timer in run.world.ahead or run.world.timers), default=0)
    return [way] * 8 if 0 < way <= longest else []


def any_length(run: Run, choice: int, longest: Millis) -> Millis:
    """A length on no menu, up to two hours. Scattered, not drawn: a draw of its own would only cost."""
    scattered = run.world.now * 7919 + choice * 104_729 + len(run.steps) * 15_485_863
    return 1 + scattered % min(longest, 7200 * SECOND)


class SessionMachine(RuleBasedStateMachine):
    """One trace of one cell. Subclasses set `new_run` and `done`."""

    new_run: ClassVar[Callable[[], Run]]
    done: ClassVar[Callable[[Run], None]]

    def __init__(self) -> None:
        super().__init__()
        self.ran = type(self).new_run()
        self.over = False

    @property
    def allowed(self) -> Assumptions:
        """What the world may do."""
        return self.ran.assumptions

    @rule(choice=CHOICES)
    def time_passes(self, choice: int) -> None:
        """Timers run when they are due."""
        if longest := self.allowed.longest_advance(self.ran.world):
            options = steps_to_next_timer(self.ran, longest) + lengths(self.ran, ADVANCES, longest)
            options.append(any_length(self.ran, choice, longest))
            self._play(Advance(options[choice % len(options)]))
        else:
            self.a_request_is_answered(choice)  # it is what time waits for

    @rule(choice=CHOICES)
    def os_freezes_the_event_loop(self, choice: int) -> None:
        """Time passes; timers do not run."""
        if longest := self.allowed.longest_freeze(self.ran.world):
            options = lengths(self.ran, FREEZES, longest)
            options.append(any_length(self.ran, choice, longest))
            self._play(Freeze(options[choice // 2 % len(options)], KINDS[choice % len(KINDS)]))

    @rule(choice=CHOICES)
    def app_asks_for_a_token(self, choice: int) -> None:
        """A foreground call."""
        if self.allowed.may_ask(self.ran.world):
            self._play(CALLS[choice % len(CALLS)])
        else:
            self._wait()

    @rule(choice=CHOICES)
    def a_request_is_answered(self, choice: int) -> None:
        """Any request in flight, in any order, with any outcome the assumptions allow."""
        if requests := self.ran.world.requests:
            request = requests[choice % len(requests)]
            honest, *faults = self.allowed.outcomes(self.ran.world, request)
            outcomes = (honest, *faults, *faults)  # a server that mostly tells the truth hides what we look for
            self._play(Answer(request.request, outcomes[choice // len(requests) % len(outcomes)]))
        else:
            self._wait()

    @rule(choice=CHOICES)
    def server_ends_the_session(self, choice: int) -> None:
        """By revocation, rarely; old age comes with time."""
        if choice < 40 and self.allowed.may_revoke(self.ran.world):
            self._play(Revoke())
        else:
            self._wait()

    @rule(choice=CHOICES)
    def somebody_sets_the_device_clock(self, choice: int) -> None:
        """Behind the server's, or ahead of it; seldom right again, since what follows takes its time to show."""
        clocks = self.allowed.clocks(self.ran.world)
        if clocks and (choice < 12 or not self.ran.world.skew):
            self._play(SetClock(clocks[choice % len(clocks)]))
        else:
            self._wait()

    @rule(choice=CHOICES)
    def user_locks_the_device(self, choice: int) -> None:
        """From here on requests go without a credential."""
        if self.allowed.may_lock(self.ran.world):
            self._play(LockKeychain())
        else:
            self._wait()

    @rule(choice=CHOICES)
    def user_unlocks_the_device(self, choice: int) -> None:
        """The credential can be read again."""
        if self.ran.world.locked:
            self._play(UnlockKeychain())
        else:
            self._wait()

    @rule(choice=CHOICES)
    def device_loses_the_network(self, choice: int) -> None:
        """From here on requests can only be lost."""
        if self.allowed.may_go_offline(self.ran.world):
            self._play(GoOffline())
        else:
            self._wait()

    @rule(choice=CHOICES)
    def device_has_the_network_back(self, choice: int) -> None:
        """Requests can be answered again."""
        if self.ran.world.offline:
            self._play(GoOnline())
        else:
            self._wait()

    @rule(choice=CHOICES)
    def app_is_killed_and_started_again(self, choice: int) -> None:
        """Rarely: what a client does it does between two restarts."""
        if choice < 40 and self.allowed.may_restart(self.ran.world):
            self._play(RestartApp())
        else:
            self._wait()

    def teardown(self) -> None:
        """Let the trace end in a healthy world, then hand it over."""
        if self.over:
            return
        self._guarded(self.ran.recover)
        self._guarded(self.ran.target.finish)
        for name in self.ran.reached(LANDMARKS):
            note(name)
        type(self).done(self.ran)

    def _play(self, event: Event) -> None:
        self._guarded(lambda: self.ran.play(event))

    def _wait(self) -> None:
        """Until the next timer has run, if that is permitted."""
        for way in steps_to_next_timer(self.ran, self.allowed.longest_advance(self.ran.world))[:1]:
            self._play(Advance(way))

    def _guarded(self, act: Callable[[], object]) -> None:
        self.over = True
        act()
        self.over = False


def needless_rules(assumptions: Assumptions, runtime: Runtime) -> list[str]:
    """The rules of `SessionMachine` that no trace under these assumptions, on this runtime, can use: drawing them
    only costs."""
    disconnects = assumptions.disconnects and runtime in CAN_LOOK
    needed = {
        "os_freezes_the_event_loop": assumptions.may_freeze,
        "server_ends_the_session": assumptions.revokes,
        "somebody_sets_the_device_clock": assumptions.skews,
        "user_locks_the_device": assumptions.locks,
        "user_unlocks_the_device": assumptions.locks,
        "device_loses_the_network": disconnects,
        "device_has_the_network_back": disconnects,
        "app_is_killed_and_started_again": assumptions.restarts,
    }
    return [name for name, is_needed in needed.items() if not is_needed]
