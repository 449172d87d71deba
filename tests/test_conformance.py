"""The model and the shipped builds: step by step the same, and the same verdict in each cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from msgspec.structs import replace

from model.clerk import session
from model.clerk.policy import CLERK_JS_6_7_4, Policy, policy_of
from model.clerk.sdk import CLERK
from model.clerk.state import Entry, Turn
from model.clerk.terms import TIMINGS, GetToken, SwitchOrganization
from model.requests import Endpoint, Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, FreezeKind
from model.world.facts import Fact, Settled, Uncaught
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Findings, Held, Violated
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.run import Run, Violation
from properties.search import generate
from properties.search.search import search
from properties.system.fact_kinds import facts_of
from properties.system.target import Target
from properties.system.trace import load
from properties.targets.clerk.target import clerk_js_target
from properties.targets.model import ModelTarget
from properties.targets.names import built_in, make_target
from properties.targets.node_target import NodeTarget
from tests.support import (
    HEADLINE,
    RELEASES,
    ROOT,
    assuming,
    complaint,
    explore,
    model,
    of_kind,
    ready,
    run,
    sessionproof,
)

CORPUS = sorted((ROOT / "properties" / "targets" / "clerk" / "corpus").glob("*.json"))
EVERY_RELEASE = (
    "6.0.0",
    "6.1.0",
    "6.3.1",
    "6.3.2",
    "6.3.3",
    "6.7.1",
    "6.7.4",
    "6.23.0",
    "6.24.0",
    "6.27.1",
    "6.28.1",
    "6.34.1",
    "6.40.0",
)
"""Both sides of every release with which a policy changes, as far as npm has them, and one in between."""

EVERYTHING = (
    "starvation",
    "stale-for-good",
    "stale-on-arrival",
    "rotated-credential",
    "outage",
    "locked-keychain",
    "revocation",
    "restart",
)

OTHERWISE = ("stale-edge", "clock-skew", "outage", "restart")


def compared(build: NodeTarget, policy: Policy, *assumptions: str, traces: int, runtime: Runtime) -> Findings:
    """Random traces on a build and on the model of a policy, in lock step."""
    pair = LockStep(build, ModelTarget(CLERK, policy))
    cell = Cell(build.name, runtime, assuming(*assumptions))
    profile = settings(max_examples=traces, derandomize=True, database=None, stateful_step_count=30)
    return search(pair, cell, [conforms(pair)], profile)


@pytest.mark.parametrize(
    ("release", "runtime"),
    [
        pytest.param(release, runtime, marks=[pytest.mark.slow] * (release not in RELEASES))
        for runtime, releases in (
            (Runtime.HEADLESS, EVERY_RELEASE),
            (Runtime.BROWSER_LIKE, ("6.0.0", "6.3.3", "6.7.4", "6.24.0", "6.40.0")),
        )
        for release in releases
    ],
)
def test_model_and_build_agree_step_by_step(release: str, runtime: Runtime) -> None:
    policy = policy_of(release)
    assert policy is not None
    build = clerk_js_target(release, lambda line: None)
    try:
        found = compared(ready(build), policy, *EVERYTHING, traces=60, runtime=runtime)
        stale = compared(build, policy, *OTHERWISE, traces=25, runtime=runtime)
    finally:
        build.close()
    assert isinstance(found.verdicts[CONFORMS], Held)
    assert found.traces >= 60
    assert not isinstance(stale.verdicts[CONFORMS], Violated)  # where nothing is sent, no edge answers
    assert stale.traces >= 25


@pytest.mark.parametrize(("outcome", "uncaught"), [(Outcome.GATEWAY_PAGE, False), (Outcome.RATE_LIMITED, True)])
def test_a_question_that_brings_nothing_ends_well_while_an_sdk_takes_itself_for_offline(
    outcome: Outcome, uncaught: bool
) -> None:
    """The question after a 401 to the touch of setActive, for which nobody waits; as on 6.0.0 to 6.3.1."""
    build = ready(clerk_js_target("6.3.1", lambda line: None))
    policy = policy_of("6.3.1")
    assert policy is not None
    refused = (SwitchOrganization("org_b"), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.GATEWAY_PAGE))
    try:
        pair = LockStep(build, ModelTarget(CLERK, policy))
        ran = run(pair, *refused, Answer(3, outcome))
        assert not pair.difference
    finally:
        build.close()
    assert bool(of_kind(Uncaught, ran.facts)) is uncaught


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "traces"), [(Runtime.BROWSER_LIKE, 200), (Runtime.BROWSER, 25)])
def test_the_guard_is_headless_only(builds: dict[str, NodeTarget], runtime: Runtime, traces: int) -> None:
    """Differential: on another runtime the release with the guard does what the one without it did."""
    ready(builds["6.7.4"], runtime)
    assume = "--assume=starvation,stale-after-expiry,outage,stale-edge,clock-skew,revocation,restart"
    words = ("conform", "--target=clerk-js@6.7.4", "--against=clerk-js@6.7.1", assume, f"--traces={traces}")
    elsewhere = sessionproof(*words, f"--runtime={runtime}")
    assert elsewhere.returncode == 0, elsewhere.stdout + elsewhere.stderr
    assert f"{runtime}  agrees" in re.sub(" +", "  ", elsewhere.stdout)


def test_headless_the_guard_makes_a_difference(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.7.4"])
    headless = sessionproof("conform", "--target=clerk-js@6.7.4", "--against=clerk-js@6.7.1", "--traces=120")
    assert headless.returncode == 1
    assert "clerk-js@6.7.4 and clerk-js@6.7.1 differ, in the last of these" in headless.stdout


@pytest.mark.parametrize(
    "outcome", [Outcome.LOST, Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.UNAUTHORIZED]
)
@pytest.mark.parametrize("release", RELEASES)
def test_a_call_that_fails_to_the_end_fails_alike(
    builds: dict[str, NodeTarget], release: str, outcome: Outcome
) -> None:
    """Nine failures in a row: random traces seldom get so far."""
    pair = LockStep(ready(builds[release]), model(release))
    run = Run(pair, Runtime.HEADLESS, assuming("outage", "rotated-credential"), [conforms(pair)])
    run.play(GetToken(skip_cache=True))
    while run.world.calls:
        if run.world.requests:
            request = run.world.requests[0]
            honest = run.world.honest(request.endpoint)
            run.play(Answer(request.request, outcome if request.endpoint is Endpoint.MINT else honest))
        else:
            run.play(Advance(min(timer.due for timer in run.world.timers) - run.world.now))
    (ended,) = [fact for fact in run.facts if isinstance(fact, Settled)]
    assert ended.error


def guard_at_expiry_too(patch: pytest.MonkeyPatch) -> Policy:
    """`>=` for `>` in the guard."""

    def wrong(turn: Turn, entry: Entry) -> bool:
        token = turn.client.last_active(entry.holder)
        guarded = turn.client.runtime is Runtime.HEADLESS and turn.client.policy.guard_expired_refresh
        return guarded and token is not None and turn.at >= token.expires * 1000

    patch.setattr(session, "_guarded", wrong)
    return CLERK_JS_6_7_4


def refresh_a_second_later(_patch: pytest.MonkeyPatch) -> Policy:
    """14 s for 15 s in the threshold."""
    return replace(CLERK_JS_6_7_4, timings=replace(TIMINGS, lead=16))


def read_cutoff_a_second_earlier(_patch: pytest.MonkeyPatch) -> Policy:
    """6 s for 5 s left in the cache."""
    return replace(CLERK_JS_6_7_4, timings=replace(TIMINGS, cutoff=6))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(guard_at_expiry_too, marks=pytest.mark.slow),
        refresh_a_second_later,
        pytest.param(read_cutoff_a_second_earlier, marks=pytest.mark.slow),
    ],
)
def test_a_one_line_edit_of_the_model_is_noticed(
    builds: dict[str, NodeTarget],
    edit: Callable[[pytest.MonkeyPatch], Policy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = ready(builds["6.7.4"])
    found = compared(build, edit(monkeypatch), "starvation", traces=1000, runtime=Runtime.HEADLESS)
    verdict = found.verdicts[CONFORMS]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) <= 8
    assert "the build" in str(verdict.trace.why)
    assert verdict.trace.path.is_file()


@pytest.mark.slow
def test_a_difference_is_shown_side_by_side_and_replayed_from_its_file(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.7.4"])
    words = ("conform", "--target=clerk-js@6.7.4", "--policy=CLERK_JS_6_7_1", "--traces=200")
    done = sessionproof(*words, "--assume=starvation")
    assert done.returncode == 1, done.stderr
    assert re.search(r"does +nothing +sends request 1 for mint\b", done.stdout)
    again = re.findall(r"again   sessionproof (.*)", done.stdout)
    replayed = sessionproof(*again[0].split())
    assert replayed.returncode == 1, replayed.stderr
    other = sessionproof("conform", "--policy=CLERK_JS_6_7_4", again[0].split()[-1])
    assert other.returncode == 0, other.stderr
    assert "agree" in other.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("conform", "--target=model"), "model is a model: name a build"),
        (("conform", "--target=clerk-js@5.128.0"), "no policy describes clerk-js@5.128.0"),
        (("conform", "--target=clerk-js@6.7.4", "--assume=rain"), "unknown assumption 'rain' (known: calm"),
        (("conform", "missing.json"), "missing.json"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(words: tuple[str, ...], said: str) -> None:
    assert said in complaint(sessionproof(*words))


@pytest.mark.parametrize("kind", FreezeKind)
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["model", "build"])
def test_the_fixed_release_holds_where_the_one_before_falls(
    builds: dict[str, NodeTarget], real: bool, kind: FreezeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attribution: under either kind of freeze, only what the background did counts, and only on 6.7.1."""
    monkeypatch.setattr(generate, "FREEZE_KINDS", (kind,))
    verdicts = {}
    for release in RELEASES:
        target = ready(builds[release]) if real else model(release)
        verdicts[release] = explore(
            target, "starvation", "stale-after-expiry", traces=100, judging=[HEADLINE]
        ).verdicts[HEADLINE]
    assert isinstance(verdicts["6.7.1"], Violated)
    assert len(verdicts["6.7.1"].trace.events) <= 4
    assert isinstance(verdicts["6.7.4"], Held)
    assert isinstance(verdicts["6.40.0"], Held)


