"""A toy SDK: one token, one timer, one endpoint, one operation: the acceptance test of the boundary.

Its client refreshes its token ahead of time, and signs the user out when the server refuses, whoever asked; the
fix is that a refusal in the background changes nothing. Its build is `bundle.cjs` beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from model import sdk, terms
from model.terms import (
    Called,
    CallId,
    CallSettled,
    Endpoint,
    Millis,
    Outcome,
    Output,
    Replied,
    RequestId,
    RequestSent,
    Runtime,
    SignedOut,
    Started,
    Stimulus,
    TimerCleared,
    TimerDue,
    TimerId,
    TimerSet,
    Timings,
    Token,
    TokenAnnounced,
)


class TokenId(Struct, terms.TokenId, frozen=True, cache_hash=True):
    """There is one token."""

    def __str__(self) -> str:
        return ""


class FetchToken(Struct, terms.Operation, frozen=True, cache_hash=True, tag_field="event", tag=True):
    """The app calls `fetchToken()`."""

    verb = "fetchToken"
    wants_session_token = True
    token_id = TokenId()

    def __str__(self) -> str:
        return "fetchToken()"


class Server(Struct, sdk.Server, frozen=True, cache_hash=True):
    """It mints, and holds nothing more."""

    session_token = TokenId()

    def outcomes(self, endpoint: Endpoint) -> tuple[Outcome, ...]:
        """It has one endpoint."""
        ends = (Outcome.GRANTED, Outcome.BROKEN, Outcome.LOST, Outcome.UNAUTHORIZED, Outcome.STALE_TOKEN)
        return ends if endpoint is Endpoint.MINT else ()


class Policy(Struct, frozen=True):
    """One choice: does a refusal in the background sign the user out?"""

    name: str
    background_signs_out: bool
    timings: Timings = Timings(lifetime=60, lead=10)


ERRORS = {
    Outcome.GRANTED: "api-200",  # too late: the user is signed out
    Outcome.STALE_TOKEN: "api-200",
    Outcome.BROKEN: "api-500",
    Outcome.LOST: "Network request failed",
    Outcome.UNAUTHORIZED: "api-401",
}
"""What a call ends with that gives no token."""

TOY_1, TOY_2 = Policy("TOY_1", background_signs_out=True), Policy("TOY_2", background_signs_out=False)


class Client(Struct, frozen=True, cache_hash=True):
    """What it remembers: its token, its timer, and who waits for which request (None: nobody)."""

    policy: Policy
    token: Token | None
    timer: TimerId | None = None
    waiting: tuple[tuple[RequestId, CallId | None], ...] = ()
    next_request: RequestId = 1
    next_timer: TimerId = 1


class Toy(sdk.PlainSdk):
    """The SDK as one value."""

    name = "toy"
    operations: tuple[terms.Operation, ...] = (FetchToken(),)
    policies: Mapping[str, sdk.Policy] = {"TOY_1": TOY_1}
    proposed: Mapping[str, sdk.Policy] = {"TOY_2": TOY_2}
    server: sdk.Server = Server()
    rules = (__name__,)

    def start(self, policy: sdk.Policy, runtime: Runtime, token: Token) -> tuple[Client, tuple[Output, ...]]:
        """A client with a token, and a timer for the next one."""
        assert isinstance(policy, Policy), "no policy of the toy's"
        return _renewed(Client(policy, None), token, 0)

    def step(self, client: Client, stimulus: Stimulus, at: Millis) -> tuple[Client, tuple[Output, ...]]:
        """What a stimulus does to the client."""
        match stimulus:
            case TimerDue():
                client = replace(client, timer=None)
                return _sent(client, None) if None not in dict(client.waiting).values() else (client, ())
            case Called(call):
                if client.token and at < client.token.expires * 1000:
                    return client, (CallSettled(call, client.token, None),)
                return _sent(client, call)
            case Started(token):
                fresh = Client(
                    client.policy, None, next_request=client.next_request, next_timer=client.next_timer
                )
                if token is None:
                    return fresh, (SignedOut(None),)
                fresh, outputs = _renewed(fresh, token, at)
                return fresh, (*outputs, TokenAnnounced(token, None))
            case Replied(request, outcome, token):
                return _replied(client, request, outcome, token, at)
            case _:
                return client, ()

    def canonical(self, client: Client, form: sdk.Form) -> Client:
        """The client in canonical form."""
        waiting = tuple(
            sorted(((form.request(one) or 0, form.call(call)) for one, call in client.waiting), key=str)
        )
        timer, token = form.timer(client.timer), form.token(client.token)
        after = {"next_request": form.known_requests + 1, "next_timer": form.known_timers + 1}
        return replace(client, token=token, timer=timer, waiting=waiting, **after)

    def timers(self, client: Client) -> Sequence[TimerId]:
        """Its timer, if it is set."""
        return [client.timer] if client.timer else []

    def requests(self, client: Client, form: sdk.Form) -> Sequence[RequestId]:
        """Its requests, by who waits for them."""
        return [one for one, _ in sorted(client.waiting, key=lambda pair: (form.call(pair[1]) or 0, pair[0]))]


def _renewed(client: Client, token: Token, at: Millis) -> tuple[Client, tuple[Output, ...]]:
    due, timer = (token.expires - client.policy.timings.lead) * 1000, client.next_timer
    cleared = (TimerCleared(client.timer),) if client.timer is not None else ()
    return replace(client, token=token, timer=timer, next_timer=timer + 1), (
        *cleared,
        TimerSet(timer, max(due, at), None),
    )


def _sent(client: Client, call: CallId | None) -> tuple[Client, tuple[Output, ...]]:
    number = client.next_request
    client = replace(client, waiting=(*client.waiting, (number, call)), next_request=number + 1)
    return client, (RequestSent(number, Endpoint.MINT, TokenId(), call),)


def _replied(
    client: Client, request: RequestId, outcome: Outcome, token: Token | None, at: Millis
) -> tuple[Client, tuple[Output, ...]]:
    call, before = dict(client.waiting)[request], client.token
    client = replace(client, waiting=tuple(pair for pair in client.waiting if pair[0] != request))
    outputs: tuple[Output, ...] = ()
    if token and before:
        client, outputs = _renewed(client, token, at)
        outputs += (TokenAnnounced(token, before),)
    elif outcome is Outcome.UNAUTHORIZED and before and (call is not None or client.policy.background_signs_out):
        cleared = (TimerCleared(client.timer),) if client.timer is not None else ()
        client, outputs = replace(client, token=None, timer=None), (*cleared, SignedOut(call))
    error = None if token and before else ERRORS[outcome]
    return client, (*outputs, CallSettled(call, None if error else token, error)) if call is not None else outputs


TOY = Toy()
