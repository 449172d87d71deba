"""For which lengths does an invariant hold? The model's numbers as unknowns, and z3 to solve for them.

A proof of the exhaustive engine is one for a token of 60 s that is refreshed 17 s before it expires. Here these
are letters, and what has been assumed on the way to a violation is a system of linear inequalities. With the
lengths of the trace eliminated, the numbers of the SDK and its world are left: the condition. Then the shortest
formula is looked for that is proved to be equivalent.

Exact, but for traces of up to so many events only. Time is continuous, and the session does not end by age.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import z3
from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.clerk.policy import Policy
from model.clerk.state import Client
from model.terms import SESSION_TOKEN, Millis, Runtime, Token
from model.world.course import absorb
from model.world.events import (
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
from model.world.state import World
from properties.invariants.catalogue import Invariant
from properties.prove.parameters import GIVEN, NUMBERS, SENSIBLE, UNKNOWNS, Branch, Formula, Time, unknown_numbers
from properties.search.machine import ASKS
from properties.system.step import play
from properties.targets.model import ModelTarget


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
    with unknown_numbers():
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


def _beginning(policy: Policy, runtime: Runtime) -> Place:
    Time.run = Branch((), ())
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
    Time.run = Branch(place.known, ())
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
            run = Time.run = Branch(place.known, scripts.pop())
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
