"""What a Session object does: calls of the app in the foreground, refreshes in the background.

Models resources/Session.ts in clerk/javascript, packages/clerk-js/src/core; other files are named.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache
from model.clerk.state import Call, Client, Entry, Flight, Purpose, Turn
from model.clerk.terms import PERSONAL, RETRY_AFTER, SESSION_TOKEN
from model.io import CallSettled, SignedIn, SignedOut, TimerSet
from model.operations import API_ERROR_PREFIX, NO_SESSION_ERROR, OFFLINE_ERROR
from model.requests import Outcome
from model.terms import CallId, Millis, Runtime, Token

CALL_RETRY_DELAYS: tuple[Millis, ...] = (3_000, 4_650, 7_207, 11_171, 17_316, 26_839, 41_601, 50_000)
"""Session.ts getToken: 3 s x 1.55^n, at most 50 s, eight times; without jitter, cut to whole ms."""

OFFLINE_RETRIES = 3
"""Session.ts getToken: how often a call is tried again while the client takes itself for offline."""

NOBODY = -1
"""The holder of a request that no Session object sends. Its answer does not read it."""

NO_REPLY = (Outcome.LOST, Outcome.GATEWAY_PAGE)
"""The failures of the network layer, not the server's: no reply, or one that releases before 6.40.0 cannot
parse."""
RATE_LIMITS = (Outcome.RATE_LIMITED, Outcome.RETRY_AFTER)
CLIENT_ERRORS = tuple(one for one in Outcome if 400 <= one.status < 500)
"""The failures with a 4xx status."""
ERROR_NAMES: dict[Outcome, str] = {
    **{one: f"{API_ERROR_PREFIX}{one.status}" for one in (*CLIENT_ERRORS, Outcome.BROKEN)},
    Outcome.RETRY_AFTER: f"{API_ERROR_PREFIX}429-retry-after-{RETRY_AFTER}",
    Outcome.LOST: "Error",
}
"""The name of the error that a call ends with. For a gateway's page it is `Policy.gateway_page_error`."""


def error_name(turn: Turn, failure: Outcome) -> str:
    """The name of the error for a failure."""
    return ERROR_NAMES.get(failure, turn.client.policy.gateway_page_error)


def announce(turn: Turn, flight: Flight, token: Token) -> Turn:
    """The token becomes the last active one of the Session object that requested it, if the flight `announces`.

    Session.ts #dispatchTokenEvents: a template's token never does, nor one for an organization that was not
    active when it was first requested. While the app signs out, it also ends the app's wait for a Session object:
    there is none (clerk.ts, the listener of SessionTokenResolved).
    """
    if not flight.announces:
        return turn
    holder = turn.client.holders[flight.holder]
    kept = cache.fresher(turn, comparable(holder.token, token), token)
    if kept == token and turn.client.leaving:
        turn = sign_out(turn, flight.cause)
    return turn.hold(flight.holder, kept, holder.organization)


def comparable(known: Token | None, token: Token) -> Token | None:
    """The last active token to compare another one's freshness with: `known` if it has the same token id and
    session, else None (tokenFreshness.ts shouldKeepExistingLastActiveToken)."""
    return known if known is not None and known.comparable(token) else None


# -- the foreground (Session.ts getToken, _getToken, #fetchToken) -------------------------------------------


