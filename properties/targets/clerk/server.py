"""A fake of Clerk's Frontend API: real JSON Web Tokens for symbolic ones, and answers in its format.

This module has the format of the answers. The world decides which answer is given. The format is what
clerk/javascript reads, in packages/clerk-js/src/core/resources: Client.ts, Session.ts, User.ts, Environment.ts,
Token.ts; and Base.ts for errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from model.clerk.terms import RETRY_AFTER, SESSION_TOKEN, TIMINGS, TokenId, key
from model.terms import Endpoint, Outcome, Token
from properties.targets import jwts
from properties.targets.server import EPOCH, BootAnswer, FakeServer, HttpReply, HttpRequest

ISSUER = "https://clerk.test"
SESSION_ID = "sess_1"
USER_ID = "user_1"
FOREIGN = {"sub": "user_2", "sid": "sess_2"}
"""The claims of a token of another session, and another user."""
CLIENT_ID = "client_1"

CLOCK_LEEWAY = 10
"""Seconds from `nbf` to `iat`, as in Clerk's tokens."""

RECENT = 4096
"""The number of cached tokens. A trace mints some dozens, a campaign millions."""

# -- tokens -------------------------------------------------------------------------------------------------


@lru_cache(RECENT)
def mint(token: Token) -> str:
    """The signed JSON Web Token for `token`; the same one on every call.

    Its times are `EPOCH` plus the token's. The header `oiat`, which says when the claims were assembled, is the
    time of issue, or before sign-in for a token that is behind. A template's token has no `sid`, as by default
    with Clerk. A token for an organization has its id in the claim that the SDK reads (tokenFreshness.ts
    tokenOrgId).
    """
    issued = EPOCH + token.issued
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": USER_ID,
        "iat": issued,
        "nbf": issued - CLOCK_LEEWAY,
        "exp": EPOCH + token.expires,
        "jti": str(token.number),
    }
    template, organization = key(token).template, key(token).organization
    if template is None:
        claims["sid"] = SESSION_ID
    else:
        claims["template"] = template
    if token.foreign:
        claims |= {name: value for name, value in FOREIGN.items() if name in claims}
    if organization is not None:
        claims |= {"org_id": organization, "org_role": "org:member"}
    headers = {"kid": "ins_1", "oiat": EPOCH - 1 if token.behind else issued, "cat": "cl_B7d4PD111AAA"}
    return jwts.sign(claims, headers)


@lru_cache(RECENT)
def recognise(raw: str) -> Token | None:
    """The token that `raw` was minted for; None if this server never minted it, as its signature shows."""
    if (known := jwts.read(raw)) is None:
        return None
    claims, header = known
    token_id = TokenId(claims.get("template"), claims.get("org_id"))
    issued, expires = claims["iat"] - EPOCH, claims["exp"] - EPOCH
    foreign = claims["sub"] != USER_ID
    return Token(int(claims["jti"]), token_id, issued, expires, header["oiat"] < EPOCH, foreign)


@lru_cache(RECENT)
def client_jwt(number: int) -> str:
    """The `number`-th credential (from 1) that the server gives a native device."""
    return jwts.sign({"id": CLIENT_ID, "rotating_token": str(number)}, {"kid": "ins_1"})


# -- answers ------------------------------------------------------------------------------------------------


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
    Outcome.BROKEN: _errors("internal_clerk_error", "There was an internal error on our servers."),
    Outcome.GATEWAY_PAGE: _PAGE,
    Outcome.LOST: "",
}
"""The bodies of the answers that bring nothing."""

_JWT = "%jwt%"
_ORGANIZATION = "%organization%"
_NOW = EPOCH * 1000

