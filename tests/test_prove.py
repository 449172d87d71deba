"""The exhaustive engine: what it proves is so, what it breaks breaks, and nothing that can happen is left out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from model.app import App
from model.assumptions.landmarks import SKEWS
from model.assumptions.sets import Assumptions
from model.clerk import session
from model.clerk.policy import POLICIES, PROPOSED, Policy
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken
from model.requests import Outcome
from model.sdk import Client
from model.step import Span, enabled
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, Freeze, FreezeKind, SetClock
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS
from properties.invariants.verdict import Findings, HeldTo, Proved, Vacuous, Violated
from properties.prove import matrix
from properties.prove.canonical import state_of
from properties.prove.graph import Graph
from properties.prove.matrix import EVERY_POLICY, Task, confirmed
from properties.prove.prove import Limits, _Search, one_call, prove
from properties.prove.state import Memory, contains, split_instants
from properties.prove.successors import Known, Problem, successors
from properties.prove.zone import AT_MOST_0, UNBOUNDED, Zone, at_most
from properties.run.run import Run
from properties.system.trace import load
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, assuming, complaint, model, proposed, ready, sessionproof
from tests.support import app as calling
from tests.test_conformance import replayed

ONE_CALL = one_call(CLERK)
PATIENT = Limits(seconds=600)
UNLIKE = (POLICIES["CLERK_JS_6_1_0"], POLICIES["CLERK_JS_6_40_0"], PROPOSED["FIX_KEEP_TRYING"])

ABOUT_HEADLESS = tuple(name for name, one in INVARIANTS.items() if Runtime.HEADLESS in one.runtimes)


def proof(
    release: str, *assumptions: str, judging: Iterable[str] = ABOUT_HEADLESS, app: App = ONE_CALL, **limits: int
) -> Findings:
    """What is proved of a release under some assumptions. Limits that a verdict hangs on are no times."""
    judged = [INVARIANTS[name] for name in judging]
    bounds = Limits(seconds=600, **limits)
    return prove(model(release), Runtime.HEADLESS, assuming(*assumptions), judged, app, bounds)


# -- the verdicts -------------------------------------------------------------------------------------------


def test_without_the_guard_a_starved_timer_signs_out_in_three_events() -> None:
    verdict = proof("6.7.1", "starvation", "stale-after-expiry", judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) == 3
    assert verdict.trace.path.exists()


@pytest.mark.parametrize(
    "app",
    [replace(ONE_CALL, calls=0), ONE_CALL, pytest.param(replace(ONE_CALL, calls=2), marks=pytest.mark.slow)],
    ids=str,
)
def test_under_the_theory_of_8303_the_guard_is_proved(app: App) -> None:
    broken = {"refresh-chain-survives", "given-tokens-never-go-backwards", "one-refresh-at-a-time"}  # otherwise
    judging = [name for name in DEFAULT_INVARIANTS if name not in broken]
    found = proof("6.7.4", "starvation", "stale-after-expiry", judging=judging, app=app)
    assert all(isinstance(one, Proved) for one in found.verdicts.values())


@pytest.mark.slow
def test_templates_do_not_break_the_guard() -> None:
    found = proof("6.7.4", "starvation", "stale-after-expiry", judging=[HEADLINE], app=calling(GetToken("api")))
    assert isinstance(found.verdicts[HEADLINE], Proved)


def test_a_request_frozen_in_flight_gets_past_the_guard_in_four_events() -> None:
    verdict = proof("6.7.4", "starvation", "stale-on-arrival", judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) == 4


@pytest.mark.parametrize("release", ["6.7.1", "6.7.4", "6.40.0"])
@pytest.mark.parametrize("assumptions", [("starvation", "stale-on-arrival"), ("outage", "rotated-credential")])
def test_what_breaks_on_the_model_breaks_on_the_build(
    builds: dict[str, NodeTarget], release: str, assumptions: tuple[str, ...]
) -> None:
    found = proof(release, *assumptions, depth=5, states=400)
    broken = [verdict.trace for verdict in found.verdicts.values() if isinstance(verdict, Violated)]
    assert HEADLINE in {trace.invariant for trace in broken}
    for trace in broken:
        assert replayed(trace.path, ready(builds[release]))[0] == trace.invariant


QUIET = proposed("FIX_QUIET_BACKGROUND")


def test_a_background_that_signs_nobody_out_is_proved_where_the_guard_fails() -> None:
    assumptions = assuming("starvation", "stale-on-arrival", "stale-for-good", "rotated-credential", "revocation")
    invariants = [INVARIANTS[HEADLINE], INVARIANTS["revoked-session-signs-out"]]
    found = prove(QUIET, Runtime.HEADLESS, assumptions, invariants)
    assert all(isinstance(verdict, Proved) for verdict in found.verdicts.values())


@pytest.mark.parametrize("policy", [one for one in PROPOSED.values() if not one.background_401_marks_stale])
def test_no_lesser_fix_survives_a_rotated_credential(policy: Policy) -> None:
    target = ModelTarget(CLERK, policy)
    found = prove(target, Runtime.HEADLESS, assuming("rotated-credential"), [INVARIANTS[HEADLINE]])
    assert isinstance(found.verdicts[HEADLINE], Violated)


@pytest.mark.parametrize(("assumption", "verdict"), [("calm", Proved), ("stale-edge", Violated)])
def test_a_refresh_that_is_tried_again_keeps_the_chain_in_a_calm_world(
    assumption: str, verdict: type[Proved | Violated]
) -> None:
    target, chain = proposed("FIX_KEEP_TRYING"), "refresh-chain-survives"
    found = prove(target, Runtime.HEADLESS, assuming(assumption), [INVARIANTS[chain]], limits=Limits(depth=60))
    assert isinstance(found.verdicts[chain], verdict)


@pytest.mark.parametrize("assumption", ["stale-edge", "outage"])
def test_a_refresh_that_comes_to_nothing_ends_the_chain_of_releases(assumption: str) -> None:
    chain = "refresh-chain-survives"
    found = prove(model("6.40.0"), Runtime.HEADLESS, assuming(assumption), [INVARIANTS[chain]])
    assert isinstance(found.verdicts[chain], Violated)


@pytest.mark.slow
def test_a_clock_that_is_behind_makes_expired_tokens_readable_since_timers_go_by_expiry() -> None:
    """Before #9030 a token was refreshed after 43 s whatever the clock said; now when `exp` says so."""
    handed_out = "token-handed-out-is-valid"
    verdicts = [proof(release, "clock-skew").verdicts[handed_out] for release in ("6.7.4", "6.40.0")]
    assert isinstance(verdicts[0], Proved)
    assert isinstance(verdicts[1], Violated)
    assert len(verdicts[1].trace.events) == 5


