"""The course of the world: what an event does to it, and what comes of what the client does in return.

Theory of operation
-------------------
`begin` lets an event happen: it moves the world and says which stimuli reach the client. `absorb` takes what
the client put out in return. Then `next_due` names the timer that runs next, if one does before the step's
time is over, and so on until nothing is left (`properties/system/step.py` is that loop, for any target).

An event and an answer happen at an instant. Time passes only in `Advance` and `Freeze`. A freeze of the kind
`STARVED` leaves the timers' deadlines alone, so at thaw they are late and run in deadline order; one of the
kind `ASLEEP` moves all deadlines by its length.

Known gaps: one device, one session; an answer is formed when it arrives; what an app asks while it starts again
is answered at once, and honestly; whoever asks is a member of every organization, and a template's token says
nothing of any.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.terms import (
    CAN_LOOK,
    SESSION_TOKEN,
    TOKEN_LIFETIME,
    Answered,
    CallSettled,
    ClockChanged,
    CookieChanged,
    Endpoint,
    KeychainTurned,
    Millis,
    NetworkTurned,
    Outcome,
    Output,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    SwitchAsked,
    TimerCleared,
    TimerDue,
    TimerSet,
    Token,
    TokenAnnounced,
    TokenAsked,
    TokenId,
    TouchAsked,
)
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
from model.world.facts import (
    Announced,
    Armed,
    Asked,
    Connected,
    Dropped,
    Ended,
    Fact,
    Fired,
    Frozen,
    Kept,
    Origin,
    Regained,
    Restarted,
    Sent,
    Settled,
    Skewed,
    Told,
    Turned,
)
from model.world.state import GRANTS, PATIENCE, POSSIBLE, Call, Cue, NotEnabled, Request, Timer, World

# -- an event begins ----------------------------------------------------------------------------------------


def begin(world: World, event: Event) -> tuple[World, tuple[Fact, ...], Cue | None]:
    """Let `event` happen: the world after it, what was seen, and the cue for the client, if any.

    `Advance` moves the clock only as its timers run (`next_due`). Raises `NotEnabled`.
    """
    match event:
        case Advance(ms) | Freeze(ms) if ms <= 0:
            raise NotEnabled(f"time cannot pass by {ms} ms")
        case Advance():
            return world, (), None
        case Freeze(ms, kind):
            fact = Frozen(world.now, world.now + ms, kind)
            if kind is FreezeKind.ASLEEP:
                world = world.but(timers=tuple(replace(t, due=t.due + ms) for t in world.timers))
            thaw = world.now + ms
            calls = tuple(replace(call, awake_since=thaw) for call in world.calls)
            return world.but(now=thaw, calls=calls).unhealthy(), (fact,), None
        case GetToken(template, skip_cache, organization):
            if not world.signed_in:
                raise NotEnabled("the user is signed out: there is no session to ask for a token")
            number, token_id = world.next_call, TokenId(template, organization)
            asked = Asked(world.now, number, token_id, skip_cache)
            meant = TokenId(template, organization or None)
            world = _called(world, meant, active=world.active if meant == token_id == SESSION_TOKEN else ())
            return world, (asked,), Cue(TokenAsked(number, token_id, skip_cache))
        case Answer(number, outcome):
            return _answer(world, world.request(number), outcome)
        case Revoke():
            if not world.valid:
                raise NotEnabled("the session has already ended")
            return world.but(revoked=True).unhealthy(), (Ended(world.now),), None
        case SetClock(skew):
            if skew == world.skew:
                raise NotEnabled(f"the device's clock is {skew} ms ahead already")
            return world.but(skew=skew), (Skewed(world.now, skew),), Cue(ClockChanged(skew))
        case LockKeychain() | UnlockKeychain():
            locks = isinstance(event, LockKeychain)
            if world.locked == locks:
                raise NotEnabled(f"the keychain is {'locked' if locks else 'unlocked'} already")
            world = world.but(locked=locks)
            world = world.unhealthy() if locks else world
            return world, (Turned(world.now, locks),), Cue(KeychainTurned(locks))
        case Touch():
            if not world.signed_in:
                raise NotEnabled("the user is signed out: there is no session to touch")
            number = world.next_call
            touched = Asked(world.now, number, SESSION_TOKEN, skip_cache=False, touch=True)
            return _called(world, SESSION_TOKEN), (touched,), Cue(TouchAsked(number))
        case GoOffline() | GoOnline():
            return _turn_network(world, isinstance(event, GoOnline))
        case RestartApp():
            return _restart(world)
        case SwitchOrganization(organization):
            return _switched(world, organization)


def _switched(world: World, organization: str | None) -> tuple[World, tuple[Fact, ...], Cue]:
    """The app has chosen an organization; the server hears of it by a touch."""
    if not world.signed_in:
        raise NotEnabled("the user is signed out: there is no session whose organization could be another")
    number, chosen = world.next_call, TokenId(organization=organization)
    asked = Asked(world.now, number, chosen, skip_cache=False, switch=True)
    world = _called(_activated(world.but(chosen=organization)), chosen, switches=True)
    return world, (asked,), Cue(SwitchAsked(number, organization))


def _activated(world: World) -> World:
    """The world with calls that may mean what is active now, too."""
    if not any(call.active for call in world.calls):
        return world

    def more(call: Call) -> Call:
        active = tuple(dict.fromkeys((*call.active, *world.active)))
        return replace(call, active=active) if call.active else call

    return world.but(calls=tuple(map(more, world.calls)))


def _called(
    world: World, token_id: TokenId, active: tuple[str | None, ...] = (), *, switches: bool = False
) -> World:
    """The world with one more call under way."""
    healthy = world.valid and not _in_trouble(world)
    call = Call(world.next_call, token_id, world.now, healthy, False, False, world.now, active, switches)
    return world.but(calls=(*world.calls, call), next_call=call.call + 1)


def _turn_network(world: World, online: bool) -> tuple[World, tuple[Fact, ...], Cue | None]:
    """The device loses the network, or has it back. What it does with requests in flight, an answer says."""
    if world.runtime not in CAN_LOOK:
        raise NotEnabled(f"the runtime {world.runtime} does not say whether it is online")
    if world.offline is not online:
        raise NotEnabled(f"the device is {'online' if online else 'offline'} already")
    world = world.but(offline=not online)
    world = world if online else world.unhealthy()
    return world, (Connected(world.now, online),), Cue(NetworkTurned(online))


def _restart(world: World) -> tuple[World, tuple[Fact, ...], Cue | None]:
    """The process ends, and what it waited for with it: nobody is to blame for that. A new one asks who is signed
    in, and is told the truth, the active organization too. Whoever was signed out while the session is valid is
    signed in again."""
    if not world.may_start:
        why = "the user is signed out, and the session has ended"
        why = "the keychain is locked" if world.locked else "the device is offline" if world.offline else why
        raise NotEnabled(f"{why}: an app that starts now has no session to ask for")
    calls = tuple(call.call for call in world.calls)
    requests = tuple(request.request for request in world.requests)
    world, token = world.but(timers=(), requests=(), calls=(), chosen=world.organization), None
    if world.valid:
        issued = world.now // 1000
        active = TokenId(organization=world.organization)
        token = Token(world.minted + 1, active, issued, issued + TOKEN_LIFETIME)
        world = world.but(minted=token.number, token=token, signed_in=True)
    return world, (Restarted(world.now, token, calls, requests),), Cue(Started(token))


def _in_trouble(world: World) -> bool:
    """Is the keychain locked, the device offline, or something still under way that follows from a fault?"""
    under_way = any(request.wake or request.bare for request in world.requests)
    return world.locked or world.offline or under_way or any(timer.wake for timer in world.timers)


def _answer(world: World, request: Request, outcome: Outcome) -> tuple[World, tuple[Fact, ...], Cue | None]:
    """Form the answer to `request` now, and hand it to the client."""
    if outcome not in POSSIBLE[request.endpoint] or (request.bare and outcome in GRANTS):
        bare = "without a credential " * request.bare
        raise NotEnabled(f"a request for {request.endpoint} {bare}cannot end with '{outcome}'")
    if world.offline and outcome is not Outcome.LOST:
        raise NotEnabled(f"the device is offline: a request cannot end with '{outcome}'")
    honest = outcome is world.honest(request.endpoint) and not request.bare
    token: Token | None = None
    stale_for = world.stale_for
    if outcome in GRANTS:
        issued, behind = world.now // 1000, outcome is Outcome.STALE_TOKEN
        token_id = request.token_id
        if request.endpoint is Endpoint.TOUCH:
            world = _activated(world.but(organization=token_id.organization))
        if request.endpoint is Endpoint.CLIENT:
            token_id = TokenId(organization=world.organization)
        token = Token(world.minted + 1, token_id, issued, issued + TOKEN_LIFETIME, behind)
        world = world.but(minted=token.number, token=world.token if token_id.template else token)
    told = Told(
        world.now,
        request.request,
        request.endpoint,
        outcome,
        token,
        request.sent_at,
        world.origin(request.cause),
        honest,
        stale_for,
    )
    world = world.but(requests=tuple(other for other in world.requests if other is not request))
    if not honest:
        world = world.unhealthy()
    ended = honest and outcome is Outcome.UNAUTHORIZED
    calls = tuple(
        replace(call, told_ended=call.told_ended or ended, lied_to=call.lied_to or not honest)
        if call.call == request.cause
        else call
        for call in world.calls
    )
    cue = Cue(Answered(request.request, outcome, token), wake=not honest)
    return world.but(calls=calls), (told,), cue


# -- timers run ---------------------------------------------------------------------------------------------


def horizon(world: World, event: Event) -> Millis:
    """The instant at which the step that `event` begins is over. Ask before `begin`."""
    return world.now + event.ms if isinstance(event, Advance | Freeze) else world.now


def next_due(world: World, until: Millis) -> tuple[World, Fact, Cue] | None:
    """The next timer that runs by `until`, with the clock moved to it; None when none does.

    Timers run in deadline order, those with the same deadline in the order in which they were set.
    """
    due = min(world.timers, key=lambda timer: (timer.due, timer.timer), default=None)
    if due is None or due.due > until:
        return None
    now = max(world.now, due.due)
    world = world.but(now=now, timers=tuple(timer for timer in world.timers if timer is not due))
    return world, Fired(now, due.timer, due.set_at, now - due.planned), Cue(TimerDue(due.timer), due.wake)


def finish(world: World, until: Millis) -> World:
    """The end of a step: the clock stands at `until`, and whoever waits too long is no longer healthy."""
    world = world.but(now=until) if world.now < until else world
    hanging = any(world.now - request.sent_at > PATIENCE for request in world.requests)
    return world.unhealthy() if hanging or not world.valid else world


# -- the client's outputs -----------------------------------------------------------------------------------


def absorb(
    world: World, outputs: tuple[Output, ...], wake: bool, starting: bool = False
) -> tuple[World, tuple[Fact, ...]]:
    """Take what the client put out, and say what was seen of it. `wake` is that of the cue it follows from;
    `starting` if that is the start of the app."""
    facts: list[Fact] = []
    for output in outputs:
        world, fact = _absorb_one(world, output, wake, starting)
        if fact:
            facts.append(fact)
    return world, tuple(facts)


def _absorb_one(world: World, output: Output, wake: bool, starting: bool) -> tuple[World, Fact | None]:
    match output:
        case TimerSet(timer, due_on_device, cause):
            due = due_on_device - world.skew
            armed = Armed(world.now, timer, due)
            # A poller goes on whatever happened: else a page would never be out of trouble after one fault.
            wake = wake and not world.polls(due - world.now)
            return world.but(timers=(*world.timers, Timer(timer, due, due, world.now, wake, cause))), armed
        case TimerCleared(timer):
            return world.but(timers=tuple(t for t in world.timers if t.timer != timer)), None
        case RequestSent(number, endpoint, token_id, cause, credential):
            bare = world.locked if credential is None else not credential
            request = Request(number, endpoint, token_id, cause, world.now, world.stale, wake, bare)
            origin = world.origin(cause)
            sent = Sent(world.now, number, endpoint, token_id, origin, world.stale_for, bare)
            return world.but(requests=(*world.requests, request)), sent
        case SignedIn(cause):
            return world.but(signed_in=True), Regained(world.now, world.origin(cause))
        case SignedOut(cause):
            origin = Origin.FOREGROUND if starting else world.origin(cause)
            return world.but(signed_in=False), Dropped(world.now, origin, world.valid)
        case TokenAnnounced(token, before):
            return world, Announced(world.now, token, before)
        case CookieChanged(token):
            due = world.valid and world.signed_in
            return world.but(cookie=token), Kept(world.now, token, due)
        case CallSettled(number, token, error):
            call = next(call for call in world.calls if call.call == number)
            meant = call.token_id
            if call.active:  # whichever was active will do
                given = token.token_id.organization if token else None
                meant = TokenId(organization=given if given in call.active else call.active[-1])
            settled = Settled(
                world.now,
                number,
                call.asked_at,
                meant,
                token,
                error,
                call.healthy,
                call.told_ended and not call.lied_to,
            )
            return world.but(calls=tuple(c for c in world.calls if c is not call)), settled
