"""What an answer does: it brings a token or an error, or starts a recovery.

Models fapiClient.ts, resources/Base.ts _baseFetch and clerk.ts handleUnauthenticated in clerk/javascript,
packages/clerk-js/src/core.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache, session
from model.clerk.policy import Policy
from model.clerk.state import Entry, Flight, Purpose, Turn
from model.clerk.terms import SESSION_TOKEN, key
from model.terms import Millis, Outcome, TimerSet, Token, Uncaught

NETWORK_RETRY_DELAYS: tuple[Millis, ...] = (100, 700, 1_400, 2_800, *[5_000] * 6)
"""fapiClient.ts request: how long after a GET is lost it is sent again, ten times at most. A lost POST never
is."""

NETWORK_RETRIES_ONLINE = 3
"""How often a lost GET is sent again if the client took itself for online when it first sent it."""


def answered(turn: Turn, flight: Flight, outcome: Outcome, token: Token | None) -> Turn:
    """An answer arrived. A 401 starts a recovery, and the request that met it fails when that is over."""
    client = turn.client
    if outcome is Outcome.UNAUTHORIZED and client.signed_in and _starts_recovery(client.policy, flight):
        # clerk.ts handleUnauthenticated. A 401 to GET /client enters it again, without pause or limit. In the end
        # the request that met the first 401 fails.
        origin = flight.parent if flight.purpose is Purpose.RECOVERY else flight
        request = client.next_request
        recovery = Flight(request, Purpose.RECOVERY, SESSION_TOKEN, flight.holder, flight.cause, origin)
        nested = flight.purpose is Purpose.RECOVERY
        return turn.send(replace(recovery, offline=session.is_offline(client), nested=nested))
    if flight.purpose is Purpose.RECOVERY:
        return _recovered(turn, flight, outcome, token)
    if outcome is Outcome.LEAN_SESSION:
        return _touched_without_token(turn, flight)
    if token is None:
        counts = flight.purpose in (Purpose.TOUCH, Purpose.SWITCH) or client.policy.sends_when_offline
        if counts and session.nothing_came(client, outcome):
            return session.empty(turn, flight)
        return session.reject(turn, flight, outcome)
    if flight.purpose is Purpose.FETCH:
        return session.resolve(turn, flight, token)
    if flight.purpose in (Purpose.TOUCH, Purpose.SWITCH):
        return _touched(turn, flight, token)
    turn = turn.but(refreshing=client.refreshing - {flight.token_id})
    turn = cache.keep(turn, flight, token)
    return session.announce(turn, flight, token)


def _starts_recovery(policy: Policy, flight: Flight) -> bool:
    """Does a 401 to this request start a recovery? In every release it does."""
    match flight.purpose:
        case Purpose.REFRESH:
            return not policy.background_401_marks_stale
        case Purpose.RECOVERY:
            return not policy.sign_out_only_without_session
        case Purpose.FETCH | Purpose.TOUCH | Purpose.SWITCH:
            return True


def _recovered(turn: Turn, flight: Flight, outcome: Outcome, token: Token | None) -> Turn:
    """A recovery was answered: stay signed in, or sign out; then the request whose 401 started it fails.

    clerk.ts handleUnauthenticated: an answer without a session, or a 500, signs the user out ("the intention was
    to sign out"). Any other error replaces the 401, so that a foreground call tries again.
    """
    match outcome:
        case Outcome.SESSION | Outcome.STALE_TOKEN if token is not None:
            turn = _client_replaced(turn, token)
            return _fail_parent(turn, flight, Outcome.UNAUTHORIZED)
        case Outcome.BROKEN if turn.client.policy.sign_out_only_without_session:
            return _rethrown(turn, flight, outcome)
        case Outcome.NO_SESSION | Outcome.BROKEN:
            if outcome is Outcome.NO_SESSION:  # a client payload without a session
                last = turn.client.last_seen
                turn = turn.but(holders=(*turn.client.holders, None), chosen=None, dropped=last)
            return _fail_parent(session.sign_out(turn, flight.cause), flight, Outcome.UNAUTHORIZED)
        case Outcome.LOST if flight.tries <= _network_retries(flight):
            timer = turn.client.next_timer
            resend = (timer, replace(flight, tries=flight.tries + 1))
            turn = turn.but(resends=(*turn.client.resends, resend), next_timer=timer + 1)
            delay = NETWORK_RETRY_DELAYS[flight.tries - 1]
            return turn.put(TimerSet(timer, turn.at + delay, flight.cause))
        case _:
            failure = Outcome.UNAUTHORIZED if session.nothing_came(turn.client, outcome) else outcome
            return _rethrown(turn, flight, failure)


def _rethrown(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A recovery failed, and so does the request that waits for it. Nobody waits for that of a switch, and nobody
    catches its error (clerk.ts #touchCurrentSession)."""
    return _fail_parent(turn, flight, failure) if flight.parent else turn.put(Uncaught())


def _fail_parent(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A recovery is over: the request that waits for it fails, if there is one. Without one, nobody catches the
    401 that a nested recovery leaves to the one that it is part of."""
    if flight.parent:
        return session.reject(turn, flight.parent, failure)
    return turn.put(Uncaught()) if flight.nested else turn


def _network_retries(flight: Flight) -> int:
    """How often a lost recovery is sent again: fapiClient.ts decides that when it first sends it."""
    return len(NETWORK_RETRY_DELAYS) if flight.offline else NETWORK_RETRIES_ONLINE


def _client_replaced(turn: Turn, token: Token) -> Turn:
    """A client payload makes a new Session object and caches its token (Client.ts fromJSON, Session.ts)."""
    client, holder = turn.client, len(turn.client.holders)
    last = _last_active(turn, client.last_active(client.newest), token)
    turn = turn.but(chosen=None).hold(holder, last, key(token).organization)
    return cache.keep(turn, Entry(key(token), holder, announces=True), token)


def _last_active(turn: Turn, known: Token | None, token: Token) -> Token:
    """The last active token of the session in an answer: `token`, or `known`, that of the session it replaces, if
    that is fresher (Client.ts and Session.ts fromJSON)."""
    known = session.comparable(known, token)
    return cache.fresher(turn, known, token) if turn.client.policy.client_keeps_freshest else token


def _touched(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A touch was answered with a session and a client payload. First the payload makes a new Session object
    (Base.ts _updateClient), then the object that was touched takes over the session (Session.ts _touchPost)."""
    turn = _client_replaced(turn, token)
    taken = _last_active(turn, turn.client.last_active(flight.holder), token)
    return session.touched(turn.hold(flight.holder, taken, key(token).organization), flight)


def _touched_without_token(turn: Turn, flight: Flight) -> Turn:
    """A touch was answered with the session, without its token and without a client payload: the object that was
    touched loses its last active token (Session.ts fromJSON)."""
    turn = turn.but(dropped=turn.client.last_seen)
    return session.touched(turn.hold(flight.holder, None, flight.token_id.organization), flight)
