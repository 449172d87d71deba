"""What an answer does: it brings a token or an error, or starts a recovery.

Models fapiClient.ts, resources/Base.ts _baseFetch and clerk.ts handleUnauthenticated in clerk/javascript,
packages/clerk-js/src/core.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache, loading, session, sign_in_out
from model.clerk.loading import PARTS
from model.clerk.policy import Policy
from model.clerk.state import Flight, Purpose, Turn
from model.clerk.terms import key
from model.io import TimerSet, Uncaught
from model.requests import Outcome
from model.terms import Millis, Token

NETWORK_RETRY_DELAYS: tuple[Millis, ...] = (100, 700, 1_400, 2_800, *[5_000] * 6)
"""fapiClient.ts request: how long after a GET is lost it is sent again, ten times at most. A lost POST never
is."""

GETS = (Purpose.RECOVERY, *PARTS)
"""The requests that change nothing on the server."""

NETWORK_RETRIES_ONLINE = 3
"""How often a lost GET is sent again if the client took itself for online when it first sent it."""


def answered(
    turn: Turn, flight: Flight, outcome: Outcome, token: Token | None, others: tuple[Token, ...] = ()
) -> Turn:
    """An answer arrived. A 401 starts a recovery, and the request that met it fails when that is over."""
    client = turn.client
    tokens = (*((token,) if token else ()), *others)
    if outcome is Outcome.UNAUTHORIZED and client.has_session and _starts_recovery(client.policy, flight):
        # A 401 to GET /client enters it again, without pause or limit. In the end the request that met the first
        # 401 fails.
        nested = flight.purpose is Purpose.RECOVERY
        return session.recover(turn, flight, flight.parent if nested else flight, nested)
    if outcome is Outcome.LOST and flight.purpose in GETS and flight.tries <= _network_retries(flight):
        return _resent_later(turn, flight)
    if flight.purpose in PARTS:
        return loading.answered(turn, flight, outcome, tokens)
    if flight.purpose is Purpose.RECOVERY:
        return _recovered(turn, flight, outcome, tokens)
    if flight.purpose is Purpose.SIGN_OUT:
        return sign_in_out.signed_out(turn, flight, outcome)
    if flight.purpose is Purpose.SIGN_IN and token:
        return sign_in_out.signed_in(_client_came(turn, flight, (*others, token)), flight, token)
    if outcome is Outcome.LEAN_SESSION:
        return _touched_without_token(turn, flight)
    if token is None:
        tokenless = flight.purpose in (Purpose.TOUCH, Purpose.SWITCH)
        counts = tokenless or (client.policy.sends_when_offline and flight.purpose is not Purpose.SIGN_IN)
        if counts and session.nothing_came(client, outcome):
            return session.empty(turn, flight)
        return session.reject(turn, flight, outcome)
    if flight.purpose is Purpose.FETCH:
        return session.resolve(turn, flight, token)
    if flight.purpose in (Purpose.TOUCH, Purpose.SWITCH):
        return _touched(turn, flight, tokens)
    turn = turn.but(refreshing=client.refreshing - {flight.token_id})
    turn = cache.keep(turn, flight, token)
    return session.announce(turn, flight, token)


def _starts_recovery(policy: Policy, flight: Flight) -> bool:
    """Does a 401 to this request start a recovery? In every release it does (Base.ts _baseFetch)."""
    match flight.purpose:
        case Purpose.REFRESH:
            return not policy.background_401_marks_stale
        case Purpose.RECOVERY:
            return not policy.sign_out_only_without_session
        case _:
            return True


def _recovered(turn: Turn, flight: Flight, outcome: Outcome, tokens: tuple[Token, ...]) -> Turn:
    """A recovery was answered: stay signed in, or sign out; then the request whose 401 started it fails.

    clerk.ts handleUnauthenticated: an answer without a session, a 500 or a 403 signs the user out ("the intention
    was to sign out"). Any other error replaces the 401, so that a foreground call tries again.
    """
    match outcome:
        case Outcome.SESSION | Outcome.STALE_TOKEN | Outcome.NO_SESSION:
            turn = _client_came(turn, flight, loading.in_order(tokens))
            if turn.client.leaving:
                turn = session.sign_out(turn, flight.cause)
            return _fail_parent(turn, flight, Outcome.UNAUTHORIZED)
        case Outcome.BROKEN | Outcome.BLOCKED if turn.client.policy.sign_out_only_without_session:
            return _rethrown(turn, flight, outcome)
        case Outcome.BROKEN | Outcome.BLOCKED:
            return _fail_parent(session.sign_out(turn, flight.cause), flight, Outcome.UNAUTHORIZED)
        case _ if session.nothing_came(turn.client, outcome):  # the client payload stays what it was
            turn = turn.but(chosen=None)
            if turn.client.leaving or turn.client.current is None:
                turn = session.sign_out(turn, flight.cause)
            return _fail_parent(turn, flight, Outcome.UNAUTHORIZED)
        case _:
            return _rethrown(turn, flight, outcome)


def _rethrown(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A recovery failed, and so does the request that waits for it. Nobody waits for that of a switch, and nobody
    catches its error (clerk.ts #touchCurrentSession)."""
    return _fail_parent(turn, flight, failure) if flight.parent else turn.put(Uncaught())


def _fail_parent(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A recovery is over: the request that waits for it fails, if there is one (Base.ts _baseFetch). Without one,
    the 401 of a nested recovery is uncaught."""
    if flight.parent:
        reject = loading.failed if flight.parent.purpose in PARTS else session.reject
        return reject(turn, flight.parent, failure)
    return turn.put(Uncaught()) if flight.nested else turn


def _resent_later(turn: Turn, flight: Flight) -> Turn:
    """Set the timer that sends a lost GET again (fapiClient.ts request)."""
    timer = turn.client.next_timer
    resend = (timer, replace(flight, tries=flight.tries + 1))
    turn = turn.but(resends=(*turn.client.resends, resend), next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + NETWORK_RETRY_DELAYS[flight.tries - 1], flight.cause))


def _network_retries(flight: Flight) -> int:
    """How often a lost GET is sent again: fapiClient.ts decides that when it first sends it."""
    return len(NETWORK_RETRY_DELAYS) if flight.offline else NETWORK_RETRIES_ONLINE


def _client_came(turn: Turn, flight: Flight, tokens: tuple[Token, ...]) -> Turn:
    """An answer brought a client payload. The user is signed out if it does not have the app's session (clerk.ts
    updateClient)."""
    last, has_session = turn.client.last_seen, turn.client.has_session
    turn = loading.client_replaced(turn, tokens, flight.cause)
    if not has_session or turn.client.newest(turn.client.session) is not None:
        return turn
    return session.sign_out(turn, flight.cause).but(dropped=last)


def _touched(turn: Turn, flight: Flight, tokens: tuple[Token, ...]) -> Turn:
    """A touch was answered with a session and a client payload. First the payload makes a new Session object
    (Base.ts _updateClient), then the object that was touched takes over the session (Session.ts _touchPost)."""
    token, *_ = tokens
    turn = _client_came(turn, flight, tokens)
    taken = loading.last_active(turn, turn.client.last_active(flight.holder), token)
    return session.touched(turn.hold(flight.holder, taken, key(token).organization), flight)


def _touched_without_token(turn: Turn, flight: Flight) -> Turn:
    """A touch was answered with the session, without its token and without a client payload: the object that was
    touched loses its last active token (Session.ts fromJSON)."""
    turn = turn.but(dropped=turn.client.last_seen)
    return session.touched(turn.hold(flight.holder, None, flight.token_id.organization), flight)
