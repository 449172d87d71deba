"""The client: what an SDK does with a session, as one pure transition function.

Two rules about this file. It may contain only the client, never the world: no clock, no network, no server,
no idea of what is true beyond the device. And each rule names the place in the SDK it stands for.

Theory of operation
-------------------
A client that is signed in keeps tokens in a *cache*, one entry for each template (None is the session token
itself). An entry has two timers: *refresh* at 17 s before expiry and *eviction* at expiry. When the refresh
timer fires, the client asks for a new token in the background; the old one stays readable until the answer
is there. A failed refresh is swallowed and re-arms nothing: the entry then dies by its eviction timer, or by
a read that finds 5 s or less on it.

A foreground call (`getToken`) reads the cache. On a miss it sends a request and caches the *promise* of it,
so that later calls wait for the same answer. A failure is tried again up to eight times, unless it is a 4xx other
than 429.

Any 401, whoever asked, makes the client ask GET /client whether it still has a session. The request that met
the 401 stays unsettled meanwhile. No session in the answer, or a 500, and the user is signed out.

Each Session object of the SDK remembers its last active token, and the closures of its timers read *its*
token. An answer with a client payload replaces the object; timers set before go on reading the old one.
`Client.holders` are those objects: their last active tokens, oldest object first.

Known gaps
----------
Organizations, piggybacked client payloads, touch and offline mode are not modelled yet, nor is a page, whose
cookie service has a poller. Answers are minted when they arrive. The SDK draws jitter for
the network layer's retries; here, as in our driver, the draw is always 0.

Places are in clerk/javascript, packages/clerk-js/src/core unless they say otherwise.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.client import Call, Client, Entry, Flight, Purpose, Turn
from model.policy import Policy
from model.terms import (
    Answered,
    CallId,
    CallSettled,
    ClockChanged,
    Endpoint,
    KeychainTurned,
    Millis,
    Outcome,
    Output,
    RequestSent,
    Runtime,
    Seconds,
    SignedOut,
    Stimulus,
    TimerCleared,
    TimerDue,
    TimerId,
    TimerSet,
    Token,
    TokenAnnounced,
    TokenAsked,
)

MODELLED = frozenset({Runtime.HEADLESS, Runtime.BROWSER_LIKE})
"""The runtimes that this file describes."""

REFRESH_LEAD: Seconds = 15 + 2
"""tokenCache.ts: the background refresh threshold, and the lead before it."""

READ_CUTOFF: Seconds = 5
"""tokenCache.ts get: a read that finds this much left, or less, drops the entry and counts as a miss."""

CALL_RETRY_DELAYS: tuple[Millis, ...] = (3_000, 4_650, 7_207, 11_171, 17_316, 26_839, 41_601, 50_000)
"""Session.ts getToken: 3 s x 1.55^n, at most 50 s, eight times; without jitter, cut to whole ms."""

OFFLINE_RETRIES = 3
"""Session.ts getToken, while the client takes itself for offline."""

REARM_DELAY: Millis = 5_000
"""Of a proposed fix, in no release: how long a refresh that came to nothing waits before it is tried again."""

NO_REPLY = (Outcome.LOST, Outcome.GATEWAY_PAGE)
"""What the network layer fails at, rather than the server: no reply, or one that it cannot read."""

NETWORK_RETRY_DELAYS: tuple[Millis, ...] = (100, 700, 1_400, 2_800, *[5_000] * 6)
"""fapiClient.ts request: a lost GET is sent again, a lost POST never; all ten times only while offline."""

NETWORK_RETRIES_ONLINE = 3


def sign_in(policy: Policy, runtime: Runtime, token: Token) -> tuple[Client, tuple[Output, ...]]:
    """A client that has just loaded, signed in, with `token` as its session's last active one."""
    client = Client(policy, runtime, signed_in=True, holders=(token,))
    turn = _cache_token(Turn(client, at=0), None, 0, token)  # Session.ts #hydrateCache
    return turn.client, turn.outputs


