"""Sessions come and go: the app signs in, signs out, and changes between sessions.

Models signOut and setActive of clerk.ts, and SignIn.ts create, in clerk/javascript, packages/clerk-js/src/core.
"""

from __future__ import annotations

from model.clerk import cache, session
from model.clerk.state import Flight, Purpose, Turn
from model.clerk.terms import SESSION_TOKEN
from model.io import CallSettled
from model.operations import NO_SESSION_ERROR
from model.requests import Outcome
from model.terms import CallId, Token


def sign_in(turn: Turn, call: CallId) -> Turn:
    """Create a sign-in that is complete at once (SignIn.ts create)."""
    return turn.send(Flight(turn.client.next_request, Purpose.SIGN_IN, SESSION_TOKEN, session.NOBODY, cause=call))


def signed_in(turn: Turn, flight: Flight, token: Token) -> Turn:
    """A sign-in was answered, with a client payload: its session becomes the active one (clerk.ts setActive)."""
    holder = turn.client.newest(token.session)
    assert flight.cause is not None and holder is not None, "the app signs in, and the payload has the session"
    return session.touch(turn, flight.cause, holder, Purpose.SWITCH, "select_session")


def switch_session(turn: Turn, call: CallId) -> Turn:
    """Make another session of the newest client payload the active one (clerk.ts setActive)."""
    client = turn.client
    holder = next((one for one in client.listed if client.holders[one].session != client.session), None)
    if holder is None:
        return turn.put(CallSettled(call, None, NO_SESSION_ERROR))
    return session.touch(turn, call, holder, Purpose.SWITCH, "select_session")


def leave(turn: Turn, call: CallId) -> Turn:
    """Sign out of every session (clerk.ts signOut). The app has no Session object from now on."""
    client = turn.client
    if not client.listed:
        return turn.put(CallSettled(call, None, None))
    turn = turn.but(leaving=True, dropped=client.last_seen)
    return turn.send(Flight(client.next_request, Purpose.SIGN_OUT, SESSION_TOKEN, session.NOBODY, cause=call))


def signed_out(turn: Turn, flight: Flight, outcome: Outcome) -> Turn:
    """A sign-out was answered. Done, it empties the cache (Client.ts removeSessions). Failed, it leaves the app
    without a Session object, and the user signed in. If nothing came, it ends with the one that a switch has set
    since it began, or with none."""
    assert flight.cause is not None, "only the app signs out"
    done = outcome is Outcome.NO_SESSION
    if not done and not session.nothing_came(turn.client, outcome):
        return turn.put(CallSettled(flight.cause, None, session.error_name(turn, outcome)))
    if done:
        turn = turn.but(listed=())
    for entry in turn.client.cache:
        turn = turn if entry.replaced else cache.drop(turn, entry)
    if done or turn.client.leaving:
        turn = session.sign_out(turn, flight.cause).but(chosen=None)
    return turn.put(CallSettled(flight.cause, None, None))
