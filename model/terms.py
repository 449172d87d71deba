"""The words every other room uses: tokens, stimuli, outputs.

Inert values only. A *stimulus* is what the world does to a client, an *output* is what the client does
to the world. Nothing here knows a rule, a clock or a policy.

Units: `Millis` are milliseconds of virtual time since the user signed in, by the server's clock unless the
device's is named; `Seconds` are the whole seconds that JSON Web Tokens speak (RFC 7519 NumericDate), counted from
the same instant.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

Millis: TypeAlias = int
Seconds: TypeAlias = int

RequestId: TypeAlias = int
TimerId: TypeAlias = int
CallId: TypeAlias = int

TOKEN_LIFETIME: Seconds = 60
"""A session token lives 60 s; templates are left at the same default."""

SKEWS: tuple[Millis, ...] = (-3_600_000, 3_600_000, 0)
"""How far the device's clock may be ahead of the server's: an hour behind, an hour ahead, or right again."""

POLL_INTERVAL: Millis = 5_000
"""How long a page's poller waits until it looks at the session again, in a tab that is not in front
(SessionCookiePoller.ts)."""

SESSION_LIFETIME: Millis = 30 * 24 * 60 * 60 * 1000
"""The server keeps a session for 30 days."""


class Word(StrEnum):
    """A closed vocabulary: a member prints as its word, and its repr is code."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Runtime(Word):
    """Where the client believes it runs. Only `HEADLESS` is subject to the guard of #8303."""

    HEADLESS = "headless"  # React Native: load({experimental: {runtimeEnvironment: 'headless'}})
    BROWSER_LIKE = "browser-like"  # a non-standard browser without that flag, such as an extension
    BROWSER = "browser"  # a page, in a tab that is not in front: with a session cookie and its poller


CAN_LOOK = (Runtime.BROWSER_LIKE, Runtime.BROWSER)
"""Where a client can look whether it is online (`navigator.onLine`). React Native's navigator does not say."""


class Endpoint(Word):
    """What a request asks the server for."""

    TOKENS = "tokens"  # POST /client/sessions/:id/tokens[/:template]: a token, please
    CLIENT = "client"  # GET /client: which sessions does this device have?
    TOUCH = "touch"  # POST /client/sessions/:id/touch: the app uses this session; the client comes back with it


class Outcome(Word):
    """How a request ends. The order is the order in which a search prefers them: honest first."""

    GRANTED = "granted"  # 200, a token
    SESSION = "session"  # 200, a client with the session and a fresh token of it
    BROKEN = "broken"  # 500
    RATE_LIMITED = "rate-limited"  # 429
    GATEWAY_PAGE = "gateway-page"  # 503 with a page of HTML, from something in front of the server
    LOST = "lost"  # no answer: the connection broke
    UNAUTHORIZED = "unauthorized"  # 401
    NO_SESSION = "no-session"  # 200, a client without sessions
    STALE_TOKEN = "stale-token"  # 200, a token (or a client with one) made from older data than one already given


PERSONAL = ""
"""What the app says instead of an organization when it means the personal workspace, which is none."""


class TokenId(Struct, frozen=True, cache_hash=True):
    """Which token: one made by a template, one for an organization. The session token has no template, and is for
    the session's active organization, if it has one.

    The SDK's own word for what its cache goes by (utils/tokenId.ts).
    """

    template: str | None = None
    organization: str | None = None

    @property
    def requested(self) -> TokenId:
        """Which token a request for this one asks for: a template's says nothing of an organization."""
        return TokenId(self.template) if self.template and self.organization else self

    def __str__(self) -> str:
        return "-".join(filter(None, (self.template, self.organization)))


SESSION_TOKEN = TokenId()


class Token(Struct, frozen=True, cache_hash=True):
    """A token as a symbol: `T3` is the third that the server minted. Adapters turn it into a real JWT."""

    number: int
    token_id: TokenId
    issued: Seconds
    expires: Seconds
    behind: bool = False
    """Its claims were assembled (header `oiat`) before those of every token that is not behind."""

    def __str__(self) -> str:
        return f"T{self.number}"


