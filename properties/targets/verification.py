"""Cross-check: an independent verifier must agree with the symbolic tokens that an SDK handed out."""

from __future__ import annotations

from model.terms import Millis, Seconds, Token
from properties.system.target import TargetError
from properties.targets.server import FakeServer

BATCH_SIZE = 200
"""The number of tokens that are verified together. Freezing the clock costs more than verifying fifty."""

_verified: set[tuple[type[FakeServer], Token, Seconds]] = set()
"""The tokens that were verified in this process, by type of server, each with the second at which it was."""


class Verification:
    """The tokens that were handed out and are not verified yet, each with its instant in ms of server time."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._handed: dict[tuple[Token, Seconds], Millis] = {}

    def add(self, token: Token, at: Millis) -> None:
        """A token was handed out."""
        if (type(self._server), token, at // 1000) not in _verified:
            self._handed[token, at // 1000] = at

    @property
    def due(self) -> bool:
        """Are there enough tokens for a batch?"""
        return len(self._handed) >= BATCH_SIZE

    def judge(self) -> None:
        """Verify all of them. Raises `TargetError` if the verifier disagrees with a symbolic token: then this
        harness is wrong, not the SDK."""
        handed = [(token, at) for (token, _), at in self._handed.items()]
        self._handed.clear()
        for (token, at), refused in zip(handed, self._server.verify(handed), strict=True):
            if (refused is None) != (token.issued * 1000 <= at < token.expires * 1000):
                said = refused or "valid"
                raise TargetError(f"PyJWT says {said} of {token!r} at {at} ms: the harness is wrong")
            _verified.add((type(self._server), token, at // 1000))
