"""The state machine of the random engine: Hypothesis draws the events, and shrinks traces that violate an
invariant.

There is one rule for each kind of event, so that Hypothesis can disable kinds (swarm testing). A rule draws among
the events that `model.step.enabled` returns. Nothing here depends on a target or an invariant.

If a rule's event is not enabled, the rule takes another step that the world is waiting for. A precondition would
be simpler, but would make the number of draws in a step depend on the state. Then all later steps are misaligned
when the shrinker deletes one: measured over twelve seeds, the shrunk traces had 3 to 14 events instead of 3 to 5,
and took more than twice as long. Rules that no trace of a cell can use are removed from its machine.

`target()` is not used. Whatever we maximized (late timers, faults, requests for the session), the search varied
few traces and found less: within 300 traces it found the gap in the guard for 7 of 10 seeds instead of 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis import event as note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from model.assumptions.sets import Assumptions
from model.step import App, Span, enabled
from model.terms import Millis, Runtime
from model.world.events import (
    Advance,
    Answer,
    Deliver,
    Event,
    Freeze,
    FreezeKind,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    Serve,
    SetClock,
    UnlockKeychain,
)
from properties.run.lengths import HOUR, worth_trying
from properties.run.run import LANDMARKS, Run

CHOICES = st.integers(0, 119)
"""The draw of every rule: an index into the enabled options, modulo their number. 120 is divisible by most small
numbers. The range is always the same, so every step has the same draws whatever the state: this is cheap, and a
trace stays aligned when the shrinker deletes a step. It shrinks to the first option."""

RARELY = 40
"""The number of choices, of 120, for events after which little of interest can happen."""

SELDOM = 12
"""The number of choices, of 120, for changing a clock that is already wrong: its effects take time to show."""

FREEZE_KINDS: tuple[FreezeKind, ...] = tuple(FreezeKind)


class SessionMachine(RuleBasedStateMachine):
    """One trace of one cell. Subclasses set `new_run`, `app` and `done`, which gets the finished run."""

    new_run: ClassVar[Callable[[], Run]]
    app: ClassVar[App]
    done: ClassVar[Callable[[Run], None]]

    def __init__(self) -> None:
        super().__init__()
        self.ran = type(self).new_run()
        self.over = False

    @rule(choice=CHOICES)
    def time_passes(self, choice: int) -> None:
        """Time passes; timers fire when they are due."""
        (span,) = self._spans(Advance(1))
        if span.longest:
            options = self._to_next_timer(span) + worth_trying(span, self.ran.world)
            options.append(self._any_length(choice, span))
            self._play(span.event(options[choice % len(options)]))
        else:
            self.a_request_is_answered(choice)  # time cannot pass until this happens

    @rule(choice=CHOICES)
    def os_freezes_the_event_loop(self, choice: int) -> None:
        """Time passes; no timer fires."""
        kind = FREEZE_KINDS[choice % len(FREEZE_KINDS)]
        for span in self._spans(Freeze(1, kind)):
            if span.longest > 0:
                options = worth_trying(span, self.ran.world)
                options.append(self._any_length(choice, span))
                self._play(span.event(options[choice // 2 % len(options)]))

    @rule(choice=CHOICES)
    def app_makes_a_call(self, choice: int) -> None:
        """A foreground call. All operations and arguments are equally likely."""
        calls = self._events(self.app.operations[0]) if self.app.operations else []
        self._play_one(calls, choice)

    @rule(choice=CHOICES)
    def a_request_is_answered(self, choice: int) -> None:
        """Any request in flight, in any order, gets any outcome that the assumptions permit."""
        if requests := self.ran.world.requests:
            request = requests[choice % len(requests)]
            endings = self._events(Deliver(request.request))
            if request.reply is None:
                honest, *faults = [one for one in endings if isinstance(one, Answer)]
                endings = [honest, *faults, *faults]  # faults are drawn more often than honest answers
            self._play(endings[choice // len(requests) % len(endings)])
        else:
            self._wait()

    @rule(choice=CHOICES)
    def server_acts_before_it_is_heard(self, choice: int) -> None:
        """The server acts on a request, and its reply stays under way."""
        unserved = [one.request for one in self.ran.world.requests if one.reply is None]
        options = self._events(Deliver(unserved[choice % len(unserved)])) if unserved else []
        self._play_one([one for one in options if isinstance(one, Serve)], choice // max(len(unserved), 1))

    @rule(choice=CHOICES)
    def server_ends_the_session(self, choice: int) -> None:
        """The server revokes the session, rarely. It also expires with time."""
        endings: list[Event] = [one for one in self._events(Revoke()) if isinstance(one, Revoke)]
        self._play_one(endings if choice < RARELY else [], choice)

    @rule(choice=CHOICES)
    def somebody_sets_the_device_clock(self, choice: int) -> None:
        """The device's clock is set behind or ahead of the server's, or, less often, right again."""
        changes = choice < SELDOM or not self.ran.world.skew
        clocks: list[Event] = [one for one in self._events(SetClock(0)) if isinstance(one, SetClock)]
        self._play_one(clocks if changes else [], choice)

    @rule(choice=CHOICES)
    def user_locks_the_device(self, choice: int) -> None:
        """From here on, requests carry no credential."""
        self._play_one(self._only(LockKeychain()), choice)

    @rule(choice=CHOICES)
    def user_unlocks_the_device(self, choice: int) -> None:
        """The credential can be read again."""
        self._play_one(self._only(UnlockKeychain()), choice)

    @rule(choice=CHOICES)
    def device_loses_the_network(self, choice: int) -> None:
        """From here on, requests can only be lost."""
        self._play_one(self._only(GoOffline()), choice)

    @rule(choice=CHOICES)
    def device_has_the_network_back(self, choice: int) -> None:
        """Requests can be answered again."""
        self._play_one(self._only(GoOnline()), choice)

    @rule(choice=CHOICES)
    def app_is_killed_and_started_again(self, choice: int) -> None:
        """The app restarts, rarely, so that the client does something between two restarts."""
        self._play_one(self._only(RestartApp()) if choice < RARELY else [], choice)

    def teardown(self) -> None:
        """Play the healthy end of the trace, then pass the run to `done`."""
        if self.over:
            return
        self._guarded(self.ran.recover)
        self._guarded(self.ran.target.finish)
        for name in self.ran.reached(LANDMARKS):
            note(name)
        type(self).done(self.ran)

    # -- what may happen now --------------------------------------------------------------------------------

    def _enabled(self, like: Event) -> list[Event | Span]:
        return list(enabled(self.ran.system, self.ran.assumptions, self.app, like))

    def _spans(self, like: Event) -> list[Span]:
        return [one for one in self._enabled(like) if isinstance(one, Span)]

    def _events(self, like: Event) -> list[Event]:
        return [one for one in self._enabled(like) if not isinstance(one, Span)]

    def _only(self, event: Event) -> list[Event]:
        return [one for one in self._events(event) if one == event]

    def _to_next_timer(self, span: Span) -> list[Millis]:
        """The time to the next timer, if it is permitted, with a weight of 8: clients act mostly when a timer
        fires, and traces of arbitrary durations seldom have a refresh in flight."""
        world = self.ran.world
        way = min((timer.due - world.now for timer in world.one_shot_timers or world.timers), default=0)
        return [way] * 8 if 0 < way <= span.longest else []

    def _any_length(self, choice: int, span: Span) -> Millis:
        """An arbitrary duration of up to two hours. It is a hash of the state and the choice, to save a draw."""
        scattered = self.ran.world.now * 7919 + choice * 104_729 + len(self.ran.steps) * 15_485_863
        return 1 + scattered % min(span.longest, 2 * HOUR)

    # -- letting it happen ----------------------------------------------------------------------------------

    def _play_one(self, options: list[Event], choice: int) -> None:
        if options:
            self._play(options[choice % len(options)])
        else:
            self._wait()

    def _play(self, event: Event) -> None:
        self._guarded(lambda: self.ran.play(event))

    def _wait(self) -> None:
        """Advance to the next timer, if that is permitted."""
        (span,) = self._spans(Advance(1))
        for way in self._to_next_timer(span)[:1]:
            self._play(span.event(way))

    def _guarded(self, act: Callable[[], object]) -> None:
        self.over = True
        act()
        self.over = False


def needless_rules(assumptions: Assumptions, app: App, runtime: Runtime) -> list[str]:
    """The rules of `SessionMachine` that no trace can use under these assumptions on this runtime. Drawing them
    would only waste time."""
    added = assumptions.events
    offline = GoOffline() in added and runtime.sees_network
    needed = {
        "os_freezes_the_event_loop": assumptions.may_freeze,
        "app_makes_a_call": bool(app.operations) and app.calls > 0,
        "server_acts_before_it_is_heard": assumptions.may_delay,
        "server_ends_the_session": assumptions.may_revoke,
        "somebody_sets_the_device_clock": bool(assumptions.skews),
        "user_locks_the_device": LockKeychain() in added,
        "user_unlocks_the_device": LockKeychain() in added,
        "device_loses_the_network": offline,
        "device_has_the_network_back": offline,
        "app_is_killed_and_started_again": RestartApp() in added,
    }
    return [name for name, is_needed in needed.items() if not is_needed]
