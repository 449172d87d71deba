"""What an invariant is, and a catalogue of them, in which each is registered under its id."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.sdk import Policy
from model.step import Step
from model.terms import Runtime, Seconds
from model.world.state import System
from properties.invariants.breach import Breach

Check = Callable[[Step], Breach | None]
OfState = Callable[[System, Assumptions], bool]


class Invariant(Struct, frozen=True):
    """A property that must hold in every step of every trace."""

    id: str
    sentence: str
    check: Check
    runtimes: frozenset[Runtime]
    history: bool = False
    """Reads the history of calls, so a proof has to keep it in the state."""
    ages: bool = False
    """Reads which tokens the app was given, and which of two is the fresher one, so a proof has to keep that."""
    newest: bool = False
    """Reads which token of each kind is the newest, so a proof has to keep that."""
    waits: bool = False
    """Reads how long a call has waited, so a proof has to keep that in the state, too."""
    timeless: bool = False
    """Reads no instant, and judges either single facts or the facts that follow from one stimulus. So a proof can
    check it in the untimed graph."""
    stronger: OfState | None = None
    """A property of states that implies this one and reads no instant, so a proof can check that there. It has to
    hold of a state if the calls can be parted so that it holds of each part, with the requests and timers that
    these cause."""
    recovers: bool = False
    """Has a liveness part, so a proof also checks that every state of the closed graph recovers."""
    reference: Callable[[Policy], Policy] | None = None
    """Compares the target with a reference client. Maps the target's policy to the reference client's."""

    @property
    def untimed(self) -> bool:
        """Can a proof check it in the untimed graph?"""
        return self.timeless or self.stronger is not None

    def may_break(self, step: Step, ends: Iterable[System], assumptions: Assumptions) -> bool:
        """May a step of the untimed graph violate it? `ends`: the system after the step, or the parts of that."""
        if self.stronger is None:
            return self.check(step) is not None
        return not all(self.stronger(one, assumptions) for one in ends)

    @property
    def some(self) -> bool:
        """Does it apply to some runtimes only?"""
        return self.runtimes != frozenset(Runtime)


class Catalogue(dict[str, Invariant]):
    """Invariants by id. Those of a family are made when they are first asked for: `token-outlives-margin-10s` is
    `token-outlives-margin` with a margin of 10 s."""

    def __init__(self) -> None:
        super().__init__()
        self.default: list[str] = []
        self._families: dict[str, Callable[[str, Seconds], Invariant]] = {}

    def register(
        self,
        name: str,
        *runtimes: Runtime,
        history: bool = False,
        ages: bool = False,
        newest: bool = False,
        waits: bool = False,
        timeless: bool = False,
        stronger: OfState | None = None,
        recovers: bool = False,
        default: bool = True,
        reference: Callable[[Policy], Policy] | None = None,
    ) -> Callable[[Check], Check]:
        """Register a check under `name`. It applies to the given `runtimes`, or to all if none is given. `waits`
        implies `history`."""

        def register(check: Check) -> Check:
            self[name] = Invariant(
                name,
                " ".join((check.__doc__ or "").split()),
                check,
                frozenset(runtimes or Runtime),
                history=history or waits,
                ages=ages,
                newest=newest,
                waits=waits,
                timeless=timeless,
                stronger=stronger,
                recovers=recovers,
                reference=reference,
            )
            if default:
                self.default.append(name)
            return check

        return register

    def family(self, name: str, make: Callable[[str, Seconds], Invariant]) -> None:
        """Let `make` make the members of a family, each by its id and its number of seconds."""
        self._families[name] = make

    def __missing__(self, name: str) -> Invariant:
        member = _MEMBER.fullmatch(name)
        if member is None or member[1] not in self._families:
            raise KeyError(name)
        made = self[name] = self._families[member[1]](name, int(member[2]))
        return made

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The invariant; the default if there is none."""
        with contextlib.suppress(KeyError):
            return self[name]
        return default


_MEMBER = re.compile(r"(.+)-(\d{1,5})s", re.ASCII)
"""The id of a member of a family."""