def step(client: Client, stimulus: Stimulus, at: Millis) -> tuple[Client, tuple[Output, ...]]:
    """What `stimulus` does to the client at `at` ms of its own clock.

    Raises `LookupError` for a timer or request that the client does not have: the world lost count.
    """
    turn = Turn(client, at)
    match stimulus:
        case TokenAsked(call, template, skip_cache):
            holder = len(client.holders) - 1
            turn = _attempt(turn, Call(call, template, skip_cache, holder))
        case TimerDue(timer):
            turn = _timer_due(turn, timer)
        case Answered(request, outcome, token):
            flight = next(flight for flight in client.flights if flight.request == request)
            turn = turn.but(flights=tuple(f for f in client.flights if f is not flight))
            turn = _answered(turn, flight, outcome, token)
        case ClockChanged():
            pass  # whoever looks at the clock will see it
        case KeychainTurned():
            pass  # the credential is the device's affair: what leaves with a request is not seen here
    return _announced(client, turn)


def _announced(before: Client, turn: Turn) -> tuple[Client, tuple[Output, ...]]:
    """What the current Session object's last active token has become is for everybody to see."""
    old, new = before.holders[-1], turn.client.holders[-1]
    if new is not None and new is not old and turn.client.signed_in:
        turn = turn.put(TokenAnnounced(new, old))
    return turn.client, turn.outputs


# -- the token cache (tokenCache.ts) ------------------------------------------------------------------------


def _drop(turn: Turn, entry: Entry | None) -> Turn:
    """Forget an entry and its timers (tokenCache.ts, the deletion that get, set and eviction share)."""
    if entry is None:
        return turn
    timers = [timer for timer in (entry.eviction, entry.refresh) if timer is not None]
    return _swap(turn.put(*(TimerCleared(timer) for timer in timers)), entry, None)


def _swap(turn: Turn, entry: Entry, other: Entry | None) -> Turn:
    """Put `other` in the place of an entry, or nothing."""
    place = turn.client.cache.index(entry)
    return turn.but(
        cache=(*turn.client.cache[:place], *[other] * (other is not None), *turn.client.cache[place + 1 :])
    )


def _vacate(turn: Turn, template: str | None) -> Turn:
    """Whatever is in a slot goes, with its timers; before #8098 they went on (tokenCache.ts setInternal)."""
    entry = turn.client.entry(template)
    if entry and not turn.client.policy.clear_replaced_timers and entry.token:
        return _swap(turn, entry, replace(entry, replaced=True))
    return _drop(turn, entry)


def _cache_token(turn: Turn, template: str | None, holder: int, token: Token) -> Turn:
    """Put a token into its slot, if that has held no fresher one, and arm both timers."""
    token = _fresher(turn, _freshest(turn, template), token)
    return _arm(_vacate(turn, template), Entry(template, holder, token))


def _fresher(turn: Turn, known: Token | None, token: Token) -> Token:
    """Which of the two to keep (tokenFreshness.ts, by `oiat`; what came later, where that says nothing)."""
    keep = turn.client.policy.keep_freshest and known is not None and token.behind and not known.behind
    return known if keep and known is not None else token


def _freshest(turn: Turn, template: str | None) -> Token | None:
    """The freshest token that a slot has held since it was last empty (tokenCache.ts `baseline`)."""
    entry = turn.client.entry(template)
    return (entry.token or entry.baseline) if entry else None


def _arm(turn: Turn, entry: Entry) -> Turn:
    """Add an entry with its timers, up to two; none that has expired.

    tokenCache.ts setInternal: no refresh timer when 17 s or less remain.
    """
    token = entry.token
    assert token is not None, "only a token has timers"
    begins = turn.at // 1000 if turn.client.policy.timers_by_expiry else token.issued
    remaining = token.expires - begins
    if remaining <= 0:
        return turn
    eviction = turn.client.next_timer
    entry, timers = replace(entry, eviction=eviction), [TimerSet(eviction, turn.at + remaining * 1000, None)]
    if remaining > REFRESH_LEAD:
        entry = replace(entry, refresh=eviction + 1)
        timers.append(TimerSet(eviction + 1, turn.at + (remaining - REFRESH_LEAD) * 1000, None))
    turn = turn.but(cache=(*turn.client.cache, entry), next_timer=eviction + len(timers)).put(*timers)
    return _rearm(turn, entry)


