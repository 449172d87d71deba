"""When two states are one if nobody looks at a clock: the canonical form of `timeless.py`.

What `canonical.py` says of a state holds here too, with less to remember: nothing of an instant, nothing of how
often something was tried, and of timers only whose they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from model.clerk.state import Client, Flight
from model.terms import CallId, CallSettled, Output, TimerId, TimerSet, Token, TokenAnnounced, TokenId
from model.world.state import Call, Timer, World
from properties.prove.canonical import NOW, Form, Memory, holder_names, names, request_names, slot_order
from properties.prove.zone import Instant, Often

ANY = cast(Any, Instant((1,), (), 0))
"""An instant of which nothing is known."""

SKEWED = cast(Any, Instant((2,), (), 0))
"""What a clock shows that may be wrong."""

EXPIRED = NOW - 1000
"""When the last token expired that the server gave: before now."""

OFTEN = Often(1)
"""How often something has been tried."""


class Names(Struct, frozen=True):
    """What timers, requests and calls that are still known after a step are called then."""

    timers: tuple[tuple[int | None, int], ...]
    requests: tuple[tuple[int | None, int], ...]
    calls: tuple[tuple[int | None, int], ...]


def names_of(client: Client, calls: Iterable[CallId]) -> Names:
    """What a client's timers and requests, and `calls`, are called. Timers go by their places in it: any of them
    may be next."""
    timers: list[TimerId | None] = []
    for entry in sorted(client.cache, key=slot_order):
        timers += [entry.eviction, entry.refresh]
    timers += [call.retry for call in client.calls]
    timers += [timer for timer, _ in client.resends]
    there = [timer for timer in timers if timer is not None]
    called = names(calls)
    return Names(
        tuple((timer, name) for name, timer in enumerate(there, 1)),
        tuple(request_names(client, called).items()),
        tuple(called.items()),
    )


def anonymous(output: Output) -> Output:
    """An output without its instants, and without the numbers of tokens."""
    if isinstance(output, TimerSet):
        return replace(output, due=ANY)
    if isinstance(output, TokenAnnounced):
        return replace(output, token=_symbol(output.token), before=_symbol(output.before))
    if isinstance(output, CallSettled):
        return replace(output, token=_symbol(output.token))
    return output


def _symbol(token: Token | None) -> Token | None:
    return token and _symbol_of(token.token_id, token.behind)


@cache
def _symbol_of(token_id: TokenId, behind: bool) -> Token:
    return Token(0, token_id, NOW // 1000, ANY // 1000, behind)


class Anonymous(Form):
    """A world or a client on its way into a form without instants."""

    def __init__(self, world: World | None, client: Client | None, known_as: Names, memory: Memory) -> None:
        self.world, self.client, self.memory = cast(World, world), cast(Client, client), memory
        self.now = NOW
        self.timers, self.requests = dict(known_as.timers), dict(known_as.requests)
        self.calls = dict(known_as.calls)
        self.holders = holder_names(client) if client else {}

    def of_world(self) -> World:
        world = super().of_world()
        timers = tuple(sorted(world.timers, key=lambda timer: timer.timer))
        requests = tuple(replace(request, stale=True, wake=False) for request in world.requests)
        token = Token(0, TokenId(), NOW // 1000, EXPIRED // 1000)
        return world.but(timers=timers, requests=requests, token=token)

    def of_client(self) -> Client:
        client = super().of_client()
        calls = tuple(replace(call, failures=OFTEN) for call in client.calls)
        return replace(client, calls=calls)

    def _flight(self, flight: Flight) -> Flight:
        return Flight(
            self.requests[flight.request],
            flight.purpose,
            flight.token_id,
            self.holders[flight.holder],
            self.calls.get(flight.cause),
            flight.parent and self._flight(flight.parent),
            OFTEN,
            flight.offline,
            flight.asks if self.memory.switches else flight.token_id,
            flight.announces,
        )

    def _at(self, at: Any) -> Any:
        return ANY

    def _since(self, at: Any) -> Any:
        return NOW

    def _token(self, token: Token | None) -> Token | None:
        return _symbol(token)

    def _timer(self, timer: Timer) -> Timer:
        return Timer(self.timers[timer.timer], ANY, ANY, 0, wake=False)

    def _call(self, call: Call) -> Call:
        if not self.memory.history:
            return super()._call(call)
        return replace(call, call=self.calls[call.call], asked_at=NOW, awake_since=NOW, healthy=False)
