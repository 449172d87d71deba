"""Mutants of a build: which one-token changes of its code does this harness notice?

The traces of the experiment are the known ones of the build, those in which each call ends in every way
(`outcomes.py`), and random ones, on every runtime that the model describes. They are recorded on the unchanged
build, where V8 notes which code they run. A mutant of that code is a copy of the build with one mutation. It
plays those that run the changed function, in lock step with the model, until it is noticed: it does not load,
differs from the model, violates an invariant that the build does not violate in the same trace, or breaks its
target.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hypothesis import settings
from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import everything
from model.terms import Runtime, Word
from model.world.facts import Fact
from model.world.possible import NotEnabled
from properties.conformance.outcomes import outcome_traces
from properties.invariants.catalogue import INVARIANTS, default_invariants
from properties.invariants.identity import Cause
from properties.invariants.verdict import Cell, Violated
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.reference import model_of
from properties.run.run import Run, Violation
from properties.search.search import search
from properties.system.failures import Failure
from properties.system.target import Target, TargetError
from properties.system.trace import Trace, load
from properties.targets.adapter import Adapter, Say
from properties.targets.model import ModelTarget
from properties.targets.mutations import Code, Mutation, Part, code_of
from properties.targets.names import UnknownName, make_target
from properties.targets.node_target import NodeTarget, Range


class Fate(Word):
    """How the experiment ends for a mutant."""

    NOT_LOADING = "not loading"  # the build does not start
    VIOLATION = "violation"  # it violates an invariant that the build does not violate
    DIFFERENCE = "difference"  # it differs from the model
    BROKEN = "broken"  # it breaks its target: it sends what no server knows, or does not come to rest
    SURVIVED = "survived"  # nothing notices it


class Played(Struct, frozen=True):
    """A trace, the invariants that the unchanged build violates in it, with the causes, and where the
    bodies of the functions begin that it runs."""

    trace: Trace
    violated: frozenset[tuple[str, Cause]]
    runs: frozenset[int]


class Experiment(Struct, frozen=True):
    """What every mutant of a build goes through, and the code that the traces run."""

    target: str
    bundle: Path
    traces: tuple[Played, ...]
    code: Code


class Trial(Struct, frozen=True):
    """How one mutant ended, after so many `traces`; `how` is why it was noticed, in one line."""

    mutation: Mutation
    fate: Fate
    how: str
    traces: int


def _pair(target: Target) -> tuple[NodeTarget, ModelTarget]:
    """A build, and its model. Raises `UnknownName` for a model, or a build that none describes, and
    `TargetError`."""
    model = model_of(target)
    if not isinstance(target, NodeTarget) or model is None:
        raise UnknownName(f"{target.name} is no build that a policy describes: name a release")
    return target, model


# -- the experiment -----------------------------------------------------------------------------------------


def prepare(
    adapter: Adapter,
    spec: str,
    parts: Sequence[Part],
    profile: settings,
    seed: int,
    tell: Callable[[int, int], None],
    say: Say,
) -> Experiment:
    """Record the traces on the unchanged build, and find its code. Raises `UnknownName`, `TargetError`, and
    `Failure` if the build differs from its model already."""
    build, model = _pair(make_target(spec, say))
    pair = LockStep(build, model)
    known = [trace for trace in map(load, adapter.known_traces) if trace.target == build.name]
    package = build.name.partition("@")[0]
    runtimes = [one for one in model.sdk.runtimes if one in adapter.runtimes(package)]
    ran: list[tuple[Trace, frozenset[tuple[str, Cause]], list[Range]]] = []
    seen: set[tuple[Fact, ...]] = set()

    def record(trace: Trace) -> None:
        violated = violated_by(pair, trace)
        if CONFORMS in {name for name, _ in violated}:
            raise Failure(_differs(replace(trace, target=spec)))
        ran.append((trace, violated, build.coverage()))

    with contextlib.closing(pair):
        build.count_coverage()
        for runtime in runtimes:
            assumptions = everything(model.sdk, runtime)
            outcomes = outcome_traces(model, runtime, assumptions, seen)
            given = (*(one for one in known if one.runtime is runtime), *outcomes)
            for number, trace in enumerate(given):
                tell(number, len(given))
                record(trace)
            cell = Cell(build.name, runtime, assumptions)
            found = search(pair, cell, [conforms(pair)], profile, tell, seed, keep=record)
            if isinstance(verdict := found.verdicts[CONFORMS], Violated):
                raise Failure(_differs(verdict.trace))
    bundle = build.bundle(runtimes[0])
    code = code_of(bundle, sorted({one for _, _, ranges in ran for one in ranges}), parts, say)
    # Not which mutations: V8 counts no code after an `await` that is passed over.
    starts = sorted({mutation.inside for mutation in code.mutations})
    played = (Played(trace, violated, _within(starts, ranges)) for trace, violated, ranges in ran)
    return Experiment(build.name, bundle, tuple(played), code)


def _within(starts: Sequence[int], ranges: Iterable[Range]) -> frozenset[int]:
    """Those of the sorted offsets that are in one of the ranges."""
    return frozenset(
        one for start, end in ranges for one in starts[bisect_left(starts, start) : bisect_left(starts, end)]
    )


def _differs(trace: Trace) -> str:
    trace.save()
    return f"{trace.target} differs from its model: `sessionproof conform {trace.path}` shows it"


def violated_by(pair: LockStep, trace: Trace) -> frozenset[tuple[str, Cause]]:
    """What a build violates in a trace; `CONFORMS` is among it if it differs from its model."""
    invariants = [conforms(pair), *(INVARIANTS[name] for name in default_invariants(trace.runtime))]
    met: set[tuple[str, Cause]] = set()

    def note(violation: Violation) -> bool:
        met.add((str(violation.trace.invariant), violation.trace.cause))
        return False

    run = Run(pair, trace.runtime, trace.assumptions, invariants, note)
    for event in trace.events:
        run.play(event)
    pair.finish()
    return frozenset(met)


def sample(code: Code, everywhere: bool, mutants: int, seed: int) -> list[Mutation]:
    """So many mutations, drawn at random; in code that is in no part only if it is to be `everywhere`."""
    eligible = [one for one in code.mutations if everywhere or one.part]
    chosen = random.Random(seed).sample(range(len(eligible)), min(mutants, len(eligible)))
    return [eligible[place] for place in sorted(chosen)]


# -- a trial ------------------------------------------------------------------------------------------------


class Mutant(Struct, frozen=True):
    """One mutant of a build, and the experiment that it is for, as plain values that can be sent to a process."""

    mutation: Mutation
    target: str
    bundle: Path
    traces: tuple[Played, ...]

    def run(self) -> Trial:
        """Play the traces until the mutant is noticed."""
        build, model = _pair(make_target(self.target, lambda line: None))
        pair = LockStep(build, model)
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / self.bundle.name
            bundle.write_bytes(self.mutation.applied(self.bundle.read_bytes().decode()).encode())
            build.replace_bundle(bundle)
            try:
                return self._trial(pair)
            finally:
                with contextlib.suppress(TargetError):  # a mutant may break the checks of its end
                    pair.close()

    def _trial(self, pair: LockStep) -> Trial:
        runtime: Runtime | None = None
        for number, played in enumerate(self.traces, 1):
            if played.trace.runtime is not runtime:
                runtime = played.trace.runtime
                try:
                    pair.prepare(runtime)
                except TargetError as error:
                    return Trial(self.mutation, Fate.NOT_LOADING, str(error), number - 1)
            noticed = _noticed(played, pair)
            if noticed.fate is not Fate.SURVIVED:
                return Trial(self.mutation, noticed.fate, noticed.how, number)
        return Trial(self.mutation, Fate.SURVIVED, "", len(self.traces))


class _Noticed(Struct, frozen=True):
    """What was noticed in one trace."""

    fate: Fate = Fate.SURVIVED
    how: str = ""


def _noticed(played: Played, pair: LockStep) -> _Noticed:
    """Play a trace to its first violation that the build does not have, or else to its end."""
    trace = played.trace
    difference: str | None = None

    def counts(violation: Violation) -> bool:
        nonlocal difference
        name = str(violation.trace.invariant)
        if name == CONFORMS:
            difference = difference or violation.trace.why
            return False
        return (name, violation.trace.cause) not in played.violated

    names = default_invariants(trace.runtime)
    invariants = [conforms(pair), *(INVARIANTS[name] for name in names)]
    try:
        try:
            run = Run(pair, trace.runtime, trace.assumptions, invariants, counts)
            for event in trace.events:
                run.play(event)
        finally:
            pair.finish()
    except Violation as violation:
        return _Noticed(Fate.VIOLATION, str(violation))
    except NotEnabled as error:  # a request or a timer of the build is missing
        difference = difference or str(error)
    except TargetError as error:
        return _Noticed(Fate.BROKEN, str(error))
    return _Noticed(Fate.DIFFERENCE, difference) if difference else _Noticed()


def mutants(experiment: Experiment, mutations: Sequence[Mutation]) -> list[Mutant]:
    """The mutants of an experiment, each with the traces that run the function that it changes."""
    return [
        Mutant(
            *(one, experiment.target, experiment.bundle),
            tuple(played for played in experiment.traces if one.inside in played.runs),
        )
        for one in mutations
    ]
