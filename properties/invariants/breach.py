"""A breach: why a step violates an invariant, and which fact violates it."""

from __future__ import annotations

from msgspec import Struct

from model.terms import CallId, RequestId, Token
from model.world.facts import Fact


class WaitingCall(Struct, frozen=True):
    """A call that has not settled. Its cause: the call, and the last fact that followed from it."""

    call: CallId


class OpenRequest(Struct, frozen=True):
    """A request that has not been answered. Its cause: how it was sent."""

    request: RequestId


class KnownToken(Struct, frozen=True):
    """A token that the client holds. Its cause: how the client got it."""

    token: Token


class GivenToken(Struct, frozen=True):
    """A token that a call got. Its cause: how the call ended."""

    token: Token


class Renewal(Struct, frozen=True):
    """A token that nothing is going to renew. Its cause: how the client got it, the last attempt to renew it,
    clocks that were set wrong, a lock that another tab took, and the app's last call that changed which token is
    the session's own."""

    token: Token


class Choice(Struct, frozen=True):
    """Which token is the session's own. Its cause: the app's last call that changed it before the request for
    `token` was sent."""

    token: Token


Subject = WaitingCall | OpenRequest | KnownToken | GivenToken | Renewal | Choice
"""What a breach is about besides its fact. Each kind says which facts the explanation must include."""


class Breach(Struct, frozen=True):
    """Why a step violates an invariant.

    `fact` is the fact of the step that violates it; None if the violation is that something did not happen. Then
    `about` names what is missing.
    """

    why: str
    fact: Fact | None = None
    about: tuple[Subject, ...] = ()
