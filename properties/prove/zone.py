"""Time without numbers: instants that are only known by how far apart they are, and what is known of that.

The model's transition functions compare instants and add lengths to them; nothing else. Run on an `Instant`
instead of a number, they do the same for every length of time at once: where a comparison may come out either
way, the run is played twice, once for each. What has been assumed on the way is a `Zone`, a difference-bound
matrix (Dill 1989), exact for constraints of the form x - y <= c and x - y < c.

Time is continuous here. The whole seconds that JSON Web Tokens speak are not rounded, so an instant that is not a
whole second may differ by less than one second from what the model makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeVar

from model.terms import SESSION_LIFETIME

Bound = int
"""An upper bound on a difference in ms: 2c + 1 stands for <= c, and 2c for < c. Smaller is tighter."""

ENDLESS: Bound = 1 << 60
AT_MOST_0: Bound = 1
LESS_THAN_0: Bound = 0


def at_most(ms: int) -> Bound:
    """The bound <= `ms`."""
    return 2 * ms + 1


def less_than(ms: int) -> Bound:
    """The bound < `ms`."""
    return 2 * ms


def plus(one: Bound, other: Bound) -> Bound:
    """What two bounds come to, one after the other."""
    if ENDLESS in (one, other):
        return ENDLESS
    return one + other - ((one | other) & 1)


class Zone:
    """What is known of some instants, numbered from 0: `bounds[i][j]` bounds instant i minus instant j."""

    __slots__ = ("bounds", "either", "lenient", "script", "spoken")

    def __init__(self, bounds: Sequence[Sequence[Bound]], script: tuple[bool, ...] = ()) -> None:
        self.bounds = [list(row) for row in bounds]
        self.script = script
        self.lenient = False  # take whatever is possible to be so, and learn nothing from it
        self.spoken: list[bool] = []
        self.either: list[tuple[bool, ...]] = []  # the scripts of the runs that went the other way

    def another(self) -> int:
        """A further instant, of which nothing is known."""
        for row in self.bounds:
            row.append(ENDLESS)
        self.bounds.append([ENDLESS] * len(self.bounds) + [AT_MOST_0])
        return len(self.bounds) - 1

    def assume(self, i: int, j: int, bound: Bound) -> None:
        """Learn that instant i minus instant j is within `bound`, which must be possible."""
        bounds = self.bounds
        if bounds[i][j] <= bound:
            return
        from_j = [(k, rest) for k, rest in enumerate(bounds[j]) if rest != ENDLESS]
        for row in bounds:
            if (first := row[i]) != ENDLESS:
                first = plus(first, bound)
                for k, rest in from_j:
                    # plus(first, rest), spelled out: most of the time of a proof is spent here
                    if (through := first + rest - ((first | rest) & 1)) < row[k]:
                        row[k] = through

    def decide(self, i: int, j: int, bound: Bound) -> bool:
        """Is instant i minus instant j within `bound`? Where it may be, or not, this run takes it to be what its
        script says, or else that it is."""
        if self.bounds[i][j] <= bound:
            return True
        if plus(self.bounds[j][i], bound) < AT_MOST_0:
            return False
        if self.lenient:
            return True
        if answer := self.choose():
            self.assume(i, j, bound)
        else:
            self.assume(j, i, 1 - bound)  # not (x <= c) is -x < -c; not (x < c) is -x <= -c
        return answer

    def choose(self) -> bool:
        """What this run takes to be so, of what may be so or not."""
        if len(self.spoken) < len(self.script):
            answer = self.script[len(self.spoken)]
        else:
            answer = True
            self.either.append((*self.spoken, False))
        self.spoken.append(answer)
        return answer

    def bound(self, ups: tuple[int, ...], downs: tuple[int, ...]) -> Bound:
        """The best bound we have on a sum of instants minus as many others: exact for one and one."""
        if not ups:
            return AT_MOST_0
        first, *rest = ups
        return min(
            plus(self.bounds[first][down], self.bound(tuple(rest), downs[:k] + downs[k + 1 :]))
            for k, down in enumerate(downs)
        )

    def sum(self, instant: Instant) -> int:
        """A name for a sum of instants, with the best that we know of it."""
        name = self.another()
        for other in range(name):
            gap = instant - Instant((other,), (), 0)
            for i, j, ms, ups, downs in (
                (name, other, gap.ms, gap.ups, gap.downs),
                (other, name, -gap.ms, gap.downs, gap.ups),
            ):
                bound = self.bound(ups, downs)
                self.bounds[i][j] = ENDLESS if bound == ENDLESS else bound + 2 * ms
        return name

    def within(self, other: Zone) -> bool:
        """Is everything that is possible here possible in `other` too, of the same instants?"""
        pairs = zip(self.bounds, other.bounds, strict=True)
        return all(mine <= theirs for row, its in pairs for mine, theirs in zip(row, its, strict=True))


class Timeless(Zone):
    """Nothing is known of any instant, and nothing is learned."""

    __slots__ = ()

    def __init__(self, script: tuple[bool, ...] = ()) -> None:
        super().__init__((), script)

    def decide(self, i: int, j: int, bound: Bound) -> bool:
        """Every comparison may come out either way, however often it is made."""
        return self.lenient or self.choose()


Result = TypeVar("Result")


def every_way(bounds: Sequence[Sequence[Bound]], run: Callable[[Zone], Result]) -> Iterator[Result]:
    """The result of `run` for each way in which its comparisons of instants may come out."""
    return _every(lambda script: Zone(bounds, script), run)


def either_way(run: Callable[[], Result]) -> Iterator[Result]:
    """The same where nothing is known of any instant."""
    return _every(Timeless, lambda _: run())


def _every(zone_of: Callable[[tuple[bool, ...]], Zone], run: Callable[[Zone], Result]) -> Iterator[Result]:
    scripts: list[tuple[bool, ...]] = [()]
    while scripts:
        zone = Instant.zone = zone_of(scripts.pop())
        yield run(zone)
        scripts += zone.either


class Instant:
    """A sum of numbered instants and of ms, standing in for `Millis` or, where `unit` is 1000, for `Seconds`.

    Compared in the zone of the run under way.
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
        return Instant(self.ups, self.downs, self.ms, 1000)

    def __mul__(self, other: int) -> Instant:
        assert (self.unit, other) == (1000, 1000), "only seconds are multiplied, into milliseconds"
        return Instant(self.ups, self.downs, self.ms)

    def _holds(self, other: Instant | int, bound: Bound) -> bool:
        """Is self - other within `bound`, which is one on a difference of 0 ms?"""
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
        if len(ups) != len(downs):
            # An instant beside a number: how much of the session's 30 days is left. Here they do not end; that
            # the server ends the session at any time is what `revocation` is for.
            assert abs(ms) > SESSION_LIFETIME // 2, "no instant is known by itself"
            return not downs
        raise AssertionError("only two instants can be compared")

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


class Often(int):
    """A count of which nothing is known: it may be within any limit, or not."""

    def __lt__(self, limit: int) -> bool:
        return Instant.zone.choose()

    def __le__(self, limit: int) -> bool:
        return Instant.zone.choose()

    def __add__(self, more: int) -> Often:
        return self

    def __sub__(self, less: int) -> int:
        return 0
