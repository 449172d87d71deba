"""The toy SDK's fake server, and its builds as targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.terms import Endpoint, Millis, Operation, Outcome, Token
from properties.system.target import TargetError
from properties.targets import jwts
from properties.targets.model import ModelTarget
from properties.targets.node_target import Invocation, NodeTarget
from properties.targets.server import BootAnswer, HttpReply, HttpRequest
from tests.toy.sdk import TOY, TOY_1, FetchToken, TokenId

HERE = Path(__file__).parent

EPOCH = 1_767_225_600
"""2026-01-01, in seconds since 1970."""

STATUS = {Outcome.UNAUTHORIZED: 401, Outcome.RATE_LIMITED: 429, Outcome.BROKEN: 500, Outcome.GATEWAY_PAGE: 503}


def mint(token: Token) -> str:
    """The JSON Web Token that stands for `token`."""
    times = {"iat": EPOCH + token.issued, "exp": EPOCH + token.expires}
    return jwts.sign({"iss": "toy", "jti": str(token.number), "behind": token.behind, **times})


class ToyServer:
    """One endpoint, POST /token."""

    epoch = EPOCH

    def begin(self) -> None:
        """It keeps nothing."""

    def boot(self, token: Token | None) -> Sequence[BootAnswer]:
        """A token, or a refusal."""
        reply = self.reply(Outcome.GRANTED if token else Outcome.UNAUTHORIZED, token, Endpoint.MINT)
        return (BootAnswer("POST /token", reply.status, reply.body),)

    def endpoint_of(self, request: HttpRequest) -> tuple[Endpoint, TokenId] | None:
        """The one, for the one token."""
        known = (request.method, request.path) == ("POST", "/token")
        return (Endpoint.MINT, TokenId()) if known else None

    def reply(self, outcome: Outcome, token: Token | None, endpoint: Endpoint) -> HttpReply:
        """A token, or a status."""
        return (
            HttpReply(STATUS[outcome], "{}") if token is None else HttpReply(200, f'{{"token":"{mint(token)}"}}')
        )

    def recognise(self, raw: str) -> Token | None:
        """By its signature."""
        if (known := jwts.read(raw)) is None:
            return None
        claims, _ = known
        return Token(
            int(claims["jti"]), TokenId(), claims["iat"] - EPOCH, claims["exp"] - EPOCH, claims["behind"]
        )

    def verify(self, handed: Sequence[tuple[Token, Millis]]) -> list[str | None]:
        """With PyJWT."""
        return jwts.verify([jwts.Presented(mint(token), at) for token, at in handed], EPOCH, "toy")

    def credential(self) -> str | None:
        """It handles none."""
        return None

    def carries(self, request: HttpRequest) -> bool | None:
        """And so cannot say."""
        return None


def call_of(operation: Operation) -> Invocation:
    """Its one operation. Raises `TargetError` for any other."""
    if not isinstance(operation, FetchToken):
        raise TargetError(f"the toy has no operation {operation}")
    return Invocation(operation.verb, gives_token=True)


class ToyTarget(NodeTarget):
    """A build of the toy in a file: the release."""

    def __init__(self, bundle: Path = HERE / "bundle.cjs") -> None:
        """The bundle is there."""
        super().__init__(f"toy@{bundle}", TOY, HERE / "glue.mjs", ToyServer(), call_of, lambda runtime: bundle)

    def described_by(self) -> ModelTarget:
        """The model of the release."""
        return ModelTarget(TOY, TOY_1)
