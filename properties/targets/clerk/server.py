"""A fake of Clerk's Frontend API: real JSON Web Tokens for symbolic ones, and answers in its format.

This module has the format of the answers. The world decides which answer is given. The format is what
clerk/javascript reads, in packages/clerk-js/src/core/resources: Client.ts, Session.ts, User.ts, Environment.ts,
Token.ts; and Base.ts for errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import parse_qsl

from model.clerk.terms import RETRY_AFTER, SESSION_TOKEN, TIMINGS, TokenId, key
from model.requests import Endpoint, Outcome
from model.terms import FIRST, STRANGE, Session, Token
from properties.targets import jwts
from properties.targets.server import EPOCH, BootAnswer, FakeServer, HttpReply, HttpRequest

ISSUER = "https://clerk.test"
SESSION, USER = "sess_", "user_"
"""The start of the ids of sessions and users; the number follows."""
SESSION_CLAIM = "session"
"""The claim of a template's token that has the number of its session. The SDK does not read it."""
CLIENT_ID = "client_1"

CLOCK_LEEWAY = 10
"""Seconds from `nbf` to `iat`, as in Clerk's tokens."""

RECENT = 4096
"""The number of cached tokens. A trace mints some dozens, a campaign millions."""


def session_id(session: Session) -> str:
    """The id of a session."""
    return f"{SESSION}{session.number}"


def user_id(session: Session) -> str:
    """The id of the user of a session."""
    return f"{USER}{session.user}"


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
        "sub": user_id(token.session),
        "iat": issued,
        "nbf": issued - CLOCK_LEEWAY,
        "exp": EPOCH + token.expires,
        "jti": str(token.number),
    }
    template, organization, session = key(token).template, key(token).organization, token.session
    if template is None:
        claims["sid"] = session_id(session)
    else:
        claims |= {"template": template, SESSION_CLAIM: session.number}
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
    number = claims[SESSION_CLAIM] if "template" in claims else claims["sid"].removeprefix(SESSION)
    session = Session(int(number), int(claims["sub"].removeprefix(USER)))
    token_id = TokenId(claims.get("template"), claims.get("org_id"), session=session)
    issued, expires = claims["iat"] - EPOCH, claims["exp"] - EPOCH
    return Token(int(claims["jti"]), token_id, issued, expires, header["oiat"] < EPOCH)


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
        client = _client(sessions, session_id(others[0].session) if others else None)
        return _answer(_DELETED, client) if endpoint is Endpoint.SIGN_OUT else _answer(client)
    if outcome is Outcome.SETTINGS:
        return _ENVIRONMENT
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
            return _answer(_client([session, *sessions], active))


_DELETED = json.dumps({"object": "client", "id": CLIENT_ID, "deleted": True})


def boot_answers(token: Token) -> Sequence[BootAnswer]:
    """The answers to the SDK's requests while it loads for the first time."""
    client = render(Outcome.SESSION, token, Endpoint.INTROSPECT)
    return (
        BootAnswer(f"GET {ENVIRONMENT_PATH}", 200, _ENVIRONMENT),
        BootAnswer(f"GET {CLIENT_PATH}", client.status, client.body),
    )


# -- requests -----------------------------------------------------------------------------------------------

ENVIRONMENT_PATH = "/v1/environment"
CLIENT_PATH = "/v1/client"
SIGN_INS_PATH = f"{CLIENT_PATH}/sign_ins"
SESSIONS_PATH = f"{CLIENT_PATH}/sessions"
USERS = ("ada@example.com", "eve@example.com")
"""The identifiers of the users 1 and 2, who sign in."""
_FIRST = {FIRST.number: FIRST}
_OF_SESSION = re.compile(rf"{SESSIONS_PATH}/{SESSION}(\d+)/(tokens|touch)(?:/(.+))?")


def tokens_path(session: Session = FIRST) -> str:
    """Where a session asks for tokens."""
    return f"{SESSIONS_PATH}/{session_id(session)}/tokens"


def touch_path(session: Session = FIRST) -> str:
    """Where a session is touched."""
    return f"{SESSIONS_PATH}/{session_id(session)}/touch"


def endpoint_of(
    request: HttpRequest, sessions: Mapping[int, Session] = _FIRST
) -> tuple[Endpoint, TokenId] | None:
    """The endpoint and the token id of a request, from its path and the form in its body; None for an unknown
    path or session. `sessions` are those of the device by number. A request that names none is of the first
    one."""
    method = request.query.get("_method", request.method)  # fapiClient.ts sends every other method as a POST
    match method, request.path:
        case "GET", path if path == ENVIRONMENT_PATH:
            return Endpoint.CONFIGURE, SESSION_TOKEN
        case "GET", path if path == CLIENT_PATH:
            return Endpoint.INTROSPECT, SESSION_TOKEN
        case "POST", path if path == SIGN_INS_PATH:
            return Endpoint.SIGN_IN, SESSION_TOKEN
        case "DELETE", path if path == SESSIONS_PATH:
            return Endpoint.SIGN_OUT, SESSION_TOKEN
        case "POST", path if known := _OF_SESSION.fullmatch(path):
            number, what, template = known.groups()
            session = sessions.get(int(number))
            if session is None:
                return None
            if what == "touch":
                return Endpoint.MUTATE, TokenId(
                    organization=_field(request, "active_organization_id"), session=session
                )
            organization = None if template else _field(request, "organization_id")
            return Endpoint.MINT, TokenId(template, organization, session=session)
        case _:
            return None


def _field(request: HttpRequest, name: str) -> str | None:
    """A field of the form in a request's body; None if it is missing or empty."""
    return dict(parse_qsl(request.body or "")).get(name)


ALWAYS = {"__clerk_api_version": r"[\d-]+", "_clerk_js_version": r"[\w.-]+", "credentials": "include"}
"""The parameters that every request has, and the pattern of their values."""
FORM = {"content-type": "application/x-www-form-urlencoded"}
USUAL = {
    Endpoint.MINT: {"organization_id": ".*"},
    Endpoint.MUTATE: {"active_organization_id": ".*"},
    Endpoint.SIGN_OUT: {"_method": "DELETE"},
}
"""The parameters that requests to an endpoint have beside these."""


def details(request: HttpRequest, always: Mapping[str, str], usual: Mapping[str, str]) -> tuple[str, ...]:
    """The parameters of a request in its query, form and headers, but for what it is `always` to have, and has
    `usual`ly, if it has that."""
    needed = {**always, **(FORM if request.method == "POST" else {}), **usual}
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
    boot = staticmethod(boot_answers)
    always: Mapping[str, str] = ALWAYS

    def details(self, request: HttpRequest) -> tuple[str, ...]:
        """Its parameters, but for the usual ones. None of a sign-in, whose form changes from release to
        release."""
        endpoint, token_id = self.endpoint_of(request) or (Endpoint.SIGN_IN, SESSION_TOKEN)
        if endpoint is Endpoint.SIGN_IN:
            return ()
        return details(request, self.always, {} if token_id.template else USUAL.get(endpoint, {}))

    def __init__(self) -> None:
        self._sessions = _FIRST  # of the device, by number

    def begin(self) -> None:
        """Reset to the first session."""
        self._sessions = _FIRST

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