def replayed(trace_file: Path, target: Target) -> tuple[str | None, tuple[Fact, ...]]:
    """The invariant that the trace breaks on the target, and what was seen."""
    trace = load(trace_file)
    run = Run(target, trace.runtime, trace.assumptions, [INVARIANTS[str(trace.invariant)]])
    try:
        for event in trace.events:
            assert run.permits(event), f"{event!r} is not permitted"
            run.play(event)
    except Violation as violation:
        return violation.trace.invariant, facts_of(violation.played)
    return None, run.facts


@pytest.mark.parametrize("trace_file", built_in().proved_traces, ids=lambda path: path.stem)
def test_each_counterexample_of_the_matrix_still_happens_on_its_model(trace_file: Path) -> None:
    """A gate replays those of a world that its cell assumes."""
    trace = load(trace_file)
    broken, _ = replayed(trace_file, make_target(trace.target, lambda line: None))
    assert broken == trace.invariant


@pytest.mark.parametrize("trace_file", CORPUS, ids=lambda path: path.stem)
def test_each_finding_in_the_corpus_still_happens_on_its_build(trace_file: Path) -> None:
    trace = load(trace_file)
    target = make_target(trace.target, lambda line: None)
    assert isinstance(target, NodeTarget)
    try:
        broken, _ = replayed(trace_file, ready(target, trace.runtime))
    finally:
        target.close()
    assert broken == trace.invariant
