"""What an event does to the world, and which timer runs next.

Theory of operation
-------------------
`begin` lets an event happen: it changes the world and names the stimulus that reaches the client, if one does.
`next_due` takes the next timer that is due before the step is over. `finish` ends the step. `absorb` takes what
the client puts out in return for a stimulus (`outputs.py`). `next` in `model/step.py` calls these four.

Time passes in `Advance` and `Freeze` only; every other event happens at an instant. A `STARVED` freeze leaves the
deadlines of timers alone: at thaw those that are due run late, in deadline order. An `ASLEEP` freeze moves all
deadlines by its length.

What `begin` lets happen is possible (`possible.py`). How a request ends is in `replies.py`.

A start ends the process, and with it every timer, request and pending call. The new client loads, which is a call
like others. Until that has ended well there is no session to make another call on. In `RestartApp`, `next` plays
the answers that `prompt` finds, before it lets anything else happen.

Known gaps: there is one device, and one client on it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from model.io import (
    Called,
    ChannelClosed,
    ClockChanged,
    ConnectionChanged,
    LockChanged,
    Started,
    TabChanged,
    TimerDue,
    TurnsChanged,
)
from model.operations import Load, Operation
from model.requests import Ending
from model.terms import Millis, Session, TimerId
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
    Lose,
    RestartApp,
    Revoke,
    RevokeOther,
    Serve,
    SetClock,
    StartApp,
    TurnTo,
    UnlockKeychain,
)
from model.world.facts import (
    CallStarted,
    ChannelLost,
    ClockSet,
    Fact,
    Frozen,
    KeychainChanged,
    NetworkChanged,
    OtherSessionEnded,
    Restarted,
    SessionEnded,
    TabTurned,
    TimerFired,
    TurnsTaken,
)
from model.world.monitor import CallRecord
from model.world.possible import NotEnabled, impossible
from model.world.replies import Cue, deliver, hear, serve
from model.world.state import PendingCall, System, World


def begin(system: System, event: Event) -> tuple[System, tuple[Fact, ...], Cue | None]:
    """Let `event` happen: the system after it, what was seen, and the cue for the client, if any.

    `Advance` changes nothing here: `next_due` and `finish` move the clock. Raises `NotEnabled` for an event that
    is impossible.
    """
    world = system.world
    if why := impossible(world, event):
        raise NotEnabled(why)
    match event:
        case Advance():
            return system, (), None
        case Freeze(ms, kind):
            thaw, timers = world.now + ms, world.timers
            if kind is FreezeKind.ASLEEP:
                timers = tuple(replace(timer, due=timer.due + ms) for timer in timers)
            system = system.but(now=thaw, timers=timers).noting(system.monitor.each(awake_since=thaw))
            return system.fault(), (Frozen(world.now, thaw, kind),), None
        case Operation():
            started = CallStarted(world.now, world.next_call, event)
            return _called(system, event), (started,), Cue(Called(world.next_call, event))
        case Answer(number, outcome):
            return deliver(serve(system, number, outcome)[0], number, at_once=True)
        case Serve(number, outcome):
            system, served = serve(system, number, outcome)
            return system, (served,), None
        case Deliver(number):
            return deliver(system, number)
        case Lose(number):
            return deliver(system, number, lost=True)
        case Revoke(ending):
            banned = world.session.user if ending is Ending.BANNED else None
            system, facts = _end_others(system, ending, lambda one: one.user == banned)
            return system.but(ended=ending).fault(), (SessionEnded(world.now, ending), *facts), None
        case RevokeOther(number, ending):
            system, facts = _end_others(system, ending, lambda one: one.number == number)
            return system.fault(), facts, None
        case SetClock(skew):
            return system.but(skew=skew), (ClockSet(world.now, skew),), Cue(ClockChanged(skew))
        case LockKeychain():
            system = system.but(locked=True).fault()
            return system, (KeychainChanged(world.now, locked=True),), Cue(LockChanged(locked=True))
        case UnlockKeychain():
            system = system.but(locked=False)
            return system, (KeychainChanged(world.now, locked=False),), Cue(LockChanged(locked=False))
        case GoOffline():
            system = system.but(offline=True).fault()
            return system, (NetworkChanged(world.now, online=False),), Cue(ConnectionChanged(online=False))
        case GoOnline():
            system = system.but(offline=False)
            return system, (NetworkChanged(world.now, online=True),), Cue(ConnectionChanged(online=True))
        case TurnTo(state):
            system = system.but(page=replace(world.page, tab=state))
            return system, (TabTurned(world.now, state),), Cue(TabChanged(state))
        case HearTab(outcome):
            return hear(system, outcome)
        case HoldLock() | FreeLock():
            held = isinstance(event, HoldLock)
            system = system.but(page=replace(world.page, held=held))
            return system, (TurnsTaken(world.now, held),), Cue(TurnsChanged(held))
        case CloseChannel():
            system = system.but(page=replace(world.page, channel=False))
            return system, (ChannelLost(world.now),), Cue(ChannelClosed())
        case StartApp() | RestartApp():
            return _started(system, event)


def prompt(world: World) -> Answer | None:
    """The answer that comes before anything else can happen: a `RestartApp` is answered at once."""
    immediate = {call.call for call in world.calls if call.at_once}
    request = next((request for request in world.requests if request.cause in immediate), None)
    return Answer(request.request, world.honest_answer(request)) if request else None


def _end_others(
    system: System, ending: Ending, ends: Callable[[Session], bool]
) -> tuple[System, tuple[Fact, ...]]:
    """The server ends the sessions that `ends` names, of those that it holds beside the app's."""
    world = system.world
    hit = [one for one in world.others if world.holds(one.session) and ends(one.session)]
    others = (replace(one, ended=ending, ended_alone=True) if one in hit else one for one in world.others)
    facts = tuple(OtherSessionEnded(world.now, one.session, ending) for one in hit)
    return system.but(others=tuple(others)) if hit else system, facts


