"""A fake of Clerk's Frontend API: real JSON Web Tokens for symbolic ones, and answers in its format.

This module has the format of the answers, `requests.py` that of the requests. The world decides which answer is
given. The format is what clerk/javascript reads, in packages/clerk-js/src/core/resources: Client.ts, Session.ts,
User.ts, Environment.ts, Token.ts; and Base.ts for errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from msgspec.structs import replace

from model.clerk.terms import RETRY_AFTER, SESSION_TOKEN, TIMINGS, TokenId, key
from model.requests import Endpoint, Outcome
from model.terms import FIRST, STRANGE, Session, TabState, Token
from properties.targets.clerk.requests import (
    CLIENT_PATH,
    ENVIRONMENT_PATH,
    FIRST_ALONE,
    details,
    endpoint_of,
    field,
)
from properties.targets.clerk.tokens import CLIENT_ID, ISSUER, mint, recognise, session_id, user_id
from properties.targets.server import EPOCH, BootAnswer, FakeServer, HttpReply, HttpRequest


def _errors(code: str, message: str) -> str:
    error = {"code": code, "message": message, "long_message": message, "meta": {}}
    return json.dumps({"errors": [error], "clerk_trace_id": "trace_1"})


_TOO_MANY = _errors("too_many_requests", "Too many requests. Please try again later.")
_PAGE = "<html><head><title>503 Service Unavailable</title></head><body>Service Unavailable</body></html>"

_FAILURES: dict[Outcome, str] = {
    Outcome.UNAUTHORIZED: _errors("authentication_invalid", "Invalid authentication"),
    Outcome.FORBIDDEN: _errors("user_banned", "This account has been banned."),
    Outcome.NOT_FOUND: _errors("resource_not_found", "The resource was not found."),
    Outcome.RATE_LIMITED: _TOO_MANY,
    Outcome.RETRY_AFTER: _TOO_MANY,
    Outcome.BLOCKED: _errors("request_blocked", "The request was blocked."),
    Outcome.BROKEN: _errors("internal_clerk_error", "There was an internal error on our servers."),
    Outcome.GATEWAY_PAGE: _PAGE,
    Outcome.LOST: "",
}
"""The bodies of the answers that bring nothing."""

_JWT, _ORGANIZATION, _SESSIONS = "%jwt%", "%organization%", "%sessions%"
_NOW = EPOCH * 1000


def _user(session: Session) -> dict[str, Any]:
    return {
        "object": "user",
        "id": user_id(session),
        "first_name": "Ada",
        "last_name": None,
        "email_addresses": [],
        "phone_numbers": [],
        "web3_wallets": [],
        "external_accounts": [],
        "organization_memberships": [],
        "last_sign_in_at": _NOW,
        "created_at": _NOW,
        "updated_at": _NOW,
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "object": "session",
        "id": session_id(session),
        "status": "active",
        "expire_at": _NOW + TIMINGS.session,
        "abandon_at": _NOW + TIMINGS.session,
        "last_active_at": _NOW,
        "last_active_organization_id": _ORGANIZATION,
        "actor": None,
        "factor_verification_age": [0, -1],
        "user": _user(session),
        "public_user_data": {
            "identifier": "ada@example.com",
            "first_name": "Ada",
            "user_id": user_id(session),
        },
        "last_active_token": {"object": "token", "jwt": _JWT},
        "created_at": _NOW,
        "updated_at": _NOW,
    }


def _client(sessions: Sequence[str], active: str | None) -> str:
    """The client with these sessions, each in JSON; `active` is the id of the last active one."""
    client = {
        "object": "client",
        "id": CLIENT_ID,
        "sessions": _SESSIONS,
        "sign_in": None,
        "sign_up": None,
        "last_active_session_id": active,
        "cookie_expires_at": None,
        "created_at": _NOW,
        "updated_at": _NOW,
    }
    return json.dumps(client).replace(f'"{_SESSIONS}"', f"[{','.join(sessions)}]")


@cache
def _template(session: Session) -> str:
    """A session in JSON, without its token and its organization."""
    return json.dumps(_session(session))


def _active(token: Token) -> str:
    """The session of a token, with that token and its organization, in JSON."""
    return _in(_template(token.session).replace(_JWT, mint(token)), key(token))


def _in(session: str, token_id: TokenId) -> str:
    return session.replace(f'"{_ORGANIZATION}"', json.dumps(token_id.organization))


def _lean(token_id: TokenId) -> str:
    lean = json.dumps(_session(token_id.session) | {"last_active_token": None})
    return _answer(_in(lean, token_id), "null")


def _answer(response: str, client: str = "null") -> str:
    return f'{{"response":{response},"client":{client}}}'


_ENVIRONMENT = {
    "object": "environment",
    "id": "env_1",
    "auth_config": {"object": "auth_config", "id": "aconf_1", "single_session_mode": True},
    "display_config": {"object": "display_config", "instance_environment_type": "production"},
    "user_settings": {"attributes": {}, "social": {}, "actions": {}, "sign_in": {}, "sign_up": {}},
    "organization_settings": {"enabled": False},
    "maintenance_mode": False,
    "partitioned_cookies": False,
}
_SETTINGS = json.dumps(_ENVIRONMENT)
_PARTITIONED = json.dumps(_ENVIRONMENT | {"partitioned_cookies": True})


def render(
    outcome: Outcome,
    token: Token | None,
    endpoint: Endpoint = Endpoint.MINT,
    token_id: TokenId = SESSION_TOKEN,
    others: Sequence[Token] = (),
) -> HttpReply:
    """The answer of `endpoint` with this outcome; status 0 for `LOST`.

    The outcomes in `GRANTS` carry `token`. Raises `ValueError` if it is missing for one of these. `token_id` is
    what was asked for: a session without its token still names its organization. `others` are tokens of the other
    sessions of the device.
    """
    headers = {"retry-after": str(RETRY_AFTER)} if outcome is Outcome.RETRY_AFTER else {}
    return HttpReply(outcome.status, _body(outcome, token, endpoint, token_id, others), headers)


def _body(
    outcome: Outcome, token: Token | None, endpoint: Endpoint, token_id: TokenId, others: Sequence[Token]
) -> str:
    if outcome in _FAILURES:
        return _FAILURES[outcome]
    sessions = [_active(one) for one in others]
    if outcome is Outcome.NO_SESSION:
        client = _client(_by_sign_in(others), None)  # the one that was active last is not among them
        return _answer(_DELETED, client) if endpoint is Endpoint.SIGN_OUT else _answer(client)
    if outcome is Outcome.SETTINGS:
        return _SETTINGS
    if outcome is Outcome.LEAN_SESSION:
        return _lean(token_id)
    if token is None:
        raise ValueError(f"an answer '{outcome}' needs a token")
    if outcome is not Outcome.SESSION and endpoint is Endpoint.MINT:
        return f'{{"object":"token","jwt":"{mint(token)}"}}'
    session, active = _active(token), session_id(token.session)
    match endpoint:
        case Endpoint.MUTATE:  # Base.ts _updateClient: what changes something brings the client too
            return _answer(session, _client([session, *sessions], active))
        case Endpoint.SIGN_IN:
            sign_in = {"object": "sign_in_attempt", "id": f"sia_{token.session.number}", "status": "complete"}
            sign_in["created_session_id"] = active
            return _answer(json.dumps(sign_in), _client([*sessions, session], active))
        case _:
            return _answer(_client(_by_sign_in((token, *others)), active))


def _by_sign_in(tokens: Sequence[Token]) -> list[str]:
    """The sessions of the tokens in JSON, in the order in which they began. In which order the real server lists
    them is not known; the SDK goes by the id of the one that was active last."""
    return [_active(one) for one in sorted(tokens, key=lambda one: one.session.number)]


_DELETED = json.dumps({"object": "client", "id": CLIENT_ID, "deleted": True})


def boot_answers(token: Token) -> Sequence[BootAnswer]:
    """The answers to the SDK's requests while it loads for the first time."""
    client = render(Outcome.SESSION, token, Endpoint.INTROSPECT)
    return (
        BootAnswer(f"GET {ENVIRONMENT_PATH}", 200, _SETTINGS),
        BootAnswer(f"GET {CLIENT_PATH}", client.status, client.body),
    )