# -- stimuli: the world to the client ---------------------------------------------------------------------


class TimerDue(Struct, frozen=True):
    """The event loop runs the callback of a timer."""

    timer: TimerId


class TokenAsked(Struct, frozen=True):
    """The app calls `getToken({template, organizationId, skipCache})`. Without an organization it means whichever
    is the active one, by `PERSONAL` none."""

    call: CallId
    token_id: TokenId = SESSION_TOKEN
    skip_cache: bool = False


class Answered(Struct, frozen=True):
    """The answer to a request reaches the client; only `GRANTED`, `SESSION` and `STALE_TOKEN` have a `token`."""

    request: RequestId
    outcome: Outcome
    token: Token | None = None


class ClockChanged(Struct, frozen=True):
    """The device's clock is `skew` ms ahead of the server's from now on. Nobody tells the client: it may look."""

    skew: Millis


class KeychainTurned(Struct, frozen=True):
    """The device's keychain is locked, or unlocked again: does it hand out its credential? Means nothing to a
    client that does not fetch the credential itself."""

    locked: bool


class TouchAsked(Struct, frozen=True):
    """The app calls `session.touch()`."""

    call: CallId


class NetworkTurned(Struct, frozen=True):
    """The device has lost the network, or has it back. A client that can look (`CAN_LOOK`) sees it the next time
    that it does."""

    online: bool


class Started(Struct, frozen=True):
    """The app was killed and has started again: a new client loads, and is told of its session, with a fresh
    `token` of it, or that there is none. Its requests and timers are numbered on from those before."""

    token: Token | None


class SwitchAsked(Struct, frozen=True):
    """The app calls `setActive({organization})`; None is the personal workspace."""

    call: CallId
    organization: str | None


Stimulus: TypeAlias = (
    TimerDue
    | TokenAsked
    | Answered
    | ClockChanged
    | KeychainTurned
    | TouchAsked
    | NetworkTurned
    | Started
    | SwitchAsked
)


# -- outputs: the client to the world -----------------------------------------------------------------------
# `cause` is the foreground call in whose course the output happened, or None. The world decides whether that
# call is still pending, and so whether the output counts as foreground.


class RequestSent(Struct, frozen=True):
    """The client sends a request. Numbered 1, 2, ... in the order of sending.

    `credential` says whether it carried the device's credential; None where that is not the client's to
    say, but the device's.
    """

    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    cause: CallId | None
    credential: bool | None = None


class TimerSet(Struct, frozen=True):
    """The client asks to be called back at `due` on its own clock."""

    timer: TimerId
    due: Millis
    cause: CallId | None


class TimerCleared(Struct, frozen=True):
    """The client no longer wants to be called back. Clearing a timer that already ran means nothing."""

    timer: TimerId


class SignedOut(Struct, frozen=True):
    """The client holds no session any more: what the user sees is the sign-in screen."""

    cause: CallId | None


class CallSettled(Struct, frozen=True):
    """A call ends: of `getToken` with a token or with the name of an error, any other with the name of an error
    or with nothing."""

    call: CallId
    token: Token | None
    error: str | None


class TokenAnnounced(Struct, frozen=True):
    """The session's last active token is now another one: what the app and its own backend see of it."""

    token: Token
    before: Token | None


class CookieChanged(Struct, frozen=True):
    """The cookie that carries the session to the app's own server now holds another token, or none. Only a page
    has one."""

    token: Token | None


class SignedIn(Struct, frozen=True):
    """The client holds the session again that it had dropped."""

    cause: CallId | None


Output: TypeAlias = (
    RequestSent | TimerSet | TimerCleared | SignedOut | CallSettled | TokenAnnounced | CookieChanged | SignedIn
)
