"""The client: what the SDK does with a session, as one pure transition function (`step`).

The rules are here and in five more files, named for what they model: `loading.py` (load(), and client payloads),
`cache.py` (the token cache), `session.py` (calls in the foreground, refreshes in the background),
`sign_in_out.py` (sessions come and go) and `network.py` (what an answer does). They hold the client only, never
the world: no clock, no network, no server, nothing that the device cannot know. Each rule names the function of
the SDK that it models.

Theory of operation
-------------------
The *cache* has a *slot* for each token id (of a session: its own token, a template's, an organization's). What is
in a slot is an *entry*: a token with two timers, *refresh* 17 s before its expiry and *eviction* at its expiry.
When the refresh timer fires, the client requests a new token in the background; the old one stays readable until
the answer comes. A failed refresh is swallowed and arms no timer. Then the entry is dropped by its eviction
timer, or by a read that finds 5 s or less left.

A foreground call of `getToken` reads the cache. On a miss it sends a request and caches the *promise* of the
answer, so that later calls wait for the same one. A failed call is tried again up to eight times, unless it
failed with a 4xx other than 429.

A 401 to any request starts a *recovery*: GET /client, which asks whether there still is a session. The request
that was answered 401 stays unsettled until the recovery ends. No session in the answer, or a 500, signs the user
out.

A Session object of the SDK remembers its last active token, and the callbacks of its timers read the token of
*their* object. An answer with a *client payload* makes a new object for each session in it; timers that were set
before go on reading the old one. `Client.holders` has one `Holder` for each object, oldest first. The rules pass
an object on by its index in there: that is the *holder* of a call, a request or an entry. The app has one of
those of the newest payload, or none: then it is signed out.

A *touch* sends one request, whatever is cached, and is never tried again. Its answer has the session and a client
payload, and ends the call. A *switch* to another organization is a touch and then a call of getToken. The object
takes that organization for its active one at once, whether or not the two succeed. A switch to another session,
and a sign-in, go the same way, with the Session object of that session. A *sign-out* takes the app's Session
object away before it sends its request, and empties the cache when that has succeeded. What is in flight then, or
waits to try again, goes on.

Known gaps
----------
A page is not modelled: its cookie service has a poller, and its load() goes on without an answer. The network
layer adds random jitter to its retries; here, as in our driver, it is always 0. Not modelled either: setActive
with `redirectUrl` or `navigate`; the session minter; sessions that are pending; and what tabs tell each other.

Paths in comments are relative to packages/clerk-js/src/core in clerk/javascript, unless they say otherwise.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache, loading, network, session, sign_in_out
from model.clerk.policy import Policy
from model.clerk.state import Call, Client, Turn
from model.clerk.terms import (
    GetToken,
    SignIn,
    SignOut,
    SwitchOrganization,
    SwitchSession,
    TokenId,
    Touch,
)
from model.io import (
    Called,
    CallSettled,
    ChannelClosed,
    ClockChanged,
    ConnectionChanged,
    LockChanged,
    Output,
    Replied,
    Started,
    Stimulus,
    TabChanged,
    TimerDue,
    TokenAnnounced,
    TokenHeard,
    TurnsChanged,
)
from model.operations import NO_SESSION_ERROR, Load, Operation
from model.terms import CallId, Millis, Runtime, TimerId, Token


def start(policy: Policy, runtime: Runtime, token: Token) -> tuple[Client, tuple[Output, ...]]:
    """A client that has just loaded, signed in, with `token` as its session's last active one."""
    turn = Turn(Client(policy, runtime, signed_in=True, holders=(), session=token.session), at=0)
    turn = loading.client_replaced(turn, (token,), None)
    return turn.client, turn.outputs


