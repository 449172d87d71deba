"""Real JSON Web Tokens for the tokens of the model, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from model.clerk.terms import TokenId, key
from model.terms import Session, Token
from properties.targets import jwts
from properties.targets.server import EPOCH

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


_minted: dict[str, Token] = {}
"""The tokens minted lately, by their text: to read one takes as long as to sign it."""


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
    if len(_minted) == RECENT:
        _minted.clear()
    raw = jwts.sign(claims, headers)
    _minted[raw] = token
    return raw


def recognise(raw: str) -> Token | None:
    """The token that `raw` was minted for; None if this server never minted it, as its signature shows."""
    return _minted.get(raw) or read(raw)


@lru_cache(RECENT)
def read(raw: str) -> Token | None:
    """As `recognise`, from the text alone."""
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
