"""Symbolic execution of the model: its timings are unknowns, and durations are linear terms over them in z3.

The model's transition functions run on these terms. A comparison that may be true or false splits the run in two,
and the path condition of each run is a system of linear inequalities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias, cast

import z3
from msgspec.structs import replace

from model.terms import Millis, Timings

Formula: TypeAlias = Any
"""A z3 formula. The package has no type annotations."""

UNKNOWNS: dict[str, str] = {
    "lifetime": "how long a token lives",
    "lead": "how long before that its refresh timer goes off",
    "latency": "the longest that the network takes to answer",
    "freeze": "the longest that the event loop stands still at a time",
}
"""The unknowns and their meanings. All are durations."""

GIVEN = {name: z3.Real(name) for name in UNKNOWNS}


def numbers(timings: Timings) -> dict[str, Millis]:
    """The values of the unknowns for these timings, in ms; without the freeze, which may have any duration."""
    return {
        "lifetime": timings.lifetime * 1000,
        "lead": timings.lead * 1000,
        "latency": timings.patience,
    }


SENSIBLE: Formula = z3.And(
    GIVEN["lead"] > 0, GIVEN["lifetime"] > GIVEN["lead"], GIVEN["latency"] > 0, GIVEN["freeze"] > 0
)
"""The constraints on the unknowns that are always assumed."""


class Time:
    """A linear term over the unknowns, used in place of `Millis` or, if `unit` is 1000, of `Seconds`."""

    __slots__ = ("ms", "unit")
    run: ClassVar[SymbolicRun]

    def __init__(self, ms: Formula, unit: int = 1) -> None:
        self.ms = ms
        self.unit = unit

    def _ms(self, other: Time | float) -> Formula:
        return other.ms if isinstance(other, Time) else z3.RealVal(int(other) * self.unit)

    def __add__(self, other: Time | float) -> Time | float:
        return math.inf if other == math.inf else Time(self.ms + self._ms(other), self.unit)

    __radd__ = __add__

    def __sub__(self, other: Time | int) -> Time:
        return Time(self.ms - self._ms(other), self.unit)

    def __rsub__(self, other: float) -> Time | float:
        return other if other == math.inf else Time(self._ms(other) - self.ms, self.unit)

    def __floordiv__(self, other: int) -> Time:
        assert (self.unit, other) == (1, 1000), "only milliseconds are divided, into seconds"
        return Time(self.ms, 1000)

    def __mul__(self, other: int) -> Time:
        assert (self.unit, other) == (1000, 1000), "only seconds are multiplied, into milliseconds"
        return Time(self.ms)

    def __lt__(self, other: Time | float) -> bool:
        return other == math.inf or self.run.decide(self.ms < self._ms(other))

    def __le__(self, other: Time | float) -> bool:
        return other == math.inf or self.run.decide(self.ms <= self._ms(other))

    def __gt__(self, other: Time | float) -> bool:
        return not self <= other

    def __ge__(self, other: Time | float) -> bool:
        return not self < other

    def __eq__(self, other: object) -> bool:
        if isinstance(other, float):
            return False
        if not isinstance(other, Time | int):
            return NotImplemented
        return self.run.decide(self.ms == self._ms(other))

    __hash__ = None  # type: ignore[assignment]


class SymbolicRun:
    """One run of the model with one path condition.

    Comparisons are decided as `script` says, and after its end as true. `either` collects the scripts of the runs
    that decide otherwise.
    """

    def __init__(self, known: Sequence[Formula], script: tuple[bool, ...]) -> None:
        self.known = list(known)
        self.either: list[tuple[bool, ...]] = []
        self._script = script
        self._decisions: list[bool] = []
        self._solver = z3.Solver()
        self._solver.add(SENSIBLE, *known)

    def decide(self, what: Formula) -> bool:
        """Is `what` true? If the path condition leaves it open, decide by the script, or else decide that it
        is."""
        what = z3.simplify(what)
        if z3.is_true(what) or z3.is_false(what):
            return bool(z3.is_true(what))
        if not self.possible(what):
            return False
        if not self.possible(z3.Not(what)):
            return True
        place = len(self._decisions)
        answer = self._script[place] if place < len(self._script) else True
        if place >= len(self._script):
            self.either.append((*self._decisions, False))
        self._decisions.append(answer)
        self.learn(what if answer else z3.Not(what))
        return answer

    def possible(self, what: Formula) -> bool:
        """Is `what` consistent with the path condition?"""
        return bool(self._solver.check(what) == z3.sat)

    def learn(self, what: Formula) -> None:
        """Add `what` to the path condition."""
        self.known.append(what)
        self._solver.add(what)


def unknown(timings: Timings) -> Timings:
    """The timings with unknowns in place of numbers. The session does not end by age."""
    lifetime, lead, latency = (Time(GIVEN[name]) for name in ("lifetime", "lead", "latency"))
    numbers: dict[str, Any] = {"lifetime": lifetime // 1000, "lead": lead // 1000, "patience": latency}
    return replace(timings, **numbers, session=cast(Any, math.inf))
