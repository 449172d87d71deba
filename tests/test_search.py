"""The random engine: what it finds, what it calls evidence, and what it leaves on disk."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import ExampleDatabase

from model.clerk.policy import POLICIES
from model.clerk.sdk import CLERK
from model.io import Output, SignedOut, Stimulus, TimerDue
from model.step import Step
from model.terms import Millis, Runtime, Token
from model.world.events import FreezeKind
from model.world.facts import Frozen
from properties.invariants.breach import Breach
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Held, NotApplicable, Vacuous, Verdict, Violated
from properties.plugin.profiles import PROFILES
from properties.search.search import search
from properties.system.target import TargetError
from properties.system.trace import FOLDER, load
from properties.targets.model import ModelTarget
from tests.support import HEADLINE, assuming, explore, model


def test_the_seeds_defect_is_found_and_shrunk_to_at_most_4_events() -> None:
    verdict = explore(model("6.7.1"), "starvation", "stale-after-expiry", judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) <= 4


def test_a_violation_is_on_disk_as_it_was_reported() -> None:
    verdict = explore(model("6.7.1"), "starvation", "stale-after-expiry", judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    assert load(verdict.trace.path) == verdict.trace


def test_the_same_search_comes_to_the_same_end() -> None:
    first, second = (explore(model("6.7.1"), "starvation", "stale-on-arrival", traces=100) for _ in range(2))
    assert first.verdicts == second.verdicts


def test_both_kinds_of_freeze_are_tried() -> None:
    """And so the seed's defect is looked for under both."""
    kinds: set[FreezeKind] = set()

    def note(step: Step) -> None:
        kinds.update(fact.kind for fact in step.facts if isinstance(fact, Frozen))

    explore_with(Invariant("notes-freezes", "", note, frozenset(Runtime)))
    assert kinds == set(FreezeKind)


def explore_with(invariant: Invariant) -> Verdict:
    target = model("6.7.4")
    profile = settings(max_examples=50, derandomize=True, database=None, stateful_step_count=20)
    cell = Cell(target.name, Runtime.HEADLESS, assuming("starvation"))
    return search(target, cell, [invariant], profile).verdicts[invariant.id]


class _InterruptingDatabase(ExampleDatabase):
    """Ctrl-C while Hypothesis does something of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def fetch(self, key: bytes) -> Iterable[bytes]:
        self.asked += 1
        if self.asked == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return ()

    def save(self, key: bytes, value: bytes) -> None:
        """Nothing is kept."""

    def delete(self, key: bytes, value: bytes) -> None:
        """Nothing is kept."""


def test_an_interrupt_inside_hypothesis_ends_the_search_at_the_next_event() -> None:
    target = model("6.7.4")
    database = _InterruptingDatabase()
    profile = settings(PROFILES["dev"], max_examples=50, database=database)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        search(target, Cell(target.name, Runtime.HEADLESS, assuming("calm")), [*INVARIANTS.values()], profile)
    assert database.asked
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_else_is_imported_changes_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers in somebody's source, that is, which Hypothesis would try too."""

    def one() -> tuple[object, dict[str, int]]:
        found = explore(model("6.7.4"), "outage", "starvation", traces=100, judging=[HEADLINE])
        return found.verdicts[HEADLINE], found.reached

    before = one()
    (tmp_path / "full_of_numbers.py").write_text(f"NUMBERS = {[*range(2, 120)]}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_numbers")
    assert one() == before


def test_a_wrong_invariant_is_violated() -> None:
    """An invariant that is false of a correct client does not pass."""
    never_asks = Invariant(
        "never-asks",
        "",
        lambda step: Breach("it asked", step.facts[-1]) if step.after.requests else None,
        frozenset(Runtime),
    )
    assert isinstance(explore_with(never_asks), Violated)


def test_a_run_that_never_saw_what_it_assumed_is_vacuous() -> None:
    class Timerless(ModelTarget):
        """A client that sets no timers: nothing can ever fire late."""

        def start(self, runtime: Runtime, token: object) -> tuple[Output, ...]:
            super().start(runtime, token)  # type: ignore[arg-type]
            return ()

        def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
            return tuple(out for out in super().feed(stimulus, at) if "Timer" not in type(out).__name__)

    verdict = explore(Timerless(CLERK, POLICIES["CLERK_JS_6_7_4"]), "starvation", traces=30).verdicts[HEADLINE]
    assert isinstance(verdict, Vacuous)
    assert verdict == Vacuous(verdict.traces, verdict.steps, ("a late timer",))


