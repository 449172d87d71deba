"""The transition relation of the whole system: `initial`, `enabled`, `next`. Every engine uses these three.

Theory of operation
-------------------
A *system* is a world and a monitor (`model/world/state.py`). The client is a function from a stimulus to outputs
(`Feed`), so that the model's client and a real build are driven alike. The names that a TLA+ reader looks for:

    Init        `initial`: a client that has just signed in, at instant 0
    ENABLED     `enabled`: the events that are possible (`impossible`) and that the assumptions allow; lengths of
                time come as a `Span`. `permits` says whether one event is among them
    Next        `next`: one event and all that follows from it until the step is over
    Spec        Init, then any number of steps whose events are enabled. `Run` plays one such trace, on a model or
                a build (properties/run/run.py); `successors` has all of them (properties/prove/successors.py)
    TypeOK      left to mypy: every value is a frozen struct with annotated fields
    Fairness    none in Spec: a trace may stop anywhere. The healthy world of a recovery proof has its own
                (properties/prove/liveness.py)

A step: `begin` lets the event happen and cues the client; `feed` returns its outputs; `absorb` takes them. Then
`prompt` gives the immediate answers of a `RestartApp`. Then every timer that is due by the end of the step runs
in deadline order (`next_due`), fed and absorbed the same way. `finish` moves the clock to the end of the step.

What is proved
--------------
The properties are the invariants of properties/invariants/catalogue.py, each a function of one step, and those
that an SDK's adapter registers. `prove` (properties/prove/prove.py) judges them, for one policy under one set of
assumptions:

    always          no step of a closed graph breaks the invariant: a graph without time (untimed.py, modular.py),
                    or one for all lengths of time at once (zone.py)
    eventually      of an invariant that `recovers`, also: from every state of that graph, in a healthy world, a
                    call ends with the session's token, or the user is signed out (liveness.py)
    condition       for which `Timings` and delays an invariant holds (condition.py)

Argued or tested, not proved:

    symmetry        states with one canonical form have the same future: argued in canonical.py, tested in
                    tests/test_canonical.py and tests/test_prove.py
    parts           a rule reads no more of the parts of a client than `model/parts.py` says: tested in
                    tests/test_modular.py
    one relation    what the engines draw and expand is what `enabled` has: tests/test_step.py
    refinement      a build does what the model does: properties/conformance/, trace by trace

The assumptions are in model/assumptions/catalogue.py. What the app does is an `App`, one value for every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from msgspec import Struct

from model.app import ANY_APP, App
from model.assumptions.sets import Assumptions
from model.io import Output, Stimulus
from model.operations import Load, Operation
from model.requests import Outcome
from model.sdk import Sdk
from model.terms import Millis, Runtime, Timings, Token
from model.world.course import begin, finish, horizon, next_due, prompt
from model.world.events import (
    OF_REQUEST,
    Advance,
    Answer,
    Deliver,
    Event,
    FreeLock,
    Freeze,
    FreezeKind,
    GoOnline,
    Lose,
    Revoke,
    Serve,
    UnlockKeychain,
)
from model.world.facts import Fact
from model.world.outputs import absorb
from model.world.possible import impossible
from model.world.replies import Cue
from model.world.state import Request, System, World

Feed: TypeAlias = Callable[[Stimulus, Millis], tuple[Output, ...]]
"""A client with its memory: what it puts out in return for a stimulus, at an instant of its device's clock."""

TICKS_AT_ONCE = 60
"""How often a ticker with the period `Timings.ticker` may run in one `Advance`. It bounds the work of one step:
a month would be half a million runs. A freeze needs no such bound, for a ticker runs at most once in it, at
thaw."""


TIMERS_PER_STEP = 10_000
"""How many timers may run in one step. A client that goes beyond this sets timers without end, and so does the
step. It is more than 60 of any ticker, and more than every second of two hours."""


ANSWERS_PER_STEP = 100
"""How many requests of a start may be answered in one step. A client that goes beyond this asks without end."""


class Endless(Exception):
    """A step has no end: `TIMERS_PER_STEP` or `ANSWERS_PER_STEP` is exceeded. The message says when, and what to
    do."""


