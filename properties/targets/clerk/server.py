"""A fake of Clerk's Frontend API: real JSON Web Tokens for symbolic ones, and answers in the shape of its own.

It belongs here: what the server's answers look like. Which answer is given is the world's business.
Shapes are those that clerk/javascript reads, packages/clerk-js/src/core/resources: Client.ts, Session.ts,
User.ts, Environment.ts, Token.ts; errors as Base.ts reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from freezegun import freeze_time

from model.terms import SESSION_LIFETIME, SESSION_TOKEN, Endpoint, Millis, Outcome, Token, TokenId

EPOCH = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
"""When instant 0 is, in seconds since 1970."""

ISSUER = "https://clerk.test"
SESSION_ID = "sess_1"
USER_ID = "user_1"
CLIENT_ID = "client_1"

CLOCK_LEEWAY = 10
"""Seconds by which `nbf` lies before `iat`, as Clerk has it."""

RECENT = 4096
"""How many tokens are kept rather than made again: a campaign mints millions, a trace some dozens."""

EVENT_LOOPS = ["asyncio", "tornado", "distributed"]
"""Who keeps the real time while the clock is frozen: freezegun stops it for every thread, and an event loop in
another one would put off what it has to do until the virtual instant, years away."""

# -- tokens -------------------------------------------------------------------------------------------------


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@lru_cache(RECENT)
def mint(token: Token) -> str:
    """The JSON Web Token that stands for `token`, signed; the same one whenever it is asked for.

    Its times are `EPOCH` plus the token's. `oiat`, the header that says when the claims were assembled, is
    the time of issue; before sign-in, for a token that is behind. A template's token has no `sid`: Clerk's
    templates carry none unless they ask for it. One for an organization says so, as the SDK reads it
    (tokenFreshness.ts tokenOrgId).
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
    template, organization = token.token_id.template, token.token_id.organization
    if template is None:
        claims["sid"] = SESSION_ID
    else:
        claims["template"] = template
    if organization is not None:
        claims |= {"org_id": organization, "org_role": "org:member"}
    headers = {"kid": "ins_1", "oiat": EPOCH - 1 if token.behind else issued, "cat": "cl_B7d4PD111AAA"}
    return jwt.encode(claims, _key(), algorithm="RS256", headers=headers)


@lru_cache(RECENT)
def recognise(raw: str) -> Token | None:
    """The token that `raw` was minted for; None if this server never minted it, as its signature shows."""
    try:
        claims = jwt.decode(
            raw,
            _key().public_key(),
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},  # valid or not, it is ours
        )
    except jwt.InvalidTokenError:
        return None
    issued, expires = claims["iat"] - EPOCH, claims["exp"] - EPOCH
    behind = jwt.get_unverified_header(raw)["oiat"] < EPOCH
    return Token(
        int(claims["jti"]), TokenId(claims.get("template"), claims.get("org_id")), issued, expires, behind
    )


def verify(handed: Sequence[tuple[Token, Millis]]) -> list[str | None]:
    """What PyJWT, at a server, says of each token at its instant: None if valid, else the name of its error.

    One freeze of the clock serves all of them, since starting one walks through every loaded module.
    """
    public = _key().public_key()
    verdicts: list[str | None] = []
    if not handed:
        return []
    with freeze_time(ignore=EVENT_LOOPS) as clock:
        for token, at in handed:
            clock.move_to(datetime.fromtimestamp(EPOCH, UTC) + timedelta(milliseconds=at))
            required = ["iss", "sub", "iat", "nbf", "exp", "jti"] + ["sid"] * (token.token_id.template is None)
            try:
                claims = jwt.decode(
                    mint(token), public, algorithms=["RS256"], issuer=ISSUER, options={"require": required}
                )
            except jwt.InvalidTokenError as error:
                verdicts.append(type(error).__name__)
            else:
                verdicts.append(None if claims["jti"] == str(token.number) else "WrongToken")
    return verdicts


