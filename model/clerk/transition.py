"""The client: what an SDK does with a session, as one pure transition function.

Its rules are in three more rooms, named for what they stand for in the SDK: `cache.py`, `session.py` (what the
foreground asks for, and what timers begin) and `network.py`. Two rules about these four files. They may contain
only the client, never the world: no clock, no network, no server, no idea of what is true beyond the device. And
each rule names the place in the SDK it stands for.

Theory of operation
-------------------
A client that is signed in keeps tokens in a *cache*, one entry for each token id (the session token, a
template's, an organization's). An entry has two timers: *refresh* at 17 s before expiry and *eviction* at
expiry. When the refresh timer fires, the client asks for a new token in the background; the old one stays
readable until the answer is there. A failed refresh is swallowed and re-arms nothing: the entry then dies by its
eviction timer, or by a read that finds 5 s or less on it.

A foreground call of `getToken` reads the cache. On a miss it sends a request and caches the *promise* of it,
so that later calls wait for the same answer. A failure is tried again up to eight times, unless it is a 4xx other
than 429.

Any 401, whoever asked, makes the client ask GET /client whether it still has a session. The request that met
the 401 stays unsettled meanwhile. No session in the answer, or a 500, and the user is signed out.

Each Session object of the SDK remembers its last active token, and the closures of its timers read *its*
token. An answer with a client payload replaces the object; timers set before go on reading the old one.
`Client.holders` are those objects: their last active tokens, oldest object first; None for a client without one.

A touch sends one request, whatever is cached, and is never tried again. Its answer brings a client payload beside
the session, and ends the call. A switch to another organization is a touch and then a call of getToken; without
waiting for either, the object takes that organization for the active one (`Client.organizations`).

Known gaps
----------
A page is not modelled, whose cookie service has a poller. Answers are minted when they arrive. The SDK draws
jitter for the network layer's retries; here, as in our driver, the draw is always 0. What a client asks while it
loads is answered at once and honestly: what load() makes of a failure (a stub of a client, say) is not modelled.

Places are in clerk/javascript, packages/clerk-js/src/core unless they say otherwise.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache, network, session
from model.clerk.policy import Policy
from model.clerk.state import Call, Client, Entry, Turn
from model.terms import (
    Answered,
    ClockChanged,
    KeychainTurned,
    Millis,
    NetworkTurned,
    Output,
    Runtime,
    SignedOut,
    Started,
    Stimulus,
    SwitchAsked,
    TimerDue,
    TimerId,
    Token,
    TokenAnnounced,
    TokenAsked,
    TouchAsked,
)

MODELLED = frozenset({Runtime.HEADLESS, Runtime.BROWSER_LIKE})
"""The runtimes that these rules describe."""


def sign_in(policy: Policy, runtime: Runtime, token: Token) -> tuple[Client, tuple[Output, ...]]:
    """A client that has just loaded, signed in, with `token` as its session's last active one."""
    client = Client(policy, runtime, signed_in=True, holders=(token,))
    turn = _hydrated(Turn(client, at=0), token)
    return turn.client, turn.outputs


def _hydrated(turn: Turn, token: Token) -> Turn:
    """Session.ts #hydrateCache: the token that a new session comes with is cached."""
    turn = turn.activate(0, token.token_id.organization)
    return cache.keep(turn, Entry(token.token_id, 0, announces=True), token)


def step(client: Client, stimulus: Stimulus, at: Millis) -> tuple[Client, tuple[Output, ...]]:
    """What `stimulus` does to the client at `at` ms of its own clock.

    Raises `LookupError` for a timer or request that the client does not have: the world lost count.
    """
    turn = Turn(client, at)
    match stimulus:
        case TokenAsked(call, token_id, skip_cache):
            turn = session.attempt(turn, Call(call, token_id, skip_cache, client.current))
        case TimerDue(timer):
            turn = _timer_due(turn, timer)
        case Answered(request, outcome, token):
            flight = next(flight for flight in client.flights if flight.request == request)
            turn = turn.but(flights=tuple(f for f in client.flights if f is not flight))
            turn = network.answered(turn, flight, outcome, token)
        case ClockChanged():
            pass  # whoever looks at the clock will see it
        case KeychainTurned():
            pass  # the credential is the device's affair: what leaves with a request is not seen here
        case TouchAsked(call):
            turn = session.touch(turn, call)
        case NetworkTurned(online):
            turn = turn.but(offline=not online)  # nobody listens for it: it is seen by whoever looks next
        case Started(token):
            turn = _started(turn, token)
            return turn.client, turn.outputs
        case SwitchAsked(call, organization):
            turn = session.switch(turn, call, organization)
    return _announced(client, turn)


def _started(turn: Turn, token: Token | None) -> Turn:
    """Nothing of a client outlives its process (clerk.ts load): a new one, whose requests and timers are only
    numbered on. What was the last active token of the one before, it does not know; which organization is the
    active one, the server tells it."""
    old = turn.client
    new = Client(
        old.policy,
        old.runtime,
        signed_in=token is not None,
        holders=(token,),
        next_request=old.next_request,
        next_timer=old.next_timer,
    )
    turn = Turn(new, turn.at)
    return turn.put(SignedOut(None)) if token is None else _hydrated(turn, token).put(TokenAnnounced(token, None))


def _announced(before: Client, turn: Turn) -> tuple[Client, tuple[Output, ...]]:
    """What the current Session object's last active token has become is for everybody to see."""
    old, new = before.holders[before.current] or before.dropped, turn.client.holders[turn.client.current]
    if new is not None and new is not old and turn.client.signed_in:
        turn = turn.put(TokenAnnounced(new, old))
    return turn.client, turn.outputs


def _timer_due(turn: Turn, timer: TimerId) -> Turn:
    """Run the callback that `timer` stands for."""
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
    flight = next(flight for resend, flight in client.resends if resend == timer)
    turn = turn.but(resends=tuple(pair for pair in client.resends if pair[0] != timer))
    return turn.send(replace(flight, request=client.next_request))
