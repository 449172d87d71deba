"""Symbolic time with parameters: an SDK's timings and the world's delays are unknown lengths of time.

A zone here is a convex polyhedron over the instants of a state, each relative to now, and the parameters. So a
state covers all lengths of time and all values of the parameters at once. Its projection on the parameters says
for which of them it is reached.

Time is continuous. A `RoundingZone` also rounds whole seconds, up to their grid: the second of an instant is any
that began less than 1 s before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import z3
from msgspec.structs import replace

from model.step import Step
from model.terms import Millis, Timings
from model.world.facts import TimerFired
from properties.prove.polyhedra import ANYTHING, Polyhedron, Row, formula, projected, row
from properties.prove.zone import AT_MOST_0, Bound, Instant, Zone, beyond_session

PARAMETERS: dict[str, str] = {
    "lifetime": "how long a token lives",
    "lead": "how long before its expiry a token is refreshed",
    "cutoff": "with how much life left a token is not handed out any more",
    "flight": "the longest that a request is in flight, from its sending to the arrival of its answer",
    "late": "the longest that a timer runs after it was due",
}
"""The parameters and their meanings. All are durations."""

NUMBERS = {name: -place for place, name in enumerate(PARAMETERS, 1)}
"""The variable of each parameter. Instants are numbered from 0, which is now, and has no variable."""

LENGTH = {name: cast(Any, Instant((number,), (), 0)) for name, number in NUMBERS.items()}
"""Each parameter as a length of time."""


def _at_least(more: str, ms: Millis, less: str | None = None) -> Row:
    return row([(NUMBERS[more], -1), *([(NUMBERS[less], 1)] if less else [])], ms, strict=False)


SENSIBLE: Polyhedron = (
    _at_least("lifetime", 1000, "lead"),
    _at_least("lead", 1000, "cutoff"),
    _at_least("cutoff", 0),
    _at_least("flight", 1),
    _at_least("late", 0),
)
"""What is always assumed of the parameters."""


def unknown(timings: Timings) -> Timings:
    """The timings with parameters in place of numbers."""
    return replace(
        timings,
        lifetime=LENGTH["lifetime"].as_seconds(),
        lead=LENGTH["lead"].as_seconds(),
        cutoff=LENGTH["cutoff"].as_seconds(),
        patience=LENGTH["flight"],
    )


def within(step: Step, late: Millis, flight: Millis | None) -> bool:
    """Did every timer of the step run at most `late` ms after it was planned, and has no request been in flight
    for more than `flight` ms? None: a request may hang."""
    if any(fact.late_by > late for fact in step.facts if isinstance(fact, TimerFired)):
        return False
    world = step.after
    return flight is None or all(world.now - one.sent_at <= flight for one in world.requests)


def _terms(ups: tuple[int, ...], downs: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(name, 1) for name in ups if name] + [(name, -1) for name in downs if name]


class ParametricZone(Zone):
    """A polyhedron over instants and parameters, in which the comparisons of one run are decided."""

    __slots__ = ("_instants", "_solver", "_tightest", "_witness", "rows")

    def __init__(self, bounds: Sequence[Row], script: tuple[bool, ...] = ()) -> None:
        super().__init__((), script)
        self.rows = list(bounds)
        self._instants = max(0, *(name for one in bounds for name, _ in one.terms))
        self._solver = z3.SolverFor("QF_LRA")
        self._solver.add(*map(formula, bounds))
        self._tightest: dict[tuple[tuple[int, int], ...], Row] = {one.terms: one for one in bounds}
        self._witness: Any = None

    def another(self) -> int:
        """Add an instant without bounds. Returns its number."""
        self._instants += 1
        return self._instants

    def learn(self, one: Row) -> None:
        """Add a constraint, which must be consistent."""
        self.rows.append(one)
        self._remember(one)
        self._solver.add(formula(one))
        if not self._seen(one):
            self._witness = None

    def decide(self, i: int, j: int, bound: Bound) -> bool:
        """The same for one instant or parameter minus another."""
        return self.compare((i,), (j,), -(bound >> 1), bound & 1)

    def compare(self, ups: tuple[int, ...], downs: tuple[int, ...], ms: int, bound: Bound) -> bool:
        """Is a sum of instants and parameters within `bound`? If the constraints leave it open, by the script."""
        if sum(one >= 0 for one in ups) != sum(one >= 0 for one in downs):
            return beyond_session(ms, downs)
        asked = row(_terms(ups, downs), ms, strict=bound < AT_MOST_0)
        if not asked.terms:
            return asked.holds
        if self.assume_nothing or self._tightest.get(asked.terms, ANYTHING) >= asked:
            return True
        opposite = asked.negated()
        if self._tightest.get(opposite.terms, ANYTHING) >= opposite:
            return False
        if not self._possible(asked):
            self._remember(opposite)
            return False
        if not self._possible(opposite):
            self._remember(asked)
            return True
        answer = self.choose()
        self.learn(asked if answer else opposite)
        return answer

    def _remember(self, one: Row) -> None:
        """The rows imply this one."""
        self._tightest[one.terms] = max(one, self._tightest.get(one.terms, one))

    def _seen(self, one: Row) -> bool:
        """Does the witness satisfy it?"""
        return self._witness is not None and z3.is_true(self._witness.eval(formula(one), model_completion=True))

    def _possible(self, one: Row) -> bool:
        if self._seen(one):
            return True
        self._solver.push()
        self._solver.add(formula(one))
        possible = self._solver.check() == z3.sat
        if possible:
            self._witness = self._solver.model()
        self._solver.pop()
        return bool(possible)

    def onto(self, instants: Sequence[Instant]) -> Polyhedron:
        """The polyhedron over these instants, numbered from 0 and relative to the first, and the parameters."""
        shift = self._instants
        rows = list(self.rows)
        for place, instant in enumerate(instants[1:], 1):
            gap = instant - instants[0]
            equal = row([(shift + place, -1), *_terms(gap.ups, gap.downs)], gap.ms, strict=False)
            rows += [equal, equal.negated()._replace(strict=False)]
        kept = projected(rows, lambda name: name < 0 or name > shift)
        moved = (
            row([(name - shift if name > 0 else name, times) for name, times in one.terms], one.ms, one.strict)
            for one in kept
        )
        return tuple(sorted(moved))


class RoundingZone(ParametricZone):
    """The same, with whole seconds rounded as in the claims of a token. `floors` has the variables of these."""

    __slots__ = ("floors",)

    def __init__(self, bounds: Sequence[Row], script: tuple[bool, ...] = ()) -> None:
        super().__init__(bounds, script)
        self.floors: dict[tuple[Any, ...], int] = {}

    def floor(self, instant: Instant) -> Instant:
        """The last whole second by then. That of one instant is always the same."""
        seconds, rest = divmod(instant.ms, 1000)
        place = instant.ups, instant.downs, rest
        if place not in self.floors:
            number = self.floors[place] = self.another()
            terms = _terms(instant.ups, instant.downs)
            self.learn(row([(number, 1), *((name, -times) for name, times in terms)], -rest, strict=False))
            self.learn(row([*terms, (number, -1)], rest - 1000, strict=True))
        return Instant((self.floors[place],), (), seconds * 1000, 1000)