def test_a_search_that_was_cut_off_is_no_proof() -> None:
    verdicts = proof("6.7.4", "outage", depth=3, states=5).verdicts
    assert all(isinstance(verdict, HeldTo) for verdict in verdicts.values())


def test_a_search_is_cut_off_at_the_same_step_everywhere() -> None:
    name = "foreground-recovers"
    once, again = (proof("6.7.4", "outage", judging=[name], steps=500).verdicts[name] for _ in range(2))
    assert isinstance(once, HeldTo)
    assert once == again


def test_a_release_that_clears_no_replaced_timers_has_a_graph_with_an_end() -> None:
    """Each refresh of 6.1.0 leaves an entry behind, for as long as a timer of it is set and no longer."""
    assert isinstance(proof("6.1.0", "calm", judging=[HEADLINE]).verdicts[HEADLINE], Proved)


def test_what_gathers_ever_more_timers_is_not_waited_for() -> None:
    """Before #8098 the timers of a replaced token went on: no pass takes long enough to close that graph."""
    graph = closure(model("6.3.2"), assuming("calm"))
    assert not graph.closed
    assert len(graph.states) < 200


def test_a_proof_that_never_met_its_assumption_is_vacuous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "refresh", lambda turn, entry: turn)  # nobody ever sends a request
    verdicts = proof("6.7.4", "rotated-credential", app=replace(ONE_CALL, calls=0)).verdicts
    assert all(isinstance(verdict, Vacuous) for verdict in verdicts.values())


