"""The boundary: what the package of one SDK provides, and all that other code may use of it.

An SDK is a package `model/<name>/` with one value, its `Sdk`: what an app may call, an honest server, numbers,
policies, and a client as two functions, `start` and `step`. A client is opaque outside its package. The other
functions answer what a proof (`canonical`, `timers`, `requests`, `awaited`, `parts`) or a diagram (`phase`) asks
of it.

World, assumptions, invariants and engines name no SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from model import form
from model.form import Form
from model.io import Output, Stimulus
from model.operations import Operation
from model.parts import Parts
from model.requests import FAILURES, Ending, Endpoint, Outcome
from model.terms import Millis, RequestId, Runtime, TimerId, Timings, Token, TokenId, TokenIdStruct

Client: TypeAlias = Any
"""The state of a client between two stimuli: a frozen, hashable struct whose type is its SDK's own. Its field
`policy` is the policy that it goes by."""
C = TypeVar("C", bound=Struct)


_HONEST = {Endpoint.MINT: Outcome.GRANTED, Endpoint.CONFIGURE: Outcome.SETTINGS}
_REFUSALS = {Endpoint.INTROSPECT: Outcome.NO_SESSION, Endpoint.CONFIGURE: Outcome.SETTINGS}


class Server:
    """What an honest server knows of one session, but for whether it is valid (`World.valid`), and what the app
    has chosen and not told it yet. It says what the server answers, and what a request or a call changes. An
    SDK's is a `ServerStruct`.

    The defaults are those of a server that mints one kind of token, and does nothing else.
    """

    __slots__ = ()

    def outcomes(self, endpoint: Endpoint) -> tuple[Outcome, ...]:
        """Every way in which a request can end, faults included; none for an endpoint that this server lacks."""
        ends = (Outcome.GRANTED, *FAILURES, Outcome.UNAUTHORIZED, Outcome.STALE_TOKEN)
        return ends if endpoint is Endpoint.MINT else ()

    def honest(self, endpoint: Endpoint) -> Outcome:
        """The honest answer while the session is valid, to a request with a credential."""
        return _HONEST.get(endpoint, Outcome.SESSION)

    def refusal(self, endpoint: Endpoint, ending: Ending = Ending.REVOKED) -> Outcome:
        """The honest answer when the session has ended so, or to a request without a credential."""
        return _REFUSALS.get(endpoint, Outcome.UNAUTHORIZED)

    @property
    def session_token(self) -> TokenId:
        """Which token the session comes with, for a client that loads now."""
        return TokenIdStruct()

    @property
    def session_tokens(self) -> tuple[TokenId, ...]:
        """Which tokens count as the session's own now: more than one while the app has chosen another one and the
        server has not been told."""
        return (self.session_token,)

    @property
    def keychain(self) -> bool:
        """Does a request carry a credential from the device's keychain?"""
        return False

    def authenticates(self, token_id: TokenId) -> bool:
        """Is such a token a session token, whether or not it is the session's own now? The device's credential
        goes stale when the last of these expires."""
        return True

    def brings(self, endpoint: Endpoint, token_id: TokenId) -> TokenId:
        """Which token the answer to a granted request for `token_id` has."""
        return token_id

    def acted(self, endpoint: Endpoint, token_id: TokenId) -> Server:
        """The server after it has granted a request. The same object if nothing has changed."""
        return self

    def called(self, operation: Operation) -> Server:
        """The server after the app has made a call, of which a request may tell it later. The same object if
        nothing has changed."""
        return self

    def without_choice(self) -> Server:
        """The server without what decides no more than which tokens count as the session's own."""
        return self

    def restarted(self) -> Server:
        """The server after the app was started again."""
        return self

    def entered(self) -> Server:
        """The server's state of a session that has just begun."""
        return self


class ServerStruct(Server, Struct, frozen=True, cache_hash=True):
    """A server without state; the base of an SDK's own, if it has some."""


class Policy(Protocol):
    """The choices of one release of an SDK, or of a fix that no release has."""

    @property
    def name(self) -> str:
        """Its name on the command line, after `model@`."""

    @property
    def timings(self) -> Timings:
        """The numbers of the SDK under this policy."""


Reaction: TypeAlias = tuple[Client, tuple[Output, ...]]
"""The client after a stimulus, and what it puts out."""


class Turn(Struct, Generic[C], frozen=True):
    """A transition under way: the client so far, the instant on the device's clock, and the outputs so far."""

    client: C
    at: Millis
    outputs: tuple[Output, ...] = ()

    def but(self, **changes: Any) -> Self:
        """The same turn with fields of the client changed."""
        return replace(self, client=replace(self.client, **changes))

    def put(self, *outputs: Output) -> Self:
        """The same turn with more output."""
        return replace(self, outputs=self.outputs + outputs)


class Sdk(Struct, frozen=True, eq=False):
    """One SDK."""

    name: str
    """Its name in lower case: the package's."""
    operations: tuple[Operation, ...]
    """What an app may call, with every argument worth trying. The first asks for the session's token."""
    policies: Mapping[str, Policy]
    """Released policies by name, oldest first."""
    start: Callable[[Any, Runtime, Token], Reaction]
    """A client that has just loaded under a policy, signed in, with a token as its session's."""
    step: Callable[[Client, Stimulus, Millis], Reaction]
    """What a stimulus does to the client at an instant of the device's clock.

    Raises `LookupError` for a timer or request that the client does not have: then the world is wrong.
    """
    proposed: Mapping[str, Policy] = {}
    """Fixes that no release has, by name."""
    server: Server = ServerStruct()
    """The honest server at sign-in."""
    runtimes: tuple[Runtime, ...] = (Runtime.HEADLESS,)
    """The runtimes on which its client is modelled."""
    provable: int | None = None
    """An app in a proof calls only the first so many of `operations`, so that the graph closes; None for all. The
    command line may name others."""
    timings_on: Mapping[Runtime, Timings] = {}
    """The numbers of the newest release on runtimes where they are not its policy's."""
    rules: tuple[str, ...] = ()
    """The modules of the client's rules: the branches that a search took are counted in these."""

    canonical: Callable[[Client, Form], Client] = form.canonical
    """The client in canonical form: two clients with the same form have the same future. Every field is kept,
    unless no rule can tell its values apart. The numbers that the client gives out next must be free."""
    timers: Callable[[Client], Sequence[TimerId]] = form.timers
    """The timers that the client has set, in an order that is the same for clients that differ in names only."""
    requests: Callable[[Client, Form], Sequence[RequestId]] = form.requests
    """The requests that the client knows of, in such an order. Uses only `call` and `count` of the form, since
    requests have no canonical names yet."""
    awaited: Callable[[Client], Iterable[TimerId]] = lambda client: ()
    """The timers that a call of the app waits for."""
    parts: Parts | None = None
    """How its client is taken apart. None: a proof follows it as a whole."""

    phases: Mapping[str, str] = {}
    """What a client can be doing, with the meaning, in the order of a diagram. None: it has no diagram."""
    phase: Callable[[Client], str] = lambda client: ""
    """What the client is doing: a key of `phases`."""

    @property
    def proved_operations(self) -> tuple[Operation, ...]:
        """The operations of an app in a proof, unless others are named."""
        return self.operations[: self.provable]

    def timings(self, runtime: Runtime) -> Timings:
        """The numbers of the newest release."""
        *_, newest = self.policies.values()
        return self.timings_on.get(runtime, newest.timings)