def step(client: Client, stimulus: Stimulus, at: Millis) -> tuple[Client, tuple[Output, ...]]:
    """What `stimulus` does to the client at the instant `at` of the device's clock.

    Raises `LookupError` for a timer or request that the client does not have, and `TypeError` for an operation
    that is not Clerk's, and for what happens to a page.
    """
    turn = Turn(client, at)
    match stimulus:
        case Called(call, operation):
            turn = _called(turn, call, operation)
        case TimerDue(timer):
            turn = _timer_due(turn, timer)
        case Replied(request, outcome, token, others):
            flight = next((flight for flight in client.flights if flight.request == request), None)
            if flight is None:
                raise LookupError(f"the client has no request {request}")
            turn = turn.but(flights=tuple(other for other in client.flights if other is not flight))
            turn = network.answered(turn, flight, outcome, token, others)
        case ClockChanged():
            pass  # rules read the clock when they need it
        case LockChanged():
            pass  # the device adds the credential to a request: the client does not see it
        case ConnectionChanged(online):
            turn = turn.but(offline=not online)  # no rule listens for it: rules look when they need it
        case TabChanged() | TokenHeard() | TurnsChanged() | ChannelClosed():
            raise TypeError("there is no model of a page")
        case Started(call):
            turn = loading.load(_started(turn), call)
    return announced(client, turn)


def _called(turn: Turn, call: CallId, operation: Operation) -> Turn:
    """The app makes a call. Without a Session object it can call nothing on it."""
    holder = turn.client.current if turn.client.has_session else None
    match operation:
        case Load():
            return loading.load(turn, call)
        case SignIn():
            return sign_in_out.sign_in(turn, call)
        case SignOut():
            return sign_in_out.leave(turn, call)
        case GetToken() | Touch() | SwitchOrganization() | SwitchSession() if holder is None:
            return turn.put(CallSettled(call, None, NO_SESSION_ERROR))
        case GetToken(template, skip_cache, organization) if holder is not None:
            token_id = TokenId(template, organization)
            return session.attempt(turn, Call(call, token_id, skip_cache, holder))
        case Touch() if holder is not None:
            return session.touch(turn, call, holder)
        case SwitchOrganization(organization) if holder is not None:
            return session.switch(turn, call, holder, organization)
        case SwitchSession():
            return sign_in_out.switch_session(turn, call)
    raise TypeError(f"{operation!r} is no operation of this SDK")


def _started(turn: Turn) -> Turn:
    """The app has started again: a new client. It keeps the old one's policy, runtime, offline flag and next
    ids."""
    old = turn.client
    new = Client(
        old.policy,
        old.runtime,
        signed_in=False,
        holders=(),
        session=old.session,
        next_request=old.next_request,
        next_timer=old.next_timer,
        offline=old.offline,
        loaded=False,
    )
    return Turn(new, turn.at)


def announced(before: Client, turn: Turn) -> tuple[Client, tuple[Output, ...]]:
    """Tell the app of the current Session object's last active token, if that is another one than before."""
    old, new = before.last_seen, turn.client.last_active(turn.client.current)
    if new is not None and not new.is_same(old) and turn.client.has_session:
        turn = turn.put(TokenAnnounced(new, old))
    return turn.client, turn.outputs


def _timer_due(turn: Turn, timer: TimerId) -> Turn:
    """Run the callback of a timer: a refresh, an eviction, another try of a call, or a recovery sent again."""
    client = turn.client
    for entry in client.cache:
        if entry.refresh == timer:
            spent = replace(entry, refresh=None)
            return session.refresh(cache.spend(turn, entry, spent), spent)
        if entry.eviction == timer:
            spent = replace(entry, eviction=None)
            turn = cache.spend(turn, entry, spent)
            return turn if entry.replaced else cache.drop(turn, spent)
    for call in client.calls:
        if call.retry == timer:
            turn = turn.but(calls=tuple(other for other in client.calls if other is not call))
            return session.attempt(turn, replace(call, retry=None))
    for resend, flight in client.resends:
        if resend == timer:
            turn = turn.but(resends=tuple(pair for pair in client.resends if pair[0] != timer))
            tries = flight.tries - 1
            return turn.send(replace(flight, request=client.next_request), f"_clerk_retry_attempt={tries}")
    raise LookupError(f"the client has no timer {timer}")
