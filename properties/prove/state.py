"""The states of a proof, and what they keep of the past."""

from __future__ import annotations

from functools import cache
from typing import Any, cast, get_args, get_type_hints

from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.sets import Assumptions
from model.form import with_tokens
from model.sdk import Client
from model.terms import Millis, Token
from model.world.state import Reply, System, World
from properties.prove.zone import Bound, Instant, Zone

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
    assumption bounds it. `baseline` of a fetch: if a token may be older than one that came before it. When a
    token expired: for `back` ms, by which the device's clock may be set back. The token id that a request or call
    was for: if the app `switches` the session's own token. The `order` in which tokens were minted: if a token
    may take the place of one that was minted later, because replies may be late or the app goes back to another
    token, or if an invariant reads it. Which tokens were `given` to the app, and which is the `newest` of each
    kind: if an invariant reads that. When a timer was planned that a sleep delayed (`lateness`): if that delay is
    bounded. Of which `kinds` tokens are: not at first where time is left out and the app has many.
    """

    history: bool = True
    age: bool = True
    baseline: bool = True
    back: Millis = 0
    waits: bool = True
    switches: bool = True
    order: bool = True
    given: bool = True
    newest: bool = True
    lateness: bool = False
    kinds: bool = True

    @classmethod
    def needed(
        cls,
        assumptions: Assumptions,
        app: App,
        history: bool,
        waits: bool = False,
        ages: bool = False,
        newest: bool = False,
    ) -> Memory:
        """What a proof under these assumptions has to keep, for invariants that read the `history` of calls, how
        long they have waited (`waits`), the `ages` of tokens, or the `newest` of them."""
        return cls(
            history,
            history or not assumptions.may_hang,
            assumptions.may_lag or assumptions.may_delay,
            -min(assumptions.skews, default=0),
            waits,
            app.switches,
            ages or app.switches or assumptions.may_delay,
            ages,
            newest,
        )


EVERYTHING = Memory()
"""All that a form can keep."""


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
        if issubclass(kind, Token):
            found.add(one)
        elif issubclass(kind, tuple):
            waiting += one
        else:
            waiting += [getattr(one, name) for name in _with_tokens(kind)]
    return found


@cache
def _with_tokens(kind: type) -> tuple[str, ...]:
    """The fields of a struct that may have tokens in them, by their types. Other values have none."""
    if not issubclass(kind, Struct):
        return ()
    hints = get_type_hints(kind)
    return tuple(name for name in kind.__struct_fields__ if not {Token, Any}.isdisjoint(_parts(hints[name])))


def _parts(hint: Any) -> set[Any]:
    """The types that a value of this type may be made of."""
    found: set[Any] = set()
    waiting = [hint]
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += get_args(one)
            if isinstance(one, type) and issubclass(one, Struct):
                waiting += [*get_type_hints(one).values(), *one.__subclasses__()]
    return found


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
