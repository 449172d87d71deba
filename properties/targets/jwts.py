"""JSON Web Tokens of the fake servers: signing, reading and verifying them with PyJWT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from freezegun import freeze_time

from model.terms import Millis, Seconds

ALGORITHM = "EdDSA"
"""Servers mostly sign with RS256, which takes up to a millisecond: a good part of a search. A client has no key,
and looks at no signature. As with RS256, the same claims always have the same signature."""

EVENT_LOOPS = ["asyncio", "tornado", "distributed"]
"""Modules that keep the real time while freezegun freezes the clock. It does so in every thread, and an event
loop in another thread would wait for a virtual instant that is years away."""


@cache
def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def sign(claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """A token with these claims, signed with the key of this process."""
    return jwt.encode(dict(claims), _key(), algorithm=ALGORITHM, headers=dict(header or {}))


def read(raw: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The claims and the header of a token, expired or not; None if its signature is not ours."""
    try:
        claims = jwt.decode(
            raw,
            _key().public_key(),
            algorithms=[ALGORITHM],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
        )
    except jwt.InvalidTokenError:
        return None
    return claims, jwt.get_unverified_header(raw)


def verify(presented: Sequence[tuple[str, Millis]], epoch: Seconds, issuer: str) -> list[str | None]:
    """PyJWT's result for each token at an instant in ms: None if valid, else the name of the error.

    `epoch` is the Unix time of instant 0, in s. The clock is frozen once for all tokens, because freezegun scans
    every loaded module when it starts.
    """
    if not presented:
        return []
    with freeze_time(ignore=EVENT_LOOPS) as clock:
        verdicts = []
        for raw, at in presented:
            clock.move_to(datetime.fromtimestamp(epoch, UTC) + timedelta(milliseconds=at))
            verdicts.append(_error(raw, issuer))
        return verdicts


def _error(raw: str, issuer: str) -> str | None:
    options: Any = {"require": ["iss", "iat", "exp", "jti"]}
    try:
        jwt.decode(raw, _key().public_key(), algorithms=[ALGORITHM], issuer=issuer, options=options)
    except jwt.InvalidTokenError as error:
        return type(error).__name__
    return None
