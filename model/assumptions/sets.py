"""Sets of assumptions: what the world may do.

Honest answers, calls of the app and the passing of time are possible under every assumption. Each assumption adds
faults to these, and a set allows what any of its members allows. A verdict names its set: a fix can be right
under one theory of why the server says 401, and wrong under another.
"""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from model.assumptions.catalogue import ASSUMPTIONS, Assumption
from model.assumptions.landmarks import OTHER_ENDED, Landmark
from model.requests import Outcome, succeeds
from model.sdk import Sdk
from model.terms import Millis, Runtime
from model.world.events import Event, Revoke, RevokeOther, SetClock
from model.world.state import Request, World


@cache
def _members(names: tuple[str, ...]) -> tuple[Assumption, ...]:
    return tuple(ASSUMPTIONS[name] for name in names)


@cache
def _events(names: tuple[str, ...]) -> tuple[Event, ...]:
    return tuple(dict.fromkeys(event for member in _members(names) for event in member.events))


class Assumptions(Struct, frozen=True):
    """A set of assumptions, by their names in the catalogue: it allows what any of them allows.

    Properties raise `KeyError` for a name that is not in the catalogue.
    """

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.names)

    @property
    def members(self) -> tuple[Assumption, ...]:
        """The assumptions themselves."""
        return _members(self.names)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that they add, each once; any of them may be impossible now (`impossible`)."""
        return _events(self.names)

    @property
    def may_freeze(self) -> bool:
        """May the operating system freeze the event loop?"""
        return any(member.freezes for member in self.members)

    @property
    def may_hang(self) -> bool:
        """May a request take longer than the network's patience?"""
        return any(member.hangs for member in self.members)

    @property
    def may_hang_until_loaded(self) -> bool:
        """May a request take longer than that until the client has loaded?"""
        return any(member.hangs_until_loaded for member in self.members)

    @property
    def may_delay(self) -> bool:
        """May a reply arrive later than the server acted?"""
        return any(member.delays for member in self.members)

    @property
    def may_revoke(self) -> bool:
        """May the server end the session?"""
        return any(isinstance(event, Revoke) for event in self.events)

    @property
    def skews(self) -> tuple[Millis, ...]:
        """How far ahead of the server's clock the device's may be set, in ms."""
        return tuple(event.skew for event in self.events if isinstance(event, SetClock))

    @property
    def may_leave(self) -> bool:
        """May the app sign out, sign in, and change between sessions?"""
        return any(member.leaves for member in self.members)

    @property
    def may_lag(self) -> bool:
        """May a token be made from older data than one before?"""
        return any(member.lags for member in self.members)

    @property
    def sometimes(self) -> tuple[Landmark, ...]:
        """The landmarks that a run must reach to be evidence."""
        return tuple(landmark for member in self.members for landmark in member.sometimes)

    @property
    def faults(self) -> tuple[Landmark, ...]:
        """The landmarks that a run may reach, each once."""
        faults = {fault.name: fault for member in self.members for fault in member.faults}
        both = (OTHER_ENDED,) if self.may_revoke and self.may_leave else ()
        return (*faults.values(), *both)

    def ends_of_others(self, world: World) -> tuple[RevokeOther, ...]:
        """How the server may end sessions of the device that are not the app's; any of these may be impossible
        now."""
        if not self.may_leave:
            return ()
        endings = [event.ending for event in self.events if isinstance(event, Revoke)]
        return tuple(RevokeOther(one.session.number, ending) for one in world.others for ending in endings)

    def outcomes(self, world: World, request: Request) -> tuple[Outcome, ...]:
        """How this request may end now: the honest outcome first, then the faults in the order of the
        server's."""
        if world.offline:
            return (Outcome.LOST,)
        faults = {outcome for member in self.members for outcome in member.outcomes(world, request)}
        honest = world.honest_answer(request)
        faults.discard(honest)
        if request.unauthenticated:
            faults = {one for one in faults if not succeeds(request.endpoint, one)}
        return (honest, *(outcome for outcome in world.server.outcomes(request.endpoint) if outcome in faults))


def everything(sdk: Sdk, runtime: Runtime) -> Assumptions:
    """All assumptions that apply to an SDK on a runtime."""
    several = (one.name for one in ASSUMPTIONS.values() if one.possible(runtime, sdk.server))
    return Assumptions(tuple(name for name in several if name != "calm"))
