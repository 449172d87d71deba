"""The identity of a violation: the same whatever the lengths of time, another for another cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import settings
from msgspec.structs import replace

from model.clerk.terms import GetToken
from model.io import Output
from model.requests import Outcome
from model.terms import Runtime, Token
from model.world.events import Advance, Answer, Event, Freeze
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS
from properties.invariants.identity import Cause, difference, explains
from properties.invariants.verdict import Cell, Findings, Held, Verdict, Violated
from properties.run import known as expectations
from properties.run.distinct import NOTHING, Known, simpler
from properties.run.known import Finding
from properties.run.run import Violation
from properties.run.shrink import violates
from properties.search.gate import judge, replay_together
from properties.search.search import search
from properties.system.event_kinds import parsed
from properties.system.trace import Trace, load
from properties.targets.model import ModelTarget
from properties.targets.names import built_in
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, HOUR, MINUTE, ROOT, SECOND, SEED_CAUSE, assuming, model, ready

CORPUS = ROOT / "properties" / "targets" / "clerk" / "corpus"
ON_ARRIVAL = ("starvation", "stale-on-arrival")
IN_FLIGHT = (
    "a timer",
    "mint in the background: unauthorized",
    "expired in flight",
    "introspect in the background: no-session",
    "signed out in the background",
)
"""The cause of the gap that the guard of #8303 leaves: the request was sent in time, and frozen."""

LIES = (Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))


