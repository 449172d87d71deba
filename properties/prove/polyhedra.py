"""Convex polyhedra: conjunctions of linear inequalities with integer coefficients.

z3 decides whether a union of them covers another. Projection is Fourier-Motzkin elimination, so that its result
is a conjunction again, without redundant rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import z3

z3.set_param("ctrl_c", False)  # else an interrupt reaches z3 alone, which then calls a formula undecided

Formula: TypeAlias = Any
"""A z3 formula. The package has no type annotations."""


class Row(NamedTuple):
    """A sum of `terms` (the number of a variable and its factor, never 0, by number) and a constant in ms is at
    most 0; or less than 0, if `strict`."""

    terms: tuple[tuple[int, int], ...]
    ms: int
    strict: bool

    def negated(self) -> Row:
        """The opposite."""
        return Row(tuple((name, -times) for name, times in self.terms), -self.ms, not self.strict)

    def factor(self, name: int) -> int:
        """The factor of a variable; 0 if it is not in here."""
        return next((times for one, times in self.terms if one == name), 0)

    @property
    def holds(self) -> bool:
        """Is a row without terms true?"""
        return self.ms < 0 or (self.ms == 0 and not self.strict)


ANYTHING = Row((), 0, strict=False)
"""A row that is always true, and less than every other."""

Polyhedron: TypeAlias = tuple[Row, ...]


def row(terms: Iterable[tuple[int, int]], ms: int, strict: bool) -> Row:
    """The row of these terms, in which a variable may occur more than once."""
    factors: dict[int, int] = {}
    for name, times in terms:
        factors[name] = factors.get(name, 0) + times
    kept = sorted((name, times) for name, times in factors.items() if times)
    if (shared := math.gcd(*(times for _, times in kept))) > 1 and ms % shared == 0:
        kept, ms = [(name, times // shared) for name, times in kept], ms // shared
    return Row(tuple(kept), ms, strict)


def variable(name: int) -> Formula:
    """The z3 variable of a number."""
    if name not in _VARIABLES:
        _VARIABLES[name] = z3.Real(f"x{name}")
    return _VARIABLES[name]


_VARIABLES: dict[int, Formula] = {}


@cache
def formula(one: Row) -> Formula:
    """A row as a z3 formula."""
    total = z3.Sum(*(times * variable(name) for name, times in one.terms), z3.RealVal(one.ms))
    return total < 0 if one.strict else total <= 0


def projected(rows: Iterable[Row], keep: Callable[[int], bool]) -> Polyhedron:
    """The projection of a polyhedron on the variables to `keep`."""
    left = _tightest(rows)
    while gone := {name for one in left for name, _ in one.terms if not keep(name)}:
        left = _without(left, min(gone, key=lambda name: _cost(left, name)))
        if len(left) > 40:
            left = irredundant(left)
    return irredundant(left)


def _cost(rows: Sequence[Row], name: int) -> int:
    factors = [one.factor(name) for one in rows]
    return sum(factor > 0 for factor in factors) * sum(factor < 0 for factor in factors)


def _without(rows: Sequence[Row], name: int) -> Sequence[Row]:
    """Eliminate a variable: add up each pair of an upper and a lower bound on it. If a pair is an equation, only
    pairs with one of its two rows are needed."""
    uppers = [one for one in rows if one.factor(name) > 0]
    lowers = [one for one in rows if one.factor(name) < 0]
    pairs: Iterable[tuple[Row, Row]] = itertools.product(uppers, lowers)
    known = set(lowers)
    for upper in uppers:
        if (lower := upper.negated()._replace(strict=False)) in known and not upper.strict:
            pairs = [*((upper, other) for other in lowers), *((other, lower) for other in uppers)]
            break
    others = [one for one in rows if not one.factor(name)]
    others += (_sum(upper, -lower.factor(name), lower, upper.factor(name)) for upper, lower in pairs)
    return _tightest(others)


def _sum(one: Row, times: int, other: Row, others: int) -> Row:
    terms = [(name, factor * times) for name, factor in one.terms]
    terms += [(name, factor * others) for name, factor in other.terms]
    return row(terms, one.ms * times + other.ms * others, one.strict or other.strict)


def _tightest(rows: Iterable[Row]) -> Sequence[Row]:
    """Of rows with the same terms the tightest; none that are true anyway."""
    best: dict[tuple[tuple[int, int], ...], Row] = {}
    for one in rows:
        known = best.get(one.terms)
        if not (not one.terms and one.holds) and (
            known is None or (one.ms, one.strict) > (known.ms, known.strict)
        ):
            best[one.terms] = one
    return tuple(best.values())


class Region:
    """A union of polyhedra that grows. z3 decides what it covers."""

    def __init__(self, *parts: Polyhedron) -> None:
        self._outside = z3.SolverFor("QF_LRA")
        for part in parts:
            self.add(part)

    def add(self, part: Polyhedron) -> None:
        """Add a polyhedron."""
        self._outside.add(z3.Or(*(formula(one.negated()) for one in part)))

    def covers(self, rows: Iterable[Row]) -> bool:
        """Does it include all of this polyhedron?"""
        self._outside.push()
        self._outside.add(*map(formula, rows))
        covered = self._outside.check() == z3.unsat
        self._outside.pop()
        return bool(covered)


def irredundant(rows: Iterable[Row]) -> Polyhedron:
    """The rows without those that shorter ones imply."""
    kept: list[Row] = []
    region = Region()
    for one in sorted(rows, key=lambda one: (len(one.terms), one)):
        if not region.covers((one.negated(),)):
            kept.append(one)
            region.add((one.negated(),))
    return tuple(kept)


def implied(rows: Polyhedron, others: Polyhedron) -> list[Row]:
    """Which of the others a polyhedron implies."""
    outside = Region(*((one.negated(),) for one in rows))
    return [one for one in others if one in rows or outside.covers((one.negated(),))]


def union(one: Polyhedron, other: Polyhedron) -> Polyhedron | None:
    """The union of two polyhedra, if that is convex."""
    hull = {*implied(one, other), *implied(other, one)}
    return irredundant(hull) if Region(one, other).covers(hull) else None
