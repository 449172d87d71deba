"""The interface of an SDK's fake server, and the values that it exchanges with the driver.

The world decides the outcome of a request. The fake server translates it to HTTP. It answers with real JSON Web
Tokens (jwts.py), and keeps no state from one trace to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from model.terms import Endpoint, Millis, Outcome, Seconds, Token, TokenId


class HttpRequest(Struct, frozen=True):
    """A request as the SDK sent it. Header names are in lower case; `body` is its text, if any."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: str | None = None


class HttpReply(Struct, frozen=True):
    """An HTTP answer; status 0 if the connection broke."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


class BootAnswer(Struct, frozen=True):
    """The answer to a request that an SDK sends while it loads. `request` is its method and path, such as
    `GET /client`. If `without` is the name of a header, it applies only if that header is missing or empty."""

    request: str
    status: int
    body: str
    headers: Mapping[str, str] = {}
    without: str | None = None


class FakeServer(Protocol):
    """The fake of one SDK's server."""

    @property
    def epoch(self) -> Seconds:
        """The Unix time of instant 0, in s."""

    def begin(self) -> None:
        """Reset at the start of a trace."""

    def boot(self, token: Token | None) -> Sequence[BootAnswer]:
        """The answers to requests while the SDK loads: it is signed in with `token`, or has no session (None).
        The first one that fits a request applies."""

    def endpoint_of(self, request: HttpRequest) -> tuple[Endpoint, TokenId] | None:
        """The endpoint and the token id of a request; None if this server has no such endpoint."""

    def reply(self, outcome: Outcome, token: Token | None, endpoint: Endpoint) -> HttpReply:
        """The answer of `endpoint` for an outcome. Outcomes that bring a token carry `token`."""

    def recognise(self, raw: str) -> Token | None:
        """The token that `raw` was minted for; None if this server never minted it."""

    def verify(self, handed: Sequence[tuple[Token, Millis]]) -> list[str | None]:
        """The result of an independent verifier for each token at its instant in ms: None if valid, else the name
        of the error."""

    def credential(self) -> str | None:
        """The credential in the device's store at the start of a trace; None if the SDK handles no credential."""

    def carries(self, request: HttpRequest) -> bool | None:
        """Does this request carry the device's credential? None if the SDK does not handle it; then the world
        decides. Raises `TargetError` for a credential that the device never had."""