_USER: dict[str, Any] = {
    "object": "user",
    "id": USER_ID,
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

_SESSION: dict[str, Any] = {
    "object": "session",
    "id": SESSION_ID,
    "status": "active",
    "expire_at": _NOW + TIMINGS.session,
    "abandon_at": _NOW + TIMINGS.session,
    "last_active_at": _NOW,
    "last_active_organization_id": _ORGANIZATION,
    "actor": None,
    "factor_verification_age": [0, -1],
    "user": _USER,
    "public_user_data": {"identifier": "ada@example.com", "first_name": "Ada", "user_id": USER_ID},
    "last_active_token": {"object": "token", "jwt": _JWT},
    "created_at": _NOW,
    "updated_at": _NOW,
}


def _client(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "object": "client",
        "id": CLIENT_ID,
        "sessions": sessions,
        "sign_in": None,
        "sign_up": None,
        "last_active_session_id": SESSION_ID if sessions else None,
        "cookie_expires_at": None,
        "created_at": _NOW,
        "updated_at": _NOW,
    }


_CLIENT = json.dumps({"response": _client([_SESSION]), "client": None})
_TOUCHED = json.dumps({"response": _SESSION, "client": _client([_SESSION])})
_LEAN = json.dumps({"response": _SESSION | {"last_active_token": None}, "client": None})
_NO_SESSION = json.dumps({"response": _client([]), "client": None})

_ENVIRONMENT = json.dumps(
    {
        "object": "environment",
        "id": "env_1",
        "auth_config": {"object": "auth_config", "id": "aconf_1", "single_session_mode": True},
        "display_config": {"object": "display_config", "instance_environment_type": "production"},
        "user_settings": {"attributes": {}, "social": {}, "actions": {}, "sign_in": {}, "sign_up": {}},
        "organization_settings": {"enabled": False},
        "maintenance_mode": False,
    }
)


def render(
    outcome: Outcome,
    token: Token | None,
    endpoint: Endpoint = Endpoint.MINT,
    token_id: TokenId = SESSION_TOKEN,
) -> HttpReply:
    """The answer of `endpoint` with this outcome; status 0 for `LOST`.

    The outcomes in `GRANTS` carry `token`. Raises `ValueError` if it is missing for one of these. `token_id` is
    what was asked for: a session without its token still names its organization.
    """
    headers = {"retry-after": str(RETRY_AFTER)} if outcome is Outcome.RETRY_AFTER else {}
    return HttpReply(outcome.status, _body(outcome, token, endpoint, token_id), headers)


def _body(outcome: Outcome, token: Token | None, endpoint: Endpoint, token_id: TokenId) -> str:
    if outcome in _FAILURES:
        return _FAILURES[outcome]
    if outcome is Outcome.NO_SESSION:
        return _NO_SESSION
    if outcome is Outcome.SETTINGS:
        return _ENVIRONMENT
    if outcome is Outcome.LEAN_SESSION:
        return _active(_LEAN, token_id)
    if token is None:
        raise ValueError(f"an answer '{outcome}' needs a token")
    if endpoint is Endpoint.MUTATE:  # Base.ts _updateClient: what changes something brings the client too
        return _filled(_TOUCHED, token)
    if outcome is Outcome.SESSION or endpoint is Endpoint.INTROSPECT:
        return _filled(_CLIENT, token)
    return f'{{"object":"token","jwt":"{mint(token)}"}}'


def _filled(answer: str, token: Token) -> str:
    """The answer with this token, and the token's organization as the active one, filled in."""
    return _active(answer.replace(_JWT, mint(token)), key(token))


def _active(answer: str, token_id: TokenId) -> str:
    return answer.replace(f'"{_ORGANIZATION}"', json.dumps(token_id.organization))


def boot_answers(token: Token) -> Sequence[BootAnswer]:
    """The answers to the SDK's requests while it loads for the first time."""
    client = render(Outcome.SESSION, token)
    return (
        BootAnswer(f"GET {ENVIRONMENT_PATH}", 200, _ENVIRONMENT),
        BootAnswer(f"GET {CLIENT_PATH}", client.status, client.body),
    )


# -- requests -----------------------------------------------------------------------------------------------

ENVIRONMENT_PATH = "/v1/environment"
CLIENT_PATH = "/v1/client"
TOKENS_PATH = f"/v1/client/sessions/{SESSION_ID}/tokens"
TOUCH_PATH = f"/v1/client/sessions/{SESSION_ID}/touch"


def endpoint_of(request: HttpRequest) -> tuple[Endpoint, TokenId] | None:
    """The endpoint and the token id of a request, from its path and the form in its body; None for an unknown
    path."""
    match request:
        case HttpRequest("GET", path) if path == ENVIRONMENT_PATH:
            return Endpoint.CONFIGURE, SESSION_TOKEN
        case HttpRequest("GET", path) if path == CLIENT_PATH:
            return Endpoint.INTROSPECT, SESSION_TOKEN
        case HttpRequest("POST", path) if path == TOKENS_PATH:
            return Endpoint.MINT, TokenId(organization=_field(request, "organization_id"))
        case HttpRequest("POST", path) if path.startswith(f"{TOKENS_PATH}/"):
            return Endpoint.MINT, TokenId(path.removeprefix(f"{TOKENS_PATH}/"))
        case HttpRequest("POST", path) if path == TOUCH_PATH:
            return Endpoint.MUTATE, TokenId(organization=_field(request, "active_organization_id"))
        case _:
            return None


def _field(request: HttpRequest, name: str) -> str | None:
    """A field of the form in a request's body; None if it is missing or empty."""
    return dict(parse_qsl(request.body or "")).get(name)


ALWAYS = {"__clerk_api_version": r"[\d-]+", "_clerk_js_version": r"[\w.-]+", "credentials": "include"}
"""The parameters that every request has, and the pattern of their values."""
FORM = {"content-type": "application/x-www-form-urlencoded"}
ORGANIZATION = {TOKENS_PATH: {"organization_id": ".*"}, TOUCH_PATH: {"active_organization_id": ".*"}}


def details(request: HttpRequest, always: Mapping[str, str]) -> tuple[str, ...]:
    """The parameters of a request in its query, form and headers, but for its organization and for what it is
    `always` to have, if it has that."""
    needed = {**always, **(FORM if request.method == "POST" else {}), **ORGANIZATION.get(request.path, {})}
    form = dict(parse_qsl(request.body or "", keep_blank_values=True))
    said = {**request.query, **form, **request.headers, "credentials": request.credentials}
    unusual = {name: value for name, value in said.items() if not re.fullmatch(needed.get(name, r"(?!)"), value)}
    return (
        *sorted(f"{name}={value}" for name, value in unusual.items()),
        *sorted(f"no {name}" for name in needed.keys() - said),
    )


# -- the server ---------------------------------------------------------------------------------------------


class ClerkServer(FakeServer):
    """The Frontend API for a client whose credential is a cookie, which the SDK does not see."""

    issuer = ISSUER
    mint = staticmethod(mint)
    recognise = staticmethod(recognise)
    boot = staticmethod(boot_answers)
    endpoint_of = staticmethod(endpoint_of)
    always: Mapping[str, str] = ALWAYS

    def details(self, request: HttpRequest) -> tuple[str, ...]:
        """Its parameters, but for the usual ones."""
        return details(request, self.always)

    def reply(self, outcome: Outcome, token: Token | None, request: HttpRequest) -> HttpReply:
        """In the format of the Frontend API."""
        return render(outcome, token, *(endpoint_of(request) or ()))