def _announce(turn: Turn, holder: int, token: Token) -> Turn:
    """A session token becomes the last active one of the object that asked for it.

    Session.ts #dispatchTokenEvents: templates never do.
    """
    if not token.is_session_token:
        return turn
    holders = turn.client.holders
    token = _fresher(turn, holders[holder], token)
    return turn.but(holders=(*holders[:holder], token, *holders[holder + 1 :]))


# -- the foreground (Session.ts getToken, _getToken, #fetchToken) -------------------------------------------


def _attempt(turn: Turn, call: Call) -> Turn:
    """One attempt of a foreground call: read the cache, wait for a pending fetch, or send one."""
    entry = None if call.skip_cache else turn.client.entry(call.template)
    if entry and entry.token and entry.token.expires - turn.at // 1000 <= READ_CUTOFF:
        turn = _drop(turn, entry)
        entry = None
    if entry and entry.token:
        return turn.put(CallSettled(call.call, entry.token, None))
    if entry:
        return turn.but(calls=(*turn.client.calls, replace(call, waits_for=entry.request)))

    if _offline(turn.client) and not turn.client.policy.sends_when_offline:
        return _failed(turn, call, None)  # Session.ts _getToken
    request = turn.client.next_request
    promise = Entry(call.template, call.holder, request=request, baseline=_freshest(turn, call.template))
    turn = _vacate(turn, call.template)
    turn = turn.but(cache=(*turn.client.cache, promise))
    turn = _send(turn, Flight(request, Purpose.FETCH, call.template, call.holder, cause=call.call))
    return turn.but(calls=(*turn.client.calls, replace(call, waits_for=request)))


