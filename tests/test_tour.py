"""The tour: every transition of a policy's graph, on the model and on the build."""

from __future__ import annotations

import random
import re

import pytest

from model.clerk import session
from model.clerk.state import Entry, Turn
from model.terms import Runtime
from properties.conformance.plan import TourPlan, plan_tour
from properties.conformance.tour import walk
from properties.prove.prove import Limits, problem
from properties.run.run import Run
from properties.system.target import TargetError
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget
from tests.support import assuming, complaint, model, ready, sessionproof


def planned(target: ModelTarget, *names: str, states: int = 10_000, pairs: bool = False) -> TourPlan:
    """Every transition there is."""
    limits = Limits(seconds=600, states=states)
    return plan_tour(problem(target, Runtime.HEADLESS, assuming(*names)), limits, lambda line: None, pairs)


@pytest.mark.parametrize(
    ("release", "names"),
    [
        pytest.param("6.7.4", "starvation,stale-after-expiry", marks=pytest.mark.slow),
        ("6.40.0", "starvation,stale-after-expiry"),
        pytest.param("6.40.0", "several-sessions", marks=pytest.mark.slow),
    ],
)
def test_every_transition_is_taken_on_the_build_in_lock_step(
    builds: dict[str, NodeTarget], release: str, names: str
) -> None:
    ready(builds[release])
    done = sessionproof("tour", f"--target=clerk-js@{release}", f"--assume={names}")
    assert done.returncode == 0, done.stdout + done.stderr
    (taken, there_are) = re.findall(r"events: (\d+) of (\d+) transitions", done.stdout)[0]
    assert taken == there_are
    assert int(taken) > 100


@pytest.mark.slow
def test_every_pair_of_transitions_is_taken_on_the_build_in_lock_step(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.40.0"])
    done = sessionproof("tour", "--target=clerk-js@6.40.0", "--assume=revocation", "--pairs")
    assert done.returncode == 0, done.stdout + done.stderr
    (taken, there_are) = re.findall(r"events: (\d+) of (\d+) pairs of transitions", done.stdout)[0]
    assert taken == there_are
    assert int(there_are) > len(planned(model("6.40.0"), "revocation").transitions)


def test_the_pairs_of_a_plan_are_those_of_its_transitions() -> None:
    single, pairs = planned(model("6.40.0"), "calm"), planned(model("6.40.0"), "calm", pairs=True)
    ends = {(how, pairs.shape_of.get(after, after)) for _, how, after in pairs.transitions}
    assert len(ends) == len({(how, after) for _, how, after in single.transitions})
    for before, _, after in pairs.transitions:
        assert before in pairs.shape_of or before == 0
        assert after in pairs.shape_of


def test_two_seeds_take_other_ways_and_one_seed_the_same() -> None:
    seen = planned(model("6.40.0"), "revocation")

    def traces(seed: int) -> list[str]:
        return [str(trace) for trace in walk(seen, random.Random(seed), Limits(), lambda line: None).traces]

    assert traces(1) == traces(1)
    assert traces(1) != traces(2)


@pytest.mark.slow
def test_the_traces_of_a_tour_are_permitted_and_play_to_their_end() -> None:
    seen = planned(model("6.7.4"), "starvation")
    for trace in walk(seen, random.Random(3), Limits(), lambda line: None).traces:
        run = Run(model("6.7.4"), trace.runtime, trace.assumptions, ())
        for event in trace.events:
            assert run.permits(event)
            run.play(event)


@pytest.mark.slow
def test_a_mistake_on_the_edge_of_the_guard_is_met_by_the_tour(monkeypatch: pytest.MonkeyPatch) -> None:
    """`>=` for `>`: only a freeze that ends at the instant of expiry tells, and the tour goes to the edges."""
    seen = planned(model("6.7.4"), "starvation")
    tour = walk(seen, random.Random(0), Limits(), lambda line: None)
    right = [play(trace.events) for trace in tour.traces]

    def wrong(turn: Turn, entry: Entry) -> bool:
        token = turn.client.last_active(entry.holder)
        return token is not None and turn.at >= token.expires * 1000

    monkeypatch.setattr(session, "_guarded", wrong)
    assert [play(trace.events) for trace in tour.traces] != right


def play(events: tuple[object, ...]) -> list[str]:
    """What is seen of a trace on the model, as far as it goes."""
    run = Run(model("6.7.4"), Runtime.HEADLESS, assuming("starvation"), ())
    seen = []
    for event in events:
        try:
            seen.append(str(run.play(event).facts))  # type: ignore[arg-type]
        except Exception as error:
            return [*seen, str(error)]
    return seen


def test_a_graph_that_is_not_closed_is_no_plan() -> None:
    with pytest.raises(TargetError, match=r"is not closed after .* and 1\d states"):
        planned(model("6.7.4"), "outage", states=10)


@pytest.mark.slow
def test_what_was_found_of_it_is_if_asked_for(builds: dict[str, NodeTarget]) -> None:
    """It says that there may be more; the same limit finds the same."""
    ready(builds["6.40.0"])
    bounded = ["--assume=late-replies", "--bounded", "--states=300"]
    done, again = (sessionproof("tour", "--target=clerk-js@6.40.0", *bounded) for _ in range(2))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "transitions from shape to shape, not closed: there may be more\n" in done.stdout
    taken, there_are = re.findall(r"events: (\d+) of (\d+) transitions", done.stdout)[0]
    assert taken == there_are
    assert re.findall(r"tour .*", done.stdout) == re.findall(r"tour .*", again.stdout)


def test_what_a_tour_cannot_do_is_told_in_one_line() -> None:
    assert "unknown assumption 'rain'" in complaint(sessionproof("tour", "--assume=rain"))
    assert "is a model" in complaint(sessionproof("tour", "--target=model"))
