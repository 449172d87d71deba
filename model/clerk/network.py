"""What comes of an answer: a token, an error, or the question whether there still is a session.

Places are in clerk/javascript, packages/clerk-js/src/core: fapiClient.ts, resources/Base.ts _baseFetch, clerk.ts
handleUnauthenticated.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk import cache, session
from model.clerk.policy import Policy
from model.clerk.state import Entry, Flight, Purpose, Turn
from model.terms import SESSION_TOKEN, Millis, Outcome, TimerSet, Token

NETWORK_RETRY_DELAYS: tuple[Millis, ...] = (100, 700, 1_400, 2_800, *[5_000] * 6)
"""fapiClient.ts request: a lost GET is sent again, a lost POST never; all ten times only while offline."""

NETWORK_RETRIES_ONLINE = 3


def answered(turn: Turn, flight: Flight, outcome: Outcome, token: Token | None) -> Turn:
    """An answer arrived. Any 401 first asks GET /client, and only then fails the request that met it."""
    client = turn.client
    if outcome is Outcome.UNAUTHORIZED and client.signed_in and _looked_into(client.policy, flight):
        # clerk.ts handleUnauthenticated. A 401 on GET /client enters it again, without end or pause; whatever
        # comes of that, the request at the beginning of it is what fails in the end.
        origin = flight.parent if flight.purpose is Purpose.RECOVERY else flight
        request = client.next_request
        recovery = Flight(request, Purpose.RECOVERY, SESSION_TOKEN, flight.holder, flight.cause, origin)
        return turn.send(replace(recovery, offline=session.is_offline(client)))
    if flight.purpose is Purpose.RECOVERY:
        return _recovered(turn, flight, outcome, token)
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


def _looked_into(policy: Policy, flight: Flight) -> bool:
    """Does a 401 for this request make the client ask about its session? In every release it does."""
    match flight.purpose:
        case Purpose.REFRESH:
            return not policy.background_401_marks_stale
        case Purpose.RECOVERY:
            return not policy.sign_out_only_without_session
        case Purpose.FETCH | Purpose.TOUCH | Purpose.SWITCH:
            return True


def _recovered(turn: Turn, flight: Flight, outcome: Outcome, token: Token | None) -> Turn:
    """GET /client was answered: stay, or sign out; then fail the request whose 401 began it.

    clerk.ts handleUnauthenticated: without the session, or 500, the user is signed out ("the intention was to
    sign out"); any other error takes the place of the 401, so that a foreground call will try again.
    """
    match outcome:
        case Outcome.SESSION | Outcome.STALE_TOKEN if token is not None:
            turn = _client_replaced(turn, token)
            return _looked_at(turn, flight, Outcome.UNAUTHORIZED)
        case Outcome.BROKEN if turn.client.policy.sign_out_only_without_session:
            return _looked_at(turn, flight, outcome)
        case Outcome.NO_SESSION | Outcome.BROKEN:
            if outcome is Outcome.NO_SESSION:  # the next client finds no session here to take a token over from
                last = turn.client.holders[turn.client.current] or turn.client.dropped
                turn = turn.but(holders=(*turn.client.holders, None), chosen=None, dropped=last)
            return _looked_at(session.sign_out(turn, flight.cause), flight, Outcome.UNAUTHORIZED)
        case Outcome.LOST if flight.tries <= _network_retries(flight):
            timer = turn.client.next_timer
            resend = (timer, replace(flight, tries=flight.tries + 1))
            turn = turn.but(resends=(*turn.client.resends, resend), next_timer=timer + 1)
            delay = NETWORK_RETRY_DELAYS[flight.tries - 1]
            return turn.put(TimerSet(timer, turn.at + delay, flight.cause))
        case _:
            failure = Outcome.UNAUTHORIZED if session.nothing_came(turn.client, outcome) else outcome
            return _looked_at(turn, flight, failure)


def _looked_at(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """A recovery is over: what waits for it fails."""
    return session.reject(turn, flight.parent, failure) if flight.parent else turn


def _network_retries(flight: Flight) -> int:
    """How often a GET is sent again: fapiClient.ts decides that when it first sends it."""
    return len(NETWORK_RETRY_DELAYS) if flight.offline else NETWORK_RETRIES_ONLINE


def _client_replaced(turn: Turn, token: Token) -> Turn:
    """A client payload makes a new Session object, with its token cached (Client.ts fromJSON, Session.ts)."""
    holders, holder = turn.client.holders, len(turn.client.holders)
    turn = turn.but(holders=(*holders, _last_active(turn, holders[-1], token)), chosen=None)
    turn = turn.activate(holder, token.token_id.organization)
    return cache.keep(turn, Entry(token.token_id, holder, announces=True), token)


def _last_active(turn: Turn, known: Token | None, token: Token) -> Token:
    """The last active token of a session in an answer that has `token` (Client.ts and Session.ts fromJSON)."""
    known = session.comparable(known, token)
    return cache.fresher(turn, known, token) if turn.client.policy.client_keeps_freshest else token


def _touched(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A touch brought the session and, piggybacked, the client: first that replaces the old one (Base.ts
    _updateClient), then the object that was touched takes the session over (Session.ts _touchPost)."""
    turn = _client_replaced(turn, token)
    holders = turn.client.holders
    taken = _last_active(turn, holders[flight.holder], token)
    turn = turn.but(holders=(*holders[: flight.holder], taken, *holders[flight.holder + 1 :]))
    return session.touched(turn.activate(flight.holder, token.token_id.organization), flight)
