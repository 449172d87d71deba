"""What the app does in a proof: a bounded client of the client, so that its graph has an end."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.terms import PERSONAL
from model.world.events import (
    Answer,
    Event,
    GetToken,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    Touch,
    UnlockKeychain,
)
from model.world.state import World
from properties.search.machine import ASKS, SWITCHES


class App(Struct, frozen=True):
    """What the app does: up to `calls` calls at a time, of getToken; for a template too, if it has `templates`,
    and for another organization than the active one, if it has `organizations`; of touch, if it `touches`; and of
    setActive, if it `switches` between organizations."""

    calls: int = 1
    templates: bool = False
    touches: bool = False
    organizations: bool = False
    switches: bool = False

    def asks(self, ask: GetToken) -> bool:
        """Does this app make such a call?"""
        return (self.templates or ask.template is None) and (self.organizations or ask.organization is None)

    @property
    def timers(self) -> int:
        """More timers than these at once, and a client gathers ever more of them: two for each token that is
        cached and for each call, and two more."""
        return 2 * (1 + self.templates + (self.organizations or self.switches)) + 2 * self.calls + 2

    def __str__(self) -> str:
        calls = "one call" if self.calls == 1 else f"up to {self.calls} calls"
        others = ", templates too" * self.templates + ", touches too" * self.touches
        others += ", organizations too" * self.organizations + ", switches too" * self.switches
        return f"{calls} at a time{others}"

    def events(self, world: World, assumptions: Assumptions) -> Iterator[Event]:
        """What may happen now at an instant, so that no time passes."""
        yield from (Answer(*answer) for answer in assumptions.answers(world))
        possible: list[Event] = []
        if len(world.calls) < self.calls:
            possible += [ask for ask in ASKS if self.asks(ask)] + [Touch()] * self.touches
            possible += SWITCHES * self.switches
            possible += [GetToken(organization=PERSONAL)] * (self.switches and self.organizations)
        possible += [SetClock(skew) for skew in assumptions.clocks(world)]
        possible += [Revoke()] * assumptions.revokes + [LockKeychain(), UnlockKeychain()] * assumptions.locks
        possible += [GoOffline(), GoOnline()] * assumptions.disconnects
        possible += [RestartApp()] * assumptions.restarts
        yield from (event for event in possible if assumptions.permit(world, event))
