"""The vocabulary of client and world: time, tokens, stimuli, outputs. Values only: no rule, no policy, no SDK.

A *stimulus* is what the world does to a client. An *output* is what the client does to the world.

Units: time is virtual. `Millis` is a length of time in ms, or an instant in ms since the user signed in, by the
server's clock unless the device's is named. `Seconds` is the same in whole seconds, the unit of the claims of a
JSON Web Token (RFC 7519 NumericDate).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from model.notation import Parameter, ShortForm

Millis: TypeAlias = int
Seconds: TypeAlias = int

RequestId: TypeAlias = Annotated[int, "request"]
TimerId: TypeAlias = Annotated[int, "timer"]
CallId: TypeAlias = Annotated[int, "call"]
"""Plain numbers. By the annotations `model/form.py` finds them in the fields of a client."""


class Word(StrEnum):
    """An enumeration: a member prints as its word, and its repr is code."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Runtime(Word):
    """Where the client takes itself to run, which decides what it can see."""

    HEADLESS = "headless"  # no browser around it: React Native
    BROWSER_LIKE = "browser-like"  # a browser's network status, but no page: an extension's worker
    BROWSER = "browser"  # a page, in a tab that is not in front

    @property
    def sees_network(self) -> bool:
        """Can a client see whether it is online (`navigator.onLine`)? React Native's navigator has no such
        field."""
        return self is not Runtime.HEADLESS


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
    patience: Millis = 15_000
    """The most that a healthy network takes to answer. A call that has waited longer, with nothing in flight, is
    stuck."""
    session: Millis = 30 * 24 * 60 * 60 * 1000
    """How long the server keeps a session."""


class Endpoint(Word):
    """What a request asks the server for. Each SDK has paths of its own for these."""

    MINT = "mint"  # a token
    INTROSPECT = "introspect"  # the sessions of this device
    MUTATE = "mutate"  # to change the session, or to note that it is in use; the answer has the session
    CONFIGURE = "configure"  # how the app is set up; whoever asks gets the same answer
    SIGN_IN = "sign-in"  # to begin a session
    SIGN_OUT = "sign-out"  # to end the sessions of this device


OF_DEVICE = (Endpoint.INTROSPECT, Endpoint.CONFIGURE, Endpoint.SIGN_IN, Endpoint.SIGN_OUT)
"""The endpoints whose requests name no session. The world takes the app's."""


class Outcome(Word):
    """How a request ends. A search prefers those that stand first: honest ones before faults."""

    GRANTED = "granted"  # 200, a token
    SESSION = "session"  # 200, the session with a fresh token
    SETTINGS = "settings"  # 200, how the app is set up
    BROKEN = "broken"  # 500
    RATE_LIMITED = "rate-limited"  # 429
    GATEWAY_PAGE = "gateway-page"  # 503 with a page of HTML, from something in front of the server
    LOST = "lost"  # no answer: the connection broke
    RETRY_AFTER = "retry-after"  # 429, and the header that says when to come back
    UNAUTHORIZED = "unauthorized"  # 401, or what this server says instead
    FORBIDDEN = "forbidden"  # 403: the user is banned
    NOT_FOUND = "not-found"  # 404: there is no such session any more
    NO_SESSION = "no-session"  # 200, no session
    STALE_TOKEN = "stale-token"  # 200, a token, or a session with one, that is `behind`; it has not expired
    LEAN_SESSION = "lean-session"  # 200, the session, but without its token
    FOREIGN_TOKEN = "foreign-token"  # 200, a token of another session, and another user

    @property
    def status(self) -> int:
        """The HTTP status of the answer, unless a server has another one; 0 if there is none."""
        return _STATUSES.get(self, 200)


_STATUSES = {
    Outcome.BROKEN: 500,
    Outcome.RATE_LIMITED: 429,
    Outcome.RETRY_AFTER: 429,
    Outcome.GATEWAY_PAGE: 503,
    Outcome.LOST: 0,
    Outcome.UNAUTHORIZED: 401,
    Outcome.FORBIDDEN: 403,
    Outcome.NOT_FOUND: 404,
}


class Ending(Word):
    """How a session ends before its time, which decides what an honest server says of it from then on."""

    REVOKED = "revoked"  # an administrator, a changed password, a sign-out on another device
    BANNED = "banned"  # the user may not sign in any more
    GONE = "gone"  # the session was deleted


GRANTS = (Outcome.GRANTED, Outcome.SESSION, Outcome.STALE_TOKEN, Outcome.FOREIGN_TOKEN)
"""The outcomes that bring a token. An unauthenticated request never ends with one."""

DONE = (*GRANTS, Outcome.LEAN_SESSION)
"""The outcomes of a request that the server has acted on."""