class Span(Struct, frozen=True):
    """Time that may pass, from 1 ms to `longest`: an `Advance`, or a freeze of one `kind`. Empty if `longest` is
    0."""

    kind: FreezeKind | None
    longest: Millis

    def event(self, ms: Millis) -> Advance | Freeze:
        """The event of this span with one length."""
        return Advance(ms) if self.kind is None else Freeze(ms, self.kind)

    def contains(self, event: Event) -> bool:
        """Is the event one of this span?"""
        kind = event.kind if isinstance(event, Freeze) else None
        return isinstance(event, Advance | Freeze) and kind is self.kind and 0 < event.ms <= self.longest


class Step(Struct, frozen=True):
    """One step of a trace: the system before and after an event, and the facts that were seen in between, in
    order.

    `diverged`: how the target has differed from its reference client by then; None if it has not, or has none.
    """

    start: System
    event: Event
    facts: tuple[Fact, ...]
    end: System
    diverged: str | None = None

    @property
    def before(self) -> World:
        """The world before the event."""
        return self.start.world

    @property
    def after(self) -> World:
        """The world after the step."""
        return self.end.world


# -- initial ------------------------------------------------------------------------------------------------


def initial(
    sdk: Sdk,
    runtime: Runtime,
    start: Callable[[Runtime, Token], tuple[Output, ...]],
    timings: Timings | None = None,
) -> System:
    """The system at instant 0: `start` makes a client that has just signed in, and returns its outputs."""
    timings = timings or sdk.timings(runtime)
    token = first_token(sdk, runtime, timings)
    system = System(World(runtime, timings, sdk.server, token))
    return absorb(system, start(runtime, token), token_id=token.token_id)[0]


def first_token(sdk: Sdk, runtime: Runtime, timings: Timings | None = None) -> Token:
    """The token of the session at sign-in."""
    return Token(1, sdk.server.session_token, 0, (timings or sdk.timings(runtime)).lifetime)


# -- enabled ------------------------------------------------------------------------------------------------


def enabled(
    system: System, assumptions: Assumptions, app: App, like: Event | None = None
) -> Iterator[Event | Span]:
    """What may happen now: events at an instant, then spans of time. Of an app that may make any call (`ANY_APP`)
    it lists none.

    With `like`, yields only the options that decide whether that event is enabled. An engine that forks at each
    comparison of instants (properties/prove/runs.py) must make no other comparison.
    """
    if not isinstance(like, Advance | Freeze):
        yield from at_an_instant(system, assumptions, app, like)
    if like is None or isinstance(like, Advance):
        yield Span(None, longest_advance(system.world, assumptions))
    for kind in FreezeKind if assumptions.may_freeze else ():
        if like is None or (isinstance(like, Freeze) and like.kind is kind):
            yield Span(kind, life_left(system.world, assumptions))


def at_an_instant(
    system: System, assumptions: Assumptions, app: App, like: Event | None = None
) -> Iterator[Event]:
    """What may happen now while no time passes: answers, what the app calls, what the assumptions add."""
    world = system.world
    if like is None or isinstance(like, OF_REQUEST):
        for request in world.requests:
            if like is None or like.request == request.request:
                yield from _endings(world, assumptions, request)
    if like is None or isinstance(like, Operation):
        operations = app.operations if app.operations is not None else (like,) if like else ()
        some = dict.fromkeys((*operations, Load()))
        yield from (one for one in some if app.may_call(one, world, assumptions))
    if like is None or not isinstance(like, (*OF_REQUEST, Operation)):
        others = (*assumptions.events, *assumptions.ends_of_others(world), *RELIEFS)
        yield from (event for event in others if not impossible(world, event))


def _endings(world: World, assumptions: Assumptions, request: Request) -> Iterator[Event]:
    """How a request may end, or be served, now."""
    number = request.request
    if request.reply is None:
        outcomes = assumptions.outcomes(world, request)
        yield from (Answer(number, one) for one in outcomes)
        if assumptions.may_delay:
            yield from (Serve(number, one) for one in outcomes if one is not Outcome.LOST)
    else:
        yield from () if world.offline else (Deliver(number),)
        yield Lose(number)