def attempt(turn: Turn, call: Call) -> Turn:
    """One try of a call of getToken: read the cache, wait for a pending fetch, or send one (Session.ts
    _getToken)."""
    token_id = turn.client.meant(call)
    entry = None if call.skip_cache else turn.client.entry(token_id)
    if entry and entry.token and cache.unreadable(turn, entry.token):
        turn = cache.drop(turn, entry)
        entry = None
    if entry and entry.token:
        return _end(turn, call, entry.token, None)
    if entry:
        return turn.but(calls=(*turn.client.calls, replace(call, waits_for=entry.request)))

    policy = turn.client.policy
    if is_offline(turn.client) and not (policy.sends_when_offline or policy.tries_when_offline):
        return _failed(turn, call, None)  # Session.ts _getToken
    request = turn.client.next_request
    # #fetchToken compares what the app passed with the active organization: `PERSONAL` is never equal to that.
    announces = token_id == turn.client.default(call.holder) and call.token_id.organization != PERSONAL
    flight = Flight(request, Purpose.FETCH, token_id, call.holder, call.call, asks=token_id, announces=announces)
    promise = Entry(token_id, call.holder, request=request, baseline=cache.freshest(turn, token_id))
    promise = replace(promise, asks=token_id, announces=announces, cause=call.call)
    turn = cache.vacate(turn, token_id)
    turn = turn.but(cache=(*turn.client.cache, promise))
    turn = turn.send(flight, *(["debug=skip_cache"] if call.skip_cache else []))
    return turn.but(calls=(*turn.client.calls, replace(call, waits_for=request)))


def touch(turn: Turn, call: CallId, holder: int, purpose: Purpose = Purpose.TOUCH, intent: str = "") -> Turn:
    """Send one request, once, even if the client takes itself for offline (Session.ts touch).

    Its answer is for the Session object that was touched (network.py, `_touched`).
    """
    active = turn.client.default(holder)
    flight = Flight(turn.client.next_request, purpose, active, holder, cause=call)
    return turn.send(flight, *([f"intent={intent}"] if intent and turn.client.policy.sends_intent else []))


def switch(turn: Turn, call: CallId, holder: int, organization: str | None) -> Turn:
    """Make another organization the active one at once, and tell the server by a touch (clerk.ts setActive)."""
    turn = turn.hold(holder, turn.client.last_active(holder), organization)
    return touch(turn, call, holder, Purpose.SWITCH, "select_org")


