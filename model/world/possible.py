"""When an event is impossible in a world, whatever is assumed of it."""

from __future__ import annotations

from model.operations import Load, Operation
from model.requests import Ending, Outcome, succeeds
from model.terms import RequestId, Runtime, TabState
from model.world.events import (
    Advance,
    Answer,
    CloseChannel,
    Deliver,
    Event,
    FreeLock,
    Freeze,
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
from model.world.state import World


class NotEnabled(Exception):
    """The event is impossible in this world, whatever is assumed. The message says why."""


MOST_SESSIONS = 2
"""How many sessions a device may have at once."""


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
        case Operation(enters=True) if event.user is None and not world.entrances:
            return f"the client knows of no other session to call {event.verb} for"
        case Operation(enters=True) if (
            event.user is not None and len(world.sessions) + world.signing_in >= MOST_SESSIONS
        ):
            return f"this device has {MOST_SESSIONS} sessions, or is signing in to them"
        case Serve(outcome=Outcome.LOST):
            return "a reply that is lost is not under way"
        case Answer(number, outcome) | Serve(number, outcome):
            return _unanswerable(world, number, outcome)
        case Deliver(number) | Lose(number):
            return _undeliverable(world, event)
        case Revoke() if not world.valid:
            return "the session has already ended"
        case RevokeOther():
            return _unrevocable(world, event)
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
        case TurnTo() | HearTab() | HoldLock() | FreeLock() | CloseChannel():
            return _untold(world, event)
        case StartApp() | RestartApp():
            return _unstartable(world, event)
    return None


def _unanswerable(world: World, number: RequestId, outcome: Outcome) -> str | None:
    """Why the request cannot end with `outcome`; None if it can."""
    request = world.request(number)
    if request is None:
        return f"no request {number} is in flight"
    if request.reply:
        return f"the server has acted on request {number} already, and its reply is under way"
    if outcome not in world.server.outcomes(request.endpoint):
        return f"a request to {request.endpoint} cannot end with '{outcome}'"
    if request.unauthenticated and succeeds(request.endpoint, outcome):
        return f"a request to {request.endpoint} without a credential cannot end with '{outcome}'"
    if world.offline and outcome is not Outcome.LOST:
        return f"the device is offline: a request cannot end with '{outcome}'"
    return None


def _unrevocable(world: World, event: RevokeOther) -> str | None:
    """Why the server cannot end this session alone; None if it can."""
    session = next((one.session for one in world.others if one.session.number == event.session), None)
    if session is None or not world.holds(session):
        return f"the server holds no session {event.session} of this device beside the app's"
    if event.ending is Ending.BANNED and session.user == world.session.user and world.valid:
        return "a ban of this user ends the app's session too"
    return None


def _undeliverable(world: World, event: Deliver | Lose) -> str | None:
    """Why the reply cannot reach the client, or cannot be lost; None if it can."""
    request = world.request(event.request)
    if request is None or request.reply is None:
        return f"no reply to request {event.request} is under way"
    if world.offline and isinstance(event, Deliver):
        return "the device is offline: no reply can reach it"
    return None


def _untold(world: World, event: TurnTo | HearTab | HoldLock | FreeLock | CloseChannel) -> str | None:
    """Why the page cannot be told this; None if it can."""
    match event:
        case _ if not world.runtime.is_page:
            return f"the runtime {world.runtime} has no tab"
        case TurnTo(TabState.FOCUSED) if world.runtime is Runtime.FRAME:
            return "a frame of another site gets no focus before the user clicks into it"
        case TurnTo(state) if state is world.page.tab:
            return f"the tab is {state} already"
        case HearTab(outcome) if outcome not in (Outcome.GRANTED, Outcome.STALE_TOKEN):
            return f"a tab that gets '{outcome}' has no token to tell of"
        case HoldLock() | FreeLock() if world.page.held == isinstance(event, HoldLock):
            return f"another tab {'holds' if world.page.held else 'does not hold'} the lock"
        case HearTab() if not world.valid:
            return "the session has ended: no tab gets a token"
        case HearTab() | CloseChannel() if not world.page.channel:
            return "the channel between the tabs is closed"
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
