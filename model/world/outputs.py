"""What the client's outputs do to the world. `absorb` takes them in order and says what was seen."""

from __future__ import annotations

from msgspec.structs import replace

from model import io
from model.io import (
    CallSettled,
    Output,
    RequestSent,
    SignedIn,
    SignedOut,
    TimerCleared,
    TimerSet,
    TokenAnnounced,
    TokenShown,
)
from model.requests import OF_DEVICE
from model.terms import CallId, Token, TokenId
from model.world.course import without_timer
from model.world.facts import (
    Announced,
    Fact,
    Loaded,
    Sent,
    SessionDropped,
    SessionEntered,
    SessionLeft,
    SessionRegained,
    Settled,
    Shown,
    TimerArmed,
    Uncaught,
)
from model.world.monitor import CallRecord
from model.world.state import Request, System, Timer


def absorb(
    system: System, outputs: tuple[Output, ...], tainted: bool = False, token_id: TokenId | None = None
) -> tuple[System, tuple[Fact, ...]]:
    """Take what the client put out in return for a cue: the system after it, and what was seen. `tainted` and
    `token_id` are the cue's."""
    facts: list[Fact] = []
    for output in outputs:
        system, fact = _absorb_one(system, output, tainted, token_id)
        if fact:
            facts.append(fact)
    return system, tuple(facts)


def _absorb_one(
    system: System, output: Output, tainted: bool, about: TokenId | None
) -> tuple[System, Fact | None]:
    world = system.world
    match output:
        case TimerSet(timer, due_on_device, cause):
            due = due_on_device - world.skew
            armed = TimerArmed(world.now, timer, due)
            # The ticker is never tainted: it sets itself again and again, so its taint would never end.
            if tainted and not world.ticks(due - world.now):
                monitor = system.monitor
                system = system.noting(replace(monitor, tainted_timers=(*monitor.tainted_timers, timer)))
            return system.but(timers=(*world.timers, Timer(timer, due, due, world.now, cause, about))), armed
        case TimerCleared(timer):
            return without_timer(system, timer), None
        case RequestSent(number, endpoint, token_id, cause, credential, tab=tab):
            unauthenticated = not credential
            if credential is None:  # the device adds it
                unauthenticated = world.locked and world.server.keychain
            if endpoint in OF_DEVICE:
                token_id = token_id.of(world.session)
            user = next((call.user for call in world.calls if call.call == cause), None)
            request = Request(
                number, endpoint, token_id, cause, world.now, world.stale, unauthenticated, user=user
            )
            if tainted:
                monitor = system.monitor
                system = system.noting(replace(monitor, tainted_requests=(*monitor.tainted_requests, number)))
            origin, stale_for = world.origin(cause), world.stale_for
            left = token_id.session in world.left and endpoint not in OF_DEVICE
            sent = Sent(world.now, number, endpoint, token_id, origin, stale_for, unauthenticated, left, tab)
            return system.but(requests=(*world.requests, request)), sent
        case SignedIn(cause, session) if session == world.session:
            return system.but(signed_in=True), SessionRegained(world.now, world.origin(cause))
        case SignedIn(_, session):
            entered = System(world.entering(session), system.monitor)
            return entered.but(signed_in=True), SessionEntered(world.now, session)
        case SignedOut() if any(call.leaves for call in world.calls):
            return system.but(signed_in=False), SessionLeft(world.now)
        case SignedOut(cause):
            return system.but(signed_in=False), SessionDropped(world.now, world.origin(cause), world.valid)
        case TokenAnnounced(token, before):
            backwards = before is not None and before.comparable(token) and before.fresher_than(token)
            return system, Announced(world.now, token, before, backwards)
        case TokenShown(shown):
            page = replace(world.page, shown=shown)
            return system.but(page=page), Shown(world.now, shown, world.valid and world.signed_in)
        case io.Uncaught():
            return system, Uncaught(world.now)
        case CallSettled(number, given, error):
            return _settled(system, number, given, error)


def _settled(system: System, number: CallId, token: Token | None, error: str | None) -> tuple[System, Fact]:
    """A call ends. The fact says which token the call was for. A call that takes any session token was for the
    one that it got, if that was the session's own since the call was made; else for the last one that was."""
    world, monitor = system.world, system.monitor
    pending = next(call for call in world.calls if call.call == number)
    record = monitor.call(number)
    if pending.loads:
        return _loaded(system, record, error)
    token_id = pending.token_id
    if record.accepts:
        fits = token is not None and token.token_id in record.accepts
        token_id = token.token_id if token is not None and fits else record.accepts[-1]
    told_ended = record.told_ended and not record.lied_to
    fresher = monitor.fresher(token) if token else None
    left = token is not None and token.session in world.left
    settled = Settled(
        world.now, number, record.asked_at, token_id, token, error, record.healthy, told_ended, fresher, left
    )
    if token and not fresher:
        monitor = monitor.gave(token)
    sessions = (world.session, *(one.session for one in world.others))
    gone = () if error or not pending.leaves else tuple(one for one in sessions if one not in world.left)
    return _without(system.noting(monitor).but(left=(*world.left, *gone)), number), settled


def _loaded(system: System, record: CallRecord, error: str | None) -> tuple[System, Fact]:
    """A call that loads the client ends. One that ends well resets `World.loads`."""
    world = system.world
    due = world.valid and not record.lied_to
    loaded = Loaded(world.now, record.call, record.asked_at, error, world.signed_in, due)
    if error is None:
        system = system.but(loaded=True, loads=0)
    return _without(system, record.call), loaded


def _without(system: System, number: CallId) -> System:
    """The system without a call, which has ended."""
    system = system.but(calls=tuple(call for call in system.world.calls if call.call != number))
    return system.noting(system.monitor.without(number))
