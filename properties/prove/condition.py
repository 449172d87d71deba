"""Parameter synthesis: for which timings does an invariant hold? z3 solves for them.

The exhaustive engine proves an invariant for the timings of one release, such as how long before its expiry a
token is refreshed. Here the timings are unknowns. The path condition of each violating trace is a system of
linear inequalities. Eliminating the durations of the trace leaves a condition on the timings alone. The result is
the shortest formula that is equivalent to it.

The condition is exact, but only for traces up to a given number of events. Time is continuous, and the session
does not end by age.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import z3
from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.sdk import Client
from model.step import App, Span, at_an_instant, permits
from model.terms import Millis, Runtime, Timings, Token
from model.world.events import Event, Freeze, FreezeKind
from model.world.outputs import absorb
from model.world.state import System, World
from properties.invariants.catalogue import Invariant
from properties.prove.parameters import GIVEN, SENSIBLE, UNKNOWNS, Formula, SymbolicRun, Time, numbers, unknown
from properties.system.target import stepped
from properties.targets.model import ModelTarget

z3.set_param("ctrl_c", False)  # else an interrupt reaches z3 alone, which then calls a formula undecided


class Prefix(Struct, frozen=True):
    """A prefix of a trace: the configuration that it leads to, its events, and its path condition (`known`)."""

    system: System
    client: Client
    known: tuple[Formula, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class Condition:
    """When an invariant can be violated within `depth` events: as a z3 `formula`, and in `words`, which is None
    if no short formula is equivalent. `traces` are the violating ones of the `tried` steps."""

    depth: int
    tried: int = 0
    traces: list[Prefix] = field(default_factory=list)
    formula: Formula = field(default_factory=lambda: z3.BoolVal(False))
    words: str | None = None


def condition(
    model: ModelTarget,
    runtime: Runtime,
    assumptions: Assumptions,
    invariant: Invariant,
    depth: int,
    app: App,
    tell: Callable[[str], None],
) -> Condition:
    """The exact condition under which the invariant can be violated within `depth` events. `tell` gets a line of
    progress for each depth."""
    found = Condition(depth)
    parts: list[Formula] = []
    policy = replace(model.policy, timings=unknown(model.policy.timings))  # type: ignore[type-var]
    unknown_model = ModelTarget(model.sdk, policy)
    level = [_beginning(unknown_model, runtime)]
    for number in range(1, depth + 1):
        following: list[Prefix] = []
        for prefix in level:
            for after, broken in _steps(unknown_model, prefix, assumptions, invariant, app):
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


def _beginning(model: ModelTarget, runtime: Runtime) -> Prefix:
    Time.run = SymbolicRun((), ())
    now = cast(Any, Time(z3.RealVal(0)))
    timings = model.timings(runtime)
    token = Token(1, model.sdk.server.session_token, now // 1000, now // 1000 + timings.lifetime)
    system = System(World(runtime, timings, model.sdk.server, token, now=now))
    system, _ = absorb(system, model.start(runtime, token), tainted=False)
    return Prefix(system, model.client)


def _steps(
    model: ModelTarget, prefix: Prefix, assumptions: Assumptions, invariant: Invariant, app: App
) -> Iterator[tuple[Prefix, bool]]:
    """Every extension of the prefix by one event, and whether that violates the invariant."""
    Time.run = SymbolicRun(prefix.known, ())
    length = cast(Any, Time(z3.Real(f"t{len(prefix.events) + 1}")))
    kinds = (None, *FreezeKind) if assumptions.may_freeze else (None,)
    lasting = (Span(kind, 0).event(length) for kind in kinds)
    for event in [*at_an_instant(prefix.system, assumptions, app), *lasting]:
        scripts: list[tuple[bool, ...]] = [()]
        while scripts:
            run = Time.run = SymbolicRun(prefix.known, scripts.pop())
            if isinstance(event, Freeze):
                run.learn(length.ms <= GIVEN["freeze"])
            if permits(prefix.system, assumptions, event, app):
                target = ModelTarget(model.sdk, model.policy)
                target.client = prefix.client
                step = stepped(prefix.system, event, target)
                broken = invariant.check(step) is not None
                _ = step.after.stale  # which answers are enabled next depends on it: split the run here
                yield Prefix(step.end, target.client, tuple(run.known), (*prefix.events, event)), broken
            scripts += run.either


def _eliminated(known: Sequence[Formula]) -> Formula:
    """The path condition on the unknowns alone, with the durations of the trace eliminated."""
    system = z3.And(*known) if known else z3.BoolVal(True)
    lengths = [name for name in _names(system) if str(name) not in UNKNOWNS]
    return z3.Tactic("qe")(z3.Exists(lengths, system)).as_expr() if lengths else system


def _names(formula: Formula) -> set[Formula]:
    if z3.is_const(formula):
        return {formula} if formula.decl().kind() == z3.Z3_OP_UNINTERPRETED else set()
    return set().union(*(_names(child) for child in formula.children()))


def _new(part: Formula, parts: Sequence[Formula]) -> bool:
    """Does `part` add anything to the disjunction of the other parts?"""
    return not _holds(z3.Implies(z3.And(SENSIBLE, part), z3.Or(*parts)))


def _holds(formula: Formula) -> bool:
    solver = z3.Solver()
    solver.add(z3.Not(formula))
    return bool(solver.check() == z3.unsat)


def shortest_harmful_freeze(formula: Formula, timings: Timings) -> tuple[Millis, bool] | None:
    """With the timings of the SDK, the infimum in ms of the freezes that violate the invariant, and whether a
    freeze of exactly that duration does; None if no freeze does."""
    search = z3.Optimize()
    search.add(formula, *(GIVEN[name] == ms for name, ms in numbers(timings).items()))
    least = search.minimize(GIVEN["freeze"])
    if search.check() != z3.sat:
        return None
    _, ms, epsilon = search.lower_values(least)
    return int(str(ms)), bool(z3.is_true(z3.simplify(epsilon == 0)))


# -- words --------------------------------------------------------------------------------------------------


def in_words(formula: Formula) -> str | None:
    """The shortest equivalent formula of one or two comparisons, given `SENSIBLE`; None if there is none."""
    if _holds(z3.Implies(SENSIBLE, z3.Not(formula))):
        return "never"
    if _holds(z3.Implies(SENSIBLE, formula)):
        return "always"
    atoms = list(_comparisons())
    for text, atom in atoms:
        if _same(formula, atom):
            return text
    # Both sides of an `or` imply the formula; the formula implies both sides of an `and`.
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
    """Comparisons between sums of unknowns, the shortest first. The freeze may count twice."""
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
