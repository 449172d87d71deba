"""The random engine: many random traces of one cell, and a verdict for each invariant.

Hypothesis draws the traces, and stores what violates an invariant for the next run. All invariants are checked
on the same traces. When one is violated, the search starts again for the others, and for other causes,
so that every "held" rests on the full number of traces. If it draws the same ones again, those that violated
nothing are not played again. A violation by a known cause is passed over: the trace goes on.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from hypothesis import Phase, Verbosity, given, settings
from hypothesis import event as note
from hypothesis import seed as seeded
from hypothesis.errors import Flaky
from msgspec.structs import replace

from model.app import App
from model.step import Step
from properties.invariants.identity import Cause, explains
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Findings, Held, NotApplicable, Vacuous, Verdict, Violated
from properties.run.distinct import NOTHING, Known, new, simpler, widened
from properties.run.run import LANDMARKS, Run, Violation
from properties.run.shrink import reduce, violates
from properties.run.speculation import speculating
from properties.search.generate import draws, read
from properties.search.observe import observe
from properties.search.shorten import shorter
from properties.system.target import Target, TargetError
from properties.system.trace import Trace


class Stopped(BaseException):
    """The target broke, or this program did, so the search has to stop. Not an `Exception`, because Hypothesis
    would shrink it."""


@dataclass(slots=True)
class _Tally:
    """The counts of one round so far, and the violation that it found."""

    traces: int = 0
    steps: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    first: Violation | None = None
    first_at: float | None = None
    found: Violation | None = None
    met: dict[tuple[str, Cause], Violation] = field(default_factory=dict)
    running: Run | None = None
    broken: Exception | None = None
    interrupt: Callable[[], object] | None = None

    def keep(self, violation: Violation) -> None:
        """Save the newest form of the violation in place of the one before."""
        old, path = self.found, violation.trace.save()
        self.found = violation
        if old is not None and old.trace.path != path:
            old.trace.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def holding_interrupts(self) -> Iterator[None]:
        """Defer Ctrl-C and SIGTERM to the next event of a trace; a second one takes effect at once.

        Hypothesis handles an interrupt in our code; one in its own code may fail an assertion there, or get lost.
        """
        if threading.current_thread() is not threading.main_thread():  # no signal comes here
            yield
            return
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        usual = {number: handler for number, handler in handlers.items() if callable(handler)}

        def restore() -> None:
            for number, handler in usual.items():
                signal.signal(number, handler)

        def note(number: int, frame: FrameType | None) -> None:
            restore()
            self.interrupt = partial(usual[signal.Signals(number)], number, frame)

        for number in usual:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()
            self.heed_interrupts()

    @contextlib.contextmanager
    def stopping_at_errors(self) -> Iterator[None]:
        """Stop the search at anything but a violation, and note what it was."""
        try:
            yield
        except Violation:
            raise
        except Exception as error:
            self.heed_interrupts()  # Ctrl-C on a terminal ends the target too
            self.broken = error
            raise Stopped from error

    def heed_interrupts(self) -> None:
        """Raise an interrupt that `holding_interrupts` deferred."""
        if self.interrupt:
            self.interrupt()


def search(
    target: Target,
    cell: Cell,
    invariants: Sequence[Invariant],
    profile: settings,
    tell: Callable[[int, int], None] = lambda traces, of: None,
    seed: int | None = None,
    app: App | None = None,
    known: Known = NOTHING,
    most: float = 1,
    keep: Callable[[Trace], object] = lambda trace: None,
    aim: Cause = (),
) -> Findings:
    """Search `cell` for violations of `invariants`, with as many traces as `profile` says. With a `seed`, the
    search is deterministic, whatever the profile says. By default the app makes every call that its SDK has.
    Violations by `known` causes do not count, and only those that `aim` explains: by default all. An invariant is
    searched until `most` causes are found. `keep` gets every trace that ends without a violation.

    `tell(traces, of)` reports progress. Raises `TargetError` when the target breaks. Then, and after an
    interrupt, the trace so far is saved.
    """
    began = time.perf_counter()
    verdicts: dict[str, Verdict] = {
        one.id: NotApplicable(tuple(one.runtimes)) for one in invariants if cell.runtime not in one.runtimes
    }
    open_ones = [one for one in invariants if one.id not in verdicts]
    tally, open_before = _Tally(), list[Invariant]()
    repeats = profile.database is None and (profile.derandomize or seed is not None)
    total = 0
    causes = {one.id: [*known.get(one.id, ())] for one in open_ones}
    found: dict[str, list[Violated]] = {}
    met: dict[tuple[str, Cause], Violation] = {}
    first: float | None = None
    while open_ones:
        whole_app = app or App(target.sdk.operations)
        beside = sum(map(len, found.values()))
        done = tally if repeats and open_ones == open_before else _Tally()
        total -= done.traces
        open_before = open_ones
        tally = _round(target, cell, open_ones, profile, tell, seed, whole_app, causes, keep, aim, beside, done)
        first = first or (tally.first_at and tally.first_at - began)
        total += tally.traces
        met = tally.met | met
        if tally.found is None:
            break
        trace = tally.found.trace
        for one in open_ones:  # a trace may violate several invariants: no need to search again
            if also := violates(trace, target, one, counts=new(causes, aim), speculates=False):
                also = widened(also, target, one)
                if one.id == trace.invariant:
                    tally.keep(also)
                also.trace.save()
                violated = Violated(also.trace, also.played, tally.traces, tally.steps)
                found.setdefault(one.id, []).append(violated)
                causes[one.id].append(also.trace.cause)
        if new(causes, aim)(tally.found):
            raise TargetError(f"{trace}: found once and not again: not deterministic")
        open_ones = [one for one in open_ones if len(found.get(one.id, ())) < most]
    never = tuple(one.name for one in cell.assumptions.sometimes if not tally.reached[one.name])
    for one in open_ones:
        held = Held(tally.traces, tally.steps)
        verdicts[one.id] = Vacuous(tally.traces, tally.steps, never) if never else held
    verdicts |= {name: replace(first, others=tuple(others)) for name, (first, *others) in found.items()}
    verdicts = {one.id: verdicts[one.id] for one in invariants}
    seconds = time.perf_counter() - began
    return Findings(cell, verdicts, total, dict(tally.reached), seconds, _by_invariant(met, known), first)


def _by_invariant(met: Mapping[tuple[str, Cause], Violation], known: Known) -> dict[str, tuple[Violated, ...]]:
    """The violations that were met by each of the `known` causes."""
    return {
        name: tuple(
            Violated(violation.trace, violation.played, 0, 0)
            for (which, cause), violation in met.items()
            if which == name and cause in known[name]
        )
        for name in known
    }


def _round(
    target: Target,
    cell: Cell,
    invariants: Sequence[Invariant],
    profile: settings,
    tell: Callable[[int, int], None],
    seed: int | None,
    app: App,
    known: Known,
    keep: Callable[[Trace], object],
    aim: Cause,
    beside: int,
    done: _Tally,
) -> _Tally:
    """One run of Hypothesis: until a violation is found and shrunk, or all traces are done. `beside` is how many
    violations were found before. The traces that are `done` are drawn again, and not played."""
    tally = _Tally(done.traces, done.steps, done.reached.copy())
    skipped = 0
    landmarks = tuple(
        {one.name: one for one in (*LANDMARKS, *cell.assumptions.sometimes, *cell.assumptions.faults)}.values()
    )

    def counts(violation: Violation) -> bool:
        name, cause = str(violation.trace.invariant), violation.trace.cause
        explaining = [one for one in known[name] if explains(one, cause)]
        for one in explaining:
            tally.met.setdefault((name, one), violation)
        return not explaining and explains(aim, cause)

    def new_run(on: Target) -> Run:
        if tally.first is None:
            tally.running = Run(on, cell.runtime, cell.assumptions, invariants, counts)
        else:  # the same violation again; do not slip to another
            judged = [one for one in invariants if one.id == tally.first.trace.invariant]
            tally.running = Run(on, cell.runtime, cell.assumptions, judged, simpler(tally.first, known, aim))
        return tally.running

    def count(run: Run, reached: set[str]) -> None:
        tally.traces += 1
        tally.steps += len(run.steps)
        tally.reached.update(reached)
        keep(run.trace)
        tell(tally.traces, profile.max_examples)

    speculate = speculating(target, cell.runtime)

    def predict(drawn: bytes, on: Target) -> list[Step]:
        run = Run(on, cell.runtime, cell.assumptions, ())
        for event in read(drawn, run, app):
            run.play(event)
        run.recover()
        return run.steps

    def trace(drawn: bytes) -> None:
        nonlocal skipped
        tally.heed_interrupts()
        if skipped < done.traces:
            skipped += 1
            return
        with tally.stopping_at_errors():
            run = new_run(speculate(partial(predict, drawn)))
        try:
            if run.foreseen is not None:
                for step in run.foreseen:
                    act(partial(run.play, step.event))
            else:
                for event in read(drawn, run, app):
                    act(partial(run.play, event))
                act(run.recover)
        except Violation as violation:
            if tally.first is None:
                tally.first, tally.first_at = violation, time.perf_counter()
            tally.keep(violation)
            observe(violation.trace)
            raise
        act(run.target.finish)
        observe(run.trace)
        reached = run.reached(landmarks)
        for landmark in LANDMARKS:
            if landmark.name in reached:
                note(landmark.name)
        count(run, reached)

    def act(play: Callable[[], object]) -> None:
        tally.heed_interrupts()
        with tally.stopping_at_errors():
            play()

    what = f"{cell.runtime}|{cell.assumptions}|{'+'.join(one.id for one in invariants)}"
    # Hypothesis derives the key in the example database from the source and the signature of a test. With the key
    # of the round before, it would delete what was found there, which no longer counts.
    trace.__annotations__["drawn"] = f"{cell.target}|{what}{f'|{beside}' if beside else ''}"
    test = settings(_engine_settings(profile))(given(draws(profile.stateful_step_count))(trace))
    if seed is not None or profile.derandomize:  # the same for every target: a build is tried as its model is
        test = seeded(f"{what}|{seed}")(test)
    try:
        with tally.holding_interrupts():
            test()
    except Violation as violation:
        (invariant,) = (one for one in invariants if one.id == violation.trace.invariant)
        counted = simpler(violation, known, aim)
        reduced = reduce(violation, target, invariant, counted)
        tally.keep(reduced)
        tally.keep(shorter(reduced, target, invariant, counted, app))
    except (Stopped, Flaky, KeyboardInterrupt) as stop:
        if tally.found is None and tally.running is not None:
            tally.running.trace.save()
        if tally.broken is not None:  # in a replay, Hypothesis says of that only that it is flaky
            raise tally.broken from None
        if isinstance(stop, Flaky):
            why = f"the same trace went two ways ({type(stop).__name__}): not deterministic"
            raise TargetError(why) from stop
        raise
    return tally


def _engine_settings(profile: settings) -> settings:
    """The user's profile with the settings of this engine: no deadline, one violation at a time, and no phase
    that works on the bytes of a violation, because `reduce` shrinks its events."""
    phases = tuple(phase for phase in profile.phases if phase not in (Phase.shrink, Phase.explain))
    quiet = Verbosity.quiet if profile.verbosity is Verbosity.normal else profile.verbosity
    return settings(
        profile, deadline=None, report_multiple_bugs=False, print_blob=False, phases=phases, verbosity=quiet
    )
