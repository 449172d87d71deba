"""When two states of the system are one: the same future, whatever their past.

The state of world and model is brought into a form in which everything that no rule, fact or invariant can tell
apart is equal:

- Numbers of timers, requests, calls and Session objects are only names: they are given out anew, in their order,
  which decides who runs first. What refers to something gone refers to nothing: a settled call is no cause.
- Instants count from now, each under a name of its own; what is known of them is a difference-bound matrix.
- A token that has expired (by more than a clock may be set back), a request or call that outlived `PATIENCE`, are
  as old as can be: no rule asks by how much. When a token was issued, only the step in which it was asks; when an
  unhealthy call was made, nobody.
- Requests are answered in any order, so the order in which they were sent is no difference.
- A token's number is seen by nobody but the reader of a report.

That merging is sound is then the usual argument: equal states enable the same events, and each leads to equal
states and equal facts but for names and for instants, which no invariant looks at. That nothing was forgotten
here is tested: random traces stay within the graph, and what breaks there breaks on the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.clerk.state import Client, Entry, Flight
from model.terms import SKEWS, Millis, Token
from model.world.state import PATIENCE, Call, Timer, World
from properties.prove.zone import AT_MOST_0, ENDLESS, Bound, Instant, Zone

NOW = cast(Any, Instant((0,), (), 0))
"""The instant of a state."""


class State(Struct, frozen=True):
    """World and client in canonical form; `bounds` of the instants that their fields name, of which 0 is now."""

    world: World
    client: Client
    bounds: tuple[tuple[Bound, ...], ...]

    @property
    def zone(self) -> Zone:
        """What is known of the instants."""
        return Zone([list(row) for row in self.bounds])


class Memory(Struct, frozen=True):
    """What has to be remembered of the past: the `history` of calls, if an invariant asks for it, and how long
    each `waits`; the `age` of requests, if an assumption asks for it; the `baseline` of what is being fetched, if
    tokens may be stale; when a token expired, for as many ms as the device's clock may be set `back`. And if the
    app `switches` between organizations, for which one a slot is refreshed, and the token of a dropped session:
    without that it is the slot's own, and the session is gone for good."""

    history: bool = True
    age: bool = True
    baseline: bool = True
    back: Millis = 0
    waits: bool = True
    switches: bool = True

    @classmethod
    def needed(
        cls, assumptions: Assumptions, history: bool, waits: bool = False, switches: bool = False
    ) -> Memory:
        """What a proof under these assumptions needs, for invariants that ask for the history of calls, or how
        long they have waited, or neither; and for an app that `switches` between organizations, or does not."""
        back = -min(SKEWS) if assumptions.skews else 0
        hangs = any(member.hangs for member in assumptions.members)
        return cls(
            history,
            history or not hangs,
            any(member.lags for member in assumptions.members),
            back,
            waits,
            switches,
        )


def canonical(world: World, client: Client, zone: Zone, memory: Memory = Memory()) -> State:
    """The one state that stands for all that are like this one. Decides whether tokens have expired, so that one
    run may become several."""
    return Form(world, client, zone, memory).state()


