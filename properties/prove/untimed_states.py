"""The canonical form of states for the untimed pass (`untimed.py`).

It is the canonical form of `canonical.py` with less in it: no instants, no numbers of attempts, and of timers
only their owners. World and client are brought into canonical form separately, so that tables can combine them.

A token that was minted before a step is `Held`. One that is minted in the step is newer. Of two that are held
either may be newer, and they may be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from model.io import CallSettled, Output, TimerSet, TokenAnnounced, TokenShown
from model.sdk import Client, Sdk
from model.terms import CallId, Token, TokenId, TokenIdStruct
from model.world.monitor import CallRecord, Monitor
from model.world.state import PendingCall, Reply, Request, System, World
from properties.prove.canonical import Naming, renumbered, without_age, without_history
from properties.prove.state import NOW, Memory
from properties.prove.zone import AT_MOST_0, Instant, UnknownCount

ANY = cast(Any, Instant((1,), (), 0))
"""An instant without bounds."""

_NOW_S, _ANY_S = NOW.as_seconds(), ANY.as_seconds()
_IS_NOW = NOW.ups, NOW.downs, NOW.ms

DEVICE_TIME = cast(Any, Instant((2,), (), 0))
"""The time on the device's clock, if that may be wrong."""

EXPIRED = NOW - 1000
"""The expiry of the last session token: before now."""

UNKNOWN_COUNT = UnknownCount(1)
"""The number of attempts at something."""


class Names(Struct, frozen=True):
    """The canonical names of timers, requests and calls, as pairs of id and name."""

    timers: tuple[tuple[int | None, int], ...]
    requests: tuple[tuple[int | None, int], ...]
    calls: tuple[tuple[int | None, int], ...]


def names_of(sdk: Sdk, client: Client, calls: Iterable[CallId], memory: Memory) -> Names:
    """The names of a client's timers and requests, and of `calls`. Timers are named in the client's order, since
    any of them may fire next."""
    called = renumbered(calls)
    form = UntimedForm(Names((), (), tuple(called.items())), memory)
    return Names(
        tuple((timer, name) for name, timer in enumerate(sdk.timers(client), 1)),
        tuple((request, name) for name, request in enumerate(sdk.requests(client, form), 1)),
        tuple(called.items()),
    )


def untimed(output: Output, memory: Memory) -> Output:
    """An output without its instants, and without the numbers of tokens."""
    match output:
        case TimerSet():
            return replace(output, due=ANY)
        case TokenAnnounced(token, before):
            new = _symbol(token, memory)
            if new and not isinstance(token, Held):  # it has just been minted
                new = Token(0, new.token_id, _NOW_S, _ANY_S, token.behind)
            return replace(output, token=new, before=_symbol(before, memory))
        case CallSettled(_, token) | TokenShown(token):
            return replace(output, token=_symbol(token, memory))
        case _:
            return output


class PastInstant(Instant):
    """An instant of which nothing is known but that it is not later than now, not even whether it is the same as
    another."""

    def _holds(self, other: Instant | int, bound: int) -> bool:
        if bound == AT_MOST_0 and isinstance(other, Instant) and (other.ups, other.downs, other.ms) == _IS_NOW:
            return True
        return self.zone.assume_nothing or self.zone.choose()


_PAST_S = cast(Any, PastInstant((3,), (), 0, 1000))


class Held(Token, frozen=True):
    """A token that was minted before this step. Of two of a kind it is open which is the newer one, and whether
    they are the same one, unless they are one object: a form makes another for each place. (Where parts are put
    together, two of theirs may share one: `halves.py`.)"""

    def is_same(self, other: Token | None) -> bool:
        """Open, if they have the same form."""
        return self is other or (self == other and Instant.zone.choose())

    def __ne__(self, other: object) -> bool:
        raise TypeError("a model asks `Token.is_same` whether two tokens are one: `!=` does not leave it open")


class AnyKind(Held, frozen=True):
    """A token of which nothing is known, moreover, but its session, and whether it is behind."""

    def comparable(self, other: Token) -> bool:
        """Open, if it is of the same session."""
        return self.session == other.session and Instant.zone.choose()


UNDER_WAY = -1
"""The number of a token that the client has not got yet."""