ENDED = (Outcome.UNAUTHORIZED, Outcome.FORBIDDEN, Outcome.NOT_FOUND)
"""The refusals that say, if they are honest, that the session has ended."""


FAILURES = (Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST)
"""The outcomes of an outage of the server, of what is in front of it, or of the network. None is ever honest."""

NULL_ERROR = "null"
"""The error name of a call that settled with null instead of the token it was made for."""

OFFLINE_ERROR = "offline"
"""The error name of a call that failed because the device is offline."""

NO_SESSION_ERROR = "no-session"
"""The error name of a call for which the app has no session: it has none to make the call with."""

API_ERROR_PREFIX = "api-"
"""The start of the error names that stand for an HTTP status of the server's; the status follows: `api-401`."""


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
    """Does the call make another token the session's own? A client may ask once more which sessions there are
    when such a call is refused."""
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

    def fresher_than(self, other: Token) -> bool:
        """Was it made from newer data or, of the same data, minted in a later second?"""
        return other.behind if self.behind != other.behind else self.issued > other.issued

    def __str__(self) -> str:
        return f"T{self.number}"


# -- stimuli: the world to the client ---------------------------------------------------------------------


class TimerDue(Struct, frozen=True):
    """The event loop runs the callback of a timer."""

    timer: TimerId


class Called(Struct, frozen=True):
    """The app makes a call."""

    call: CallId
    operation: Operation


class Replied(Struct, frozen=True):
    """The end of a request reaches the client. It has a `token` if and only if its outcome is one of `GRANTS`.

    `others`: a token of each of the other sessions of this device, if the answer says which sessions there are.
    """

    request: RequestId
    outcome: Outcome
    token: Token | None = None
    others: tuple[Token, ...] = ()


class ClockChanged(Struct, frozen=True):
    """The device's clock is `skew` ms ahead of the server's from now on. No client is notified of that; it sees
    it when it reads the clock."""

    skew: Millis


class LockChanged(Struct, frozen=True):
    """The device's keychain is locked, or unlocked again. It matters to a client that reads the credential from
    it, and to no other."""

    locked: bool


class ConnectionChanged(Struct, frozen=True):
    """The device has lost the network, or has it back. A client that can see it (`Runtime.sees_network`) does so
    when it next looks."""

    online: bool


class Started(Struct, frozen=True):
    """The app was killed and has started again. It makes a new client, and calls `Load` on it. Its requests and
    timers are numbered on from those of the client before."""

    call: CallId


Stimulus: TypeAlias = TimerDue | Called | Replied | ClockChanged | LockChanged | ConnectionChanged | Started


# -- outputs: the client to the world -----------------------------------------------------------------------
# `cause` is the call of the app that led to the output, or None. The world knows whether that call is still
# pending, and so whether the output counts as foreground (`World.origin`).


class RequestSent(Struct, frozen=True):
    """The client sends a request. Requests are numbered 1, 2, ... as they are sent.

    `credential`: does the request carry the device's credential? None if the device adds it, not the client.
    `details`: what else it says to the server, each as `name=value`.
    """

    request: RequestId
    endpoint: Endpoint
    token_id: TokenId
    cause: CallId | None
    credential: bool | None = None
    details: tuple[str, ...] = ()


class TimerSet(Struct, frozen=True):
    """The client sets a timer, to run at `due` by the device's clock."""

    timer: TimerId
    due: Millis
    cause: CallId | None


class TimerCleared(Struct, frozen=True):
    """The client clears a timer. To clear one that has run, or is not set, has no effect."""

    timer: TimerId


class SignedOut(Struct, frozen=True):
    """The client drops its session, or has loaded without one: the user sees the sign-in screen."""

    cause: CallId | None


class SignedIn(Struct, frozen=True):
    """The client has loaded with a session, or holds `session` from now on: one that it had dropped, or another
    one than before."""

    cause: CallId | None
    session: Session = FIRST


class CallSettled(Struct, frozen=True):
    """A call ends: with a token, with the name of an error, or with neither if it is not for a token."""

    call: CallId
    token: Token | None
    error: str | None


class TokenAnnounced(Struct, frozen=True):
    """The client tells the app that the session's last active token is now `token`, where it was `before`."""

    token: Token
    before: Token | None


class Uncaught(Struct, frozen=True):
    """The client throws an error, or rejects a promise, that nobody catches."""


class TokenShown(Struct, frozen=True):
    """The client shows `token`, or none, to the app's own server from now on, which knows the user by it."""

    token: Token | None


Output: TypeAlias = (
    RequestSent
    | TimerSet
    | TimerCleared
    | SignedOut
    | SignedIn
    | CallSettled
    | TokenAnnounced
    | TokenShown
    | Uncaught
)