# -- nothing is left out ------------------------------------------------------------------------------------


def asked(target: ModelTarget, assumptions: Assumptions) -> Problem:
    """What is remembered for all invariants."""
    memory = Memory.needed(assumptions, ONE_CALL, history=True)
    return Problem(target, Runtime.HEADLESS, assumptions, ONE_CALL, memory)


def closure(target: ModelTarget, assumptions: Assumptions, hull: bool = True) -> Graph:
    """Everything that can be reached."""
    graph = Graph()
    search = _Search(asked(target, assumptions), Limits(depth=1000), lambda line: None)
    search.explore(graph, [*INVARIANTS.values()], hull)
    return graph


def wandering(model: ModelTarget, assumptions: Assumptions, traces: int) -> Iterator[tuple[Run, Client]]:
    """Random traces of a policy's model, after each event."""
    draw = random.Random(1)
    for _ in range(traces):
        target = ModelTarget(model.sdk, model.policy)
        run = Run(target, Runtime.HEADLESS, assumptions, ())
        for _ in range(25):
            if (event := random_event(run, draw)) is None:
                break
            run.play(event)
            yield run, target.client


def random_event(run: Run, draw: random.Random) -> Event | None:
    """Something that may happen now; time in whole seconds, short or long."""
    second = draw.choice([1, 1, 5, 17, 26, 43, 60, 61, draw.randrange(1, 200)]) * 1000
    passing: list[Event] = [Advance(second), Advance(1000), Freeze(second, draw.choice([*FreezeKind]))]
    now = enabled(run.system, run.assumptions, ONE_CALL)
    options: list[Event] = [one for one in now if not isinstance(one, Span)]
    options += [event for event in passing if run.permits(event)]
    return draw.choice(options) if options else None


@pytest.mark.parametrize("target", [model("6.7.1"), model("6.40.0"), QUIET], ids=lambda target: target.name)
@pytest.mark.parametrize(
    "names",
    [
        *("starvation,stale-on-arrival", "rotated-credential", "clock-skew", "revocation"),
        *("calm", "restart,revocation", pytest.param("locked-keychain", marks=pytest.mark.slow)),
    ],
)
def test_random_traces_stay_within_the_closed_graph(target: ModelTarget, names: str) -> None:
    assumptions = assuming(*names.split(","))
    graph = closure(target, assumptions)
    assert graph.closed
    of_shape: dict[object, list[int]] = {}
    for number, state in enumerate(graph.states):
        of_shape.setdefault(split_instants(state)[0], []).append(number)
    memory = asked(target, assumptions).memory
    for run, client in wandering(target, assumptions, traces=40):
        here = state_of(CLERK, (run.system, client), memory)
        candidates = of_shape.get(split_instants(here)[0], [])
        assert any(contains(graph.states[number], here) for number in candidates), run.events


@pytest.mark.slow
def test_an_answer_that_hangs_on_an_open_comparison_is_not_left_out() -> None:
    """While the device's clock may be set back it stays open whether a token has expired; yet a request may meet
    a stale credential then."""
    target, assumptions = model("6.7.4"), assuming("starvation", "stale-on-arrival", "clock-skew")
    graph, memory = closure(target, assumptions), asked(target, assumptions).memory
    assert graph.closed
    run = Run(target, Runtime.HEADLESS, assumptions, ())
    late = (GetToken(), Freeze(1000), Answer(1, Outcome.UNAUTHORIZED))
    for event in (Freeze(60_000), SetClock(SKEWS[0]), *late):
        assert run.permits(event)
        run.play(event)
        here = state_of(CLERK, (run.system, target.client), memory)
        assert any(contains(state, here) for state in graph.states), run.events


