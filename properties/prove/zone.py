"""Symbolic time: instants that are known only by bounds on their differences.

The model's transition functions only compare instants and add durations to them. Run on `Instant` instead of a
number, they cover all durations at once: a comparison that may be true or false splits the run in two. The
constraints that a run has assumed are a `Zone`: a difference-bound matrix (Dill 1989), exact for constraints of
the form x - y <= c and x - y < c.

Time is continuous here. The whole seconds of JSON Web Tokens are not rounded, so an instant that is not a whole
second may differ by less than one second from the concrete model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from model.terms import Timings

Bound = int
"""An upper bound on a difference in ms: 2c + 1 stands for <= c, and 2c for < c. Smaller is tighter."""

UNBOUNDED: Bound = 1 << 60
AT_MOST_0: Bound = 1
LESS_THAN_0: Bound = 0
NOTHING_KNOWN: tuple[tuple[Bound, ...], ...] = ((AT_MOST_0,),)
"""The bounds of a state whose only instant is now."""


def at_most(ms: int) -> Bound:
    """The bound <= `ms`."""
    return 2 * ms + 1


def less_than(ms: int) -> Bound:
    """The bound < `ms`."""
    return 2 * ms


def plus(one: Bound, other: Bound) -> Bound:
    """The sum of two bounds."""
    if UNBOUNDED in (one, other):
        return UNBOUNDED
    return one + other - ((one | other) & 1)


class Zone:
    """Constraints on instants, numbered from 0: `bounds[i][j]` is the bound on instant i minus instant j."""

    __slots__ = ("assume_nothing", "bounds", "decisions", "either", "script")

    def __init__(self, bounds: Sequence[Sequence[Bound]], script: tuple[bool, ...] = ()) -> None:
        self.bounds = [*map(list, bounds)]
        self.script = script
        self.assume_nothing = False  # a comparison that may be true is true, and adds no constraint
        self.decisions: list[bool] = []
        self.either: list[tuple[bool, ...]] = []  # the scripts of the runs that decide otherwise

    def policy(self, policy: Any) -> Any:
        """The policy that a run in this zone goes by."""
        return policy

    def another(self) -> int:
        """Add an instant without bounds. Returns its number."""
        for row in self.bounds:
            row.append(UNBOUNDED)
        self.bounds.append([UNBOUNDED] * len(self.bounds) + [AT_MOST_0])
        return len(self.bounds) - 1

    def assume(self, i: int, j: int, bound: Bound) -> None:
        """Add the constraint that instant i minus instant j is within `bound`; it must be consistent."""
        bounds = self.bounds
        if bounds[i][j] <= bound:
            return
        from_j = [(k, rest) for k, rest in enumerate(bounds[j]) if rest != UNBOUNDED]
        for row in bounds:
            if (first := row[i]) != UNBOUNDED:
                first += bound - ((first | bound) & 1)
                if first >= row[j]:
                    continue  # j gets no nearer through i, so nothing beyond j does
                for k, rest in from_j:
                    # plus(first, rest), spelled out: most of the time of a proof is spent here
                    if (through := first + rest - ((first | rest) & 1)) < row[k]:
                        row[k] = through

    def decide(self, i: int, j: int, bound: Bound) -> bool:
        """Is instant i minus instant j within `bound`? If the constraints leave it open, decide by the script, or
        else decide that it is."""
        if self.bounds[i][j] <= bound:
            return True
        if plus(self.bounds[j][i], bound) < AT_MOST_0:
            return False
        if self.assume_nothing:
            return True
        if answer := self.choose():
            self.assume(i, j, bound)
        else:
            self.assume(j, i, 1 - bound)  # not (x <= c) is -x < -c; not (x < c) is -x <= -c
        return answer

    def compare(self, ups: tuple[int, ...], downs: tuple[int, ...], ms: int, bound: Bound) -> bool:
        """Is a sum of instants minus some others, plus `ms`, within `bound`: <= 0 ms or < 0 ms?"""
        assert len(ups) != len(downs), "only two instants can be compared"
        return beyond_session(ms, downs)

    def floor(self, instant: Instant) -> Instant:
        """An instant in whole seconds. Here it is not rounded."""
        return instant.as_seconds()

    def choose(self) -> bool:
        """Decide an open comparison: by the script, or else as true."""
        if len(self.decisions) < len(self.script):
            answer = self.script[len(self.decisions)]
        else:
            answer = True
            self.either.append((*self.decisions, False))
        self.decisions.append(answer)
        return answer

    def bound(self, ups: tuple[int, ...], downs: tuple[int, ...]) -> Bound:
        """The best known bound on a sum of instants minus as many others; exact for one minus one."""
        if not ups:
            return AT_MOST_0
        first, *rest = ups
        return min(
            plus(self.bounds[first][down], self.bound(tuple(rest), downs[:k] + downs[k + 1 :]))
            for k, down in enumerate(downs)
        )

    def onto(self, instants: Sequence[Instant]) -> tuple[Any, ...]:
        """The bounds on the differences of some sums of instants."""
        if any(one.downs for one in instants):  # a sleep delayed timers
            return tuple(tuple(self._gap(one - other) for other in instants) for one in instants)
        places = [(one.ups[0], 2 * one.ms) for one in instants]
        rows = ((self.bounds[i], ms) for i, ms in places)
        return tuple(
            tuple([UNBOUNDED if (bound := row[j]) == UNBOUNDED else bound + ms - other for j, other in places])
            for row, ms in rows
        )

    def _gap(self, gap: Instant) -> Bound:
        bound = self.bound(gap.ups, gap.downs)
        return UNBOUNDED if bound == UNBOUNDED else bound + 2 * gap.ms

    def sum(self, instant: Instant) -> int:
        """Add an instant that equals a sum of instants, with the best known bounds. Returns its number."""
        name = self.another()
        for other in range(name):
            gap = instant - Instant((other,), (), 0)
            self.bounds[name][other], self.bounds[other][name] = self._gap(gap), self._gap(0 - gap)
        return name

    def within(self, other: Zone) -> bool:
        """Is this zone included in `other`, which has the same instants?"""
        pairs = zip(self.bounds, other.bounds, strict=True)
        return all(mine <= theirs for row, its in pairs for mine, theirs in zip(row, its, strict=True))


class UntimedZone(Zone):
    """A zone without constraints, for the untimed pass: comparisons add none."""

    __slots__ = ()

    def __init__(self, script: tuple[bool, ...] = ()) -> None:
        super().__init__((), script)

    def decide(self, i: int, j: int, bound: Bound) -> bool:
        """Every comparison is open, however often it is made."""
        return self.assume_nothing or self.choose()


DISTANT = Timings().session // 2
"""A duration in ms that is exceeded only by the time to the end of the session."""


def beyond_session(ms: int, downs: tuple[int, ...]) -> bool:
    """Is the end of the session later than an instant? That is a comparison of an instant with a number: how much
    is left of 30 days. Here they do not end; the assumption `revocation` lets the server end the session at any
    time."""
    assert abs(ms) > DISTANT, "an instant is compared with a number"
    return not downs


class NotLinear(ArithmeticError):
    """A computation with an instant that no zone can express."""


class Instant:
    """A sum of numbered instants and ms, used in place of `Millis` or, if `unit` is 1000, of `Seconds`.

    Comparisons are decided in `zone`, the zone of the current run.
    """

    __slots__ = ("downs", "ms", "unit", "ups")
    zone: ClassVar[Zone]

    def __init__(self, ups: tuple[int, ...], downs: tuple[int, ...], ms: int, unit: int = 1) -> None:
        self.ups = ups
        self.downs = downs
        self.ms = ms
        self.unit = unit

    def _and(self, other: Instant | int, sign: int) -> Instant:
        if isinstance(other, int):
            return Instant(self.ups, self.downs, self.ms + sign * other * self.unit, self.unit)
        assert self.unit == other.unit, "seconds and milliseconds do not mix"
        if sign < 0 and not self.downs and not other.downs and len(self.ups) == len(other.ups) == 1:  # mostly
            ms = self.ms - other.ms
            same = self.ups == other.ups
            return Instant((), (), ms, self.unit) if same else Instant(self.ups, other.ups, ms, self.unit)
        ups, downs = [*self.ups], [*self.downs]
        plus_, minus = (other.ups, other.downs) if sign > 0 else (other.downs, other.ups)
        for one in plus_:
            downs.remove(one) if one in downs else ups.append(one)
        for one in minus:
            ups.remove(one) if one in ups else downs.append(one)
        return Instant(tuple(sorted(ups)), tuple(sorted(downs)), self.ms + sign * other.ms, self.unit)

    def __add__(self, other: Instant | int) -> Instant:
        return self._and(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Instant | int) -> Instant:
        return self._and(other, -1)

    def __rsub__(self, other: int) -> Instant:
        return Instant(self.downs, self.ups, other * self.unit - self.ms, self.unit)

    def __floordiv__(self, other: int) -> Instant:
        assert (self.unit, other) == (1, 1000), "only milliseconds are divided, into seconds"
        return self.zone.floor(self)

    def as_seconds(self) -> Instant:
        """The same instant in seconds. It is a whole second."""
        return Instant(self.ups, self.downs, self.ms, 1000)

    def __mul__(self, other: int) -> Instant:
        if (self.unit, other) != (1000, 1000):
            raise NotLinear("only seconds are multiplied, into milliseconds")
        return Instant(self.ups, self.downs, self.ms)

    def _holds(self, other: Instant | int, bound: Bound) -> bool:
        """Is self - other within `bound`: <= 0 ms or < 0 ms?"""
        if isinstance(other, int):
            ms, ups, downs = self.ms - other * self.unit, self.ups, self.downs
        elif self.downs or other.downs:
            gap = self - other
            ms, ups, downs = gap.ms, gap.ups, gap.downs
        else:
            ms, ups, downs = self.ms - other.ms, self.ups, other.ups
            if ups == downs:
                return at_most(ms) <= bound
        if len(ups) == len(downs) == 1:
            return self.zone.decide(ups[0], downs[0], bound - 2 * ms)
        if not ups and not downs:
            return at_most(ms) <= bound
        return self.zone.compare(ups, downs, ms, bound)

    def __le__(self, other: Instant | int) -> bool:
        return self._holds(other, AT_MOST_0)

    def __lt__(self, other: Instant | int) -> bool:
        return self._holds(other, LESS_THAN_0)

    def __ge__(self, other: Instant | int) -> bool:
        return not self < other

    def __gt__(self, other: Instant | int) -> bool:
        return not self <= other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Instant | int):
            return NotImplemented
        if isinstance(other, Instant) and (self.ups, self.downs) == (other.ups, other.downs):
            return self.ms == other.ms
        return self <= other and self >= other

    def __hash__(self) -> int:
        return hash((self.ups, self.downs, self.ms, self.unit))

    def __repr__(self) -> str:
        terms = [*(f"t{one}" for one in self.ups), *(f"-t{one}" for one in self.downs), f"{self.ms} ms"]
        return f"<{' + '.join(terms)}>"


class UnknownCount(int):
    """An unknown number of attempts: every comparison with a limit is open."""

    def __lt__(self, limit: int) -> bool:
        return Instant.zone.choose()

    def __le__(self, limit: int) -> bool:
        return Instant.zone.choose()

    def __add__(self, more: int) -> UnknownCount:
        return self

    def __sub__(self, less: int) -> int:
        return 0


class UnknownSet(frozenset[Any]):
    """A set of which nothing is known: whether it contains something is open each time."""

    def __contains__(self, one: object) -> bool:
        return Instant.zone.choose()

    def __or__(self, more: object) -> UnknownSet:
        return self

    def __sub__(self, less: object) -> UnknownSet:
        return self


UNKNOWN_SET = UnknownSet()