@lru_cache(RECENT)
def client_jwt(number: int) -> str:
    """The credential of a native device: the one that the server gave it as its `number`-th, from 1."""
    claims = {"id": CLIENT_ID, "rotating_token": str(number)}
    return jwt.encode(claims, _key(), algorithm="RS256", headers={"kid": "ins_1"})


# -- answers ------------------------------------------------------------------------------------------------


def _errors(code: str, message: str) -> str:
    error = {"code": code, "message": message, "long_message": message, "meta": {}}
    return json.dumps({"errors": [error], "clerk_trace_id": "trace_1"})


_PAGE = "<html><head><title>503 Service Unavailable</title></head><body>Service Unavailable</body></html>"

_FAILURES: dict[Outcome, tuple[int, str]] = {
    Outcome.UNAUTHORIZED: (401, _errors("authentication_invalid", "Invalid authentication")),
    Outcome.RATE_LIMITED: (429, _errors("too_many_requests", "Too many requests. Please try again later.")),
    Outcome.BROKEN: (500, _errors("internal_clerk_error", "There was an internal error on our servers.")),
    Outcome.GATEWAY_PAGE: (503, _PAGE),
    Outcome.LOST: (0, ""),
}

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
    "expire_at": _NOW + SESSION_LIFETIME,
    "abandon_at": _NOW + SESSION_LIFETIME,
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


def render(outcome: Outcome, token: Token | None, endpoint: Endpoint = Endpoint.TOKENS) -> tuple[int, str]:
    """The HTTP status and body of an answer of `endpoint`; status 0 where there is none (`LOST`).

    `token` is the one that `GRANTED`, `STALE_TOKEN` and `SESSION` carry; `ValueError` if those come without.
    """
    if failure := _FAILURES.get(outcome):
        return failure
    if outcome is Outcome.NO_SESSION:
        return 200, _NO_SESSION
    if token is None:
        raise ValueError(f"an answer '{outcome}' needs a token")
    if endpoint is Endpoint.TOUCH:  # Base.ts _updateClient: what changes something brings the client too
        return 200, _filled(_TOUCHED, token)
    if outcome is Outcome.SESSION or endpoint is Endpoint.CLIENT:
        return 200, _filled(_CLIENT, token)
    return 200, f'{{"object":"token","jwt":"{mint(token)}"}}'


def _filled(answer: str, token: Token) -> str:
    """A session in an answer has this token, and the organization that it is for as its active one."""
    active = json.dumps(token.token_id.organization)
    return answer.replace(_JWT, mint(token)).replace(f'"{_ORGANIZATION}"', active)


def boot_answers(token: Token | None) -> dict[str, tuple[int, str]]:
    """What the SDK's requests while it loads are answered with, so that it is signed in with `token`, or learns
    that it has no session."""
    client = Outcome.SESSION if token else Outcome.NO_SESSION
    return {"GET /v1/environment": (200, _ENVIRONMENT), f"GET {CLIENT_PATH}": render(client, token)}


# -- requests -----------------------------------------------------------------------------------------------

CLIENT_PATH = "/v1/client"
TOKENS_PATH = f"/v1/client/sessions/{SESSION_ID}/tokens"
TOUCH_PATH = f"/v1/client/sessions/{SESSION_ID}/touch"


def endpoint_of(method: str, path: str, form: Mapping[str, str] = {}) -> tuple[Endpoint, TokenId] | None:
    """What a request asks for, and which token, by its path and the `form` in its body; None if this server has
    no such endpoint."""
    if method == "GET" and path == CLIENT_PATH:
        return Endpoint.CLIENT, SESSION_TOKEN
    if method == "POST" and path == TOKENS_PATH:
        return Endpoint.TOKENS, TokenId(organization=form.get("organization_id") or None)
    if method == "POST" and path.startswith(f"{TOKENS_PATH}/"):
        return Endpoint.TOKENS, TokenId(path.removeprefix(f"{TOKENS_PATH}/"))
    if method == "POST" and path == TOUCH_PATH:
        return Endpoint.TOUCH, TokenId(organization=form.get("active_organization_id") or None)
    return None
