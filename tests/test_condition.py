"""The condition: lengths of time as parameters, and the formula that decides, for traces of any length."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from functools import cache, partial

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from model.app import App
from model.clerk.sdk import CLERK
from model.clerk.terms import TIMINGS
from model.requests import Outcome
from model.step import Span, Step, enabled
from model.terms import Millis, Runtime, Timings
from model.world.events import Advance, Answer, Event, Freeze
from properties.invariants.catalogue import INVARIANTS
from properties.prove.condition import condition, explore, parametric
from properties.prove.formulas import Formula, in_words, numbers, simplest, widened
from properties.prove.formulas import given as with_values
from properties.prove.instance import delays, instance
from properties.prove.parameters import within
from properties.prove.polyhedra import Row, formula, projected, row, variable
from properties.prove.successors import Problem
from properties.run.run import Run
from properties.run.shrink import violates
from properties.system.trace import Trace
from properties.targets.model import ModelTarget
from properties.targets.names import model_named
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, SECOND, assuming, complaint, model, proposed, ready, run_python, sessionproof

JUDGED, ALONE = INVARIANTS[HEADLINE], App(CLERK.proved_operations, calls=0)
ENOUGH = 2_000
GUARD_FAILS = ("starvation", "stale-on-arrival")


def asked(target: ModelTarget, *names: str) -> Problem:
    """The question when the headline breaks, without a call of the app."""
    return parametric(target, Runtime.HEADLESS, assuming(*names), JUDGED, ALONE)


def answer(target: ModelTarget, *names: str) -> Formula:
    """The formula, for traces of any length."""
    return proved(target.name.removeprefix("model@"), names)


@cache
def proved(policy: str, names: tuple[str, ...]) -> Formula:
    """The same, once for each policy."""
    found = explore(asked(model_named(policy), *names), JUDGED, ENOUGH)
    assert found.closed
    return simplest(found.unsafe)


# -- the formula ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "names", "words"),
    [
        (model("6.7.1"), ("starvation", "stale-after-expiry"), "late > lead"),
        (model("6.7.1"), ("late-replies", "stale-after-expiry"), "flight > lead"),
        (model("6.7.4"), ("starvation", "stale-after-expiry"), "never"),
        (model("6.7.4"), ("stale-on-arrival",), "flight > lead"),
        (model("6.40.0"), GUARD_FAILS, "flight + late > lead"),
        (model("6.40.0"), ("rotated-credential",), "always"),
        (proposed("FIX_QUIET_BACKGROUND"), ("stale-on-arrival", "rotated-credential"), "never"),
    ],
)
def test_the_condition_is_short_and_holds_for_traces_of_any_length(
    target: ModelTarget, names: tuple[str, ...], words: str
) -> None:
    assert in_words(answer(target, *names)) == words


def test_rounding_to_whole_seconds_breaks_it_at_most_a_second_sooner() -> None:
    found = condition(asked(model("6.40.0"), "late-replies", "stale-on-arrival"), JUDGED, ENOUGH)
    assert (in_words(found.formula), found.sooner) == ("flight > lead", 1000)


def test_a_search_that_was_cut_off_is_bounded() -> None:
    found = condition(asked(model("6.40.0"), *GUARD_FAILS), JUDGED, steps=100)
    assert not found.closed
    assert found.depth == 2
    assert found.sooner is None


@pytest.mark.parametrize("real", [False, True], ids=["model", "build"])
@pytest.mark.parametrize(
    ("events", "late", "flight", "breaks"),
    [
        ((Advance(42_900), Freeze(8_600), Freeze(8_600)), 8_500, 8_600, True),
        ((Freeze(51_000), Freeze(9_000)), 8_000, 9_000, False),
        ((Freeze(51_000), Freeze(9_001)), 8_000, 9_001, True),
        ((Advance(58_000), Freeze(2_001)), 0, 17_001, True),
    ],
)
def test_the_edge_of_the_condition_is_where_it_says(
    builds: dict[str, NodeTarget],
    real: bool,
    events: tuple[Event, ...],
    late: Millis,
    flight: Millis,
    breaks: bool,
) -> None:
    """17 s of lead. The first trace refuted a formula over the longest single freeze."""
    target = ready(builds["6.40.0"]) if real else model("6.40.0")
    events += (Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    trace = Trace(target.name, Runtime.HEADLESS, assuming(*GUARD_FAILS), events, HEADLINE)
    assert bool(violates(trace, target, JUDGED)) is breaks
    lengths = {**numbers(TIMINGS), "late": late, "flight": flight}
    assert holds(answer(model("6.40.0"), *GUARD_FAILS), lengths) is breaks


def test_a_token_that_lives_less_than_its_whole_seconds_breaks_it_sooner(builds: dict[str, NodeTarget]) -> None:
    """Minted at 43.9 s, it expires at 103 s, but is refreshed 43 s after it was minted."""
    events: tuple[Event, ...] = (Advance(43_900), Answer(1, Outcome.GRANTED), Freeze(51_000), Freeze(8_200))
    events += (Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.NO_SESSION))
    trace = Trace("model", Runtime.HEADLESS, assuming(*GUARD_FAILS), events, HEADLINE)
    found = violates(trace, ready(builds["6.40.0"]), JUDGED)
    assert found
    assert all(within(step, late=8_000, flight=8_200) for step in found.played)


# -- instances ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("6.40.0", GUARD_FAILS),
        ("6.7.1", ("late-replies", "stale-after-expiry")),
        ("6.40.0", ("rotated-credential",)),
    ],
)
def test_an_instance_plays_on_the_build(
    builds: dict[str, NodeTarget], release: str, names: tuple[str, ...]
) -> None:
    target = model(release)
    least = delays(with_values(answer(target, *names), numbers(TIMINGS)))
    assert least
    found = instance(target, Runtime.HEADLESS, assuming(*names), JUDGED, ALONE, *least, ENOUGH)
    assert found
    assert all(within(step, found.late, found.flight) for step in found.violation.played)
    assert violates(found.violation.trace, ready(builds[release]), JUDGED)


# -- sampling -------------------------------------------------------------------------------------------------


def holds(found: Formula, lengths: dict[str, Millis]) -> bool:
    """Is the formula true for these lengths?"""
    return with_values(found, lengths) != ()


@pytest.mark.parametrize("samples", [200, pytest.param(2_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("release", "names"), [("6.40.0", GUARD_FAILS), ("6.7.1", ("starvation", "stale-after-expiry"))]
)
def test_no_random_trace_is_on_the_wrong_side(release: str, names: tuple[str, ...], samples: int) -> None:
    """Near the edge of the formula; with whole seconds rounded, by which a trace may break up to 1 s sooner."""
    target, draw = model(release), random.Random(release)
    sooner = widened(answer(target, *names), 1000)
    broken = 0
    for _ in range(samples):
        lengths = some_lengths(draw)
        if played(draw, target, names, lengths):
            broken += 1
            assert holds(sooner, lengths), lengths
    assert broken > samples // 50, "the traces are too tame to show anything"


def some_lengths(draw: random.Random) -> dict[str, Millis]:
    """Lengths with delays about as long as the lead."""
    lead = draw.randint(2, 30)
    late = draw.choice((draw.randint(0, (lead + 2) * SECOND), lead * SECOND + draw.randint(0, 2 * SECOND)))
    flight = max(1, draw.choice((lead * SECOND - late, lead * SECOND)) + draw.randint(-2 * SECOND, 2 * SECOND))
    lifetime, cutoff = lead + draw.randint(1, 60), draw.randint(0, lead - 1)
    return {
        **{"lifetime": lifetime * SECOND, "lead": lead * SECOND, "cutoff": cutoff * SECOND},
        **{"late": late, "flight": flight},
    }


def played(draw: random.Random, target: ModelTarget, names: tuple[str, ...], lengths: dict[str, Millis]) -> bool:
    """Does a random trace of up to 12 events with these lengths violate the headline?"""
    seconds = {name: lengths[name] // SECOND for name in ("lifetime", "lead", "cutoff")}
    timings = Timings(**seconds, patience=lengths["flight"])
    changed = ModelTarget(CLERK, replace(target.policy, timings=timings))  # type: ignore[type-var]
    run = Run(changed, Runtime.HEADLESS, assuming(*names), [])
    allowed = partial(within, late=lengths["late"], flight=lengths["flight"])
    for _ in range(12):
        options = [*moves(draw, run, lengths)]
        draw.shuffle(options)
        system, client = run.system, changed.client
        for event in options:
            step: Step = run.play(event)
            if allowed(step):
                if JUDGED.check(step):
                    return True
                break
            run.system, changed.client = system, client
    return False


def moves(draw: random.Random, run: Run, lengths: dict[str, Millis]) -> Iterator[Event]:
    """What may happen now. Time passes until something is due, as late as it may be, or in between."""
    world = run.world
    ends = {one.due - world.now + late for one in world.timers for late in (0, lengths["late"])}
    ends |= {one.sent_at - world.now + lengths["flight"] for one in world.requests}
    ends |= {draw.randint(1, 2 * lengths["lifetime"]), draw.randint(1, SECOND)}
    for option in enabled(run.system, run.assumptions, ALONE):
        if isinstance(option, Span):
            yield from (option.event(ms) for ms in ends if 0 < ms <= option.longest)
        else:
            yield option


# -- polyhedra ------------------------------------------------------------------------------------------------

ROWS = st.builds(
    row,
    st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.integers(-2, 2)), min_size=1, max_size=3),
    st.integers(-5, 5),
    st.booleans(),
)


@given(st.lists(ROWS, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_projection_is_what_quantifier_elimination_says(rows: list[Row]) -> None:
    mine = z3.And(*map(formula, projected(rows, lambda name: name != 1)))
    exact = z3.Exists([variable(1)], z3.And(*map(formula, rows)))
    solver = z3.Solver()
    solver.add(mine != exact)
    assert solver.check() == z3.unsat


def test_a_formula_says_no_more_than_it_must() -> None:
    late, lead, flight = -5, -2, -4
    above = row([(lead, 1), (late, -1)], 0, strict=True)
    below = row([(late, 1), (lead, -1)], 0, strict=False)
    slow = row([(flight, -1)], 2 * SECOND, strict=True)
    assert in_words(simplest([(above,), (below, slow)])) == "late > lead  or  flight > 2 s"
    assert in_words(simplest([(above,), (below,)])) == "always"
    assert in_words(simplest([])) == "never"


# -- the command ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_the_condition_and_what_it_means_here() -> None:
    done = sessionproof("condition", "--policy=CLERK_JS_6_7_1", "--assume=late-replies,stale-after-expiry")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("proved for traces of any length: model@CLERK_JS_6_7_1")
    assert "breaks exactly if\n\n    flight > lead\n" in done.stdout
    assert "Here, then, it breaks if flight > 17 s." in done.stdout
    assert "replay  sessionproof replay 'target: clerk-js@6.7.1; " in done.stdout


def test_a_bounded_answer_says_so_in_its_first_line() -> None:
    done = sessionproof("condition", "--steps=20")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bounded: traces of up to 1 events only: ")


def test_what_is_missing_or_unknown_is_told_in_one_line() -> None:
    assert "unknown policy 'CLERK'" in complaint(sessionproof("condition", "--policy=CLERK"))
    assert "is not about the runtime browser-like" in complaint(
        sessionproof("condition", "--runtime=browser-like")
    )
    assert "use prove" in complaint(sessionproof("condition", "--invariant=one-refresh-at-a-time"))
    without = "import sys; sys.modules['z3'] = None; from properties.cli.main import main; main(['condition'])"
    assert "pip install 'sessionproof[symbolic]'" in complaint(run_python("-c", without))
    assert sys.modules["z3"] is z3
