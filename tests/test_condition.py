"""The condition: the model's numbers as unknowns, and the formula that decides."""

from __future__ import annotations

import sys

import pytest
import z3

from model.clerk.sdk import CLERK
from model.clerk.terms import TIMINGS
from model.step import App
from model.terms import Outcome, Runtime
from model.world.events import Advance, Answer, Event, Freeze
from properties.invariants.catalogue import INVARIANTS
from properties.prove.condition import Condition, condition, in_words, shortest_harmful_freeze
from properties.prove.parameters import GIVEN
from properties.run.run import Run
from properties.run.shrink import violates
from properties.system.trace import Trace
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, assuming, complaint, model, proposed, ready, run_python, sessionproof

LATENCY, LEAD, FREEZE, LIFETIME = (GIVEN[name] for name in ("latency", "lead", "freeze", "lifetime"))


def asked(model: ModelTarget, *names: str, depth: int = 3, calls: int = 0) -> Condition:
    """The condition on the headline."""
    judged, app = INVARIANTS[HEADLINE], App(CLERK.proved_operations, calls)
    return condition(model, Runtime.HEADLESS, assuming(*names), judged, depth, app, lambda line: None)


@pytest.mark.parametrize(
    ("target", "names", "depth", "words"),
    [
        (model("6.7.1"), ("starvation", "stale-after-expiry"), 3, "freeze > lifetime"),
        pytest.param(model("6.7.4"), ("starvation", "stale-after-expiry"), 3, "never", marks=pytest.mark.slow),
        (model("6.7.1"), ("stale-on-arrival",), 4, "latency > lead"),
        (model("6.7.4"), ("stale-on-arrival",), 4, "latency > lead"),
        (model("6.40.0"), ("rotated-credential",), 3, "always"),
        (proposed("FIX_QUIET_BACKGROUND"), ("stale-on-arrival", "rotated-credential"), 4, "never"),
    ],
)
def test_the_condition_is_short_and_says_it_all(
    target: ModelTarget, names: tuple[str, ...], depth: int, words: str
) -> None:
    assert asked(target, *names, depth=depth).words == words


@pytest.mark.slow
def test_the_guard_is_sound_while_latency_and_freeze_are_shorter_than_the_lead() -> None:
    found = asked(model("6.7.4"), "starvation", "stale-on-arrival", depth=4)
    assert found.words == "latency + freeze > lead  or  2 freeze > lifetime"
    assert shortest_harmful_freeze(found.formula, TIMINGS) == (2000, False)


@pytest.mark.parametrize("real", [False, True], ids=["model", "build"])
@pytest.mark.parametrize(("ms", "breaks"), [(2000, False), (2001, True)])
def test_the_edge_of_the_condition_is_where_it_says(
    builds: dict[str, NodeTarget], real: bool, ms: int, breaks: bool
) -> None:
    """15 s of latency and 17 s of lead: a freeze of 2 s is harmless, one of 2.001 s is not."""
    target = ready(builds["6.40.0"]) if real else model("6.40.0")
    events: tuple[Event, ...] = (Advance(58_000), Freeze(ms))
    events += (Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    trace = Trace(target.name, Runtime.HEADLESS, assuming("starvation", "stale-on-arrival"), events, HEADLINE)
    assert bool(violates(trace, target, INVARIANTS[HEADLINE])) is breaks


def test_the_model_keeps_its_numbers() -> None:
    target = model("6.7.4")
    asked(target, "stale-on-arrival", depth=1)
    numbers = target.timings(Runtime.HEADLESS)
    assert (numbers.lifetime, numbers.lead, numbers.patience) == (60, 17, 15_000)
    assert numbers is TIMINGS
    world = Run(target, Runtime.HEADLESS, assuming("calm"), ()).world
    assert [timer.due for timer in world.timers] == [60_000, 43_000]


def test_words_are_found_for_what_two_comparisons_can_say_and_for_no_more() -> None:
    assert in_words(z3.And(LATENCY > LEAD, FREEZE > LIFETIME)) == "latency > lead  and  freeze > lifetime"
    assert in_words(z3.Not(LATENCY <= LEAD)) == "latency > lead"
    assert in_words(LATENCY > -1) == "always"
    assert in_words(LATENCY * 7 > LEAD * 5) is None


def test_the_command_prints_the_condition_and_what_it_means_here() -> None:
    done = sessionproof("condition", "--policy=CLERK_JS_6_7_4", "--assume=stale-on-arrival")
    assert done.returncode == 0, done.stderr
    assert "breaks exactly if\n\n    latency > lead\n" in done.stdout
    assert "Here, then, it does not break." in done.stdout


def test_what_is_missing_or_unknown_is_told_in_one_line() -> None:
    assert "unknown policy 'CLERK'" in complaint(sessionproof("condition", "--policy=CLERK"))
    assert "is not about the runtime browser-like" in complaint(
        sessionproof("condition", "--runtime=browser-like")
    )
    without = "import sys; sys.modules['z3'] = None; from properties.cli.main import main; main(['condition'])"
    assert "pip install 'sessionproof[symbolic]'" in complaint(run_python("-c", without))
    assert sys.modules["z3"] is z3