def _resolve(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A fetch brought a token: cache it, announce it, give it to every call that waits for it."""
    entry = turn.client.entry(flight.template)
    if entry and entry.request == flight.request:
        turn = _cache_token(turn, flight.template, entry.holder, token)
    elif entry and turn.client.policy.keep_freshest:
        turn = _late(turn, entry, token)
    elif not turn.client.policy.clear_replaced_timers:
        turn = _arm(turn, Entry(flight.template, flight.holder, token, replaced=True))
    turn = _announce(turn, flight.holder, token)
    turn, waiting = _release(turn, flight)
    return turn.put(*(CallSettled(call.call, token, None) for call in waiting))


def _late(turn: Turn, entry: Entry, token: Token) -> Turn:
    """A token for a slot in which its fetch was replaced meanwhile (tokenCache.ts setInternal, #9030)."""
    if entry.token is None:
        return _swap(turn, entry, replace(entry, baseline=_fresher(turn, entry.baseline, token)))
    if _fresher(turn, entry.token, token) is entry.token:
        return turn
    return _cache_token(turn, entry.template, entry.holder, token)


def _release(turn: Turn, flight: Flight) -> tuple[Turn, list[Call]]:
    """The calls that wait for a request, in the order in which they hear of its end: those that joined first.

    Session.ts _getToken awaits the cached promise itself, #fetchToken one that was derived from it.
    """
    waiting = [call for call in turn.client.calls if call.waits_for == flight.request]
    turn = turn.but(calls=tuple(call for call in turn.client.calls if call not in waiting))
    return turn, sorted(waiting, key=lambda call: call.call == flight.cause)


def _reject(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A fetch or refresh failed: drop the promise; each call that waits tries again later, or ends.

    tokenCache.ts drops the slot only if it still holds this promise. Session.ts getToken: 4xx other than 429
    ends at once. Session.ts #refreshTokenInBackground: a failure is swallowed, and re-arms nothing.
    """
    policy = turn.client.policy
    if flight.purpose is Purpose.REFRESH:
        if failure is Outcome.UNAUTHORIZED and policy.background_401_marks_stale:
            turn = _drop(turn, turn.client.entry(flight.template))
        turn = turn.but(refreshing=turn.client.refreshing - {flight.template})
        return _rearm(turn, turn.client.entry(flight.template))
    entry = turn.client.entry(flight.template)
    if entry and entry.request == flight.request:
        turn = _drop(turn, entry)
    turn, waiting = _release(turn, flight)
    for call in waiting:
        turn = _failed(turn, call, failure)
    return turn


def _nothing_came(client: Client, outcome: Outcome) -> bool:
    """Is this null to the client, and no error (Base.ts _baseFetch, while offline)? #7912 let nobody see it."""
    return outcome in NO_REPLY and _offline(client) and client.policy.sends_when_offline


def _empty(turn: Turn, flight: Flight) -> Turn:
    """An empty token is not kept, nor is what it takes the place of; who waits hears of being offline (#7598)."""
    if flight.purpose is Purpose.REFRESH:
        turn = _vacate(turn, flight.template)
        return turn.but(refreshing=turn.client.refreshing - {flight.template})
    entry = turn.client.entry(flight.template)
    if entry and entry.request == flight.request:
        turn = _drop(turn, entry)
    turn, waiting = _release(turn, flight)
    return turn.put(*(CallSettled(call.call, None, "offline") for call in waiting))


def _failed(turn: Turn, call: Call, failure: Outcome | None) -> Turn:
    """An attempt of a call failed, or was not made: it tries again later, or ends (Session.ts getToken)."""
    policy, offline = turn.client.policy, _offline(turn.client)
    final = failure is Outcome.UNAUTHORIZED or (failure is Outcome.RATE_LIMITED and not policy.retry_rate_limited)
    if not final and call.failures < (OFFLINE_RETRIES if offline else len(CALL_RETRY_DELAYS)):
        return _again(turn, call)
    error = "offline" if offline or failure is None else ERROR_NAMES.get(failure, policy.gateway_page_error)
    return turn.put(CallSettled(call.call, None, error))


def _offline(client: Client) -> bool:
    """Does the client take itself for offline (browser.ts isValidBrowserOnline)?"""
    return client.policy.offline_in_react_native and client.runtime is Runtime.HEADLESS


def _again(turn: Turn, call: Call) -> Turn:
    """A call tries again after a while. Side effect: sets its retry timer."""
    timer = turn.client.next_timer
    later = replace(call, failures=call.failures + 1, waits_for=None, retry=timer)
    turn = turn.but(calls=(*turn.client.calls, later), next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + CALL_RETRY_DELAYS[call.failures], call.call))


ERROR_NAMES: dict[Outcome, str] = {
    Outcome.UNAUTHORIZED: "api-401",
    Outcome.RATE_LIMITED: "api-429",
    Outcome.BROKEN: "api-500",
    Outcome.LOST: "Error",
}
"""What the app sees when a call ends without a token. What a gateway's page ends in, a policy says."""


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


def _refresh(turn: Turn, entry: Entry) -> Turn:
    """A refresh timer fired: one background request for this token, unless one is already in flight."""
    if entry.template in turn.client.refreshing or _guarded(turn, entry):
        return _rearm(turn, entry)
    turn = turn.but(refreshing=turn.client.refreshing | {entry.template})
    request = turn.client.next_request
    return _send(turn, Flight(request, Purpose.REFRESH, entry.template, entry.holder, cause=None))


def _rearm(turn: Turn, entry: Entry | None) -> Turn:
    """A proposed fix, in no release: an entry without a refresh timer gets one, unless it is a miss by then."""
    if not turn.client.policy.rearm_refresh or entry is None or entry.token is None or entry.refresh is not None:
        return turn
    if entry.replaced or entry.token.expires - turn.at // 1000 <= READ_CUTOFF:
        return turn
    timer = turn.client.next_timer
    turn = _swap(turn, entry, replace(entry, refresh=timer)).but(next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + REARM_DELAY, None))


def _timer_due(turn: Turn, timer: TimerId) -> Turn:
    """Run the callback that `timer` stands for."""
    client = turn.client
    for entry in client.cache:
        if entry.refresh == timer:
            spent = replace(entry, refresh=None)
            return _refresh(_swap(turn, entry, spent), spent)
        if entry.eviction == timer:
            spent = replace(entry, eviction=None)
            turn = _swap(turn, entry, spent)
            return turn if entry.replaced else _drop(turn, spent)
    for call in client.calls:
        if call.retry == timer:
            turn = turn.but(calls=tuple(other for other in client.calls if other is not call))
            return _attempt(turn, replace(call, retry=None))
    flight = next(flight for resend, flight in client.resends if resend == timer)
    turn = turn.but(resends=tuple(pair for pair in client.resends if pair[0] != timer))
    return _send(turn, replace(flight, request=client.next_request))


# -- the network (fapiClient.ts, Base.ts _baseFetch, clerk.ts handleUnauthenticated) ------------------------


def _send(turn: Turn, flight: Flight) -> Turn:
    """Send a request. Its number is the client's next one."""
    endpoint = Endpoint.CLIENT if flight.purpose is Purpose.RECOVERY else Endpoint.TOKENS
    turn = turn.but(flights=(*turn.client.flights, flight), next_request=flight.request + 1)
    return turn.put(RequestSent(flight.request, endpoint, flight.template, flight.cause))


def _answered(turn: Turn, flight: Flight, outcome: Outcome, token: Token | None) -> Turn:
    """An answer arrived. Any 401 first asks GET /client, and only then fails the request that met it."""
    client = turn.client
    if outcome is Outcome.UNAUTHORIZED and client.signed_in and _looked_into(client.policy, flight):
        # clerk.ts handleUnauthenticated. A 401 on GET /client enters it again, without end or pause; whatever
        # comes of that, the request at the beginning of it is what fails in the end.
        origin = flight.parent or flight
        request = client.next_request
        return _send(turn, Flight(request, Purpose.RECOVERY, None, flight.holder, flight.cause, origin))
    if flight.purpose is Purpose.RECOVERY:
        return _recovered(turn, flight, outcome, token)
    if token is None:
        if _nothing_came(client, outcome):
            return _empty(turn, flight)
        return _reject(turn, flight, outcome)
    if flight.purpose is Purpose.FETCH:
        return _resolve(turn, flight, token)
    turn = turn.but(refreshing=client.refreshing - {flight.template})
    turn = _cache_token(turn, flight.template, flight.holder, token)
    return _announce(turn, flight.holder, token)


def _looked_into(policy: Policy, flight: Flight) -> bool:
    """Does a 401 for this request make the client ask about its session? In every release it does."""
    match flight.purpose:
        case Purpose.REFRESH:
            return not policy.background_401_marks_stale
        case Purpose.RECOVERY:
            return not policy.sign_out_only_without_session
        case Purpose.FETCH:
            return True


def _recovered(turn: Turn, flight: Flight, outcome: Outcome, token: Token | None) -> Turn:
    """GET /client was answered: stay, or sign out; then fail the request whose 401 began it.

    clerk.ts handleUnauthenticated: without the session, or 500, the user is signed out ("the intention was to
    sign out"); any other error takes the place of the 401, so that a foreground call will try again.
    """
    assert flight.parent is not None, "a recovery has a parent"
    match outcome:
        case Outcome.SESSION if token is not None:
            turn = _client_replaced(turn, token)
            return _reject(turn, flight.parent, Outcome.UNAUTHORIZED)
        case Outcome.BROKEN if turn.client.policy.sign_out_only_without_session:
            return _reject(turn, flight.parent, outcome)
        case Outcome.NO_SESSION | Outcome.BROKEN:
            return _reject(_sign_out(turn, flight.cause), flight.parent, Outcome.UNAUTHORIZED)
        case Outcome.LOST if flight.tries <= _network_retries(turn.client):
            timer = turn.client.next_timer
            resend = (timer, replace(flight, tries=flight.tries + 1))
            turn = turn.but(resends=(*turn.client.resends, resend), next_timer=timer + 1)
            delay = NETWORK_RETRY_DELAYS[flight.tries - 1]
            return turn.put(TimerSet(timer, turn.at + delay, flight.cause))
        case _:
            failure = Outcome.UNAUTHORIZED if _nothing_came(turn.client, outcome) else outcome
            return _reject(turn, flight.parent, failure)


def _network_retries(client: Client) -> int:
    return len(NETWORK_RETRY_DELAYS) if _offline(client) else NETWORK_RETRIES_ONLINE


def _client_replaced(turn: Turn, token: Token) -> Turn:
    """A client payload makes a new Session object, with its token cached (Client.ts fromJSON, Session.ts)."""
    holder = len(turn.client.holders)
    turn = turn.but(holders=(*turn.client.holders, token))
    return _cache_token(turn, None, holder, token)


def _sign_out(turn: Turn, cause: CallId | None) -> Turn:
    """clerk.ts setActive({session: null}). The cache and its timers are left as they are: so does the SDK."""
    if not turn.client.signed_in:
        return turn
    return turn.but(signed_in=False).put(SignedOut(cause))
