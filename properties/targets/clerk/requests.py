"""What a request of the SDK asks for: read from its method, path, query and body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from model.clerk.terms import SESSION_TOKEN, TokenId
from model.requests import Endpoint
from model.terms import FIRST, Session
from properties.targets.clerk.tokens import SESSION, session_id
from properties.targets.server import HttpRequest

ENVIRONMENT_PATH = "/v1/environment"
CLIENT_PATH = "/v1/client"
SIGN_INS_PATH = f"{CLIENT_PATH}/sign_ins"
SESSIONS_PATH = f"{CLIENT_PATH}/sessions"
FIRST_ALONE = {FIRST.number: FIRST}
"""The sessions of a device that has the first one alone."""
_OF_SESSION = re.compile(rf"{SESSIONS_PATH}/{SESSION}(\d+)/(tokens|touch)(?:/(.+))?")


def tokens_path(session: Session = FIRST) -> str:
    """Where a session asks for tokens."""
    return f"{SESSIONS_PATH}/{session_id(session)}/tokens"


def touch_path(session: Session = FIRST) -> str:
    """Where a session is touched."""
    return f"{SESSIONS_PATH}/{session_id(session)}/touch"


def endpoint_of(
    request: HttpRequest, sessions: Mapping[int, Session] = FIRST_ALONE
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
                    organization=field(request, "active_organization_id"), session=session
                )
            organization = None if template else field(request, "organization_id")
            return Endpoint.MINT, TokenId(template, organization, session=session)
        case _:
            return None


def field(request: HttpRequest, name: str) -> str | None:
    """A field of the form in a request's body; None if it is missing or empty."""
    return dict(parse_qsl(request.body or "")).get(name)


FORM = {"content-type": "application/x-www-form-urlencoded"}


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
