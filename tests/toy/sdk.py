"""A toy SDK: one token, one timer, one endpoint, one operation.

Its client renews its token ahead of time, and signs the user out when the server refuses. The fix is that a
refusal in the background changes nothing.
"""

from __future__ import annotations

from msgspec import Struct

from model import io, operations, requests, terms
from model.io import Stimulus
from model.requests import Outcome
from model.sdk import Reaction, Sdk, Turn
from model.terms import CallId, Millis, RequestId, Runtime, TimerId, Timings, Token


class FetchToken(operations.OperationStruct, frozen=True):
    """The app calls `fetchToken()`."""

    verb = "fetchToken"


class Policy(Struct, frozen=True):
    """One choice: does a refusal in the background sign the user out?"""

    name: str
    background_signs_out: bool
    timings: Timings = Timings(lifetime=60, lead=10)


class Client(Struct, frozen=True, cache_hash=True):
    """What the client remembers: its token, its timer, and which call waits for which request (None: no call)."""

    policy: Policy
    token: Token | None = None
    timer: TimerId | None = None
    waiting: tuple[tuple[RequestId, CallId | None], ...] = ()
    loading: tuple[CallId, ...] = ()
    next_request: RequestId = 1
    next_timer: TimerId = 1


def start(policy: Policy, runtime: Runtime, token: Token) -> Reaction:
    """A client with a token, and a timer for the next one."""
    turn = keep(Turn(Client(policy), 0), token)
    return turn.client, turn.outputs


def step(client: Client, stimulus: Stimulus, at: Millis) -> Reaction:
    """What a stimulus does to the client."""
    turn, held = Turn(client, at), client.token
    match stimulus:
        case io.TimerDue():
            turn = turn.but(timer=None)
            if None not in dict(client.waiting).values():
                turn = send(turn, None)
        case io.Called(call, operations.Load()):
            turn = turn if client.loading else send(turn, call)
            turn = turn.but(loading=(*client.loading, call))
        case io.Called(call) if held and at < held.expires * 1000:
            turn = turn.put(io.CallSettled(call, held, None))
        case io.Called(call):
            turn = send(turn, call)
        case io.Replied(request, outcome, token):
            turn = receive(turn, request, outcome, token)
        case io.Started(call):
            turn = send(turn.but(token=None, timer=None, waiting=(), loading=(call,)), call)
    return turn.client, turn.outputs


def send(turn: Turn[Client], call: CallId | None) -> Turn[Client]:
    """Send a request, for a call or in the background."""
    request, waiting = turn.client.next_request, turn.client.waiting
    turn = turn.but(waiting=(*waiting, (request, call)), next_request=request + 1)
    return turn.put(io.RequestSent(request, requests.Endpoint.MINT, terms.TokenIdStruct(), call))


def receive(turn: Turn[Client], request: RequestId, outcome: Outcome, token: Token | None) -> Turn[Client]:
    """Take the end of a request, and settle the call that waits for it."""
    call, held = dict(turn.client.waiting)[request], turn.client.token
    turn = turn.but(waiting=tuple(pair for pair in turn.client.waiting if pair[0] != request))
    failure = "Network request failed" if outcome is Outcome.LOST else f"api-{outcome.status}"
    if call in turn.client.loading:
        return loaded(turn, token, None if token or outcome is Outcome.UNAUTHORIZED else failure)
    end = (token, None) if token and held else (None, failure)
    if token and held:
        turn = keep(turn, token).put(io.TokenAnnounced(token, held))
    elif outcome is Outcome.UNAUTHORIZED and held and (call or turn.client.policy.background_signs_out):
        turn = sign_out(turn, call)
    return turn if call is None else turn.put(io.CallSettled(call, *end))


def loaded(turn: Turn[Client], token: Token | None, error: str | None) -> Turn[Client]:
    """End every call that loads: with the token, signed out if it was refused, or with an error."""
    calls = turn.client.loading
    if token:
        turn = keep(turn, token).put(io.SignedIn(calls[0]), io.TokenAnnounced(token, None))
    elif error is None:
        turn = sign_out(turn, calls[0])
    return turn.but(loading=()).put(*(io.CallSettled(call, None, error) for call in calls))


def keep(turn: Turn[Client], token: Token) -> Turn[Client]:
    """Keep a token, and set the timer for the next one."""
    timer, due = turn.client.next_timer, (token.expires - turn.client.policy.timings.lead) * 1000
    turn = clear_timer(turn).but(token=token, timer=timer, next_timer=timer + 1)
    return turn.put(io.TimerSet(timer, max(due, turn.at), None))


def sign_out(turn: Turn[Client], call: CallId | None) -> Turn[Client]:
    """Drop the token, and with it the session."""
    return clear_timer(turn).but(token=None).put(io.SignedOut(call))


def clear_timer(turn: Turn[Client]) -> Turn[Client]:
    """Clear the timer, if it is set."""
    timer = turn.client.timer
    return turn.but(timer=None).put(io.TimerCleared(timer)) if timer else turn


TOY_1, TOY_2 = Policy("TOY_1", background_signs_out=True), Policy("TOY_2", background_signs_out=False)
TOY = Sdk("toy", (FetchToken(),), {"TOY_1": TOY_1}, start, step, proposed={"TOY_2": TOY_2}, rules=(__name__,))
