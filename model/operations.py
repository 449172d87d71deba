"""The calls that an app may make, and the names of the errors that they end with."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from model.notation import Parameter, ShortForm
from model.terms import TokenId, TokenIdStruct

NULL_ERROR = "null"
"""The error name of a call that settled with null instead of the token it was made for."""

OFFLINE_ERROR = "offline"
"""The error name of a call that failed because the device is offline."""

NO_SESSION_ERROR = "no-session"
"""The error name of a call for which the app has no session: it has none to make the call with."""

API_ERROR_PREFIX = "api-"
"""The start of the error names that stand for an HTTP status of the server's; the status follows: `api-401`."""


class Operation:
    """A call that an app may make, with its arguments: an event of the world. An SDK's is an `OperationStruct`.

    Only the client knows what an operation does. This is what the world, the search and the reports need of it.
    The defaults are those of a call for the session's token.
    """

    __slots__ = ()

    verb: ClassVar[str]
    """The function that the app calls, as its developers write it: `fetchToken`."""
    gives_token: ClassVar[bool] = True
    """Does the call settle with a token? If not, what it settles with is ignored."""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    """How its arguments are written."""
    changes_session: ClassVar[bool] = False
    """Does the call make another token the session's own, while the session stays the same? A client may ask once
    more which sessions there are when such a call is refused."""
    leaves: ClassVar[bool] = False
    """Does the call end the sessions of this device?"""
    enters: ClassVar[bool] = False
    """Does the call make another session the app's: a new one, or `other`?"""

    @property
    def user(self) -> int | None:
        """The user that the call signs in; None if it signs nobody in."""
        return None

    @property
    def token_id(self) -> TokenId:
        """The token that the call is about."""
        return TokenIdStruct()

    @property
    def wants_session_token(self) -> bool:
        """Does any token that is the session's own satisfy the call?"""
        return self.gives_token

    @classmethod
    def short_form(cls) -> ShortForm:
        """The short form of these calls."""
        return ShortForm(cls.verb, cls.parameters)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that were given, in short form."""
        return self.short_form().arguments(self)

    @property
    def phrase(self) -> str:
        """The call in the words of a sentence: `fetchToken with force`."""
        return f"{self.verb} with {', '.join(self.arguments)}" if self.arguments else self.verb

    def __str__(self) -> str:
        return self.short_form().write(self)


class OperationStruct(Operation, Struct, frozen=True, cache_hash=True, tag_field="event", tag=True):
    """The base of an SDK's operations. A struct's fields are the arguments that the glue gets."""


class Load(OperationStruct, frozen=True):
    """The app loads the SDK, which asks for its session: when a process starts, and again if that has failed."""

    verb = "load"
    gives_token = False
