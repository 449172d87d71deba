"""The vocabulary of client and world: time, runtimes, sessions, tokens. Values only: no rule, no policy, no SDK.

Units: time is virtual. `Millis` is a length of time in ms, or an instant in ms since the user signed in, by the
server's clock unless the device's is named. `Seconds` is the same in whole seconds, the unit of the claims of a
JSON Web Token (RFC 7519 NumericDate).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Millis: TypeAlias = int
Seconds: TypeAlias = int

RequestId: TypeAlias = Annotated[int, "request"]
TimerId: TypeAlias = Annotated[int, "timer"]
CallId: TypeAlias = Annotated[int, "call"]
"""Plain ints. The annotation names the kind of id: `model/form.py` finds and renames ids by it."""


class Word(StrEnum):
    """An enumeration: a member prints as its word, and its repr is code."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Runtime(Word):
    """The environment that the client detects, which decides what it can see."""

    HEADLESS = "headless"  # no browser around it: React Native
    BROWSER_LIKE = "browser-like"  # a browser's network status, but no page: an extension's worker
    BROWSER = "browser"  # a page in a tab of its own
    FRAME = "frame"  # a page in a frame of a page of another site

    @property
    def is_page(self) -> bool:
        """Is there a document around the client, in a tab that a user may look at?"""
        return self in (Runtime.BROWSER, Runtime.FRAME)

    @property
    def sees_network(self) -> bool:
        """Can a client see whether it is online (`navigator.onLine`)? React Native's navigator has no such
        field."""
        return self is not Runtime.HEADLESS


PAGES = tuple(one for one in Runtime if one.is_page)
"""The runtimes with a document around the client."""


class TabState(Word):
    """Whether the user looks at a page, as its document says (`hasFocus()`, `visibilityState`)."""

    FOCUSED = "focused"
    VISIBLE = "visible"  # beside another window, which has the focus; or in a frame
    HIDDEN = "hidden"  # behind another tab, or the window is minimized


class Timings(Struct, frozen=True, cache_hash=True):
    """The numbers of one SDK, its server and its network. A proof may put unknowns in their place
    (properties/prove/condition.py)."""

    lifetime: Seconds = 60
    """How long a session token lives."""
    lead: Seconds = 15
    """How long before its expiry a token is refreshed."""
    cutoff: Seconds = 0
    """A token with this much life left, or less, is not handed out any more."""
    ticker: Millis = 0
    """The period of the timer by which a client looks at its token again and again; 0 if it has none."""
    focused_ticker: Millis = 0
    """The same in a tab that has the focus, if it is another one there."""
    patience: Millis = 15_000
    """The most that a healthy network takes to answer. A call that has waited longer, with nothing in flight, is
    stuck."""
    session: Millis = 30 * 24 * 60 * 60 * 1000
    """How long the server keeps a session."""


class Session(Struct, frozen=True, cache_hash=True):
    """A session of a user. Those of this device are numbered 1, 2, ... by their sign-ins; users are numbered,
    too."""

    number: int = 1
    user: int = 1

    def __str__(self) -> str:
        return (
            "" if self == FIRST else "another device's session" if self == STRANGE else f"session {self.number}"
        )


FIRST = Session()
"""The session at instant 0."""

STRANGE = Session(0, 0)
"""A session of another device, and another user."""


class TokenId:
    """Which token a request or call is for: an opaque key, not one token. Its `str` is empty for the token that
    the first session comes with. An SDK's is a `TokenIdStruct`."""

    __slots__ = ()

    session: Session
    """The session that it is of."""

    def of(self, session: Session) -> Self:
        """The key of the same kind of token of another session."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.session)


class TokenIdStruct(TokenId, Struct, frozen=True, cache_hash=True, kw_only=True):
    """The key of the only kind of token that an SDK has; the base of its own, if there are more."""

    session: Session = FIRST

    def of(self, session: Session) -> Self:
        """The key of the same kind of token of another session."""
        return self if session == self.session else replace(self, session=session)


class Token(Struct, frozen=True, cache_hash=True):
    """A token as a symbol: `T3` is the third that the server minted. Adapters turn it into a real JWT."""

    number: int
    token_id: TokenId
    issued: Seconds
    expires: Seconds
    behind: bool = False
    """Was it made from older data than the tokens that are not behind?"""

    @property
    def session(self) -> Session:
        """The session that it is of."""
        return self.token_id.session

    def comparable(self, other: Token) -> bool:
        """Is it a token of the same kind and session?"""
        return self.token_id == other.token_id

    def is_same(self, other: Token | None) -> bool:
        """Is it this very token? A model asks this and not `==`, for a proof without times leaves it open."""
        return self == other

    def fresher_than(self, other: Token) -> bool:
        """Was it made from newer data or, of the same data, minted in a later second?"""
        return other.behind if self.behind != other.behind else self.issued > other.issued

    def __str__(self) -> str:
        return f"T{self.number}"


# -- stimuli: the world to the client ---------------------------------------------------------------------
