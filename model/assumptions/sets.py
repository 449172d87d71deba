"""What the world may do: named assumptions that add up.

The app's ordinary foreground actions are possible under every assumption. An assumption adds faults on top of
an honest server and a punctual clock; a set of them allows whatever any one of them allows. They are the heart
of an honest verdict: a fix is right under one theory of why the server says 401, and wrong under another.
"""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from model.assumptions.catalogue import ASSUMPTIONS, Assumption
from model.assumptions.landmarks import Sometimes
from model.terms import CAN_LOOK, SESSION_LIFETIME, SKEWS, Millis, Outcome, RequestId, Runtime
from model.world.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    GetToken,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    SwitchOrganization,
    Touch,
    UnlockKeychain,
)
from model.world.state import GRANTS, PATIENCE, POSSIBLE, Request, World

POLLS_AT_ONCE: Millis = 300_000
"""How much time may pass in one step on a page, whose poller runs a dozen times a minute. A freeze may last
longer."""

LAST_SECONDS: Millis = 5_000
"""With as much left on a token, or less, a page's poller asks for another (tokenCache.ts get)."""

MAX_CALLS = 3
"""The app never has more than three calls pending: enough for sharing and overtaking."""


@cache
def _members(names: tuple[str, ...]) -> tuple[Assumption, ...]:
    return tuple(ASSUMPTIONS[name] for name in names)


class Assumptions(Struct, frozen=True):
    """A set of assumptions: whatever one of them allows, the set allows."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.names)

    @property
    def members(self) -> tuple[Assumption, ...]:
        """The assumptions themselves."""
        return _members(self.names)

    @property
    def may_freeze(self) -> bool:
        """May the operating system freeze the event loop?"""
        return any(member.freezes for member in self.members)

    @property
    def revokes(self) -> bool:
        """May the server end the session?"""
        return any(member.revokes for member in self.members)

    @property
    def skews(self) -> bool:
        """May the device's clock be wrong?"""
        return any(member.skews for member in self.members)

    @property
    def locks(self) -> bool:
        """May the keychain be locked at all?"""
        return any(member.locks for member in self.members)

    @property
    def disconnects(self) -> bool:
        """May the device lose the network, for a client that can look?"""
        return any(member.disconnects for member in self.members)

    @property
    def restarts(self) -> bool:
        """May the app be killed and started again at all?"""
        return any(member.restarts for member in self.members)

    @property
    def sometimes(self) -> tuple[Sometimes, ...]:
        """What a run must reach to be evidence."""
        return tuple(sometimes for member in self.members for sometimes in member.sometimes)

    @property
    def faults(self) -> tuple[Sometimes, ...]:
        """What a run may use, each once."""
        return tuple({fault.name: fault for member in self.members for fault in member.faults}.values())

    def outcomes(self, world: World, request: Request) -> tuple[Outcome, ...]:
        """How this request may end now: what a healthy server says first, then the faults, in a stable order."""
        if world.offline:
            return (Outcome.LOST,)
        faults = {outcome for member in self.members for outcome in member.outcomes(world, request)}
        honest = world.told(request)
        faults.discard(honest)
        if request.bare:
            faults.difference_update(GRANTS)
        return (honest, *(outcome for outcome in POSSIBLE[request.endpoint] if outcome in faults))

    def answers(self, world: World) -> tuple[tuple[RequestId, Outcome], ...]:
        """Every answer that may arrive now."""
        return tuple(
            (request.request, outcome) for request in world.requests for outcome in self.outcomes(world, request)
        )

    def may_ask(self, world: World) -> bool:
        """May the app make a call now?"""
        return world.signed_in and len(world.calls) < MAX_CALLS

    def may_revoke(self, world: World) -> bool:
        """May the server end the session now?"""
        return world.valid and self.revokes

    def clocks(self, world: World) -> tuple[Millis, ...]:
        """What the device's clock may be set to now, in ms ahead of the server's."""
        return tuple(skew for skew in SKEWS if self.skews and skew != world.skew)

    def may_lock(self, world: World) -> bool:
        """May the keychain be locked now?"""
        return self.locks and not world.locked

    def may_go_offline(self, world: World) -> bool:
        """May the device lose the network now, in a way that the client can see?

        Where nothing can tell the client (headless) that would be no event of its own: the world loses one
        request after another, as an outage lets it anyway.
        """
        return self.disconnects and world.runtime in CAN_LOOK and not world.offline

    def may_restart(self, world: World) -> bool:
        """May the app be killed and started again now?"""
        return self.restarts and world.may_start

    def longest_freeze(self, world: World) -> Millis:
        """How long a freeze may be, in ms; 0 when there may be none."""
        return self._life_left(world) if self.may_freeze else 0

    def longest_advance(self, world: World) -> Millis:
        """How much time may pass, in ms. Unless requests may hang, none waits longer than `PATIENCE`, not
        even one that a timer sends on the way."""
        longest = self._life_left(world)
        if not any(member.hangs for member in self.members):
            first_request = min((request.sent_at for request in world.requests), default=world.now + longest)
            first_timer = min((timer.due for timer in world.ahead), default=world.now + longest)
            if len(world.ahead) < len(world.timers):  # a poller asks only for a token that is running out
                soonest = min(timer.due for timer in world.timers)
                last_seconds = world.token.expires * 1000 - LAST_SECONDS - world.skew
                first_timer = min(first_timer, max(soonest, last_seconds))
            longest = min(longest, min(first_request, first_timer) + PATIENCE - world.now)
        if world.runtime is Runtime.BROWSER:
            longest = min(longest, POLLS_AT_ONCE)
        return max(longest, 0)

    def _life_left(self, world: World) -> Millis:
        """Without revocation a trace stays within the life of the session."""
        if self.revokes:
            return 2 * SESSION_LIFETIME
        return SESSION_LIFETIME - 1 - world.now

    def permit(self, world: World, event: Event) -> bool:
        """Is this event something the world may do now, under these assumptions?"""
        match event:
            case Advance(ms):
                return 0 < ms <= self.longest_advance(world)
            case Freeze(ms, _):
                return 0 < ms <= self.longest_freeze(world)
            case GetToken() | Touch() | SwitchOrganization():
                return self.may_ask(world)
            case Answer(number, outcome):
                return any(
                    outcome in self.outcomes(world, request)
                    for request in world.requests
                    if request.request == number
                )
            case Revoke():
                return self.may_revoke(world)
            case SetClock(skew):
                return skew in self.clocks(world)
            case LockKeychain():
                return self.may_lock(world)
            case UnlockKeychain():
                return world.locked
            case GoOffline():
                return self.may_go_offline(world)
            case GoOnline():
                return world.offline
            case RestartApp():
                return self.may_restart(world)
