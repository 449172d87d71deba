"""load(): what the SDK asks before the app has a session, and what a client payload does, then and later.

Models clerk.ts load, #loadInNonStandardBrowser and updateClient, and resources/Client.ts fromJSON in
clerk/javascript, packages/clerk-js/src/core.

load() asks how the app is set up (GET /environment) and which sessions there are (GET /client) at once, and waits
for both. The first failure ends it; the answer to the other request still reaches the Client resource, of which
there is one for all calls. So a client that has not loaded may hold a Session object with its timers. The app has
none before load() ends well, and another answer to GET /client leaves it the one that it has.
"""

from __future__ import annotations

from model.clerk import cache, session
from model.clerk.state import Entry, Flight, Holder, Purpose, Turn
from model.clerk.terms import SESSION_TOKEN, key
from model.io import CallSettled, SignedIn, SignedOut
from model.requests import Outcome
from model.terms import CallId, Token

PARTS = (Purpose.ENVIRONMENT, Purpose.CLIENT)
"""What load() asks, in this order."""


def load(turn: Turn, call: CallId) -> Turn:
    """The app loads the client (clerk.ts #loadInNonStandardBrowser)."""
    turn = turn.but(loading=(*turn.client.loading, call))
    offline = session.is_offline(turn.client)
    for purpose in PARTS:
        request = turn.client.next_request
        turn = turn.send(Flight(request, purpose, SESSION_TOKEN, session.NOBODY, call, offline=offline))
    return turn


def answered(turn: Turn, flight: Flight, outcome: Outcome, tokens: tuple[Token, ...]) -> Turn:
    """One of the two requests was answered. An answer null (`session.nothing_came`) counts as one that brings
    nothing new: load() ends well, and without a session if it has seen none before."""
    arrived = outcome is Outcome.SETTINGS or session.nothing_came(turn.client, outcome)
    if tokens or outcome is Outcome.NO_SESSION:
        app_has = turn.client.current if turn.client.loaded else None
        turn = client_replaced(turn, in_order(tokens), flight.cause).but(chosen=app_has)
        if outcome is not Outcome.NO_SESSION and not turn.client.loaded:
            turn = turn.but(chosen=turn.client.newest(tokens[0].session))
    elif not arrived:
        return failed(turn, flight, outcome)
    known = (*turn.client.flights, *(lost for _, lost in turn.client.resends))
    known += tuple(other.parent for other in known if other.parent)  # a 401 of theirs is looked into
    under_way = (other.cause for other in known if other.purpose in PARTS)
    if flight.cause not in turn.client.loading or flight.cause in under_way:
        return turn
    return _loaded(turn, flight.cause)


def in_order(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """The tokens of the sessions that GET /client lists, in the order of the list: that of their sign-ins, on our
    server. The SDK may take the first (clerk.ts #defaultSession)."""
    return tuple(sorted(tokens, key=lambda one: one.session.number))


def failed(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
    """One of the two requests failed. The first failure ends load(); nobody is told of another (clerk.ts
    #loadInNonStandardBrowser, the Promise.all)."""
    if flight.cause not in turn.client.loading:
        return turn
    error = session.error_name(turn, failure)
    return _ended(turn, flight.cause).put(CallSettled(flight.cause, None, error))


def _loaded(turn: Turn, call: CallId) -> Turn:
    """load() ends well."""
    return client_updated(_ended(turn, call), call).put(CallSettled(call, None, None))


def client_updated(turn: Turn, call: CallId | None) -> Turn:
    """The app gets the Session object of the newest payload whose session was active last, or the first if that
    is not there (clerk.ts updateClient, #defaultSession). A client that has loaded without a session takes up
    none later."""
    client = turn.client
    turn = turn.but(loaded=True)
    if not client.loaded and client.listed:
        entered = client.holders[client.listed[0] if client.chosen is None else client.chosen].session
        turn = turn.but(signed_in=True, session=entered, chosen=None).put(SignedIn(call, entered))
    elif not client.loaded:
        turn = turn.put(SignedOut(call))
    elif client.has_session:
        turn = turn.but(chosen=None)
        if turn.client.current is None:
            turn = session.sign_out(turn, call).but(dropped=client.last_seen)
    return turn


def _ended(turn: Turn, call: CallId) -> Turn:
    return turn.but(loading=tuple(other for other in turn.client.loading if other != call))


def client_replaced(turn: Turn, tokens: tuple[Token, ...], cause: CallId | None) -> Turn:
    """A client payload makes a new Session object for each session, by its token, and caches that (Client.ts
    fromJSON, Session.ts #hydrateCache)."""
    listed: tuple[int, ...] = ()
    for token in tokens:
        client, holder = turn.client, len(turn.client.holders)
        last = last_active(turn, client.last_active(client.newest(token.session)), token)
        turn = turn.but(holders=(*client.holders, Holder(last, key(token).organization, token.session)))
        turn = cache.keep(turn, Entry(key(token), holder, announces=True, cause=cause), token)
        listed = (*listed, holder)
    return turn.but(listed=listed, chosen=None)


def last_active(turn: Turn, known: Token | None, token: Token) -> Token:
    """The last active token of the session in an answer: `token`, or `known`, that of the session it replaces, if
    that is fresher (Client.ts and Session.ts fromJSON)."""
    known = session.comparable(known, token)
    return cache.fresher(turn, known, token) if turn.client.policy.client_keeps_freshest else token