GUARD = INVARIANTS["guard-is-headless-only"]
TOLD_APART = [("starvation,stale-after-expiry", True), ("rotated-credential", False), ("outage", False)]


@pytest.mark.parametrize("names", [*(names for names, _ in TOLD_APART), "restart"])
def test_the_guard_is_headless_only(names: str) -> None:
    """In every state that can be reached, and whatever happens."""
    found = prove(
        model("6.7.4"), Runtime.BROWSER_LIKE, assuming(*names.split(",")), [GUARD], limits=Limits(seconds=600)
    )
    assert isinstance(found.verdicts[GUARD.id], Proved)


@pytest.mark.parametrize(("names", "seen"), TOLD_APART)
def test_where_a_timer_may_be_late_the_guard_can_be_told_from_none(names: str, seen: bool) -> None:
    """On the one runtime that it is for: a comparison that sees no difference anywhere would be worth nothing."""
    here = replace(GUARD, runtimes=frozenset({Runtime.HEADLESS}))
    found = prove(
        model("6.7.4"), Runtime.HEADLESS, assuming(*names.split(",")), [here], limits=Limits(seconds=600)
    )
    assert isinstance(found.verdicts[GUARD.id], Violated if seen else Proved)


@pytest.mark.parametrize("names", ["calm", "stale-for-good", pytest.param("revocation", marks=pytest.mark.slow)])
def test_both_passes_agree_on_what_can_be_reached(names: str) -> None:
    """The hull holds every state of the exact graph, and has no shape that the exact one lacks."""
    hull, exact = (closure(model("6.7.4"), assuming(*names.split(",")), one) for one in (True, False))
    assert hull.closed
    assert exact.closed
    shapes = [{split_instants(state)[0] for state in graph.states} for graph in (hull, exact)]
    assert shapes[0] == shapes[1]
    for state in exact.states:
        assert any(contains(other, state) for other in hull.states)


@pytest.mark.parametrize("names", ["starvation,stale-on-arrival", "clock-skew", "late-replies"])
def test_a_run_that_is_known_leads_where_it_would_lead_again(names: str) -> None:
    """Under other bounds too: what a configuration does is replayed by the answers to its comparisons."""
    problem = asked(model("6.40.0"), assuming(*names.split(",")))
    known, states = Known(), {repr(first := problem.first()): first}
    for number in range(100):
        state = [*states.values()][number]
        looser = replace(state, bounds=tuple(tuple(map(loosened, row)) for row in state.bounds))
        for one in (state, looser, state):
            afresh = [repr((step.event, step.facts, after)) for step, after in successors(problem, one)]
            again = [repr((step.event, step.facts, after)) for step, after in successors(problem, one, known)]
            assert again == afresh
        states |= {repr(after): after for _, after in successors(problem, state, known)}


@pytest.mark.parametrize("names", ["starvation,stale-on-arrival", "outage", "late-replies"])
def test_a_run_of_one_policy_is_one_of_another_only_if_that_chooses_the_same(names: str) -> None:
    """Three policies, of which no two choose the same, and one set of known runs."""
    known = Known()
    problems = [asked(ModelTarget(CLERK, policy), assuming(*names.split(","))) for policy in UNLIKE]
    states = {repr(first): first for one in problems if (first := one.first())}
    for number in range(60):
        state = [*states.values()][number]
        for one in problems:
            afresh = [repr((step.event, step.facts, after)) for step, after in successors(one, state)]
            again = [repr((step.event, step.facts, after)) for step, after in successors(one, state, known)]
            assert again == afresh
            states |= {repr(after): after for _, after in successors(one, state, known)}


