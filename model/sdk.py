"""The boundary: what the package of one SDK provides, and all that other code may use of it.

An SDK is a package `model/<name>/` with one value, its `Sdk`: operations, an honest server, numbers, policies,
and a client with `start` and `step`. A client is opaque outside its package. The package answers what a proof
asks of it (`canonical`, `timers`, `requests`, `awaited`) and what a diagram does (`phase`).

World, assumptions, invariants and engines name no SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec.structs import replace

from model.terms import (
    CallId,
    Endpoint,
    Millis,
    Operation,
    Outcome,
    Output,
    RequestId,
    Runtime,
    Stimulus,
    TimerId,
    Timings,
    Token,
    TokenId,
)

Client: TypeAlias = Any
"""The state of a client between two stimuli: a frozen, hashable value whose type is its SDK's own."""


class Server:
    """The state of an honest server, but for whether the session is valid (`World.valid`): what it answers to a
    request, and what a request or a call changes. Each SDK has a frozen struct of its own."""

    __slots__ = ()

    def outcomes(self, endpoint: Endpoint) -> tuple[Outcome, ...]:
        """Every way in which a request can end, faults included; none for an endpoint that this server lacks."""
        raise NotImplementedError

    def honest(self, endpoint: Endpoint) -> Outcome:
        """The honest answer while the session is valid, to a request with a credential."""
        return Outcome.GRANTED if endpoint is Endpoint.MINT else Outcome.SESSION

    def refusal(self, endpoint: Endpoint) -> Outcome:
        """The honest answer when the session has ended, or to a request without a credential."""
        return Outcome.NO_SESSION if endpoint is Endpoint.INTROSPECT else Outcome.UNAUTHORIZED

    @property
    def session_token(self) -> TokenId:
        """Which token the session comes with, for a client that loads now."""
        raise NotImplementedError

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

    def restarted(self) -> Server:
        """The server after the app was started again."""
        return self


class Policy(Protocol):
    """The choices of one release of an SDK, or of a fix that no release has."""

    @property
    def name(self) -> str:
        """Its name on the command line, after `model@`."""

    @property
    def timings(self) -> Timings:
        """The numbers of the SDK under this policy."""


class Form(Protocol):
    """The renaming of one canonical form: what becomes of the names and instants in a client.

    Timers, requests and calls get new names; a reference to one that is gone becomes None.
    """

    switches: bool
    """May another token become the session's own? If not, what is remembered for that case only can be left
    out."""
    baseline: bool
    """May a token be behind one before it? If not, what is remembered to compare their data can be left out."""

    @property
    def known_requests(self) -> int:
        """How many requests have a name. The number after it is free."""

    @property
    def known_timers(self) -> int:
        """How many timers have a name. The number after it is free."""

    def timer(self, timer: TimerId | None) -> TimerId | None:
        """The canonical name of a timer; None if it is gone."""

    def request(self, request: RequestId | None) -> RequestId | None:
        """The canonical name of a request; None if it is gone."""

    def call(self, call: CallId | None) -> CallId | None:
        """The canonical name of a call; None if it has ended."""

    def token(self, token: Token | None) -> Token | None:
        """A token without its number."""

    def count(self, count: int) -> int:
        """A number of tries; one number for all, where a proof leaves tries out."""


class Sdk(Protocol):
    """One SDK."""

    @property
    def name(self) -> str:
        """Its name in lower case: the package's."""

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """The runtimes on which its client is modelled."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What an app may call, with every argument worth trying. The first asks for the session's token."""

    @property
    def proved_operations(self) -> tuple[Operation, ...]:
        """The operations of an app in a proof, unless others are named. Few, so that the graph closes."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Released policies by name, oldest first."""

    @property
    def proposed(self) -> Mapping[str, Policy]:
        """Fixes that no release has, by name."""

    @property
    def server(self) -> Server:
        """The honest server at sign-in."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The modules of the client's rules: the branches that a search took are counted in these."""

    def timings(self, runtime: Runtime) -> Timings:
        """The numbers of the newest release."""

    def start(self, policy: Policy, runtime: Runtime, token: Token) -> tuple[Client, tuple[Output, ...]]:
        """A client that has just loaded, signed in, with `token` as its session's."""

    def step(self, client: Client, stimulus: Stimulus, at: Millis) -> tuple[Client, tuple[Output, ...]]:
        """What `stimulus` does to the client at the instant `at` of the device's clock.

        Raises `LookupError` for a timer or request that the client does not have: then the world is wrong.
        """

    def policy(self, client: Client) -> Policy:
        """The policy of a client."""

    def under(self, client: Client, policy: Policy) -> Client:
        """The same client under another policy."""

    def canonical(self, client: Client, form: Form) -> Client:
        """The client in canonical form: two clients with the same form have the same future. Every field is kept,
        unless no rule can tell its values apart. The numbers that the client gives out next must be free."""

    def timers(self, client: Client) -> Sequence[TimerId]:
        """The timers that the client has set, in an order that is the same for clients that differ in names
        only."""

    def requests(self, client: Client, form: Form) -> Sequence[RequestId]:
        """The requests that the client knows of, in such an order. Uses only `call` and `count` of `form`, since
        requests have no canonical names yet."""

    def awaited(self, client: Client) -> Iterable[TimerId]:
        """The timers that a call of the app waits for."""

    def phase(self, client: Client) -> str:
        """What the client is doing: a key of `phases`."""

    @property
    def phases(self) -> Mapping[str, str]:
        """Every phase with its meaning, in the order of a diagram."""


class PlainSdk:
    """The defaults of a plain SDK: inherit from it and add the rest. Its clients have a field `policy`."""

    policies: Mapping[str, Policy]
    operations: tuple[Operation, ...]

    runtimes: tuple[Runtime, ...] = (Runtime.HEADLESS,)
    proposed: Mapping[str, Policy] = {}
    rules: tuple[str, ...] = ()
    phases: Mapping[str, str] = {}

    @property
    def proved_operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return self.operations

    def timings(self, runtime: Runtime) -> Timings:
        """The numbers of the newest release, on every runtime."""
        *_, newest = self.policies.values()
        return newest.timings

    def policy(self, client: Client) -> Policy:
        """The client's own field."""
        policy: Policy = client.policy
        return policy

    def under(self, client: Client, policy: Policy) -> Client:
        """The client with another policy in that field."""
        return replace(client, policy=policy)

    def awaited(self, client: Client) -> Iterable[TimerId]:
        """No call waits for a timer."""
        return ()

    def phase(self, client: Client) -> str:
        """It has no diagram."""
        raise NotImplementedError
