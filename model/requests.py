"""What a request asks the server for, and how it ends."""

from __future__ import annotations

from model.terms import Word


class Endpoint(Word):
    """What a request asks the server for. Each SDK has paths of its own for these."""

    MINT = "mint"  # a token
    INTROSPECT = "introspect"  # the sessions of this device
    MUTATE = "mutate"  # to change the session, or to note that it is in use; the answer has the session
    CONFIGURE = "configure"  # how the app is set up; whoever asks gets the same answer
    SIGN_IN = "sign-in"  # to begin a session
    SIGN_OUT = "sign-out"  # to end the sessions of this device


OF_DEVICE = (Endpoint.INTROSPECT, Endpoint.CONFIGURE, Endpoint.SIGN_IN, Endpoint.SIGN_OUT)
"""The endpoints whose requests name no session. The world takes the app's."""


class Outcome(Word):
    """How a request ends. A search prefers those that stand first: honest ones before faults."""

    GRANTED = "granted"  # 200, a token
    SESSION = "session"  # 200, the session with a fresh token
    SETTINGS = "settings"  # 200, how the app is set up
    BROKEN = "broken"  # 500
    RATE_LIMITED = "rate-limited"  # 429
    GATEWAY_PAGE = "gateway-page"  # 503 with a page of HTML, from something in front of the server
    LOST = "lost"  # no answer: the connection broke
    RETRY_AFTER = "retry-after"  # 429, and the header that says when to come back
    BLOCKED = "blocked"  # 403 that says nothing of the session: of a firewall, say
    UNAUTHORIZED = "unauthorized"  # 401, or what this server says instead
    FORBIDDEN = "forbidden"  # 403: the user is banned
    NOT_FOUND = "not-found"  # 404: there is no such session any more
    NO_SESSION = "no-session"  # 200, without the session asked about; it may list others of the device
    STALE_TOKEN = "stale-token"  # 200, a token, or a session with one, that is `behind`; it has not expired
    LEAN_SESSION = "lean-session"  # 200, the session, but without its token
    FOREIGN_TOKEN = "foreign-token"  # 200, a token of another session, and another user

    @property
    def status(self) -> int:
        """The HTTP status of the answer, unless a server has another one; 0 if there is none."""
        return _STATUSES.get(self, 200)


_STATUSES = {
    Outcome.BROKEN: 500,
    Outcome.RATE_LIMITED: 429,
    Outcome.RETRY_AFTER: 429,
    Outcome.BLOCKED: 403,
    Outcome.GATEWAY_PAGE: 503,
    Outcome.LOST: 0,
    Outcome.UNAUTHORIZED: 401,
    Outcome.FORBIDDEN: 403,
    Outcome.NOT_FOUND: 404,
}


class Ending(Word):
    """How a session ends before its time, which decides what an honest server says of it from then on."""

    REVOKED = "revoked"  # an administrator, a changed password, a sign-out on another device
    BANNED = "banned"  # the user may not sign in any more
    GONE = "gone"  # the session was deleted


GRANTS = (Outcome.GRANTED, Outcome.SESSION, Outcome.STALE_TOKEN, Outcome.FOREIGN_TOKEN)
"""The outcomes that bring a token."""

DONE = (*GRANTS, Outcome.LEAN_SESSION)
"""The outcomes of a request that the server has acted on, unless it was to sign out."""

ENDED = (Outcome.UNAUTHORIZED, Outcome.FORBIDDEN, Outcome.NOT_FOUND)
"""The refusals that say, if they are honest, that the session has ended."""

FAILURES = (Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST)
"""The outcomes of an outage of the server, of what is in front of it, or of the network. None is ever honest."""


def succeeds(endpoint: Endpoint, outcome: Outcome) -> bool:
    """Does the server do what such a request is for? It does so for none that is unauthenticated."""
    return outcome is Outcome.NO_SESSION if endpoint is Endpoint.SIGN_OUT else outcome in DONE