@pytest.mark.slow
@pytest.mark.parametrize("names", ["stale-on-arrival", "session-gone"])
def test_what_policies_share_is_what_each_would_be_found_to_do(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.13.0 differs from 6.7.4 by what a 403 is, and nobody is banned here: it is not even proved again."""
    tasks = [
        Task(name, (names,), Runtime.HEADLESS, tuple(DEFAULT_INVARIANTS), None, Limits(steps=14_000))
        for name in EVERY_POLICY
    ]
    proved: list[str] = []

    def prove_and_tell(model: ModelTarget, *what: Any) -> Findings:
        proved.append(model.name)
        return prove(model, *what)

    monkeypatch.setattr(matrix, "prove", prove_and_tell)
    together = [task.run() for task in tasks]
    assert "model@CLERK_JS_6_7_4" in proved
    assert "model@CLERK_JS_6_13_0" not in proved
    proved.clear()
    for task, found in zip(tasks, together, strict=True):
        matrix.shared_by.cache_clear()
        alone = task.run()
        assert replace(found, seconds=0) == replace(alone, seconds=0)
    assert len(proved) == len(tasks), "each was proved alone"


def loosened(bound: int) -> int:
    """A bound that is a little wider, if it is any."""
    return bound if bound in (AT_MOST_0, UNBOUNDED) else bound + 2 * 7_000


def test_more_configurations_than_are_kept_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Known, "MOST", 3)
    few = closure(model("6.7.4"), assuming("starvation"))
    monkeypatch.undo()
    assert few.closed
    assert few.states == closure(model("6.7.4"), assuming("starvation")).states


def test_what_recovers_is_judged_though_the_ages_of_tokens_have_no_end() -> None:
    """Neither needs the graph of the other."""
    both = ("given-tokens-never-go-backwards", "foreground-recovers")
    verdicts = proof("6.40.0", "starvation", "stale-for-good", judging=both, steps=9_000).verdicts
    assert [type(verdicts[name]) for name in both] == [HeldTo, Proved]


def test_a_call_that_may_wait_for_ever_keeps_nothing_else_from_being_proved() -> None:
    """The graph of the others leaves out how long it has waited: with that it has half as many steps again."""
    both = ("every-call-settles", "token-handed-out-is-valid")
    verdicts = proof("6.40.0", "failing-start", judging=both, steps=13_000).verdicts
    assert [type(verdicts[name]) for name in both] == [Violated, Proved]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-4, 4)), max_size=5))
def test_a_zone_knows_what_follows_from_what_it_was_told(told: list[tuple[int, int, int]]) -> None:
    points = [(0, *rest) for rest in product(range(-9, 10), repeat=2)]
    zone = Zone([[AT_MOST_0 if i == j else UNBOUNDED for j in range(3)] for i in range(3)])
    learnt = []
    for i, j, ms in told:
        if zone.decide(i, j, at_most(ms)):
            learnt.append((i, j, ms))
    possible = [p for p in points if all(p[i] - p[j] <= ms for i, j, ms in learnt)]
    assert possible, "a zone never becomes empty"
    for i, j in product(range(3), repeat=2):
        if zone.bounds[i][j] != UNBOUNDED:
            assert max(p[i] - p[j] for p in possible) <= zone.bounds[i][j] // 2


# -- the commands -------------------------------------------------------------------------------------------


def test_prove_exits_as_its_verdicts_are() -> None:
    seed, headline = "--assume=starvation,stale-after-expiry", f"--invariant={HEADLINE}"
    proved = sessionproof("prove", "--policy=CLERK_JS_6_7_4", seed, headline)
    assert (proved.returncode, "proved" in proved.stdout) == (0, True)
    assert "closed graph of" in proved.stdout
    violated = sessionproof("prove", "--policy=CLERK_JS_6_7_1", seed, headline)
    assert (violated.returncode, "3 events, shortest" in violated.stdout) == (1, True)
    assert "cause " in violated.stdout


@pytest.mark.parametrize("limit", ["--states=5", "--steps=5"])
def test_a_limit_that_was_hit_is_no_success(limit: str) -> None:
    done = sessionproof("prove", "--assume=outage", "--depth=2", limit)
    assert "not proved" in done.stdout
    assert "a limit was hit" in complaint(done)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prove", "--policy=CLERK"), "unknown policy 'CLERK' (known: CLERK_JS_6_0_0, "),
        (("prove", "--assume=storm"), "unknown assumption 'storm' (known: calm, "),
        (("matrix", "--invariant=never-sleeps"), "unknown invariant 'never-sleeps' (known: "),
    ],
)
def test_an_unknown_name_is_told_with_the_known_ones(words: tuple[str, ...], said: str) -> None:
    assert said in complaint(sessionproof(*words))


def test_a_counterexample_of_a_release_is_confirmed_on_its_build(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.7.1"])
    words = ("--assume=starvation,stale-after-expiry", f"--invariant={HEADLINE}")
    done = sessionproof("prove", "--policy=CLERK_JS_6_7_1", *words, "--confirm")
    assert done.returncode == 1, done.stderr
    assert "3 events, shortest, confirmed on clerk-js@6.7.1" in done.stdout


def test_what_a_build_does_not_do_is_not_confirmed(builds: dict[str, NodeTarget]) -> None:
    wrong = replace(POLICIES["CLERK_JS_6_7_4"], guard_expired_refresh=False)
    assumptions, target = assuming("starvation", "stale-after-expiry"), ModelTarget(CLERK, wrong)
    found = prove(target, Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]])
    ready(builds["6.7.4"])
    (judged,) = confirmed([found], lambda line: None)
    verdict = judged.verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    assert verdict.confirmed == "NOT CONFIRMED on clerk-js@6.7.4"


def test_the_matrix_is_printed_and_written(tmp_path: Path) -> None:
    done = sessionproof(
        "matrix",
        "--policy=CLERK_JS_6_7_1",
        "--policy=CLERK_JS_6_7_4",
        "--assume=starvation,stale-after-expiry",
        f"--invariant={HEADLINE}",
        "--invariant=foreground-recovers",
        f"--markdown={tmp_path}/matrix.md",
        f"--json={tmp_path}/matrix.json",
        f"--html={tmp_path}/pages",
        f"--traces={tmp_path}/traces",
    )
    assert done.returncode == 0, done.stderr
    assert "VIOLATED" in done.stdout
    (shortest,) = map(load, (tmp_path / "traces").iterdir())
    assert (shortest.target, shortest.invariant) == ("model@CLERK_JS_6_7_1", HEADLINE)
    assert f"traces  1 in {tmp_path}/traces" in done.stdout
    assert "| `CLERK_JS_6_7_1` | **VIOLATED**, 3 events, shortest |" in (tmp_path / "matrix.md").read_text()
    rows = json.loads((tmp_path / "matrix.json").read_text())
    assert {(row["target"], row["verdict"]) for row in rows if row["invariant"] == HEADLINE} == {
        ("model@CLERK_JS_6_7_1", "VIOLATED"),
        ("model@CLERK_JS_6_7_4", "proved"),
    }
    page = (tmp_path / "pages/index.html").read_text()
    linked = [path.name for path in (tmp_path / "pages").glob("*.html") if path.name != "index.html"]
    assert linked
    assert all(name in page for name in linked)


def test_a_violation_without_numbers_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that breaks the invariant in the graph, for which no lengths of time are found, is no proof."""
    name = "given-tokens-never-go-backwards"
    judged = [INVARIANTS[name]]
    found = prove(model("6.7.4"), Runtime.HEADLESS, assuming("calm"), judged)
    assert isinstance(found.verdicts[name], Violated)
    monkeypatch.setattr("properties.prove.prove.concrete", lambda *_: None)
    found = prove(model("6.7.4"), Runtime.HEADLESS, assuming("calm"), judged)
    assert isinstance(found.verdicts[name], HeldTo)
