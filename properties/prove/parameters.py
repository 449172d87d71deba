"""The model's numbers as unknowns: sums of them stand in for lengths of time, and z3 knows what is said of them.

The model's transition functions run on such sums. Every comparison that may come out either way is played both
ways, and what has been assumed on one way is a system of linear inequalities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar, TypeAlias

import z3

from model.assumptions import sets as assumptions_module
from model.clerk import cache
from model.terms import TOKEN_LIFETIME, Millis
from model.world import course
from model.world import state as world_module
from model.world.state import PATIENCE

Formula: TypeAlias = Any
"""A z3 formula: the package has no types."""

UNKNOWNS: dict[str, str] = {
    "lifetime": "how long a token lives",
    "lead": "how long before that its refresh timer goes off",
    "latency": "the longest that the network takes to answer",
    "freeze": "the longest that the event loop stands still at a time",
}
"""The numbers that are asked for, and what they mean; all are lengths of time."""

GIVEN = {name: z3.Real(name) for name in UNKNOWNS}

NUMBERS: dict[str, Millis] = {
    "lifetime": TOKEN_LIFETIME * 1000,
    "lead": cache.REFRESH_LEAD * 1000,
    "latency": PATIENCE,
}
"""What these are in the SDK and in our world, in ms; only a freeze may have any length."""

SENSIBLE: Formula = z3.And(
    GIVEN["lead"] > 0, GIVEN["lifetime"] > GIVEN["lead"], GIVEN["latency"] > 0, GIVEN["freeze"] > 0
)
"""What is taken for granted of them."""


class Time:
    """A sum of unknowns, standing in for `Millis` or, where `unit` is 1000, for `Seconds`."""

    __slots__ = ("ms", "unit")
    run: ClassVar[Branch]

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


class Branch:
    """One way in which the comparisons of a run come out: as the script says, and then as it may."""

    def __init__(self, known: Sequence[Formula], script: tuple[bool, ...]) -> None:
        self.known = list(known)
        self.either: list[tuple[bool, ...]] = []
        self._script = script
        self._spoken: list[bool] = []
        self._solver = z3.Solver()
        self._solver.add(SENSIBLE, *known)

    def decide(self, what: Formula) -> bool:
        """Is it so? Where it may be, or not, this run takes it to be what its script says, or else that it is."""
        what = z3.simplify(what)
        if z3.is_true(what) or z3.is_false(what):
            return bool(z3.is_true(what))
        if not self.possible(what):
            return False
        if not self.possible(z3.Not(what)):
            return True
        place = len(self._spoken)
        answer = self._script[place] if place < len(self._script) else True
        if place >= len(self._script):
            self.either.append((*self._spoken, False))
        self._spoken.append(answer)
        self.learn(what if answer else z3.Not(what))
        return answer

    def possible(self, what: Formula) -> bool:
        """May it be so?"""
        return bool(self._solver.check(what) == z3.sat)

    def learn(self, what: Formula) -> None:
        """It is so."""
        self.known.append(what)
        self._solver.add(what)


@contextmanager
def unknown_numbers() -> Iterator[None]:
    """The model's numbers are unknowns meanwhile, and the session does not end by age."""
    lifetime, lead, latency = (Time(GIVEN[name]) for name in ("lifetime", "lead", "latency"))
    unknowns: dict[tuple[ModuleType, str], object] = {
        (cache, "REFRESH_LEAD"): lead // 1000,
        (course, "TOKEN_LIFETIME"): lifetime // 1000,
        (course, "PATIENCE"): latency,
        (assumptions_module, "PATIENCE"): latency,
        (world_module, "SESSION_LIFETIME"): math.inf,
        (assumptions_module, "SESSION_LIFETIME"): math.inf,
    }
    numbers = {place: getattr(*place) for place in unknowns}
    try:
        for place, value in unknowns.items():
            setattr(*place, value)
        yield
    finally:
        for place, value in numbers.items():
            setattr(*place, value)
