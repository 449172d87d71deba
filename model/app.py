"""What the app does, the same for every engine and every front end."""

from __future__ import annotations

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.operations import Load, Operation
from model.world.possible import impossible
from model.world.state import World

MAX_CALLS = 3
"""How many calls of an app may be pending at once by default: enough for two to share a request while a third
overtakes them."""

MAX_LOADS = 3
"""How often an app loads a client by default, until that has ended well. A start is the first time."""

MAX_SIGN_INS = 2
"""How often an app may sign a user in, with success, by default: enough for one session that is left and two at a
time."""


class App(Struct, frozen=True):
    """What the app does: which `operations` it calls, with how many `calls` pending at a time, how often it loads
    a client (`loads`), and how many `sign_ins` succeed in all.

    If `operations` is None, the app may make any call. `permits` knows that; `enabled` cannot list all calls, and
    has none of them.
    """

    operations: tuple[Operation, ...] | None = None
    calls: int = MAX_CALLS
    loads: int = MAX_LOADS
    sign_ins: int = MAX_SIGN_INS

    def may_call(self, operation: Operation, world: World, assumptions: Assumptions) -> bool:
        """May it make this call now?"""
        if len(world.calls) >= self.calls or (isinstance(operation, Load) and world.loads >= self.loads):
            return False
        if (operation.leaves or operation.enters) and not assumptions.may_leave:
            return False
        if operation.user is not None and world.begun + world.signing_in > self.sign_ins:
            return False
        return not impossible(world, operation)

    @property
    def enters(self) -> bool:
        """May it enter another session, one of those that are named?"""
        return any(one.enters for one in self.operations or ())

    @property
    def switches(self) -> bool:
        """May it change which token is the session's own, by one of those that are named?"""
        return self.enters or any(one.changes_session for one in self.operations or ())

    def __str__(self) -> str:
        calls = "one call" if self.calls == 1 else f"up to {self.calls} calls"
        which = "" if self.operations is None else f" of {', '.join(map(str, self.operations))}"
        signs_in = any(one.user is not None for one in self.operations or ())
        most = f", {self.sign_ins} sign-ins in all" if signs_in else ""
        return f"{calls} at a time{which}{most}"


ANY_APP = App()
"""An app that may make any call."""
