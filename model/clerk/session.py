"""What a Session object does: calls of getToken in the foreground, refreshes in the background.

Places are in clerk/javascript, packages/clerk-js/src/core: resources/Session.ts unless they say otherwise.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache
from model.clerk.state import Call, Client, Entry, Flight, Purpose, Turn
from model.terms import (
    PERSONAL,
    SESSION_TOKEN,
    CallId,
    CallSettled,
    Millis,
    Outcome,
    Runtime,
    SignedIn,
    SignedOut,
    TimerSet,
    Token,
    TokenId,
)

CALL_RETRY_DELAYS: tuple[Millis, ...] = (3_000, 4_650, 7_207, 11_171, 17_316, 26_839, 41_601, 50_000)
"""Session.ts getToken: 3 s x 1.55^n, at most 50 s, eight times; without jitter, cut to whole ms."""

OFFLINE_RETRIES = 3
"""Session.ts getToken, while the client takes itself for offline."""
OFFLINE = "offline"
"""What a call ends with that is not told anything, because there is no network (ClerkOfflineError, #7598)."""

NO_REPLY = (Outcome.LOST, Outcome.GATEWAY_PAGE)
"""What the network layer fails at, rather than the server: no reply, or one that it cannot read."""
ERROR_NAMES: dict[Outcome, str] = {
    Outcome.UNAUTHORIZED: "api-401",
    Outcome.RATE_LIMITED: "api-429",
    Outcome.BROKEN: "api-500",
    Outcome.LOST: "Error",
}
"""What the app sees when a call ends without a token. What a gateway's page ends in, a policy says."""


def announce(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A session token becomes the last active one of the object that asked for it.

    Session.ts #dispatchTokenEvents: a template's never does, nor one for an organization that was not the active
    one when it was first asked for.
    """
    if not flight.announces:
        return turn
    holders, holder = turn.client.holders, flight.holder
    token = cache.fresher(turn, comparable(holders[holder], token), token)
    return turn.but(holders=(*holders[:holder], token, *holders[holder + 1 :]))


def comparable(known: Token | None, token: Token) -> Token | None:
    """The last active token by which another's freshness is judged: only one for the same organization
    (tokenFreshness.ts shouldKeepExistingLastActiveToken)."""
    return known if known is not None and known.token_id == token.token_id else None


# -- the foreground (Session.ts getToken, _getToken, #fetchToken) -------------------------------------------


def attempt(turn: Turn, call: Call) -> Turn:
    """One attempt of a foreground call: read the cache, wait for a pending fetch, or send one."""
    token_id = turn.client.meant(call)
    entry = None if call.skip_cache else turn.client.entry(token_id)
    if entry and entry.token and entry.token.expires - turn.at // 1000 <= cache.READ_CUTOFF:
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
    # To whoever says `PERSONAL` that is not the active organization, even if none is (#fetchToken compares them).
    active = TokenId(organization=turn.client.organization(call.holder))
    announces = token_id == active and call.token_id.organization != PERSONAL
    flight = Flight(request, Purpose.FETCH, token_id, call.holder, call.call, asks=token_id, announces=announces)
    promise = Entry(token_id, call.holder, request=request, baseline=cache.freshest(turn, token_id))
    promise = replace(promise, asks=token_id, announces=announces)
    turn = cache.vacate(turn, token_id)
    turn = turn.but(cache=(*turn.client.cache, promise)).send(flight)
    return turn.but(calls=(*turn.client.calls, replace(call, waits_for=request)))


def touch(turn: Turn, call: CallId) -> Turn:
    """The session is in use: one request, tried once, whether the client takes itself for offline or not.

    Session.ts touch. The answer goes to the object that was touched; network.py has what it brings.
    """
    holder, request = turn.client.current, turn.client.next_request
    active = TokenId(organization=turn.client.organization(holder))
    return turn.send(Flight(request, Purpose.TOUCH, active, holder, cause=call))


def switch(turn: Turn, call: CallId, organization: str | None) -> Turn:
    """Another organization is the active one from now on, whatever comes of the touch that says so to the server.

    clerk.ts setActive.
    """
    turn = turn.activate(turn.client.current, organization)
    touched = touch(turn, call)
    *flights, flight = touched.client.flights
    return touched.but(flights=(*flights, replace(flight, purpose=Purpose.SWITCH)))


def resolve(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A fetch brought a token: cache it, announce it, give it to every call that waits for it."""
    entry = turn.client.entry(flight.token_id)
    if entry and entry.request == flight.request:
        turn = cache.keep(turn, entry, token)
    elif entry and turn.client.policy.keep_freshest:
        turn = _late(turn, entry, token)
    elif not turn.client.policy.clear_replaced_timers:
        late = Entry(flight.token_id, flight.holder, token, replaced=True)
        turn = cache.arm(turn, replace(late, asks=flight.asks, announces=flight.announces))
    turn = announce(turn, flight, token)
    turn, waiting = _release(turn, flight)
    for call in waiting:
        turn = _end(turn, call, token, None)
    return turn


def _end(turn: Turn, call: Call, token: Token | None, error: str | None) -> Turn:
    """A call ends. One that switches gives the app no token, and minds nothing that comes of being offline: the
    session is now the object that it asked (clerk.ts setActive), even if it has been dropped meanwhile."""
    if not call.switches:
        return turn.put(CallSettled(call.call, token, error))
    if error not in (None, OFFLINE):
        return turn.put(CallSettled(call.call, None, error))
    turn = turn.but(chosen=None if call.holder == turn.client.newest else call.holder)
    if not turn.client.signed_in:
        turn = turn.but(signed_in=True).put(SignedIn(call.call))
    return turn.put(CallSettled(call.call, None, None))


def _late(turn: Turn, entry: Entry, token: Token) -> Turn:
    """A token for a slot in which its fetch was replaced meanwhile (tokenCache.ts setInternal, #9030)."""
    if entry.token is None:
        return cache.swap(turn, entry, replace(entry, baseline=cache.fresher(turn, entry.baseline, token)))
    if cache.fresher(turn, entry.token, token) is entry.token:
        return turn
    return cache.keep(turn, entry, token)


def _release(turn: Turn, flight: Flight) -> tuple[Turn, list[Call]]:
    """The calls that wait for a request, in the order in which they hear of its end: those that joined first.

    Session.ts _getToken awaits the cached promise itself, #fetchToken one that was derived from it.
    """
    waiting = [call for call in turn.client.calls if call.waits_for == flight.request]
    turn = turn.but(calls=tuple(call for call in turn.client.calls if call not in waiting))
    return turn, sorted(waiting, key=lambda call: call.call == flight.cause)


def reject(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A fetch or refresh failed: drop the promise; each call that waits tries again later, or ends.

    tokenCache.ts drops the slot only if it still holds this promise. Session.ts getToken: 4xx other than 429
    ends at once. Session.ts #refreshTokenInBackground: a failure is swallowed, and re-arms nothing.
    """
    policy = turn.client.policy
    if flight.purpose in (Purpose.TOUCH, Purpose.SWITCH):
        return touched(turn, flight, failure)
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
    """A touch ends, well or not. Nobody else waits for it; a switch goes on to what is the session then."""
    assert flight.cause is not None, "only the app touches a session"
    policy = turn.client.policy
    error = None if failure is None else ERROR_NAMES.get(failure, policy.gateway_page_error)
    if flight.purpose is Purpose.TOUCH:
        return turn.put(CallSettled(flight.cause, None, error))
    refused = failure is Outcome.UNAUTHORIZED
    refused = refused or (failure is Outcome.RATE_LIMITED and not policy.switch_fails_with_touch)
    if error and not refused and policy.switch_fails_with_touch:
        return turn.put(CallSettled(flight.cause, None, error))
    if refused and turn.client.signed_in:  # clerk.ts #touchCurrentSession asks once more, and does not wait
        request = turn.client.next_request
        recovery = Flight(request, Purpose.RECOVERY, SESSION_TOKEN, flight.holder, flight.cause)
        turn = turn.send(replace(recovery, offline=is_offline(turn.client)))
    holder = turn.client.newest
    if turn.client.holders[holder] is None:  # nor is the session any longer that an earlier switch took up again
        last = turn.client.holders[turn.client.current] or turn.client.dropped
        turn = sign_out(turn.but(chosen=None, dropped=last), flight.cause)
        return turn.put(CallSettled(flight.cause, None, None))
    return attempt(turn, Call(flight.cause, SESSION_TOKEN, skip_cache=False, holder=holder, switches=True))


def sign_out(turn: Turn, cause: CallId | None) -> Turn:
    """clerk.ts setActive({session: null}). The cache and its timers are left as they are: so does the SDK."""
    if not turn.client.signed_in:
        return turn
    return turn.but(signed_in=False).put(SignedOut(cause))


def nothing_came(client: Client, outcome: Outcome) -> bool:
    """Is this null to the client, and no error (Base.ts _baseFetch, while offline)? Since #7912 whoever asked for
    a token takes it for a failure all the same, whoever touched a session does not."""
    return outcome in NO_REPLY and is_offline(client)


def empty(turn: Turn, flight: Flight) -> Turn:
    """An empty token is not kept, nor is what it takes the place of; who waits hears of being offline (#7598). To
    a touch it is an answer like another: it ends well, and nothing has changed."""
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
        turn = _end(turn, call, None, OFFLINE)
    return turn


def _failed(turn: Turn, call: Call, failure: Outcome | None) -> Turn:
    """An attempt of a call failed, or was not made: it tries again later, or ends (Session.ts getToken)."""
    policy, offline = turn.client.policy, is_offline(turn.client)
    final = failure is Outcome.UNAUTHORIZED or (failure is Outcome.RATE_LIMITED and not policy.retry_rate_limited)
    if not final and call.failures < (OFFLINE_RETRIES if offline else len(CALL_RETRY_DELAYS)):
        return _again(turn, call)
    error = ERROR_NAMES.get(failure, policy.gateway_page_error) if failure else OFFLINE
    hidden = offline and not (policy.answers_stand and failure not in NO_REPLY)
    return _end(turn, call, None, OFFLINE if hidden else error)


def is_offline(client: Client) -> bool:
    """Does the client take itself for offline (browser.ts isBrowserOnline)? It looks at a navigator each time;
    React Native's does not say."""
    if client.runtime is Runtime.HEADLESS:
        return client.policy.offline_in_react_native
    return client.offline


def _again(turn: Turn, call: Call) -> Turn:
    """A call tries again after a while. Side effect: sets its retry timer."""
    timer = turn.client.next_timer
    later = replace(call, failures=call.failures + 1, waits_for=None, retry=timer)
    turn = turn.but(calls=(*turn.client.calls, later), next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + CALL_RETRY_DELAYS[call.failures], call.call))


# -- the background (Session.ts #refreshTokenInBackground) --------------------------------------------------


def _guarded(turn: Turn, entry: Entry) -> bool:
    """The guard of #8303: headless, and the object's last active token has expired, strictly.

    Note what it looks at: the last active *session* token, whatever token the timer belongs to, and only
    before sending.
    """
    client = turn.client
    token = entry.token if client.policy.guard_own_token else client.holders[entry.holder]
    if not client.policy.guard_expired_refresh or client.runtime is not Runtime.HEADLESS or token is None:
        return False
    return turn.at > token.expires * 1000


def refresh(turn: Turn, entry: Entry) -> Turn:
    """A refresh timer fired: one background request for this token, unless one is already in flight."""
    if entry.token_id in turn.client.refreshing or _guarded(turn, entry):
        return cache.rearm(turn, entry)
    turn = turn.but(refreshing=turn.client.refreshing | {entry.token_id})
    request = turn.client.next_request
    asks = entry.asks or TokenId(organization=turn.client.organization(entry.holder))
    flight = Flight(request, Purpose.REFRESH, entry.token_id, entry.holder, cause=None)
    return turn.send(replace(flight, asks=asks, announces=entry.announces))