def _symbol(token: Token | None, memory: Memory) -> Token | None:
    """A token that the client has, or has had, without its number and instants."""
    if token is None:
        return None
    if memory.kinds:
        return Held(0, token.token_id, _PAST_S, _ANY_S, token.behind)
    return AnyKind(0, any_kind(token.token_id), _PAST_S, _ANY_S, token.behind)


def _under_way(token: Token) -> Token:
    """A token that the client has not got yet."""
    return Held(UNDER_WAY, token.token_id, _PAST_S, _ANY_S, token.behind)


def any_kind(token_id: TokenId) -> TokenId:
    """A token id that says no more than the session."""
    return TokenIdStruct(session=token_id.session)


class UntimedForm(Naming):
    """Builds the untimed canonical form of a system or a client."""

    def __init__(self, known_as: Names, memory: Memory) -> None:
        super().__init__(memory)
        self.timer_names, self.request_names = dict(known_as.timers), dict(known_as.requests)
        self.call_names = dict(known_as.calls)

    def token(self, token: Token | None) -> Token | None:
        """A token without its number and instants."""
        return _symbol(token, self.memory)

    def count(self, count: int) -> int:
        """An unknown number of attempts."""
        return UNKNOWN_COUNT

    def of_system(self, system: System) -> System:
        """A system in canonical form."""
        return replace(system, world=self.of_world(system.world), monitor=self.of_monitor(system.monitor))

    def of_world(self, world: World) -> World:
        """A world in canonical form. The last token has always expired: no assumption permits less in that
        case."""
        timers = (
            replace(
                timer,
                timer=self.timer_names[timer.timer],
                due=ANY,
                planned=ANY,
                set_at=0,
                cause=self.call(timer.cause) if self.memory.waits else None,
                token_id=None,
            )
            for timer in world.timers
        )
        requests = map(self.of_request, world.requests)
        return replace(
            world,
            now=NOW,
            server=world.server if self.memory.kinds else world.server.without_choice(),
            **without_age(world),
            token=replace(
                world.token,
                number=0,
                token_id=world.server.session_token.of(world.session),
                issued=_NOW_S,
                expires=EXPIRED.as_seconds(),
                behind=False,
            ),
            minted=0,
            timers=tuple(sorted(timers, key=lambda timer: timer.timer)),
            requests=tuple(sorted(requests, key=lambda request: request.request)),
            calls=tuple(map(self.of_call, world.calls)),
            next_call=len(self.call_names) + 1,
            page=self.of_page(world.page),
        )

    def of_request(self, request: Request) -> Request:
        """A request in canonical form."""
        return replace(
            request,
            request=self.request_names[request.request],
            cause=self.call(request.cause),
            sent_at=NOW,
            stale=True,
            reply=request.reply and self.of_reply(request.reply),
        )

    def of_call(self, call: PendingCall) -> PendingCall:
        """A pending call in canonical form."""
        token_id = call.token_id if self.memory.kinds else any_kind(call.token_id)
        return replace(call, call=self.call_names[call.call], token_id=token_id)

    def of_reply(self, reply: Reply) -> Reply:
        """A reply in canonical form. The client goes by the kinds of its tokens."""
        token = reply.token and _under_way(reply.token)
        return replace(reply, token=token, others=tuple(map(_under_way, reply.others)), served_at=NOW - 1)

    def of_monitor(self, monitor: Monitor) -> Monitor:
        """A monitor in canonical form: nothing is tainted, and no call is healthy, so no rule reads since
        when. No timeless invariant reads which tokens are the newest."""
        return replace(
            monitor,
            calls=tuple(map(self.of_record, monitor.calls)),
            tainted_timers=(),
            tainted_requests=(),
            given=self.of_given(monitor.given),
            newest=(),
        )

    def of_given(self, given: Sequence[Token]) -> tuple[Token, ...]:
        """The tokens that the app was given."""
        kept = sorted(given if self.memory.given else (), key=lambda one: str(one.token_id))
        return tuple(filter(None, map(self.token, kept)))

    def of_record(self, record: CallRecord) -> CallRecord:
        """The record of a call in canonical form."""
        number = self.call_names[record.call]
        if not self.memory.kinds:  # what a call accepts is of the session that it is for
            record = replace(record, accepts=())
        if not self.memory.history:
            return without_history(record, number)
        return replace(record, call=number, asked_at=NOW, awake_since=NOW, healthy=False)