RELIEFS: tuple[Event, ...] = (UnlockKeychain(), GoOnline(), FreeLock())
"""The events that end a fault. No assumption has to allow them."""


def permits(system: System, assumptions: Assumptions, event: Event, app: App = ANY_APP) -> bool:
    """Is the event one of `enabled`?"""
    options = enabled(system, assumptions, app, like=event)
    return any(one.contains(event) if isinstance(one, Span) else one == event for one in options)


def longest_advance(world: World, assumptions: Assumptions) -> Millis:
    """How long an `Advance` may last, in ms.

    Unless requests may hang, the server acts on each within `Timings.patience`: on the oldest one in flight, and
    on the first one that a timer could send in the meantime. A reply under way may take longer. Under
    `failing-start` what a client that has not loaded asks for may hang.
    """
    timings, longest = world.timings, life_left(world, assumptions)
    if not assumptions.may_hang:
        one_shot = world.one_shot_timers
        bounded = not (assumptions.may_hang_until_loaded and not world.loaded)
        unserved = (request.sent_at for request in world.requests if request.reply is None and bounded)
        first_request = min(unserved, default=world.now + longest)
        first_timer = min((timer.due for timer in one_shot), default=world.now + longest)
        if len(one_shot) < len(world.timers):  # a ticker sends nothing before its token is at the cutoff
            soonest = min(timer.due for timer in world.timers)
            at_cutoff = (world.token.expires - timings.cutoff) * 1000 - world.skew
            first_timer = min(first_timer, max(soonest, at_cutoff))
        longest = min(longest, min(first_request, first_timer) + timings.patience - world.now)
    if timings.ticker:
        longest = min(longest, TICKS_AT_ONCE * timings.ticker)
    return max(longest, 0)


def life_left(world: World, assumptions: Assumptions) -> Millis:
    """How long any one step may last, in ms. If the server may revoke the session it is twice the session's life,
    for one that ends by age is like one that was revoked; else what is left of that, so that none ends by age."""
    lifetime = world.timings.session
    return 2 * lifetime if Revoke() in assumptions.events else lifetime - 1 - world.now


# -- next ---------------------------------------------------------------------------------------------------


def next(system: System, event: Event, feed: Feed) -> Step:
    """Let `event` happen, and all that follows from it until the step is over.

    Checks no assumption: `permits` does. Raises `NotEnabled` for an event that is impossible, `Endless` if its
    timers do not end, and what `feed` raises.
    """
    until = horizon(system.world, event)
    answers = timers = 0
    after, facts, cue = begin(system, event)
    while cue:
        after, more = _fed(after, cue, feed)
        answers += 1
        if answers > ANSWERS_PER_STEP:
            raise Endless(f"{answers} requests of a start were answered at one instant: look for a loop")
        answer = prompt(after.world)
        after, answered, cue = begin(after, answer) if answer else (after, (), None)
        facts += (*more, *answered)
    while due := next_due(after, until):
        timers += 1
        if timers > TIMERS_PER_STEP:
            raise Endless(_without_end(system.world.now, after.world.now))
        after, fired, cue = due
        after, more = _fed(after, cue, feed)
        facts += (fired, *more)
    return Step(system, event, facts, finish(after, until))


def _without_end(start: Millis, now: Millis) -> str:
    if now == start:
        many = f"{TIMERS_PER_STEP} timers ran at one instant"
        return f"{many}: look for one that sets itself again without delay"
    many = f"{TIMERS_PER_STEP} timers ran within {now - start} ms, in one step"
    return f"{many}: look for one that sets itself again; if it is to, name its period in Timings.ticker"


def _fed(system: System, cue: Cue, feed: Feed) -> tuple[System, tuple[Fact, ...]]:
    """Feed a cue to the client and absorb its outputs."""
    outputs = feed(cue.stimulus, system.world.device_now)
    return absorb(system, outputs, cue.tainted, cue.token_id)
