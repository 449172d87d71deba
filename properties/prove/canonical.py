"""Symmetry reduction: the canonical form of a state. States with the same future have the same form.

The canonical form of system and client removes every difference that no rule, fact or invariant can observe:

- Ids of timers, requests and calls are renumbered, in their order, which decides what runs first. A reference to
  something that no longer exists becomes None: a settled call is no cause.
- Instants are relative to now, each a symbol of its own; a difference-bound matrix has the bounds on them.
- An expired token (expired by more than the clock may be set back) gets one fixed expiry, because no rule reads
  by how much it expired. A request or a call older than the network's patience gets one fixed age, for the same
  reason. The issue time of a token is dropped: only the step that issues it reads it. So is the start of an
  unhealthy call.
- Requests can be answered in any order, so they are sorted.
- The number of a token is dropped: only reports show it. If the order of tokens is kept (`Memory`), they are
  renumbered instead, and keep the time of their issue and, once they have expired, the order of their expiries.

Every other field is kept, because a form is made by replacing fields, never by building a new value. So merging
equal forms is sound by the usual bisimulation argument: equal states enable the same events, and each event leads
to equal states and to facts that are equal up to ids and instants, which no invariant reads. Tests check that the
reduction drops nothing that matters: random traces stay within the graph, and every violation found in the graph
is replayed on the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, cast, get_args, get_type_hints

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.form import with_tokens
from model.sdk import Client, Sdk
from model.step import App
from model.terms import CallId, Millis, RequestId, TimerId, Token
from model.world.state import CallRecord, Monitor, Reply, System, Timer, World
from properties.prove.zone import NOTHING_KNOWN, Bound, Instant, Zone

NOW = cast(Any, Instant((0,), (), 0))
"""The current instant of a state: symbol 0."""

Configuration = tuple[System, Client]
"""A system and a client: a state without the bounds on its instants."""


class State(Struct, frozen=True):
    """System and client in canonical form, and the `bounds` on the instants in their fields, as the kind of zone
    has them. Instant 0 is now."""

    system: System
    client: Client
    bounds: tuple[Any, ...]

    @property
    def world(self) -> World:
        """The world of the system."""
        return self.system.world

    @property
    def configuration(self) -> Configuration:
        """The state without the bounds on its instants."""
        return self.system, self.client

    @property
    def zone(self) -> Zone:
        """The bounds on its instants."""
        return Zone([list(row) for row in self.bounds])


class Memory(Struct, frozen=True):
    """Which parts of the past a canonical form keeps, because something in this proof reads them.

    `history` of calls and how long each call `waits`: if an invariant reads them. `age` of requests: if an
    assumption bounds it. `baseline` of a fetch: if tokens may be stale. When a token expired: for `back` ms, by
    which the device's clock may be set back. The token id that a request or call was for: if the app `switches`
    the session's own token. The `order` in which tokens were minted: if a token may take the place of one that
    was minted later, because replies may be late or the app goes back to another token, or if an invariant reads
    it. Which tokens were `given` to the app: if an invariant reads that. When a timer was planned that a sleep
    delayed (`lateness`): if that delay is bounded.
    """

    history: bool = True
    age: bool = True
    baseline: bool = True
    back: Millis = 0
    waits: bool = True
    switches: bool = True
    order: bool = True
    given: bool = True
    lateness: bool = False

    @classmethod
    def needed(
        cls, assumptions: Assumptions, app: App, history: bool, waits: bool = False, ages: bool = False
    ) -> Memory:
        """What a proof under these assumptions has to keep, for invariants that read the `history` of calls, how
        long they have waited (`waits`), or the `ages` of tokens."""
        switches = any(one.changes_session or one.enters for one in app.operations or ())
        return cls(
            history,
            history or not assumptions.may_hang,
            assumptions.may_lag,
            -min(assumptions.skews, default=0),
            waits,
            switches,
            ages or switches or assumptions.may_delay,
            ages,
        )


def canonical(sdk: Sdk, configuration: Configuration, zone: Zone, memory: Memory = Memory()) -> State:
    """The canonical form of a configuration whose instants are symbols. Decides which tokens have expired, so it
    may split the run in two."""
    return CanonicalForm(sdk, configuration, zone, memory).state()


def symbolic(configuration: Configuration) -> Configuration:
    """The configuration with symbolic instants in place of numbers, each relative to symbol 0."""
    zero = cast(Any, Instant((0,), (), 0))
    system, client = configuration
    world = system.world

    def token(one: Token) -> Token:
        start = zero.as_seconds()
        return replace(one, issued=start + one.issued, expires=start + one.expires)

    def reply(one: Reply | None) -> Reply | None:
        return one and replace(one, served_at=zero + one.served_at)

    world = world.but(
        now=zero + world.now,
        timers=tuple(replace(one, due=zero + one.due, planned=zero + one.planned) for one in world.timers),
        requests=tuple(
            replace(request, sent_at=zero + request.sent_at, reply=reply(request.reply))
            for request in world.requests
        ),
    )
    calls = tuple(
        replace(record, asked_at=zero + record.asked_at, awake_since=zero + record.awake_since)
        for record in system.monitor.calls
    )
    monitor = replace(system.monitor, calls=calls)
    system = replace(system, world=world, monitor=monitor)
    return with_tokens(system, token), with_tokens(client, token)


def tokens_in(value: Any) -> set[Token]:
    """Every token in a value."""
    found: set[Token] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        kind: Any = type(one)
        if isinstance(one, Token):
            found.add(one)
        elif isinstance(one, tuple):
            waiting += one
        else:
            waiting += [getattr(one, name) for name in _with_parts(kind)]
    return found


SCALARS = frozenset({bool, int, float, str, type(None)})


@cache
def _with_parts(kind: type) -> tuple[str, ...]:
    """The fields of a struct that may have tokens in them: all but scalars. Other values have none."""
    if not issubclass(kind, Struct):
        return ()
    hints = get_type_hints(kind)
    return tuple(
        name for name in kind.__struct_fields__ if not SCALARS.issuperset(get_args(hints[name]) or {hints[name]})
    )


def state_of(
    sdk: Sdk, configuration: Configuration, memory: Memory = Memory(), zone: Zone | None = None
) -> State:
    """The canonical form of a configuration whose instants are numbers; in a `zone` in which nothing is known but
    what is always assumed."""
    zone = Instant.zone = zone or Zone(NOTHING_KNOWN)
    return canonical(sdk, symbolic(configuration), zone, memory)


def renumbered(numbers: Iterable[int]) -> dict[int | None, int]:
    """New numbers from 1 for the old ones, in the same order."""
    return {number: name for name, number in enumerate(sorted(set(numbers)), 1)}


def split_instants(value: Any) -> tuple[Any, list[Instant]]:
    """A value's shape, with every instant replaced by a placeholder, and the instants, in a fixed order."""
    if isinstance(value, Instant):
        return Instant, [value if value.unit == 1 else value * 1000]
    if isinstance(value, State):
        return split_instants(value.configuration)
    if isinstance(value, Struct):
        inner = [split_instants(getattr(value, one)) for one in value.__struct_fields__]
    elif isinstance(value, tuple):
        inner = [split_instants(one) for one in value]
    else:
        return value, []
    return (type(value), *(shape for shape, _ in inner)), [instant for _, some in inner for instant in some]


