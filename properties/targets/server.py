"""The base of an SDK's fake server, and the values that it exchanges with the driver.

The world decides the outcome of a request. The fake server translates it to HTTP. It answers with real JSON Web
Tokens (jwts.py), and keeps no state from one trace to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from model.requests import Endpoint, Outcome
from model.terms import FIRST, Millis, Seconds, Session, TabState, Token, TokenId, TokenIdStruct
from properties.targets import jwts


class HttpRequest(Struct, frozen=True):
    """A request as the SDK sent it. Header names are in lower case; `body` is its text, if any."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: str | None = None
    credentials: str = "same-origin"
    """Whether a browser adds its own, as `fetch` is told."""


class HttpReply(Struct, frozen=True):
    """An HTTP answer; status 0 if the connection broke."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


class BootAnswer(Struct, frozen=True):
    """The answer to a request that an SDK sends while it loads for the first time. `request` is its method and
    path, such as `GET /client`."""

    request: str
    status: int
    body: str
    headers: Mapping[str, str] = {}


EPOCH: Seconds = 1_767_225_600
"""The Unix time of instant 0: 2026-01-01."""


class FakeServer:
    """The fake of one SDK's server.

    The defaults are those of a server with one kind of token, whose endpoints take no arguments. It adds
    `issuer`, `endpoints` and `body`.
    """

    issuer: str
    """The `iss` of its tokens."""
    endpoints: Mapping[str, Endpoint]
    """Its endpoints by method and path: `POST /token`."""
    epoch: Seconds = EPOCH
    """The Unix time of instant 0."""

    def body(self, jwt: str) -> str:
        """The text of an answer that brings a token."""
        raise NotImplementedError

    # -- requests and answers

    def begin(self) -> None:
        """Reset at the start of a trace."""

    def boot(self, token: Token) -> Sequence[BootAnswer]:
        """The answers to requests while the SDK loads for the first time: it is signed in with `token`."""
        answers = []
        for request in self.endpoints:
            method, path = request.split(" ")
            reply = self.reply(Outcome.GRANTED, token, HttpRequest(method, path))
            answers.append(BootAnswer(request, reply.status, reply.body))
        return answers

    def endpoint_of(self, request: HttpRequest) -> tuple[Endpoint, TokenId] | None:
        """The endpoint and the token id of a request; None if this server has no such endpoint."""
        endpoint = self.endpoints.get(f"{request.method} {request.path}")
        return (endpoint, TokenIdStruct()) if endpoint else None

    def details(self, request: HttpRequest) -> tuple[str, ...]:
        """What a request says beside its endpoint and its token id: see `RequestSent.details`."""
        return ()

    def tab(self, request: HttpRequest) -> TabState | None:
        """The state of the tab, if the request tells it."""
        return None

    def told(self, token: Token) -> tuple[str, Mapping[str, object]] | None:
        """What another tab posts when it has got a token: the name of the channel, and the message. None if the
        SDK's tabs tell each other of no tokens."""
        return None

    def reply(
        self, outcome: Outcome, token: Token | None, request: HttpRequest, others: Sequence[Token] = ()
    ) -> HttpReply:
        """The answer to a request for an outcome. Outcomes that bring a token carry `token`. `others` are tokens
        of the other sessions of this device, if the answer says which sessions there are. Of the request it
        depends on nothing but `endpoint_of`."""
        return HttpReply(outcome.status, self.body(self.mint(token)) if token else "{}")

    # -- tokens

    def claims(self, token: Token) -> dict[str, object]:
        """The claims of a token."""
        times = {"iat": self.epoch + token.issued, "exp": self.epoch + token.expires}
        return {"iss": self.issuer, "jti": str(token.number), **times, "behind": token.behind}

    def mint(self, token: Token) -> str:
        """The JSON Web Token that stands for `token`."""
        return jwts.sign(self.claims(token))

    def recognise(self, raw: str) -> Token | None:
        """The token that `raw` was minted for; None if this server never minted it."""
        if (known := jwts.read(raw)) is None:
            return None
        claims, _ = known
        issued, expires = claims["iat"] - self.epoch, claims["exp"] - self.epoch
        return Token(int(claims["jti"]), TokenIdStruct(), issued, expires, claims["behind"])

    def verify(self, handed: Sequence[tuple[Token, Millis]]) -> list[str | None]:
        """The result of an independent verifier for each token at its instant in ms: None if valid, else the name
        of the error."""
        return jwts.verify([(self.mint(token), at) for token, at in handed], self.epoch, self.issuer)

    def session(self, name: str | None) -> Session:
        """The session that the glue names so; the first one if it names none."""
        return FIRST

    # -- the device's credential

    def credential(self) -> str | None:
        """The credential in the device's store at the start of a trace; None if the SDK handles no credential."""
        return None

    def carries(self, request: HttpRequest) -> bool | None:
        """Does this request carry the device's credential? None if the SDK does not handle it; then the world
        decides. Raises `TargetError` for a credential that the device never had."""
        return None
