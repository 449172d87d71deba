"""For which lengths does an invariant hold? The model's numbers as unknowns, and z3 to solve for them.

A proof of the exhaustive engine is one for a token of 60 s that is refreshed 17 s before it expires. Here these
are letters: the model's transition functions run on sums of unknowns, every comparison that may come out either
way is played both ways, and what has been assumed on the way to a violation is a system of linear inequalities.
With the lengths of the trace eliminated, the numbers of the SDK and its world are left: the condition. Then the
shortest formula is looked for that is proved to be equivalent.

Exact, but for traces of up to so many events only. Time is continuous, and the session does not end by age.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, TypeAlias, cast

import z3
from msgspec import Struct

from model import assumptions as assumptions_module
from model import cache, course
from model import world as world_module
from model.assumptions import Assumptions
from model.client import Client
from model.course import absorb
from model.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    UnlockKeychain,
)
from model.policy import Policy
from model.terms import SESSION_TOKEN, TOKEN_LIFETIME, Millis, Runtime, Token
from model.world import PATIENCE, World
from properties.invariants import Invariant
from properties.machine import ASKS
from properties.system import play
from properties.targets.model_target import ModelTarget

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
    run: ClassVar[_Run]

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


class _Run:
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


class Place(Struct, frozen=True):
    """Where a trace is: world and client, the events so far, and what they ask of the unknowns."""

    world: World
    client: Client
    known: tuple[Formula, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class Condition:
    """When an invariant breaks within `depth` events: `formula` in z3, and in words; None where none is short
    enough. `traces` lead there, of `tried`."""

    depth: int
    tried: int = 0
    traces: list[Place] = field(default_factory=list)
    formula: Formula = field(default_factory=lambda: z3.BoolVal(False))
    words: str | None = None


def condition(
    policy: Policy,
    runtime: Runtime,
    assumptions: Assumptions,
    invariant: Invariant,
    depth: int,
    calls: int,
    tell: Callable[[str], None],
) -> Condition:
    """The exact condition under which the invariant can break within `depth` events, while the app makes up to
    `calls` calls at a time."""
    found = Condition(depth)
    parts: list[Formula] = []
    with _unknowns():
        level = [_beginning(policy, runtime)]
        for number in range(1, depth + 1):
            following: list[Place] = []
            for place in level:
                for after, broken in _steps(place, assumptions, invariant, calls):
                    found.tried += 1
                    if not broken:
                        following.append(after)
                    elif _new(part := _eliminated(after.known), parts):
                        parts.append(part)
                        found.traces.append(after)
            level = following
            tell(f"{number} of {depth} events: {found.tried:,} ways, {len(found.traces)} that break it")
    found.formula = z3.And(SENSIBLE, z3.Or(*parts)) if parts else z3.BoolVal(False)
    found.words = in_words(found.formula)
    return found


@contextmanager
def _unknowns() -> Iterator[None]:
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


def _beginning(policy: Policy, runtime: Runtime) -> Place:
    Time.run = _Run((), ())
    now = cast(Any, Time(z3.RealVal(0)))
    token = Token(1, SESSION_TOKEN, now // 1000, now // 1000 + cast(Any, Time(GIVEN["lifetime"], 1000)))
    target = ModelTarget(policy)
    world = World(runtime, now=now, token=token)
    world, _ = absorb(world, target.start(runtime, token), wake=False)
    assert target.client is not None, "it has just been started"
    return Place(world, target.client)


def _steps(
    place: Place, assumptions: Assumptions, invariant: Invariant, calls: int
) -> Iterator[tuple[Place, bool]]:
    """Every way in which one more event may happen, and whether it breaks the invariant."""
    Time.run = _Run(place.known, ())
    length = cast(Any, Time(z3.Real(f"t{len(place.events) + 1}")))
    events: list[Event] = [Answer(*answer) for answer in assumptions.answers(place.world)]
    if len(place.world.calls) < calls:
        events += [ask for ask in ASKS if ask.template is None and ask.organization is None]
    events += [SetClock(skew) for skew in assumptions.clocks(place.world)]
    events += [Revoke()] * assumptions.revokes + [LockKeychain(), UnlockKeychain()] * assumptions.locks
    events += [GoOffline(), GoOnline()] * assumptions.disconnects
    events += [RestartApp()] * assumptions.restarts
    events += [Advance(length), *(Freeze(length, kind) for kind in FreezeKind if assumptions.may_freeze)]
    for event in events:
        scripts: list[tuple[bool, ...]] = [()]
        while scripts:
            run = Time.run = _Run(place.known, scripts.pop())
            if isinstance(event, Freeze):
                run.learn(length.ms <= GIVEN["freeze"])
            if assumptions.permit(place.world, event):
                target = ModelTarget(place.client.policy)
                target.client = place.client
                step = play(place.world, event, target)
                broken = invariant.check(step) is not None
                _ = step.after.stale  # which answers are possible next depends on it: both ways are gone
                yield Place(step.after, target.client, tuple(run.known), (*place.events, event)), broken
            scripts += run.either


def _eliminated(known: Sequence[Formula]) -> Formula:
    """What is asked of the unknowns alone: that there are lengths which do the rest."""
    system = z3.And(*known) if known else z3.BoolVal(True)
    lengths = [name for name in _names(system) if str(name) not in UNKNOWNS]
    return z3.Tactic("qe")(z3.Exists(lengths, system)).as_expr() if lengths else system


def _names(formula: Formula) -> set[Formula]:
    if z3.is_const(formula):
        return {formula} if formula.decl().kind() == z3.Z3_OP_UNINTERPRETED else set()
    return set().union(*(_names(child) for child in formula.children()))


def _new(part: Formula, parts: Sequence[Formula]) -> bool:
    """Is there anything in it that the others do not have?"""
    return not _holds(z3.Implies(z3.And(SENSIBLE, part), z3.Or(*parts)))


def _holds(formula: Formula) -> bool:
    solver = z3.Solver()
    solver.add(z3.Not(formula))
    return bool(solver.check() == z3.unsat)


def shortest_harmful_freeze(formula: Formula) -> tuple[Millis, bool] | None:
    """With the SDK's own numbers, the length in ms from which on a freeze breaks the invariant, and whether that
    very length does; None if none does."""
    search = z3.Optimize()
    search.add(formula, *(GIVEN[name] == ms for name, ms in NUMBERS.items()))
    least = search.minimize(GIVEN["freeze"])
    if search.check() != z3.sat:
        return None
    _, ms, epsilon = search.lower_values(least)
    return int(str(ms)), bool(z3.is_true(z3.simplify(epsilon == 0)))


# -- words --------------------------------------------------------------------------------------------------


def in_words(formula: Formula) -> str | None:
    """The shortest formula that is equivalent for all sensible numbers, among those of one or two comparisons."""
    if _holds(z3.Implies(SENSIBLE, z3.Not(formula))):
        return "never"
    if _holds(z3.Implies(SENSIBLE, formula)):
        return "always"
    atoms = list(_comparisons())
    for text, atom in atoms:
        if _same(formula, atom):
            return text
    # Of an `or` both sides imply it, of an `and` it implies both.
    within = [(text, atom) for text, atom in atoms if _holds(z3.Implies(z3.And(SENSIBLE, atom), formula))]
    around = [(text, atom) for text, atom in atoms if _holds(z3.Implies(z3.And(SENSIBLE, formula), atom))]
    for pairs, word, join in ((within, "or", z3.Or), (around, "and", z3.And)):
        for (one, first), (other, second) in itertools.combinations(pairs, 2):
            if _same(formula, join(first, second)):
                return f"{one}  {word}  {other}"
    return None


def _same(formula: Formula, other: Formula) -> bool:
    return _holds(z3.Implies(SENSIBLE, formula == other))


def _comparisons() -> Iterator[tuple[str, Formula]]:
    """Sums of unknowns compared with sums of others, the shortest first. What comes twice is counted once."""
    factors = [(0, 1, -1, 2, -2) if name == "freeze" else (0, 1, -1) for name in UNKNOWNS]
    sides = sorted(itertools.product(*factors), key=lambda signs: sum(map(abs, signs)))
    for signs in sides:
        left, right = (
            {name: abs(times) for name, times in zip(UNKNOWNS, signs, strict=True) if times * side > 0}
            for side in (1, -1)
        )
        if left and right:
            one, other = (
                z3.Sum(*(GIVEN[name] * times for name, times in terms.items())) for terms in (left, right)
            )
            yield f"{_sum(left)} > {_sum(right)}", one > other
            yield f"{_sum(left)} >= {_sum(right)}", one >= other


def _sum(terms: dict[str, int]) -> str:
    return " + ".join(name if times == 1 else f"{times} {name}" for name, times in terms.items())
