"""What happens in a random trace. Hypothesis draws some bytes for a trace, and here they are read as events.

There is one draw for a trace, because drawing was most of the work: with the rules, arguments and flags of a
state machine, ten draws for an event, Hypothesis took two thirds of the time of a search on the model. And the
draw does not depend on what the target does, so a model can predict it (run/speculation.py).

Each event has `WIDTH` bytes, a number: it chooses a kind of event, and one of the options that the kind has now.
What is enabled is up to `model.step.enabled`. The first bytes choose a *swarm* (Groce et al. 2012): in half of
the traces, every kind, operation and outcome is left out with a probability of one half. So some traces have
nothing but what it takes to get somewhere, such as three calls in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from hypothesis import strategies as st
from msgspec import Struct

from model.app import App
from model.assumptions.sets import Assumptions
from model.requests import Outcome
from model.step import Span, enabled
from model.terms import Millis, Runtime, TabState
from model.world.events import (
    Advance,
    Answer,
    CloseChannel,
    Deliver,
    Event,
    FreeLock,
    Freeze,
    FreezeKind,
    GoOffline,
    GoOnline,
    HearTab,
    HoldLock,
    LockKeychain,
    RestartApp,
    Revoke,
    RevokeOther,
    Serve,
    SetClock,
    StartApp,
    TurnTo,
    UnlockKeychain,
)
from properties.run.lengths import HOUR, worth_trying
from properties.run.run import Run

WIDTH = 4
"""The bytes of an event."""

SWARM = 8
"""The bytes of the swarm."""


def draws(events: int) -> st.SearchStrategy[bytes]:
    """What Hypothesis draws for a trace of up to so many events. The size is always the same: so no constant
    fits that Hypothesis finds in the source of loaded modules, and a seed is the same search wherever it runs."""
    size = SWARM + events * WIDTH
    return st.binary(min_size=size, max_size=size)


class Place(Struct, frozen=True):
    """Where a trace has got to, and what may be chosen there: a run, the app, and the swarm's choice."""

    run: Run
    app: App
    left_out: frozenset[object] = frozenset()

    def enabled(self, like: Event) -> list[Event | Span]:
        """What is enabled now of the kind of an event."""
        return list(enabled(self.run.system, self.run.assumptions, self.app, like))

    def events(self, like: Event) -> list[Event]:
        """The events at an instant that are enabled now."""
        return [one for one in self.enabled(like) if not isinstance(one, Span)]

    def spans(self, like: Event) -> list[Span]:
        """The spans of time that are enabled now, without empty ones."""
        return [one for one in self.enabled(like) if isinstance(one, Span) and one.longest > 0]

    def chosen(self, options: list[Event], feature: Callable[[Event], object]) -> list[Event]:
        """Those that the swarm has; all of them if it has none."""
        return [one for one in options if feature(one) not in self.left_out] or options


class Kind(Struct, frozen=True):
    """A kind of event: the options that a number may choose from at some place, and whether a trace of a cell can
    have it. A swarm may leave out what is `optional`."""

    name: str
    options: Callable[[Place, int], list[Event]]
    needed: Callable[[Assumptions, App, Runtime], bool] = lambda _assumptions, _app, _runtime: True
    optional: bool = True


FREEZE_KINDS: tuple[FreezeKind, ...] = tuple(FreezeKind)

CHOICES = 120
"""What the options may use of a number, and RARELY and SELDOM are shares of. The rest chooses one of them."""
RARELY = 40
"""For events after which less of interest can happen than before."""
SELDOM = 12
"""For changing a clock that is already wrong: its effects take time to show."""


def _next_timer(place: Place, span: Span) -> list[Millis]:
    """The time to the next timer, if it is permitted."""
    world = place.run.world
    way = min((timer.due - world.now for timer in world.one_shot_timers or world.timers), default=0)
    return [way] if 0 < way <= span.longest else []


def _any_length(place: Place, number: int, span: Span) -> Millis:
    """An arbitrary duration of up to two hours: a hash of the state and the number."""
    scattered = place.run.world.now * 7919 + number * 104_729 + len(place.run.steps) * 15_485_863
    return 1 + scattered % min(span.longest, 2 * HOUR)


def _lengths(place: Place, number: int, span: Span) -> list[Event]:
    lengths = [*worth_trying(span, place.run.world), _any_length(place, number, span)]
    return [span.event(ms) for ms in lengths]


def _time_passes(place: Place, number: int) -> list[Event]:
    """To the next timer as often as anything else: clients act mostly when a timer fires, and traces of arbitrary
    durations seldom have a refresh in flight."""
    options: list[Event] = []
    for span in place.spans(Advance(1)):
        options = _lengths(place, number, span)
        options += [span.event(way) for way in _next_timer(place, span)] * 8
    return options


def _wait(place: Place) -> list[Event]:
    """To the next timer, if that is permitted."""
    return [span.event(way) for span in place.spans(Advance(1)) for way in _next_timer(place, span)]