def resolve(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A fetch brought a token: cache it, announce it, and end every call that waits for it (Session.ts
    #fetchToken).

    If the promise of the fetch is no longer in the slot, releases differ in what becomes of the token there.
    """
    entry = turn.client.entry(flight.token_id)
    if entry and entry.request == flight.request:
        turn = cache.keep(turn, entry, token)
    elif entry and turn.client.policy.keep_freshest:
        turn = _answered_late(turn, flight, entry, token)
    elif not turn.client.policy.clear_replaced_timers:
        late = Entry(flight.token_id, flight.holder, token, replaced=True)
        late = replace(late, asks=flight.asks, announces=flight.announces, cause=flight.cause)
        turn = cache.arm(turn, late)
    turn = announce(turn, flight, token)
    turn, waiting = _release(turn, flight)
    for call in waiting:
        turn = _end(turn, call, token, None)
    return turn


def _end(turn: Turn, call: Call, token: Token | None, error: str | None) -> Turn:
    """A call ends with a token or an error.

    Of a switch (clerk.ts setActive): the app gets no token, and an `OFFLINE_ERROR` error counts as success. After
    success the app's Session object is the one that the call was for, even if the user was signed out in between.
    The same goes for a switch to another session.
    """
    if not call.switches:
        return turn.put(CallSettled(call.call, token, error))
    if error not in (None, OFFLINE_ERROR):
        return turn.put(CallSettled(call.call, None, error))
    client, entered = turn.client, turn.client.holders[call.holder].session
    turn = turn.but(chosen=None if call.holder == client.newest(entered) else call.holder)
    turn = turn.but(signed_in=True, leaving=False, session=entered)
    if not client.signed_in or entered != client.session:
        turn = turn.put(SignedIn(call.call, entered))
    return turn.put(CallSettled(call.call, None, None))


def _answered_late(turn: Turn, flight: Flight, entry: Entry, token: Token) -> Turn:
    """A fetch brought a token after another entry took its slot: the fresher token stays (tokenCache.ts
    setInternal, #9030)."""
    if entry.token is None:
        return cache.swap(turn, entry, replace(entry, baseline=cache.fresher(turn, entry.baseline, token)))
    if cache.fresher(turn, entry.token, token) == entry.token:
        return turn
    return cache.keep(turn, replace(entry, cause=flight.cause), token)


def _release(turn: Turn, flight: Flight) -> tuple[Turn, list[Call]]:
    """Take the calls that wait for a request out of the client, in the order in which its answer reaches them.

    The call that sent the request is last: Session.ts #fetchToken awaits a promise derived from the cached one,
    while _getToken awaits that itself.
    """
    waiting = [call for call in turn.client.calls if call.waits_for == flight.request]
    turn = turn.but(calls=tuple(call for call in turn.client.calls if call not in waiting))
    return turn, sorted(waiting, key=lambda call: call.call == flight.cause)


def reject(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A request failed. A fetch drops its promise, and each call that waits for it tries again later, or ends.

    tokenCache.ts empties the slot only if it still has this promise. Session.ts #refreshTokenInBackground
    swallows the failure of a refresh and arms no timer.
    """
    policy = turn.client.policy
    if flight.purpose in (Purpose.TOUCH, Purpose.SWITCH):
        return touched(turn, flight, failure)
    if flight.purpose in (Purpose.SIGN_IN, Purpose.SIGN_OUT):
        assert flight.cause is not None, "only the app signs in or out"
        error = NO_SESSION_ERROR if nothing_came(turn.client, failure) else error_name(turn, failure)
        return turn.put(CallSettled(flight.cause, None, error))
    if flight.purpose is Purpose.REFRESH:
        if failure is Outcome.UNAUTHORIZED and policy.background_401_marks_stale:
            turn = cache.drop(turn, turn.client.entry(flight.token_id))
        turn = turn.but(refreshing=turn.client.refreshing - {flight.token_id})
        return cache.rearm(turn, turn.client.entry(flight.token_id))
    entry = turn.client.entry(flight.token_id)
    if entry and entry.request == flight.request:
        turn = cache.drop(turn, entry)
    turn, waiting = _release(turn, flight)
    for call in waiting:
        turn = _failed(turn, call, failure)
    return turn


def touched(turn: Turn, flight: Flight, failure: Outcome | None = None) -> Turn:
    """A touch ended, well or with a failure, and with it its call. A switch goes on with a call of getToken on
    the newest Session object, unless its policy ends it with the failure."""
    assert flight.cause is not None, "only the app touches a session"
    policy = turn.client.policy
    error = None if failure is None else error_name(turn, failure)
    if flight.purpose is Purpose.TOUCH:
        return turn.put(CallSettled(flight.cause, None, error))
    refused = failure is Outcome.UNAUTHORIZED
    refused = refused or (failure is Outcome.FORBIDDEN and policy.banned_is_unauthenticated)
    refused = refused or (failure in CLIENT_ERRORS and not policy.switch_fails_with_touch)
    if error and not refused and policy.switch_fails_with_touch:
        return turn.put(CallSettled(flight.cause, None, error))
    client = turn.client
    if refused and client.has_session:
        turn = recover(turn, flight)  # clerk.ts #touchCurrentSession does not wait for it
    holder = client.newest(client.holders[flight.holder].session)
    if holder is None:  # no session, not even the one that an earlier switch has chosen
        turn = sign_out(turn, flight.cause).but(chosen=None)
        return turn.put(CallSettled(flight.cause, None, None))
    return attempt(turn, Call(flight.cause, SESSION_TOKEN, skip_cache=False, holder=holder, switches=True))


def recover(turn: Turn, flight: Flight, parent: Flight | None = None, nested: bool = False) -> Turn:
    """Start a recovery because of `flight`; `parent` waits for it (clerk.ts handleUnauthenticated)."""
    request, offline = turn.client.next_request, is_offline(turn.client)
    recovery = Flight(request, Purpose.RECOVERY, SESSION_TOKEN, flight.holder, flight.cause, parent)
    return turn.send(replace(recovery, offline=offline, nested=nested))


def sign_out(turn: Turn, cause: CallId | None) -> Turn:
    """Drop the session (clerk.ts setActive({session: null})). Cache and timers stay, as they do in the SDK."""
    if not turn.client.signed_in:
        return turn
    return turn.but(signed_in=False, leaving=False, dropped=turn.client.last_seen).put(SignedOut(cause))


def nothing_came(client: Client, outcome: Outcome) -> bool:
    """Does this outcome make the network layer return null, not an error (Base.ts _baseFetch, while offline)?
    Since #7912 a request for a token takes that for a failure; a touch does not."""
    return outcome in NO_REPLY and is_offline(client)


def empty(turn: Turn, flight: Flight) -> Turn:
    """A request was answered null (`nothing_came`), which counts as an empty token (until #7912).

    An empty token replaces what is in the slot, and is not kept. Calls that wait end with `OFFLINE_ERROR`
    (#7598). A touch ends well, and changes nothing.
    """
    if flight.purpose in (Purpose.TOUCH, Purpose.SWITCH):
        return touched(turn, flight)
    if flight.purpose is Purpose.REFRESH:
        turn = cache.vacate(turn, flight.token_id)
        return turn.but(refreshing=turn.client.refreshing - {flight.token_id})
    entry = turn.client.entry(flight.token_id)
    if entry and entry.request == flight.request:
        turn = cache.drop(turn, entry)
    turn, waiting = _release(turn, flight)
    for call in waiting:
        turn = _end(turn, call, None, OFFLINE_ERROR)
    return turn


def _failed(turn: Turn, call: Call, failure: Outcome | None) -> Turn:
    """A try of a call failed with `failure`, or was not made while offline (None): the call tries again later, or
    ends.

    Session.ts getToken: a 4xx other than 429 ends it at once.
    """
    policy, offline = turn.client.policy, is_offline(turn.client)
    final = failure in CLIENT_ERRORS and not (failure in RATE_LIMITS and policy.retry_rate_limited)
    if not final and call.failures < (OFFLINE_RETRIES if offline else len(CALL_RETRY_DELAYS)):
        return _retry_later(turn, call)
    error = error_name(turn, failure) if failure else OFFLINE_ERROR
    hidden = offline and not (policy.answers_stand and failure not in NO_REPLY)
    return _end(turn, call, None, OFFLINE_ERROR if hidden else error)


def is_offline(client: Client) -> bool:
    """Does the client take itself for offline (browser.ts isBrowserOnline)? It reads the navigator each time;
    React Native's has no `onLine`."""
    return client.offline if client.runtime.sees_network else client.policy.offline_in_react_native


def _retry_later(turn: Turn, call: Call) -> Turn:
    """Set the retry timer of a call (Session.ts getToken)."""
    timer = turn.client.next_timer
    later = replace(call, failures=call.failures + 1, waits_for=None, retry=timer)
    turn = turn.but(calls=(*turn.client.calls, later), next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + CALL_RETRY_DELAYS[call.failures], call.call))


# -- the background (Session.ts #refreshTokenInBackground) --------------------------------------------------


def _guarded(turn: Turn, entry: Entry) -> bool:
    """Does the guard of #8303 skip this refresh? Headless, it does if the last active token of the Session object
    has expired, strictly.

    It checks the *session* token, whatever token the timer is for, and only before the request is sent.
    """
    client = turn.client
    token = entry.token if client.policy.guard_own_token else client.last_active(entry.holder)
    if not client.policy.guard_expired_refresh or client.runtime is not Runtime.HEADLESS or token is None:
        return False
    return turn.at > token.expires * 1000


def refresh(turn: Turn, entry: Entry) -> Turn:
    """A refresh timer fired: send a request for this token, unless one is in flight, or the guard skips it
    (Session.ts #refreshTokenInBackground)."""
    if entry.token_id in turn.client.refreshing or _guarded(turn, entry):
        return cache.rearm(turn, entry)
    turn = turn.but(refreshing=turn.client.refreshing | {entry.token_id})
    request = turn.client.next_request
    asks = entry.asks or turn.client.default(entry.holder)
    flight = Flight(request, Purpose.REFRESH, entry.token_id, entry.holder, entry.cause)
    return turn.send(replace(flight, asks=asks, announces=entry.announces))