def contains(state: State, other: State) -> bool:
    """Does `state` include `other`: the same shape, and bounds that are no tighter?"""
    (shape, mine), (its_shape, its) = split_instants(state), split_instants(other)
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


def without_history(record: CallRecord, number: CallId) -> CallRecord:
    """The record of a call if no invariant reads the history."""
    return replace(
        record, call=number, asked_at=NOW, healthy=False, awake_since=NOW, told_ended=False, lied_to=False
    )


class Naming:
    """The canonical names of timers, requests and calls: the part of `model.sdk.Form` that the timed and the
    untimed form share. None, and ids of what no longer exists, map to None."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.switches, self.baseline = memory.switches, memory.baseline
        self.timer_names: dict[int | None, TimerId] = {}
        self.request_names: dict[int | None, RequestId] = {}
        self.call_names: dict[int | None, CallId] = {}

    @property
    def known_requests(self) -> int:
        """The number of requests with a name."""
        return len(self.request_names)

    @property
    def known_timers(self) -> int:
        """The number of timers with a name."""
        return len(self.timer_names)

    def timer(self, timer: TimerId | None) -> TimerId | None:
        """The canonical name of a timer."""
        return self.timer_names.get(timer)

    def request(self, request: RequestId | None) -> RequestId | None:
        """The canonical name of a request."""
        return self.request_names.get(request)

    def call(self, call: CallId | None) -> CallId | None:
        """The canonical name of a call; None once it has settled."""
        return self.call_names.get(call)

    def token(self, token: Token | None) -> Token | None:
        """A token without its number."""
        return token and replace(token, number=0)

    def count(self, count: int) -> int:
        """A number of attempts."""
        return count


def request_names(sdk: Sdk, configuration: Configuration) -> dict[int | None, RequestId]:
    """The canonical name of each request that the client still refers to, in flight or not."""
    naming = Naming(Memory())
    naming.call_names = renumbered(call.call for call in configuration[0].world.calls)
    return {number: name for name, number in enumerate(sdk.requests(configuration[1], naming), 1)}


class CanonicalForm(Naming):
    """Builds the canonical form of one configuration."""

    def __init__(self, sdk: Sdk, configuration: Configuration, zone: Zone, memory: Memory) -> None:
        super().__init__(memory)
        self.sdk, (self.system, self.client), self.zone = sdk, configuration, zone
        world = self.system.world
        self.now = cast(Any, world.now)
        self.timer_names = renumbered(timer.timer for timer in world.timers)
        self.call_names = renumbered(call.call for call in world.calls)
        known = self.sdk.requests(self.client, self)
        self.request_names = {number: name for name, number in enumerate(known, 1)}
        self.instants: list[Instant] = [self.now]
        self.tokens: list[Token] = []  # oldest first
        self.named: dict[int, Token] = {}  # by place in these
        if memory.order:
            self.tokens = sorted(tokens_in((self.system, self.client)), key=lambda token: token.number)

    def state(self) -> State:
        """The canonical state."""
        world, monitor = self.of_world(self.system.world), self.of_monitor(self.system.monitor)
        system = replace(self.system, world=world, monitor=monitor)
        client = self.sdk.canonical(self.client, self)
        return State(system, client, self.zone.onto(self.instants))

    def at(self, at: Any) -> Any:
        """A new symbol for an instant in ms."""
        self.instants.append(at)
        return Instant((len(self.instants) - 1,), (), 0)

    def since(self, at: Millis) -> Any:
        """The same for an instant in the past. No rule reads by how much its age exceeds the network's patience,
        so a greater age becomes a fixed one."""
        patience = self.system.world.timings.patience
        return NOW - patience - 1 if self.now - at > patience else self.at(at)

    def token(self, token: Token | None) -> Token | None:
        """A token without its number. If it has expired, its expiry is fixed."""
        if token is None:
            return None
        if not self.memory.order:
            return replace(token, number=0, issued=NOW.as_seconds(), expires=self.expiry(token))
        place = self.tokens.index(token)
        if place not in self.named:
            expires = self.expiry(token)
            if self.gone(token):
                expires -= self.later_expiries(place)
            issued = expires - self.system.world.timings.lifetime
            self.named[place] = replace(token, number=place + 1, issued=issued, expires=expires)
        return self.named[place]

    def expiry(self, token: Token) -> Any:
        """When a token expires, in s: a new symbol, or a fixed instant if it has expired."""
        expiry = NOW - self.memory.back - 1 if self.gone(token) else self.at(token.expires * 1000)
        return expiry.as_seconds()

    def gone(self, token: Token) -> bool:
        """Has a token expired, by any clock that the device may be set to?"""
        expires: Any = token.expires * 1000
        return bool(expires < self.now - self.memory.back)

    def later_expiries(self, place: int) -> int:
        """How many expiries of expired tokens are later: only their order is kept."""
        later = [one for one in self.tokens[place:] if self.gone(one)]
        return sum(one.expires != other.expires for one, other in pairwise(later))

    def of_world(self, world: World) -> World:
        """A world in canonical form."""
        order = self.request_names
        return replace(
            world,
            now=NOW,
            token=self.token(world.token),
            minted=len(self.tokens),
            timers=tuple(map(self.of_timer, world.timers)),
            requests=tuple(
                replace(
                    request,
                    request=order[request.request],
                    cause=self.call(request.cause),
                    sent_at=self.since(request.sent_at) if self.memory.age else NOW,
                    reply=request.reply and self.of_reply(request.reply),
                )
                for request in sorted(world.requests, key=lambda one: order[one.request])
            ),
            calls=tuple(replace(call, call=self.call_names[call.call]) for call in world.calls),
            next_call=len(self.call_names) + 1,
            shown=self.token(world.shown),
        )

    def of_reply(self, reply: Reply) -> Reply:
        """A reply in canonical form. No rule reads for how long it has been under way."""
        others = tuple(filter(None, map(self.token, reply.others)))
        return replace(reply, token=self.token(reply.token), served_at=NOW - 1, others=others)

    def of_timer(self, timer: Timer) -> Timer:
        """A timer in canonical form. When it was set is dropped: only its fact reads that."""
        due = planned = self.at(timer.due)
        if self.memory.lateness and timer.planned != timer.due:  # a sleep delayed it
            planned = self.at(timer.planned)
        cause = self.call(timer.cause) if self.memory.waits else None  # only invariants with `waits` read it
        return replace(
            timer, timer=self.timer_names[timer.timer], due=due, planned=planned, set_at=0, cause=cause
        )

    def of_monitor(self, monitor: Monitor) -> Monitor:
        """A monitor in canonical form, without what no invariant of this proof reads."""
        history = self.memory.history
        return replace(
            monitor,
            calls=tuple(map(self.of_record, monitor.calls)),
            given=self.of_given(monitor.given),
            tainted_timers=tuple(sorted(self.timer_names[one] for one in monitor.tainted_timers if history)),
            tainted_requests=tuple(
                sorted(self.request_names[one] for one in monitor.tainted_requests if history)
            ),
        )

    def of_given(self, given: Sequence[Token]) -> tuple[Token, ...]:
        """The tokens that the app was given."""
        if not self.memory.given:
            return ()
        kept = sorted(given, key=lambda one: str(one.token_id))
        return tuple(filter(None, map(self.token, kept)))

    def of_record(self, record: CallRecord) -> CallRecord:
        """The record of a call in canonical form."""
        number = self.call_names[record.call]
        if not self.memory.history:
            return without_history(record, number)
        asked_at = self.since(record.asked_at) if record.healthy else NOW
        awake_since = self.since(record.awake_since) if self.memory.waits else NOW
        return replace(record, call=number, asked_at=asked_at, awake_since=awake_since)
