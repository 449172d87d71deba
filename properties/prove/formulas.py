"""Formulas over the parameters: unions of polyhedra, in as few words as they need."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from model.terms import Millis, Timings
from properties.prove.parameters import NUMBERS, PARAMETERS, SENSIBLE
from properties.prove.polyhedra import Polyhedron, Region, Row, row
from properties.system.wording import duration

Formula: TypeAlias = tuple[Polyhedron, ...]
"""Alternatives, each a conjunction of comparisons between sums of parameters. `SENSIBLE` is assumed."""

NEVER: Formula = ()
ALWAYS: Formula = ((),)


def simplest(parts: Sequence[Polyhedron], known: Polyhedron = SENSIBLE) -> Formula:
    """An equivalent formula without a comparison or an alternative that it can do without."""
    region = Region(*parts)
    short: set[Polyhedron] = set()
    for part in parts:
        left = part
        for one in part:
            fewer = tuple(other for other in left if other != one)
            if region.covers((*known, *fewer)):
                left = fewer
        short.add(left)
    kept = sorted(short, key=lambda one: (-len(one), one))
    for part in list(kept):
        others = [other for other in kept if other != part]
        if Region(*others).covers((*known, *part)):
            kept = others
    return tuple(sorted(kept))


def numbers(timings: Timings) -> dict[str, Millis]:
    """What the timings of an SDK say of the parameters, in ms."""
    return {
        "lifetime": timings.lifetime * 1000,
        "lead": timings.lead * 1000,
        "cutoff": timings.cutoff * 1000,
    }


def given(formula: Formula, values: Mapping[str, Millis]) -> Formula:
    """The formula where some parameters have these values."""
    known = {NUMBERS[name]: ms for name, ms in values.items()}

    def with_values(one: Row) -> Row:
        left = [(name, times) for name, times in one.terms if name not in known]
        ms = one.ms + sum(times * known[name] for name, times in one.terms if name in known)
        return row(left, ms, one.strict)

    parts = [[with_values(one) for one in part] for part in formula]
    possible = [part for part in parts if all(one.holds for one in part if not one.terms)]
    open_rows = [tuple(one for one in part if one.terms) for part in possible]
    return simplest(open_rows, tuple(one for one in map(with_values, SENSIBLE) if one.terms))


def widened(formula: Formula, ms: Millis) -> Formula:
    """The formula where every comparison holds that fails by less than `ms`."""
    return tuple(tuple(one._replace(ms=one.ms - ms) for one in part) for part in formula)


def outside(formula: Formula) -> Iterator[Polyhedron]:
    """Polyhedra that together are all that a formula does not cover."""
    return (tuple(one.negated() for one in choice) for choice in itertools.product(*formula))


def in_words(formula: Formula) -> str:
    """The formula in words: `flight + late > lead`."""
    if formula in (NEVER, ALWAYS):
        return "always" if formula else "never"
    return "  or  ".join("  and  ".join(map(_comparison, part)) for part in formula)


def _comparison(one: Row) -> str:
    less, more = _side(one, 1), _side(one, -1)
    if more == "0":
        return f"{less} {'<' if one.strict else '<='} {_side(one, -1, duration(-one.ms))}"
    return f"{more} {'>' if one.strict else '>='} {less}"


def _side(one: Row, sign: int, nothing: str = "0") -> str:
    """One side of a comparison: the terms whose factors have this sign."""
    names = {number: name for name, number in NUMBERS.items()}
    terms = {names[name]: abs(times) for name, times in one.terms if times * sign > 0}
    words = [
        name if terms[name] == 1 else f"{terms[name]} {name}"
        for name in sorted(PARAMETERS, key=lambda name: ("flight", "late").count(name) == 0)
        if name in terms
    ]
    if one.ms * sign > 0:
        words.append(duration(abs(one.ms)))
    return " + ".join(words) or nothing