def symbolic(world: World, client: Client) -> tuple[World, Client]:
    """The same world and client with instants that count from instant 0, which is when the user signed in."""
    origin = cast(Any, Instant((0,), (), 0))

    def token(one: Token | None) -> Any:
        return one and replace(one, issued=origin // 1000 + one.issued, expires=origin // 1000 + one.expires)

    world = world.but(
        now=origin + world.now,
        token=token(world.token),
        timers=tuple(replace(timer, due=origin + timer.due) for timer in world.timers),
        requests=tuple(replace(request, sent_at=origin + request.sent_at) for request in world.requests),
        calls=tuple(
            replace(call, asked_at=origin + call.asked_at, awake_since=origin + call.awake_since)
            for call in world.calls
        ),
    )
    cache = tuple(
        replace(entry, token=token(entry.token), baseline=token(entry.baseline)) for entry in client.cache
    )
    holders = tuple(map(token, client.holders))
    return world, replace(client, holders=holders, cache=cache, dropped=token(client.dropped))


def known(world: World, client: Client, memory: Memory = Memory()) -> State:
    """The canonical state of a world and client whose instants are numbers."""
    zone = Instant.zone = Zone([[AT_MOST_0]])
    return canonical(*symbolic(world, client), zone, memory)


def names(numbers: Iterable[int]) -> dict[int | None, int]:
    """Numbers given out anew, from 1, in the order of the old ones."""
    return {number: name for name, number in enumerate(sorted(set(numbers)), 1)}


def holder_names(client: Client) -> dict[int, int]:
    """The place in canonical form of each Session object that something still refers to, of the newest, and of
    the one that the app has."""
    flights = [*client.flights, *(flight for _, flight in client.resends)]
    flights += [flight.parent for flight in flights if flight.parent]
    users: list[Any] = [*flights, *client.cache, *client.calls]
    in_use = {client.newest, client.current, *(user.holder for user in users)}
    return {holder: name for name, holder in enumerate(sorted(in_use))}


def request_names(client: Client, calls: Mapping[int | None, int]) -> dict[int | None, int]:
    """The name in canonical form of each request that the client still knows of, in flight or not; `calls` are
    the names of those that are under way: what others were called makes no difference."""
    flights = [*client.flights, *(flight for _, flight in client.resends)]
    flights += [flight.parent for flight in flights if flight.parent]
    waited_for = [entry.request for entry in client.cache if entry.request is not None]
    order = {flight.request: _order(flight, calls) for flight in flights}
    known = {*order, *waited_for}
    return {number: name for name, number in enumerate(sorted(known, key=lambda n: (order.get(n, ()), n)), 1)}


def known_requests(world: World, client: Client) -> dict[int | None, int]:
    """The same, in this world."""
    return request_names(client, names(call.call for call in world.calls))


def slot_order(entry: Entry) -> tuple[Any, ...]:
    """What the entries of the cache are sorted by."""
    return str(entry.token_id), entry.replaced, entry.eviction or 0, entry.refresh or 0


def _order(flight: Flight, calls: Mapping[int | None, int]) -> tuple[Any, ...]:
    parent = _order(flight.parent, calls) if flight.parent else ()
    return (
        flight.purpose,
        str(flight.token_id),
        str(flight.asks or flight.token_id),
        flight.holder,
        flight.tries,
        calls.get(flight.cause, 0),
        parent,
    )


def known_instants(value: Any) -> tuple[Any, list[Instant]]:
    """A state's fields without their instants, and these, in a fixed order."""
    if isinstance(value, Instant):
        return Instant, [value if value.unit == 1 else value * 1000]
    if isinstance(value, State):
        return known_instants((value.world, value.client))
    if isinstance(value, Struct):
        inner = [known_instants(getattr(value, one)) for one in value.__struct_fields__]
    elif isinstance(value, tuple):
        inner = [known_instants(one) for one in value]
    else:
        return value, []
    return (type(value), *(shape for shape, _ in inner)), [instant for _, some in inner for instant in some]


def contains(state: State, other: State) -> bool:
    """Is everything that is possible in `other` possible in `state`?"""
    (shape, mine), (its_shape, its) = known_instants(state), known_instants(other)
    if shape != its_shape:
        return False
    zone = other.zone

    def bound(gap: Instant) -> Bound:
        return zone.bound(gap.ups, gap.downs) + 2 * gap.ms

    for one, its_one in zip(mine, its, strict=True):
        for two, its_two in zip(mine, its, strict=True):
            here = state.bounds[one.ups[0]][two.ups[0]] + 2 * (one.ms - two.ms)
            if bound(its_one - its_two) > here:
                return False
    return True


class Form:
    """One state on its way into canonical form."""

    def __init__(self, world: World, client: Client, zone: Zone, memory: Memory) -> None:
        self.world, self.client, self.zone, self.memory = world, client, zone, memory
        self.now = cast(Any, world.now)
        self.timers = names(timer.timer for timer in world.timers)
        self.calls = names(call.call for call in world.calls)
        self.requests = request_names(client, self.calls)
        self.holders = holder_names(client)
        self.instants: list[Instant] = [self.now]

    def state(self) -> State:
        """The canonical state."""
        world, client = self.of_world(), self.of_client()
        if any(one.downs for one in self.instants):  # timers that a sleep has put off
            bounds = tuple(tuple(self._bound(one - other) for other in self.instants) for one in self.instants)
        else:
            places = [(one.ups[0], 2 * one.ms) for one in self.instants]
            known = self.zone.bounds
            bounds = tuple(
                tuple(ENDLESS if (bound := known[i][j]) == ENDLESS else bound + ms - other for j, other in places)
                for i, ms in places
            )
        return State(world, client, bounds)

    def _bound(self, gap: Instant) -> Bound:
        bound = self.zone.bound(gap.ups, gap.downs)
        return ENDLESS if bound == ENDLESS else bound + 2 * gap.ms

    def _at(self, at: Any) -> Any:
        """An instant in ms, under a name of its own."""
        self.instants.append(at)
        return Instant((len(self.instants) - 1,), (), 0)

    def _since(self, at: Millis) -> Any:
        """The same, of an instant in the past of which no rule asks by how much it is longer ago than this."""
        return NOW - PATIENCE - 1 if self.now - at > PATIENCE else self._at(at)

    def _token(self, token: Token | None) -> Token | None:
        if token is None:
            return None
        expires: Any = token.expires * 1000
        gone = expires < self.now - self.memory.back
        expires = NOW - self.memory.back - 1 if gone else self._at(expires)
        return Token(0, token.token_id, NOW // 1000, expires // 1000, token.behind)

    def of_world(self) -> World:
        """Its world."""
        world = self.world
        return World(
            world.runtime,
            NOW,
            world.skew,
            world.signed_in,
            world.revoked,
            cast(Token, self._token(world.token)),
            0,
            tuple(self._timer(timer) for timer in world.timers),
            tuple(
                replace(
                    request,
                    request=self.requests[request.request],
                    cause=self.calls.get(request.cause),
                    sent_at=self._since(request.sent_at) if self.memory.age else NOW,
                    wake=request.wake and self.memory.history,
                )
                for request in sorted(world.requests, key=lambda one: self.requests[one.request])
            ),
            tuple(self._call(call) for call in world.calls),
            len(self.calls) + 1,
            world.locked,
            offline=world.offline,
            organization=world.organization,
            chosen=world.chosen,
        )

    def _call(self, call: Call) -> Call:
        number = self.calls[call.call]
        if not self.memory.history:
            forgotten = Call(number, call.token_id, NOW, healthy=False, awake_since=NOW)
            return replace(forgotten, active=call.active, switches=call.switches)
        asked_at = self._since(call.asked_at) if call.healthy else NOW
        awake_since = self._since(call.awake_since) if self.memory.waits else NOW
        return replace(call, call=number, asked_at=asked_at, awake_since=awake_since)

    def _timer(self, timer: Timer) -> Timer:
        due = self._at(timer.due)
        cause = self.calls.get(timer.cause) if self.memory.waits else None
        return Timer(self.timers[timer.timer], due, due, 0, timer.wake and self.memory.history, cause)

    def of_client(self) -> Client:
        """Its client."""
        client = self.client
        return Client(
            client.policy,
            client.runtime,
            client.signed_in,
            tuple(self._token(client.holders[holder]) for holder in self.holders),
            tuple(map(self._entry, sorted(client.cache, key=slot_order))),
            client.refreshing,
            tuple(map(self._flight, sorted(client.flights, key=lambda one: self.requests[one.request]))),
            tuple(
                replace(
                    call,
                    call=self.calls[call.call],
                    holder=self.holders[call.holder],
                    waits_for=self.requests.get(call.waits_for),
                    retry=self.timers.get(call.retry),
                )
                for call in client.calls
            ),
            tuple((self.timers[timer], self._flight(flight)) for timer, flight in client.resends),
            len(self.requests) + 1,
            len(self.timers) + 1,
            client.offline,
            self._organizations(),
            None if client.chosen is None else self.holders[client.chosen],
            self._token(client.dropped) if self.memory.switches else None,
        )

    def _organizations(self) -> tuple[str | None, ...]:
        known = [self.client.organization(holder) for holder in self.holders]
        while known and known[-1] is None:
            known.pop()
        return tuple(known)

    def _entry(self, entry: Entry) -> Entry:
        return Entry(
            entry.token_id,
            self.holders[entry.holder],
            self._token(entry.token),
            self.requests.get(entry.request),
            self.timers.get(entry.eviction),
            self.timers.get(entry.refresh),
            entry.replaced,
            self._token(entry.baseline) if self.memory.baseline else None,
            entry.asks if self.memory.switches else entry.token_id,
            entry.announces,
        )

    def _flight(self, flight: Flight) -> Flight:
        return replace(
            flight,
            request=self.requests[flight.request],
            holder=self.holders[flight.holder],
            cause=self.calls.get(flight.cause),
            parent=self._flight(flight.parent) if flight.parent else None,
            asks=flight.asks if self.memory.switches else flight.token_id,
        )
