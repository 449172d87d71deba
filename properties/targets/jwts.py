"""JSON Web Tokens of the fake servers: signing, reading and verifying them with PyJWT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from freezegun import freeze_time
from msgspec import Struct

from model.terms import Millis, Seconds

ALGORITHM = "RS256"

EVENT_LOOPS = ["asyncio", "tornado", "distributed"]
"""Modules that keep the real time while freezegun freezes the clock. It does so in every thread, and an event
loop in another thread would wait for a virtual instant that is years away."""


class Presented(Struct, frozen=True):
    """A token to verify, as it is presented to a server `at` an instant in ms."""

    raw: str
    at: Millis
    required: tuple[str, ...] = ("iss", "iat", "exp")
    """The claims that it must have."""
    claims: Mapping[str, Any] = {}
    """The values that some claims must have."""


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


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


def verify(presented: Sequence[Presented], epoch: Seconds, issuer: str) -> list[str | None]:
    """PyJWT's result for each token at its instant: None if valid, else the name of the error.

    `epoch` is the Unix time of instant 0, in s. The clock is frozen once for all tokens, because freezegun scans
    every loaded module when it starts.
    """
    if not presented:
        return []
    with freeze_time(ignore=EVENT_LOOPS) as clock:
        verdicts = []
        for one in presented:
            clock.move_to(datetime.fromtimestamp(epoch, UTC) + timedelta(milliseconds=one.at))
            verdicts.append(_verdict(one, issuer))
        return verdicts


def _verdict(one: Presented, issuer: str) -> str | None:
    options: Any = {"require": [*one.required]}
    try:
        claims = jwt.decode(one.raw, _key().public_key(), algorithms=[ALGORITHM], issuer=issuer, options=options)
    except jwt.InvalidTokenError as error:
        return type(error).__name__
    right = all(claims.get(name) == value for name, value in one.claims.items())
    return None if right else "WrongToken"
