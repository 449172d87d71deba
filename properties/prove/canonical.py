"""Symmetry reduction: the canonical form of a state. States with the same future have the same form.

The canonical form of system and client removes every difference that no rule, fact or invariant can observe:

- Ids of timers, requests and calls are renumbered, in their order, which decides what runs first. A reference to
  something that no longer exists becomes None: a settled call is no cause.
- Instants are relative to now, each a symbol of its own; a difference-bound matrix has the bounds on them.
- An expired token (expired by more than the clock may be set back) gets one fixed expiry, because no rule reads
  by how much it expired. A request or a call older than the network's patience gets one fixed age, for the same
  reason. The issue time of a token is dropped: only the step that issues it reads it. So is the start of an
  unhealthy call, and so is the start of a session, since none ends by age here (`zone.beyond_session`).
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
from itertools import pairwise
from typing import Any, cast

from msgspec.structs import replace

from model.sdk import Sdk
from model.terms import CallId, Millis, RequestId, TimerId, Token
from model.world.monitor import CallRecord, Monitor
from model.world.state import Page, Reply, Timer, World
from properties.prove.state import EVERYTHING, NOW, Configuration, Memory, State, symbolic, tokens_in
from properties.prove.zone import NOTHING_KNOWN, Instant, Zone


def canonical(
    sdk: Sdk, configuration: Configuration, memory: Memory = EVERYTHING
) -> tuple[Configuration, tuple[Instant, ...]]:
    """The canonical form of a configuration whose instants are symbols, and the instants that are its symbols.
    Decides which tokens have expired, so it may split the run in two."""
    form = CanonicalForm(sdk, configuration, memory)
    return form.configuration(), tuple(form.instants)


def state_of(
    sdk: Sdk, configuration: Configuration, memory: Memory = EVERYTHING, zone: Zone | None = None
) -> State:
    """The canonical form of a configuration whose instants are numbers; in a `zone` in which nothing is known but
    what is always assumed."""
    zone = Instant.zone = zone or Zone(NOTHING_KNOWN)
    (system, client), instants = canonical(sdk, symbolic(configuration), memory)
    return State(system, client, zone.onto(instants))


def renumbered(numbers: Iterable[int]) -> dict[int | None, int]:
    """New numbers from 1 for the old ones, in the same order."""
    return {number: name for name, number in enumerate(sorted(set(numbers)), 1)}


def without_history(record: CallRecord, number: CallId) -> CallRecord:
    """The record of a call if no invariant reads the history."""
    return replace(
        record, call=number, asked_at=NOW, healthy=False, awake_since=NOW, told_ended=False, lied_to=False
    )


def without_age(world: World) -> dict[str, Any]:
    """The fields of a world that say when its sessions began, with no such instant in them."""
    return {"began": 0, "others": tuple(replace(one, began=0) for one in world.others)}


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

    def of_page(self, page: Page) -> Page:
        """A page in canonical form."""
        if page.heard is None and page.shown is None:
            return page
        return replace(page, heard=self.token(page.heard), shown=self.token(page.shown))


def request_names(sdk: Sdk, configuration: Configuration) -> dict[int | None, RequestId]:
    """The canonical name of each request that the client still refers to, in flight or not."""
    naming = Naming(Memory())
    naming.call_names = renumbered(call.call for call in configuration[0].world.calls)
    return {number: name for name, number in enumerate(sdk.requests(configuration[1], naming), 1)}


class CanonicalForm(Naming):
    """Builds the canonical form of one configuration."""

    def __init__(self, sdk: Sdk, configuration: Configuration, memory: Memory) -> None:
        super().__init__(memory)
        self.sdk, (self.system, self.client) = sdk, configuration
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

    def configuration(self) -> Configuration:
        """The canonical configuration. A token counts only if that has it: not if only what is left out does."""
        configuration = self._configuration()
        if len(self.named) < len(self.tokens):
            self.tokens = [self.tokens[place] for place in sorted(self.named)]
            self.named, self.instants = {}, [self.now]
            configuration = self._configuration()
        return configuration

    def _configuration(self) -> Configuration:
        world, monitor = self.of_world(self.system.world), self.of_monitor(self.system.monitor)
        system = replace(self.system, world=world, monitor=monitor)
        return system, replace(self.sdk.canonical(self.client, self), policy=None)

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
            **without_age(world),
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
            page=self.of_page(world.page),
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
            newest=self.of_newest(monitor.newest),
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

    def of_newest(self, newest: Sequence[Token]) -> tuple[Token, ...]:
        """The newest tokens. An invariant reads how much of their lives is left: not those that have expired."""
        kept = (one for one in newest if self.memory.newest and not self.gone(one))
        return tuple(filter(None, map(self.token, sorted(kept, key=lambda one: str(one.token_id)))))

    def of_record(self, record: CallRecord) -> CallRecord:
        """The record of a call in canonical form."""
        number = self.call_names[record.call]
        if not self.memory.history:
            return without_history(record, number)
        asked_at = self.since(record.asked_at) if record.healthy else NOW
        awake_since = self.since(record.awake_since) if self.memory.waits else NOW
        return replace(record, call=number, asked_at=asked_at, awake_since=awake_since)