def _freeze(place: Place, number: int) -> list[Event]:
    like = Freeze(1, FREEZE_KINDS[number % len(FREEZE_KINDS)])
    return [event for span in place.spans(like) for event in _lengths(place, number // len(FREEZE_KINDS), span)]


def _call(place: Place, _number: int) -> list[Event]:
    calls = place.events(place.app.operations[0]) if place.app.operations else []
    return place.chosen(calls, lambda call: call)


def _answer(place: Place, number: int) -> list[Event]:
    """Any request in flight, in any order, gets any outcome that the assumptions permit. One answer in five is
    honest, of many that are possible: what goes wrong often does so after some that went well. A client that
    loads needs two of those, and gets every other."""
    requests = place.run.world.requests
    if not requests:
        return []
    request = requests[number % len(requests)]
    endings = place.events(Deliver(request.request))
    if request.reply is None:
        honest, *faults = [one for one in endings if isinstance(one, Answer)]
        faults = [one for one in faults if isinstance(one, Answer) and one.outcome not in place.left_out]
        honest_ones = [honest] * (1 + len(faults) // 2 if place.run.world.loaded else 1 + 2 * len(faults))
        endings = [*honest_ones, *faults, *faults]
    return endings


def _serve(place: Place, number: int) -> list[Event]:
    unserved = [one.request for one in place.run.world.requests if one.reply is None]
    options = place.events(Deliver(unserved[number % len(unserved)])) if unserved else []
    return [one for one in options if isinstance(one, Serve)]


def _revoke(place: Place, number: int) -> list[Event]:
    ends = [*_of(place, Revoke(), Revoke), *_of(place, Revoke(), RevokeOther)]
    return ends if number % CHOICES < RARELY else []


def _set_clock(place: Place, number: int) -> list[Event]:
    changes = number % CHOICES < SELDOM or not place.run.world.skew
    return _of(place, SetClock(0), SetClock) if changes else []


def _start(place: Place, number: int) -> list[Event]:
    starts = [*_of(place, RestartApp(), RestartApp), *_of(place, StartApp(), StartApp)]
    return starts if number % CHOICES < RARELY else []


def _of(place: Place, like: Event, kind: type[Event]) -> list[Event]:
    return [one for one in place.events(like) if isinstance(one, kind)]


def _close_channel(place: Place, number: int) -> list[Event]:
    return _of(place, CloseChannel(), CloseChannel) if number % CHOICES < RARELY else []


def _go_online(place: Place, number: int) -> list[Event]:
    """Rarely: what a client does without the network is often the last of several attempts."""
    return _of(place, GoOnline(), GoOnline) if number % CHOICES < RARELY else []


def _on_page(event: Event) -> Callable[[Assumptions, App, Runtime], bool]:
    return lambda assumptions, _, runtime: runtime.is_page and event in assumptions.events


STARTS: set[Event] = {StartApp(), RestartApp()}


def _offline(assumptions: Assumptions, _app: App, runtime: Runtime) -> bool:
    return GoOffline() in assumptions.events and runtime.sees_network


KINDS = (
    Kind("time passes", _time_passes, optional=False),
    Kind("a request is answered", _answer, optional=False),
    Kind("the app makes a call", _call, lambda _, app, __: bool(app.operations) and app.calls > 0),
    Kind("the event loop freezes", _freeze, lambda assumptions, _, __: assumptions.may_freeze),
    Kind("the server acts before it is heard", _serve, lambda assumptions, _, __: assumptions.may_delay),
    Kind("the server ends the session", _revoke, lambda assumptions, _, __: assumptions.may_revoke),
    Kind("somebody sets the device's clock", _set_clock, lambda assumptions, _, __: bool(assumptions.skews)),
    Kind(
        "the device is locked",
        lambda place, _: _of(place, LockKeychain(), LockKeychain),
        lambda assumptions, _, __: LockKeychain() in assumptions.events,
    ),
    Kind(
        "the device is unlocked",
        lambda place, _: _of(place, UnlockKeychain(), UnlockKeychain),
        lambda assumptions, _, __: LockKeychain() in assumptions.events,
    ),
    Kind("the device loses the network", lambda place, _: _of(place, GoOffline(), GoOffline), _offline),
    Kind("the device has the network back", _go_online, _offline),
    Kind(
        "the user turns to the tab or away",
        lambda place, _: _of(place, TurnTo(TabState.FOCUSED), TurnTo),
        _on_page(TurnTo(TabState.FOCUSED)),
    ),
    Kind("another tab gets a token", lambda place, _: _of(place, HearTab(), HearTab), _on_page(HearTab())),
    Kind("another tab takes the lock", lambda place, _: _of(place, HoldLock(), HoldLock), _on_page(HoldLock())),
    Kind("another tab frees the lock", lambda place, _: _of(place, FreeLock(), FreeLock), _on_page(HoldLock())),
    Kind("the channel between the tabs is closed", _close_channel, _on_page(CloseChannel())),
    Kind("the app starts again", _start, lambda assumptions, _, __: bool(STARTS & {*assumptions.events})),
)


@cache
def kinds_of(assumptions: Assumptions, app: App, runtime: Runtime) -> tuple[Kind, ...]:
    """The kinds of events that some trace of a cell can have."""
    return tuple(kind for kind in KINDS if kind.needed(assumptions, app, runtime))


def read(drawn: bytes, run: Run, app: App) -> Iterator[Event]:
    """The events of a trace. Each is to be played on `run` before the next one is read."""
    kinds = kinds_of(run.assumptions, app, run.world.runtime)
    place = Place(run, app, _left_out(int.from_bytes(drawn[:SWARM], "big"), kinds, app))
    kinds = tuple(kind for kind in kinds if kind.name not in place.left_out)
    for begin in range(SWARM, len(drawn), WIDTH):
        number, chosen = divmod(int.from_bytes(drawn[begin : begin + WIDTH], "big"), len(kinds))
        options = kinds[chosen].options(place, number) or _wait(place) or _answer(place, number)
        if options:
            yield options[number // CHOICES % len(options)]


def _left_out(number: int, kinds: Sequence[Kind], app: App) -> frozenset[object]:
    """What the swarm leaves out."""
    if not number & 1:
        return frozenset()
    features = [*(kind.name for kind in kinds if kind.optional), *(app.operations or ()), *Outcome]
    return frozenset(one for place, one in enumerate(features, 1) if number >> place & 1)
