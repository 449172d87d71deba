"""Mutants of a build: which one-token changes of its code does this harness notice?

The traces of the experiment are the known ones of the build, and random ones in lock step with its model. They
are recorded on the unchanged build, where V8 notes which code they run. A mutant of that code is a copy of the
build with one mutation. It plays the same traces, in order, until it is noticed: it does not load, differs from
the model, violates an invariant that the build does not violate in the same trace, or breaks its target.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import settings
from msgspec import Struct

from model.terms import Runtime, Word
from model.world.course import NotEnabled
from properties.invariants.catalogue import INVARIANTS, default_invariants
from properties.invariants.identity import Cause
from properties.invariants.verdict import Cell, Violated
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.run import Run, Violation
from properties.search.search import search
from properties.system.failures import Failure
from properties.system.target import Target, TargetError
from properties.system.trace import Trace, load
from properties.targets.adapter import Adapter, Say
from properties.targets.mutations import Code, Mutation, Part, code_of
from properties.targets.names import UnknownName, make_target
from properties.targets.node_target import NodeTarget


class Fate(Word):
    """How the experiment ends for a mutant."""

    NOT_LOADING = "not loading"  # the build does not start
    VIOLATION = "violation"  # it violates an invariant that the build does not violate
    DIFFERENCE = "difference"  # it differs from the model
    BROKEN = "broken"  # it breaks its target: it sends what no server knows, or does not come to rest
    SURVIVED = "survived"  # nothing notices it


class Played(Struct, frozen=True):
    """A trace, and the invariants that the unchanged build violates in it, with the causes."""

    trace: Trace
    violated: frozenset[tuple[str, Cause]]


class Experiment(Struct, frozen=True):
    """What every mutant of a build goes through, and the code that the traces run."""

    target: str
    bundle: Path
    runtime: Runtime
    traces: tuple[Played, ...]
    code: Code


class Trial(Struct, frozen=True):
    """How one mutant ended, after so many `traces`; `how` is why it was noticed, in one line."""

    mutation: Mutation
    fate: Fate
    how: str
    traces: int


def pair_of(target: Target) -> tuple[NodeTarget, LockStep]:
    """A build, and its lock step with its model. Raises `UnknownName` for a model, or a build that none
    describes, and `TargetError`."""
    model = target.described_by()
    if not isinstance(target, NodeTarget) or model is None:
        raise UnknownName(f"{target.name} is no build that a policy describes: name a release")
    return target, LockStep(target, model)


# -- the experiment -----------------------------------------------------------------------------------------


def prepare(
    adapter: Adapter,
    cell: Cell,
    parts: Sequence[Part],
    profile: settings,
    seed: int,
    tell: Callable[[int, int], None],
    say: Say,
) -> Experiment:
    """Record the traces on the unchanged build, and find its code. Raises `UnknownName`, `TargetError`, and
    `Failure` if the build differs from its model already."""
    build, pair = pair_of(make_target(cell.target, say))
    traces = [trace for trace in map(load, adapter.known_traces) if _is_of(trace, build.name, cell.runtime)]
    with contextlib.closing(pair):
        build.count_coverage()
        pair.prepare(cell.runtime)
        for trace in traces:
            if (noticed := _play(Played(trace, frozenset()), pair, ()).difference) is not None:
                raise Failure(f"{build.name} differs from its model in {trace}: {noticed}")
        found = search(pair, cell, [conforms(pair)], profile, tell, seed, keep=traces.append)
        if isinstance(verdict := found.verdicts[CONFORMS], Violated):
            raise Failure(f"{build.name} differs from its model, see `sessionproof conform {verdict.trace.path}`")
        code = code_of(build.bundle(cell.runtime), build.coverage(), parts, say)
        model = pair.model
        played = tuple(Played(trace, _violated(trace, model)) for trace in traces)
        return Experiment(build.name, build.bundle(cell.runtime), cell.runtime, played, code)


def _is_of(trace: Trace, name: str, runtime: Runtime) -> bool:
    return (trace.target, trace.runtime) == (name, runtime)


def _violated(trace: Trace, model: Target) -> frozenset[tuple[str, Cause]]:
    """What the model violates in a trace in which the build does the same."""
    invariants = [INVARIANTS[name] for name in default_invariants(trace.runtime)]
    met: set[tuple[str, Cause]] = set()

    def note(violation: Violation) -> bool:
        met.add((str(violation.trace.invariant), violation.trace.cause))
        return False

    run = Run(model, trace.runtime, trace.assumptions, invariants, note)
    for event in trace.events:
        run.play(event)
    model.finish()
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
    runtime: Runtime
    traces: tuple[Played, ...]

    def run(self) -> Trial:
        """Play the traces until the mutant is noticed."""
        build, pair = pair_of(make_target(self.target, lambda line: None))
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / self.bundle.name
            bundle.write_text(self.mutation.applied(self.bundle.read_text(encoding="utf-8")), encoding="utf-8")
            build.replace_bundle(bundle)
            try:
                return self._trial(pair)
            finally:
                with contextlib.suppress(TargetError):  # a mutant may break the checks of its end
                    pair.close()

    def _trial(self, pair: LockStep) -> Trial:
        try:
            pair.prepare(self.runtime)
        except TargetError as error:
            return Trial(self.mutation, Fate.NOT_LOADING, str(error), 0)
        names = default_invariants(self.runtime)
        for number, played in enumerate(self.traces, 1):
            if (noticed := _play(played, pair, names)).fate is not Fate.SURVIVED:
                return Trial(self.mutation, noticed.fate, noticed.how, number)
        return Trial(self.mutation, Fate.SURVIVED, "", len(self.traces))


class _Noticed(Struct, frozen=True):
    """What was noticed in one trace."""

    fate: Fate = Fate.SURVIVED
    how: str = ""
    difference: str | None = None


def _play(played: Played, pair: LockStep, names: Sequence[str]) -> _Noticed:
    """Play a trace to its first new violation of one of these invariants, or else to its end."""
    trace = played.trace
    difference: str | None = None

    def counts(violation: Violation) -> bool:
        nonlocal difference
        name = str(violation.trace.invariant)
        if name == CONFORMS:
            difference = difference or violation.trace.why
            return False
        return (name, violation.trace.cause) not in played.violated

    invariants = [conforms(pair), *(INVARIANTS[name] for name in names)]
    try:
        try:
            run = Run(pair, trace.runtime, trace.assumptions, invariants, counts)
            for event in trace.events:
                run.play(event)
        finally:
            pair.finish()
    except Violation as violation:
        return _Noticed(Fate.VIOLATION, str(violation), difference)
    except NotEnabled as error:  # a request or a timer of the build is missing
        difference = difference or str(error)
    except TargetError as error:
        return _Noticed(Fate.BROKEN, str(error), difference)
    return _Noticed(Fate.DIFFERENCE, difference, difference) if difference else _Noticed()


def mutants(experiment: Experiment, mutations: Sequence[Mutation]) -> list[Mutant]:
    """The mutants of an experiment."""
    return [
        Mutant(one, experiment.target, experiment.bundle, experiment.runtime, experiment.traces)
        for one in mutations
    ]
