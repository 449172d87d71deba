"""@clerk/clerk-js behind the boundary (`model/sdk.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from model import sdk
from model.clerk import canonical, transition
from model.clerk.policy import POLICIES, PROPOSED, Policy
from model.clerk.server import Server
from model.clerk.state import Client, Purpose
from model.clerk.terms import OPERATIONS, PAGE_TIMINGS, TIMINGS
from model.sdk import Form
from model.terms import Millis, Operation, Output, RequestId, Runtime, Stimulus, TimerId, Timings, Token

PHASES: dict[str, str] = {
    "held": "a token is cached",
    "refreshing": "a token is cached, and a refresh in flight",
    "late": "no token is cached, a refresh is in flight",
    "none": "no token is cached",
    "fetching": "a call waits for a request",
    "retrying": "a call waits to try again",
    "asking": "a 401 is looked into: which sessions are there?",
    "out": "the user is signed out",
}
"""The phases of a client, in the order of the diagram, with their meanings."""


class Clerk:
    """The SDK as one value."""

    name = "clerk"
    runtimes = (Runtime.HEADLESS, Runtime.BROWSER_LIKE)
    operations: tuple[Operation, ...] = OPERATIONS
    proved_operations: tuple[Operation, ...] = OPERATIONS[:2]
    policies: Mapping[str, sdk.Policy] = POLICIES
    proposed: Mapping[str, sdk.Policy] = PROPOSED
    server: sdk.Server = Server()
    phases: Mapping[str, str] = PHASES
    rules = ("model.clerk.transition", "model.clerk.session", "model.clerk.cache", "model.clerk.network")

    def timings(self, runtime: Runtime) -> Timings:
        """The numbers of every release that is modelled: they differ by runtime only."""
        return PAGE_TIMINGS if runtime is Runtime.BROWSER else TIMINGS

    def start(self, policy: sdk.Policy, runtime: Runtime, token: Token) -> tuple[Client, tuple[Output, ...]]:
        """A client that has just loaded, signed in."""
        return transition.start(_own(policy), runtime, token)

    def step(self, client: Client, stimulus: Stimulus, at: Millis) -> tuple[Client, tuple[Output, ...]]:
        """What a stimulus does to the client."""
        return transition.step(client, stimulus, at)

    def policy(self, client: Client) -> Policy:
        """The policy of a client."""
        return client.policy

    def under(self, client: Client, policy: sdk.Policy) -> Client:
        """The same client under another policy."""
        return replace(client, policy=_own(policy))

    def canonical(self, client: Client, form: Form) -> Client:
        """The client in canonical form."""
        return canonical.canonical(client, form)

    def timers(self, client: Client) -> Sequence[TimerId]:
        """The timers that are set, in the order of what they belong to."""
        return canonical.timers(client)

    def requests(self, client: Client, form: Form) -> Sequence[RequestId]:
        """The requests that the client knows of, sorted by what they are for."""
        return canonical.requests(client, form)

    def awaited(self, client: Client) -> set[TimerId]:
        """The timers that a call waits for."""
        return canonical.awaited(client)

    def phase(self, client: Client) -> str:
        """What the client is doing: a key of `PHASES`. Where several fit, the first of those below."""
        purposes = {flight.purpose for flight in client.flights}
        held = any(entry.token and not entry.replaced for entry in client.cache)
        if not client.signed_in:
            return "out"
        if Purpose.RECOVERY in purposes or client.resends:
            return "asking"
        if Purpose.FETCH in purposes:
            return "fetching"
        if client.calls:
            return "retrying"
        if Purpose.REFRESH in purposes:
            return "refreshing" if held else "late"
        return "held" if held else "none"


def _own(policy: sdk.Policy) -> Policy:
    assert isinstance(policy, Policy), f"{policy.name} is no policy of Clerk's"
    return policy


CLERK = Clerk()
