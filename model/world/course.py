"""What an event does to the world, when it is impossible, and which timer runs next.

Theory of operation
-------------------
`begin` lets an event happen: it changes the world and names the stimulus that reaches the client, if one does.
`next_due` takes the next timer that is due before the step is over. `finish` ends the step. `absorb` takes what
the client puts out in return for a stimulus (`outputs.py`). `next` in `model/step.py` calls these four.

Time passes in `Advance` and `Freeze` only; every other event happens at an instant. A `STARVED` freeze leaves the
deadlines of timers alone: at thaw those that are due run late, in deadline order. An `ASLEEP` freeze moves all
deadlines by its length.

A request ends in two parts: the server acts and mints (`_served`), and its reply reaches the client or is lost
(`_delivered`). In `Answer` both happen at one instant.

A start ends the process, and with it every timer, request and pending call. The new client loads, which is a call
like others. Until that has ended well there is no session to make another call on. In `RestartApp`, `next` plays
the answers that `prompt` finds, before it lets anything else happen.

Known gaps: there is one device. A session ends by age when the first one of the device does.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from model.terms import (
    DONE,
    ENDED,
    GRANTS,
    STRANGE,
    Called,
    ClockChanged,
    ConnectionChanged,
    Ending,
    Endpoint,
    Load,
    LockChanged,
    Millis,
    Operation,
    Outcome,
    Replied,
    RequestId,
    Session,
    Started,
    Stimulus,
    TimerDue,
    TimerId,
    Token,
    TokenId,
)
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
    Lose,
    RestartApp,
    Revoke,
    Serve,
    SetClock,
    StartApp,
    UnlockKeychain,
)
from model.world.facts import (
    Answered,
    CallStarted,
    ClockSet,
    Fact,
    Frozen,
    KeychainChanged,
    NetworkChanged,
    Restarted,
    Served,
    SessionEnded,
    TimerFired,
)
from model.world.state import CallRecord, OtherSession, PendingCall, Reply, Request, System, World


class NotEnabled(Exception):
    """The event is impossible in this world, whatever is assumed. The message says why."""


MOST_SESSIONS = 2
"""How many sessions a device may have at once."""


class Cue(Struct, frozen=True):
    """A stimulus for the client. It is `tainted` if it is an answer that was not honest, or the callback of a
    tainted timer: the timers that the client sets and the requests that it sends in return are tainted too."""

    stimulus: Stimulus
    tainted: bool = False


# -- an event begins ----------------------------------------------------------------------------------------


def impossible(world: World, event: Event) -> str | None:
    """Why the event cannot happen in this world, whatever is assumed of it; None if it can."""
    match event:
        case Advance(ms) | Freeze(ms) if ms <= 0:
            return f"time cannot pass by {ms} ms"
        case Load() if world.loaded:
            return "the SDK has loaded: to load it again does nothing"
        case Operation() if not world.loaded and not isinstance(event, Load):
            return f"the SDK has not loaded: there is no session to call {event.verb} on"
        case Operation() if not world.signed_in and event.user is None and not isinstance(event, Load):
            return f"the user is signed out: there is no session to call {event.verb} on"
        case Operation(enters=True) if event.user is None and not _entrances(world):
            return f"the client knows of no other session to call {event.verb} for"
        case Operation(enters=True) if event.user is not None and len(world.sessions) >= MOST_SESSIONS:
            return f"this device has {MOST_SESSIONS} sessions"
        case Serve(outcome=Outcome.LOST):
            return "a reply that is lost is not under way"
        case Answer(number, outcome) | Serve(number, outcome):
            return _unanswerable(world, number, outcome)
        case Deliver(number) | Lose(number):
            return _undeliverable(world, event)
        case Revoke() if not world.valid:
            return "the session has already ended"
        case SetClock(skew) if skew == world.skew:
            return f"the device's clock is {skew} ms ahead already"
        case LockKeychain() if not world.server.keychain:
            return "no request carries a credential from the device's keychain"
        case LockKeychain() | UnlockKeychain() if world.locked == isinstance(event, LockKeychain):
            return f"the keychain is {'locked' if world.locked else 'unlocked'} already"
        case GoOffline() | GoOnline() if not world.runtime.sees_network:
            return f"the runtime {world.runtime} does not say whether it is online"
        case GoOffline() | GoOnline() if world.offline == isinstance(event, GoOffline):
            return f"the device is {'offline' if world.offline else 'online'} already"
        case StartApp() | RestartApp():
            return _unstartable(world, event)
    return None


def _entrances(world: World) -> list[Session]:
    """The sessions that the app may change to."""
    return [one.session for one in world.others if one.known and world.holds(one.session)]


def _unanswerable(world: World, number: RequestId, outcome: Outcome) -> str | None:
    """Why the request cannot end with `outcome`; None if it can."""
    request = world.request(number)
    if request is None:
        return f"no request {number} is in flight"
    if request.reply:
        return f"the server has acted on request {number} already, and its reply is under way"
    if outcome not in world.server.outcomes(request.endpoint):
        return f"a request to {request.endpoint} cannot end with '{outcome}'"
    if request.unauthenticated and outcome in DONE:
        return f"a request to {request.endpoint} without a credential cannot end with '{outcome}'"
    if world.offline and outcome is not Outcome.LOST:
        return f"the device is offline: a request cannot end with '{outcome}'"
    return None


def _undeliverable(world: World, event: Deliver | Lose) -> str | None:
    """Why the reply cannot reach the client, or cannot be lost; None if it can."""
    request = world.request(event.request)
    if request is None or request.reply is None:
        return f"no reply to request {event.request} is under way"
    if world.offline and isinstance(event, Deliver):
        return "the device is offline: no reply can reach it"
    return None


def _unstartable(world: World, event: StartApp | RestartApp) -> str | None:
    """Why the app cannot be started again; None if it can."""
    at_once = isinstance(event, RestartApp)
    if at_once and world.locked:  # it would ask without a credential: the honest answer to that has no session
        why = "the keychain is locked"
    elif at_once and world.offline:  # it would get no answer
        why = "the device is offline"
    elif not (world.signed_in or world.valid):
        why = "the user is signed out, and the session has ended"
    else:
        return None
    return f"{why}: an app that starts now has no session to ask for"


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
            return _delivered(_served(system, number, outcome)[0], number, at_once=True)
        case Serve(number, outcome):
            system, served = _served(system, number, outcome)
            return system, (served,), None
        case Deliver(number):
            return _delivered(system, number)
        case Lose(number):
            return _delivered(system, number, lost=True)
        case Revoke(ending):
            return system.but(ended=ending).fault(), (SessionEnded(world.now, ending),), None
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
        case StartApp() | RestartApp():
            return _started(system, event)


def prompt(world: World) -> Answer | None:
    """The answer that comes before anything else can happen: `RestartApp` has it given at once."""
    hurried = {call.call for call in world.calls if call.at_once}
    request = next((request for request in world.requests if request.cause in hurried), None)
    return Answer(request.request, world.honest_answer(request)) if request else None


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
    healthy = (world.valid or operation.user is not None) and not leaving and not system.in_trouble
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
    after = after.but(signed_in=False, loaded=False, loads=0)
    system = _called(System(after), Load(), at_once=isinstance(event, RestartApp))
    return system, (Restarted(world.now, call, calls, requests),), Cue(Started(call))


def _others(world: World, but: Session) -> tuple[World, tuple[Token, ...]]:
    """A token of each session that the server holds, but of one."""
    tokens: list[Token] = []
    for session in world.sessions:
        if session != but:
            tokens.append(_minted(world, world.of(session).server.session_token.of(session)))
            world = world.but(minted=tokens[-1].number)
    return world, tuple(tokens)


def _minted(world: World, token_id: TokenId) -> Token:
    """The next token that the server mints, at this instant."""
    issued = world.now // 1000
    return Token(world.minted + 1, token_id, issued, issued + world.timings.lifetime)


def _in_flight(world: World, number: RequestId) -> Request:
    request = world.request(number)
    assert request is not None, "`impossible` excludes requests that are not in flight"
    return request


def _served(system: System, number: RequestId, outcome: Outcome) -> tuple[System, Served]:
    """The server acts on a request: it mints a token if the outcome grants one. The client knows nothing yet."""
    world, monitor = system.world, system.monitor
    request = _in_flight(world, number)
    endpoint, session = request.endpoint, request.token_id.session
    honest = outcome is world.honest(endpoint, session) and not request.unauthenticated
    acted, session = _acted(world, request, outcome)
    if acted.session_tokens != world.session_tokens:
        monitor = monitor.accepting(acted.session_tokens)
    world, token = acted, None
    others: tuple[Token, ...] = ()
    if outcome in GRANTS:
        brought = world.of(session).server.brings(endpoint, request.token_id)
        token = _minted(world, brought.of(STRANGE if outcome is Outcome.FOREIGN_TOKEN else session))
        token = replace(token, behind=outcome is Outcome.STALE_TOKEN)
        world = world.but(minted=token.number)
    lists = outcome in (Outcome.SESSION, Outcome.STALE_TOKEN) or (outcome is Outcome.NO_SESSION and honest)
    if lists and endpoint is not Endpoint.MINT:
        world, others = _others(world, session)
    served = replace(request, reply=Reply(outcome, token, world.now, honest, others))
    world = world.but(requests=tuple(served if one is request else one for one in world.requests))
    return System(world, monitor), Served(world.now, number, endpoint, outcome, token, request.sent_at)


def _acted(world: World, request: Request, outcome: Outcome) -> tuple[World, Session]:
    """The world after the server has acted on a request, and the session that the answer is about."""
    session = request.token_id.session
    match request.endpoint:
        case Endpoint.SIGN_IN if outcome in DONE:
            begun = Session(world.begun + 1, request.user or 0)
            other = OtherSession(begun, world.server.entered())
            return world.but(begun=begun.number, others=(*world.others, other)), begun
        case Endpoint.SIGN_OUT if outcome is Outcome.NO_SESSION:
            others = tuple(replace(one, ended=one.ended or Ending.REVOKED) for one in world.others)
            return world.but(ended=world.ended or Ending.REVOKED, others=others), session
        case _ if outcome in DONE:
            before = world.of(session)
            after = replace(before, server=before.server.acted(request.endpoint, request.token_id))
            if session == world.session:
                return world.but(server=after.server), session
            others = tuple(after if one.session == session else one for one in world.others)
            return world.but(others=others), session
    return world, session


def _delivered(
    system: System, number: RequestId, lost: bool = False, at_once: bool = False
) -> tuple[System, tuple[Fact, ...], Cue | None]:
    """The request ends: the client gets the reply, or never will."""
    world, monitor = system.world, system.monitor
    request = _in_flight(world, number)
    assert request.reply is not None, "`impossible` excludes requests without a reply"
    reply = request.reply
    if lost:
        reply = replace(reply, outcome=Outcome.LOST, token=None, honest=False, others=())
    outcome, token, honest = reply.outcome, reply.token, reply.honest
    answered = Answered(
        world.now,
        number,
        request.endpoint,
        outcome,
        token,
        request.sent_at,
        world.origin(request.cause),
        honest,
        world.stale_for,
        None if at_once else reply.served_at,
    )
    world = world.but(requests=tuple(other for other in world.requests if other is not request))
    own = token is not None and token.session != STRANGE and world.server.authenticates(token.token_id)
    if token and own and token.number > world.token.number:
        world = world.but(token=token)
    brought = {one.session for one in (token, *reply.others) if one}
    if any(not one.known and one.session in brought for one in world.others):
        others = (replace(one, known=one.known or one.session in brought) for one in world.others)
        world = world.but(others=tuple(others))
    if not honest:
        monitor = monitor.fault()
    ended = honest and outcome in ENDED
    records = tuple(
        replace(record, told_ended=record.told_ended or ended, lied_to=record.lied_to or not honest)
        if record.call == request.cause or not world.loaded  # calls that load share what they are told
        else record
        for record in monitor.calls
    )
    tainted = tuple(other for other in monitor.tainted_requests if other != number)
    monitor = replace(monitor, calls=records, tainted_requests=tainted)
    return (
        System(world, monitor),
        (answered,),
        Cue(Replied(number, outcome, token, reply.others), tainted=not honest),
    )


# -- timers run ---------------------------------------------------------------------------------------------


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
    return without_timer(system, first.timer).but(now=now), fired, Cue(TimerDue(first.timer), tainted)


def without_timer(system: System, timer: TimerId) -> System:
    """The system without a timer, which ran or was cleared, and without its taint."""
    system = system.but(timers=tuple(other for other in system.world.timers if other.timer != timer))
    tainted = system.monitor.tainted_timers
    if timer not in tainted:
        return system
    rest = tuple(other for other in tainted if other != timer)
    return system.noting(replace(system.monitor, tainted_timers=rest))


def finish(system: System, until: Millis) -> System:
    """End the step at `until`. That a request hangs, or that the session is over, is a fault: no call that is
    under way is healthy any more."""
    if system.world.now < until:
        system = system.but(now=until)
    world = system.world
    hanging = any(world.now - request.sent_at > world.timings.patience for request in world.requests)
    return system.fault() if hanging or not world.valid else system