def later(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """These answers, after one more request."""
    return tuple(replace(one, request=one.request + 1) for one in answers)


FROZEN_IN_FLIGHT = (Advance(43 * SECOND), Freeze(61 * SECOND), *LIES)


def played(target: ModelTarget, *events: Event, assumptions: Sequence[str] = ON_ARRIVAL) -> Trace:
    trace = Trace(target.name, Runtime.HEADLESS, assuming(*assumptions), events)
    violation = violates(trace, target, INVARIANTS[HEADLINE])
    assert violation is not None
    return violation.trace


# -- the identity -------------------------------------------------------------------------------------------


def test_the_two_causes_of_a_sign_out_are_told_apart() -> None:
    late, in_flight = played(model("6.7.1"), Freeze(8 * HOUR), *LIES), played(model("6.7.1"), *FROZEN_IN_FLIGHT)
    assert late.cause == SEED_CAUSE
    assert in_flight.cause == IN_FLIGHT
    assert not explains(late.cause, in_flight.cause)
    assert not explains(in_flight.cause, late.cause)
    assert difference(IN_FLIGHT, SEED_CAUSE).only_new == ("expired before it was sent",)
    assert difference(IN_FLIGHT, SEED_CAUSE).only_known == ("expired in flight",)


@pytest.mark.parametrize(
    "events",
    [
        (Freeze(61 * SECOND), *LIES),
        (Freeze(9 * MINUTE), *LIES),
        (Advance(10 * SECOND), Freeze(61 * SECOND), *LIES),
        (GetToken(), Freeze(HOUR), *LIES),
        (Advance(43 * SECOND), Answer(1, Outcome.GRANTED), Freeze(HOUR), *later(LIES)),
    ],
)
def test_lengths_and_detours_leave_a_defect_what_it_is(events: tuple[Event, ...]) -> None:
    assert explains(SEED_CAUSE, played(model("6.7.1"), *events).cause)


def test_a_model_and_its_build_have_the_same_identity(builds: dict[str, NodeTarget]) -> None:
    build = ready(builds["6.40.0"])
    trace = played(model("6.40.0"), *FROZEN_IN_FLIGHT)
    again = violates(replace(trace, target=build.name), build, INVARIANTS[HEADLINE])
    assert again is not None
    assert again.trace.cause == trace.cause


GIVEN, CHAIN, ONE = "given-tokens-never-go-backwards", "refresh-chain-survives", "one-refresh-at-a-time"
NECESSARY: dict[str, tuple[str, str, str, str, Cause]] = {
    "a fetch that is refused before the token of another comes": (
        *("6.40.0", "refused-credential", CHAIN),
        "getToken skipCache; getToken skipCache; answer 2 401; answer 1 granted",
        ("mint in the foreground: unauthorized", "another answer meanwhile", "a call gets a token"),
    ),
    "a touch that takes the place of a fetch": (
        *("6.7.4", "calm", GIVEN),
        "touch; getToken skipCache; answer 1 session; advance 1s; answer 2 granted; getToken",
        ("another answer meanwhile", "a call gets a token"),
    ),
    "a template's token, which has a place for each organization": (
        *("6.40.0", "calm", GIVEN),
        "getToken template=api; answer 1 granted; setActive org_b; getToken template=api; advance 5s; "
        "answer 3 granted; setActive personal; getToken template=api",
        ("setActive", "a call gets a token", "of another kind"),
    ),
    "a switch between the fetches that are refreshed": (
        *("6.40.0", "calm", ONE),
        "getToken organization=org_b; setActive org_b; answer 2 session; setActive personal; answer 1 granted; "
        "getToken skipCache; answer 3 session; answer 4 granted; advance 43s",
        ("setActive", "a timer", "mint in the background"),
    ),
    "a clock that is set wrong twice": (
        *("6.40.0", "clock-skew", CHAIN),
        "setClock 1h ahead; advance 43s; setClock 1h behind; getToken",
        ("a clock ahead", "a timer", "sends nothing", "a clock behind", "a call gets a token"),
    ),
    "a fetch after the last token has expired": (
        *("6.40.0", "starvation", CHAIN),
        "freeze 61s; getToken organization=personal; answer 1 granted; advance 43s; getToken",
        ("expired before it was sent", "a timer", "sends nothing", "a call gets a token"),
    ),
}
"""What is necessary for a violation: the release, assumptions, invariant and events, and the cause."""


@pytest.mark.parametrize(
    ("release", "assumed", "invariant", "events", "cause"), NECESSARY.values(), ids=NECESSARY
)
def test_a_cause_names_what_is_necessary(
    release: str, assumed: str, invariant: str, events: str, cause: Cause
) -> None:
    """Without that mark, the known finding would explain what other defects do to the same token."""
    target = model(release)
    story = tuple(map(parsed, events.split("; ")))
    trace = Trace(target.name, Runtime.HEADLESS, assuming(assumed), story)
    violation = violates(trace, target, INVARIANTS[invariant])
    assert violation
    assert violation.trace.events == story
    assert violation.trace.cause == cause


@pytest.mark.parametrize("seed", range(4))
def test_a_search_from_another_seed_finds_the_same_identity(seed: int) -> None:
    assert _searched("6.7.1", seed=seed).cause == SEED_CAUSE


def _searched(release: str, seed: int) -> Trace:
    target = model(release)
    cell = Cell(target.name, Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"))
    profile = settings(max_examples=300, database=None, stateful_step_count=30)
    verdict = search(target, cell, [INVARIANTS[HEADLINE]], profile, seed=seed).verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    return verdict.trace


# -- the search for another cause ---------------------------------------------------------------------------

PROFILE = settings(max_examples=300, derandomize=True, database=None, stateful_step_count=15)


def searched(release: str, known: Known = NOTHING, most: int = 1) -> Verdict:
    target = model(release)
    cell = Cell(target.name, Runtime.HEADLESS, assuming(*ON_ARRIVAL))
    found = search(target, cell, [INVARIANTS[HEADLINE]], PROFILE, known=known, most=most)
    return found.verdicts[HEADLINE]


def test_a_known_cause_hides_no_other_one_and_no_trace_shrinks_into_it() -> None:
    verdict = searched("6.7.1", {HEADLINE: [IN_FLIGHT]})
    assert isinstance(verdict, Violated)
    assert verdict.trace.cause == SEED_CAUSE
    assert len(verdict.trace.events) == 3


def test_with_the_guard_only_the_known_cause_is_left() -> None:
    assert isinstance(searched("6.40.0", {HEADLINE: [IN_FLIGHT]}), Held)


def test_every_cause_is_found_where_several_are_wanted() -> None:
    found = searched("6.7.1", most=9)
    assert isinstance(found, Violated)
    assert {one.trace.cause for one in found.each} == {SEED_CAUSE, IN_FLIGHT}
    assert len({one.trace.path for one in found.each}) == 2
    assert all(one.trace.path.is_file() for one in found.each)


def test_a_search_for_one_cause_shrinks_its_violation_into_no_other() -> None:
    """It did, found that it was not what was searched for, and began again without end."""
    trace, target = load(built_in().corpus / "clock-behind-6.40.0.json"), model("6.40.0")
    invariant = INVARIANTS[str(trace.invariant)]
    known = violates(replace(trace, target=target.name), target, invariant)
    assert known is not None
    cause = known.trace.cause
    cell = Cell(target.name, trace.runtime, trace.assumptions)
    verdict = search(target, cell, [invariant], PROFILE, seed=3, aim=cause).verdicts[invariant.id]
    assert isinstance(verdict, Violated)
    assert explains(cause, verdict.trace.cause)


def test_a_search_for_several_causes_plays_no_trace_twice_and_misses_none() -> None:
    target = model("6.7.1")
    cell = Cell(target.name, Runtime.HEADLESS, assuming(*ON_ARRIVAL))
    found = search(target, cell, [INVARIANTS[HEADLINE]], PROFILE, most=9)
    assert found.traces == PROFILE.max_examples
    verdict = found.verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    causes = [one.trace.cause for one in verdict.each]
    assert len(causes) == 2
    again = search(target, cell, [INVARIANTS[HEADLINE]], PROFILE, known={HEADLINE: causes})
    assert isinstance(again.verdicts[HEADLINE], Held)
    assert (again.traces, again.reached) == (found.traces, found.reached)


def test_shrinking_goes_by_the_same_marks_or_fewer() -> None:
    late, in_flight = (
        violates(played(model("6.7.1"), *events), model("6.7.1"), INVARIANTS[HEADLINE])
        for events in ((Freeze(8 * HOUR), *LIES), FROZEN_IN_FLIGHT)
    )
    assert late
    assert in_flight
    detour = replace(late.trace, cause=("a restart", *late.trace.cause))
    counts = simpler(Violation(detour, late.played), NOTHING)
    assert counts(late)
    assert not counts(in_flight)
    assert not simpler(late, {HEADLINE: [SEED_CAUSE]})(late)


# -- the gate of a cell -------------------------------------------------------------------------------------

HANDED_OUT = "token-handed-out-is-valid"
CLOCK_BEHIND = ("a clock behind", "a call gets an expired token")


def judged(release: str, assumption: str, *known: Finding, traces: int = 20) -> Findings:
    """A gate that hardly searches."""
    target = model(release)
    cell = Cell(target.name, Runtime.HEADLESS, assuming(*assumption.split(",")))
    profile = settings(PROFILE, max_examples=traces)
    return judge(target, cell, [INVARIANTS[HANDED_OUT], INVARIANTS[HEADLINE]], known, [profile])


def of(release: str, cause: tuple[str, ...], trace: str = "", invariant: str = HANDED_OUT) -> Finding:
    path = str(CORPUS / f"{trace}.json") if trace else ""
    return Finding((model(release).name,), "*", (invariant,), cause, reason="known", trace=path)


@pytest.mark.parametrize(("release", "happens"), [("6.40.0", True), ("6.7.4", False)])
def test_a_known_finding_is_replayed_before_anything_is_searched(release: str, happens: bool) -> None:
    """What 6.40.0 does where the device's clock is wrong. 6.7.4 never did."""
    finding = of(release, CLOCK_BEHIND, "clock-behind-6.40.0")
    found = judged(release, "clock-skew", finding)
    known = [one for one in found.violations if one.accepted]
    assert [one.accepted for one in known] == ["known"] * happens
    assert all(one.replayed and one.trace.path.is_file() for one in known)
    assert expectations.gone(found, HANDED_OUT, [finding]) == [finding] * (not happens)


def test_what_other_releases_broke_is_replayed_too() -> None:
    """A branch that lost the guard: no trace of its own list has that."""
    in_flight = of("6.7.1", IN_FLIGHT, "frozen-in-flight-6.40.0", HEADLINE)
    found = judged("6.7.1", ",".join(ON_ARRIVAL), in_flight, traces=1)
    (new,) = (one for one in found.violations if one.accepted is None and one.trace.invariant == HEADLINE)
    assert new.replayed
    assert new.trace.cause == SEED_CAUSE
    assert str(new.trace) == "freeze(1 min 1 s) -> answer(1, unauthorized) -> answer(2, no-session)"
    near = expectations.nearest(new.trace, [in_flight])
    assert near
    assert near[1] == difference(IN_FLIGHT, SEED_CAUSE)


def test_a_finding_whose_trace_leads_elsewhere_is_met_by_the_search() -> None:
    """The trace of another defect, say, after a release in which requests come in another order."""
    finding = of("6.7.1", SEED_CAUSE, "clock-behind-6.40.0", HEADLINE)
    target = model("6.7.1")
    cell = Cell(target.name, Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"))
    found = search(target, cell, [INVARIANTS[HEADLINE]], PROFILE, known={HEADLINE: [finding.cause]})
    assert isinstance(found.verdicts[HEADLINE], Held)
    (met,) = found.met[HEADLINE]
    assert finding.has(met.trace)


def test_of_two_known_traces_the_shorter_one_is_told() -> None:
    short = load(CORPUS / "another-organization-6.40.0.json")
    long = replace(short, events=(Advance(1000), *short.events), invariant="longer")
    cause = ("setActive", "a timer", "a call gets another token")
    findings = [replace(of("6.40.0", cause), trace=str(trace.save())) for trace in (long, short)]
    (known,) = judged("6.40.0", "calm", *findings).violations
    assert known.trace.events == short.events


# -- known traces, replayed together -------------------------------------------------------------------------


@pytest.mark.parametrize("assumptions", [("stale-edge",), ("outage", "rotated-credential")])
def test_traces_that_are_replayed_together_show_what_each_shows_alone(
    assumptions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends where another goes on is not started for itself."""
    target, judged = model("6.40.0"), [INVARIANTS[name] for name in DEFAULT_INVARIANTS]
    known = [replace(load(path), target=target.name) for path in built_in().known_traces]
    traces = [replace(one, assumptions=assuming(*assumptions), runtime=Runtime.HEADLESS) for one in known]
    starts: list[Runtime] = []
    seen: set[tuple[str | None, Cause, int]] = set()

    def started(runtime: Runtime, token: Token) -> tuple[Output, ...]:
        starts.append(runtime)
        return ModelTarget.start(target, runtime, token)

    def note(violation: Violation) -> bool:
        seen.add((violation.trace.invariant, violation.trace.cause, len(violation.played)))
        return False

    monkeypatch.setattr(target, "start", started)
    for trace in traces:
        violates(trace, target, *judged, counts=note)
    alone = {*seen}
    seen.clear()
    starts.clear()
    replay_together(traces, target, judged, note)
    assert seen == alone != set()
    assert len(starts) < len(traces) / 2