USERS = ("ada@example.com", "eve@example.com")
"""The identifiers of the users 1 and 2, who sign in."""
ALWAYS = {"__clerk_api_version": r"[\d-]+", "_clerk_js_version": r"[\w.-]+", "credentials": "include"}
"""The parameters that every request has, and the pattern of their values."""
USUAL = {
    Endpoint.MINT: {"organization_id": ".*"},
    Endpoint.MUTATE: {"active_organization_id": ".*"},
    Endpoint.SIGN_OUT: {"_method": "DELETE"},
}
"""The parameters that requests to an endpoint have beside these."""


class ClerkServer(FakeServer):
    """The Frontend API for a client whose credential is a cookie, which the SDK does not see."""

    issuer = ISSUER
    mint = staticmethod(mint)
    boot = staticmethod(boot_answers)
    always: Mapping[str, str] = ALWAYS

    def details(self, request: HttpRequest) -> tuple[str, ...]:
        """Its parameters, but for the usual ones. None of a sign-in, whose form changes from release to
        release."""
        endpoint, token_id = self.endpoint_of(request) or (Endpoint.SIGN_IN, SESSION_TOKEN)
        if endpoint is Endpoint.SIGN_IN:
            return ()
        return details(request, self.always, {} if token_id.template else USUAL.get(endpoint, {}))

    def tab(self, request: HttpRequest) -> TabState | None:
        """The field `tab_state` (Session.ts; since 6.25.9)."""
        state = field(request, "tab_state")
        return TabState(state) if state else None

    def told(self, token: Token) -> tuple[str, Mapping[str, object]] | None:
        """As tokenCache.ts posts it."""
        named = key(token)
        session = session_id(token.session)
        parts = {"sessionId": session, "template": named.template, "organizationId": named.organization}
        token_id = "-".join(filter(None, parts.values()))
        known = {name: value for name, value in parts.items() if value}
        return "clerk:session_token", {**known, "tokenId": token_id, "tokenRaw": mint(token), "traceId": "bc_1"}

    def __init__(self) -> None:
        self._sessions = FIRST_ALONE  # of the device, by number

    def begin(self) -> None:
        """Reset to the first session."""
        self._sessions = FIRST_ALONE

    def recognise(self, raw: str) -> Token | None:
        """The token that `raw` was minted for; None if this server never minted it."""
        return recognise(raw)

    def endpoint_of(self, request: HttpRequest) -> tuple[Endpoint, TokenId] | None:
        """The endpoint and the token id of a request; None if this server has no such endpoint."""
        return endpoint_of(request, self._sessions)

    def session(self, name: str | None) -> Session:
        """By its id."""
        return {session_id(one): one for one in self._sessions.values()}.get(name or "", FIRST)

    def reply(
        self, outcome: Outcome, token: Token | None, request: HttpRequest, others: Sequence[Token] = ()
    ) -> HttpReply:
        """In the format of the Frontend API."""
        known = (one.session for one in (token, *others) if one and one.session != STRANGE)
        self._sessions = self._sessions | {one.number: one for one in known}
        endpoint, token_id = self.endpoint_of(request) or (Endpoint.MINT, SESSION_TOKEN)
        return render(outcome, token, endpoint, token_id, others)


class PartitioningServer(ClerkServer):
    """The same for an instance that partitions cookies since the app was loaded first: every later answer with
    the settings says so (Environment.ts `partitionedCookies`)."""

    def reply(
        self, outcome: Outcome, token: Token | None, request: HttpRequest, others: Sequence[Token] = ()
    ) -> HttpReply:
        """In the format of the Frontend API."""
        reply = super().reply(outcome, token, request, others)
        return replace(reply, body=_PARTITIONED) if outcome is Outcome.SETTINGS else reply