def _called(system: System, operation: Operation, at_once: bool = False) -> System:
    """The system with one more call under way."""
    world, number = system.world, system.world.next_call
    server = world.server.called(operation)
    monitor = system.monitor
    if server is not world.server:
        world = world.but(server=server)
        monitor = monitor.accepting(world.session_tokens)
    accepts = world.session_tokens if operation.wants_session_token else ()
    leaving = any(call.leaves for call in world.calls)
    about = (world.session, *world.entrances * operation.enters) if operation.user is None else ()
    healthy = all(map(world.holds, about)) and not leaving and not system.in_trouble
    record = CallRecord(number, world.now, healthy, awake_since=world.now, accepts=accepts)
    loads = isinstance(operation, Load)
    token_id = operation.token_id.of(world.session)
    call = PendingCall(
        number, token_id, operation.changes_session, loads, at_once, operation.leaves, operation.user
    )
    world = world.but(calls=(*world.calls, call), next_call=number + 1, loads=world.loads + loads)
    return System(world, replace(monitor, calls=(*monitor.calls, record)))


def _started(system: System, event: StartApp | RestartApp) -> tuple[System, tuple[Fact, ...], Cue]:
    """The process ends, and with it every timer, request and pending call. Their history is forgotten: a start is
    no fault. Nobody is signed in until the new client has loaded."""
    world, call = system.world, system.world.next_call
    calls = tuple(call.call for call in world.calls)
    requests = tuple(request.request for request in world.requests)
    after = world.but(timers=(), requests=(), calls=(), server=world.server.restarted())
    after = after.but(signed_in=False, loaded=False, loads=0, page=replace(world.page, channel=True))
    system = _called(System(after), Load(), at_once=isinstance(event, RestartApp))
    return system, (Restarted(world.now, call, calls, requests),), Cue(Started(call))


def horizon(world: World, event: Event) -> Millis:
    """The instant at which the step of `event` is over. `world` is the one before `begin`."""
    return world.now + event.ms if isinstance(event, Advance | Freeze) else world.now


def next_due(system: System, until: Millis) -> tuple[System, Fact, Cue] | None:
    """Take the next timer that is due by `until`: the system without it, its clock at that instant; the fact that
    it ran; and the cue for the client. None when no timer is due.

    Timers run in deadline order, those with the same deadline in the order in which they were set.
    """
    world = system.world
    first = min(world.timers, key=lambda timer: (timer.due, timer.timer), default=None)
    if first is None or first.due > until:
        return None
    now = max(world.now, first.due)
    tainted = first.timer in system.monitor.tainted_timers
    fired = TimerFired(now, first.timer, first.set_at, now - first.planned)
    cue = Cue(TimerDue(first.timer), tainted, first.token_id)
    return without_timer(system, first.timer).but(now=now), fired, cue


def without_timer(system: System, timer: TimerId) -> System:
    """The system without a timer, which ran or was cleared, and without its taint."""
    system = system.but(timers=tuple(other for other in system.world.timers if other.timer != timer))
    tainted = system.monitor.tainted_timers
    if timer not in tainted:
        return system
    rest = tuple(other for other in tainted if other != timer)
    return system.noting(replace(system.monitor, tainted_timers=rest))


def finish(system: System, until: Millis) -> System:
    """End the step at `until`. A hanging request is a fault, and so is the end of the session for every call that
    needs one: those that are pending are healthy no more."""
    if system.world.now < until:
        system = system.but(now=until)
    world = system.world
    if any(world.now - request.sent_at > world.timings.patience for request in world.requests):
        return system.fault()
    if world.valid:
        return system
    signing_in = {call.call for call in world.calls if call.user is not None}
    return system.noting(system.monitor.fault(but=signing_in))