def test_the_headline_says_nothing_about_other_runtimes() -> None:
    findings = explore(model("6.7.4"), "starvation", traces=20, runtime=Runtime.BROWSER_LIKE)
    assert isinstance(findings.verdicts[HEADLINE], NotApplicable)
    assert isinstance(findings.verdicts["valid-session-survives"], Held)


def test_without_the_headless_flag_the_guard_does_not_save_the_session() -> None:
    release, judging = model("6.7.4"), "valid-session-survives"
    assume = ("starvation", "stale-after-expiry")
    findings = explore(release, *assume, runtime=Runtime.BROWSER_LIKE, judging=[judging])
    assert isinstance(findings.verdicts[judging], Violated)


@pytest.mark.parametrize("error", [TargetError("the driver ended"), KeyboardInterrupt()])
def test_a_broken_target_or_ctrl_c_leaves_the_trace_so_far_on_disk(error: BaseException) -> None:
    class Breaking(ModelTarget):
        """A client whose driver goes away in the middle of a trace."""

        starts = 0

        def start(self, runtime: Runtime, token: object) -> tuple[Output, ...]:
            self.starts += 1
            return super().start(runtime, token)  # type: ignore[arg-type]

        def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
            if self.starts >= 10 and at > 0:
                raise error
            return super().feed(stimulus, at)

    with pytest.raises(type(error)):
        explore(Breaking(CLERK, POLICIES["CLERK_JS_6_7_4"]), "starvation", judging=[HEADLINE])
    (saved,) = FOLDER.iterdir()
    assert load(saved).invariant is None


class _Seldom(ModelTarget):
    """A client that its background signs out a few times, and then never again."""

    starts, times = 0, 0

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        self.starts += 1
        return super().start(runtime, token)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        outputs = super().feed(stimulus, at)
        if not isinstance(stimulus, TimerDue) or at <= 50_000 or not self.times:
            return outputs
        self.times -= 1
        return (*outputs, SignedOut(None))


class _Mended(_Seldom):
    """A client that has the guard of #8303 once it was started so often."""

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        self.policy = POLICIES["CLERK_JS_6_7_4" if self.starts >= self.times else "CLERK_JS_6_7_1"]
        return super().start(runtime, token)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        return ModelTarget.feed(self, stimulus, at)


def _searched(target: _Seldom, times: int) -> _Seldom:
    target.times = times
    explore(target, "starvation", "stale-after-expiry", traces=100, judging=[HEADLINE])
    return target


@pytest.mark.parametrize("kind", [_Seldom, _Mended])
def test_what_breaks_once_and_not_again_ends_the_search_with_one_clear_error(kind: type[_Seldom]) -> None:
    """Wherever that begins: when something has just been found, while it shrinks, or at the very end."""
    policy = POLICIES["CLERK_JS_6_7_4"]
    whole = _searched(kind(CLERK, policy), 10**9).starts
    for times in (1, 2, 3) if kind is _Seldom else (whole // 2, *range(whole - 12, whole, 3)):
        target = kind(CLERK, policy)
        with pytest.raises(TargetError, match=r"^[^\n]*(went two ways|not again)[^\n]*: not deterministic$"):
            _searched(target, times)
        assert target.starts < 1000, "it does not go on for ever"


class _Dies(ModelTarget):
    """Breaks so many stimuli after its first sign-out."""

    left: int | None = None
    after: int

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model, while it lives."""
        outputs = super().feed(stimulus, at)
        if self.left is None and any(isinstance(output, SignedOut) for output in outputs):
            self.left = self.after
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise TargetError("it has died")
        return outputs


@pytest.mark.parametrize("after", [0, 1, 10, 30, 60])
def test_a_target_that_breaks_while_a_trace_shrinks_is_not_called_flaky(after: int) -> None:
    target = _Dies(CLERK, POLICIES["CLERK_JS_6_7_1"])
    target.after = after
    with pytest.raises(TargetError, match=r"^it has died$"):
        explore(target, "starvation", "stale-after-expiry", traces=100, judging=[HEADLINE])


def test_no_invariant_is_judged_twice_or_left_out() -> None:
    found = explore(model("6.7.1"), "calm", traces=10, judging=[*INVARIANTS])
    assert list(found.verdicts) == list(INVARIANTS)
