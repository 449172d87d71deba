"""A device that goes offline and comes back, and a client that can look whether it is."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from model.app import ANY_APP, App
from model.assumptions.catalogue import ASSUMPTIONS, Assumption
from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken
from model.io import Called, CallSettled, ConnectionChanged
from model.requests import Outcome
from model.step import Span, enabled, permits
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, GoOffline, GoOnline
from model.world.facts import Sent, Settled
from model.world.possible import NotEnabled
from properties.campaign.shards import COUNTED, CampaignPlan
from properties.campaign.tally import as_markdown
from properties.campaign.totals import CellReport, Report
from properties.invariants.catalogue import INVARIANTS, default_invariants
from properties.invariants.causes import sentence
from properties.invariants.verdict import Cell, Findings
from properties.prove.canonical import state_of
from properties.prove.graph import Graph
from properties.prove.prove import Limits, _Search, one_call
from properties.prove.state import Memory, contains, split_instants
from properties.prove.successors import Problem
from properties.render.files import FORMATS
from properties.render.view import view
from properties.run import schema
from properties.run.counterexample import Counterexample, Found
from properties.run.lockstep import LockStep, conforms
from properties.run.run import Run, Violation
from properties.run.shrink import violates
from properties.run.variation import necessities
from properties.search.generate import kinds_of
from properties.system.event_kinds import brief
from properties.system.trace import Trace
from properties.targets.clerk.target import bundle_target, clerk_js_target
from properties.targets.model import ModelTarget
from tests.support import SECOND, Idle, assuming, explore, fresh, model, ready, run
from tests.test_driver import STUB

LIKE = Runtime.BROWSER_LIKE
NETWORK = {"the device loses the network", "the device has the network back"}

# -- the world ------------------------------------------------------------------------------------------------


def test_a_device_goes_offline_for_a_client_that_can_look_alone() -> None:
    outage = assuming("outage")
    may = [one for one in Runtime if permits(run(Idle(), runtime=one).system, outage, GoOffline())]
    assert may == [Runtime.BROWSER_LIKE, Runtime.BROWSER, Runtime.FRAME]
    assert may == [one for one in Runtime if one.sees_network]
    with pytest.raises(NotEnabled, match="headless does not say whether it is online"):
        run(model("6.40.0"), GoOffline())
    assert not permits(run(model("6.40.0"), runtime=LIKE).system, assuming("starvation"), GoOffline())


def test_offline_a_request_can_only_be_lost() -> None:
    ran = run(model("6.40.0"), GetToken(skip_cache=True), GoOffline(), runtime=LIKE)
    answers = enabled(ran.system, assuming("outage", "rotated-credential"), ANY_APP, like=Answer(1, Outcome.LOST))
    assert [*answers] == [Answer(1, Outcome.LOST)]
    with pytest.raises(NotEnabled, match="the device is offline: a request cannot end with 'granted'"):
        ran.play(Answer(1, Outcome.GRANTED))


@pytest.mark.parametrize(("first", "word"), [((), "online"), ((GoOffline(),), "offline")])
def test_what_is_so_already_does_not_happen_again(first: tuple[Event, ...], word: str) -> None:
    again = GoOffline() if first else GoOnline()
    with pytest.raises(NotEnabled, match=f"the device is {word} already"):
        run(model("6.40.0"), *first, again, runtime=LIKE)


def test_a_trace_ends_online() -> None:
    ran = run(model("6.40.0"), GetToken(skip_cache=True), GoOffline(), runtime=LIKE)
    ran.recover()
    assert not ran.world.offline
    assert [fact.error for fact in ran.facts if isinstance(fact, Settled)] == [None, None]


# -- the client, on builds and on the model ---------------------------------------------------------------------


@pytest.fixture(params=["6.0.0", "6.7.4", "6.40.0"])
def pair(request: pytest.FixtureRequest) -> Iterator[LockStep]:
    """A build in lock step with its model."""
    policy = policy_of(request.param)
    assert policy is not None
    build = ready(clerk_js_target(request.param, lambda line: None), LIKE)
    yield LockStep(build, ModelTarget(CLERK, policy))
    build.close()


SENT_OFFLINE = {"clerk-js@6.0.0": 1, "clerk-js@6.7.4": 0, "clerk-js@6.40.0": 4}
"""How many requests a call sends that misses the cache offline."""


def test_a_call_ends_in_the_offline_error_and_the_next_one_after_coming_back_in_a_token(pair: LockStep) -> None:
    ran = Run(pair, LIKE, assuming("outage"), [conforms(pair), *INVARIANTS.values()])
    ran.play(GoOffline())
    ran.play(GetToken(skip_cache=True))
    while ran.world.calls:
        if ran.world.requests:
            ran.play(Answer(ran.world.requests[0].request, Outcome.LOST))
        else:
            ran.play(Advance(min(timer.due for timer in ran.world.timers) - ran.world.now))
    sent = sum(isinstance(fact, Sent) for fact in ran.facts)
    assert sent == SENT_OFFLINE[pair.name]
    assert ran.world.now <= 15 * SECOND
    for event in (GoOnline(), GetToken(skip_cache=True), Answer(sent + 1, Outcome.GRANTED)):
        ran.play(event)
    ended = [(fact.error, fact.healthy) for fact in ran.facts if isinstance(fact, Settled)]
    assert ended == [("offline", False), (None, True)]


def test_what_a_server_has_refused_is_hidden_by_being_offline_until_6_40_0(pair: LockStep) -> None:
    """And a GET that was first sent online is sent again three times, not ten: 2.2 s."""
    ran = Run(pair, LIKE, assuming("outage", "rotated-credential"), [conforms(pair), *INVARIANTS.values()])
    ran.play(GetToken(skip_cache=True))
    ran.play(Answer(1, Outcome.UNAUTHORIZED))
    ran.play(GoOffline())
    for request, wait in ((2, 100), (3, 700), (4, 1_400)):
        ran.play(Answer(request, Outcome.LOST))
        ran.play(Advance(wait))
    ran.play(Answer(5, Outcome.LOST))
    (ended,) = [fact.error for fact in ran.facts if isinstance(fact, Settled)]
    assert ended == ("api-401" if pair.name == "clerk-js@6.40.0" else "offline")
    assert ran.world.signed_in


@pytest.mark.parametrize(
    ("runtime", "seen"), [(LIKE, ["true", "false", "true"]), (Runtime.HEADLESS, ["undefined"] * 3)]
)
def test_a_navigator_follows_the_network_if_it_says_anything(
    tmp_path: Path, runtime: Runtime, seen: list[str]
) -> None:
    path = tmp_path / "stub.js"
    path.write_text(STUB % "return Promise.reject(Object.assign(new Error(), { code: `${navigator.onLine}` }))")
    target = fresh(bundle_target(path), runtime)
    for call, said in enumerate(seen, 1):
        assert target.feed(Called(call, GetToken()), 0) == (CallSettled(call, None, said),)
        target.feed(ConnectionChanged(online=call == 2), 0)
    anew = fresh(target, runtime).feed(Called(1, GetToken()), 0)
    assert anew == (CallSettled(1, None, seen[0]),), "a fresh navigator"
    target.close()


# -- the engines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "runtime", "used"),
    [("outage", LIKE, True), ("outage", Runtime.HEADLESS, False), ("starvation,revocation", LIKE, False)],
)
def test_the_search_turns_the_network_off_and_on_where_it_may(names: str, runtime: Runtime, used: bool) -> None:
    kinds = {kind.name for kind in kinds_of(assuming(*names.split(",")), App(CLERK.operations), runtime)}
    assert kinds & NETWORK == (NETWORK if used else set())


def test_a_run_says_that_it_never_went_offline_only_where_it_could() -> None:
    never, name = {}, "the device offline"
    for runtime in (LIKE, Runtime.HEADLESS):
        cell = Cell("model", runtime, assuming("outage"))
        never[runtime] = name in Findings(cell, {}, 0, {}, 0.0).unused
        counts: dict[str, dict[str, int]] = {counted: {} for counted in COUNTED}
        tried = CellReport("model", cell.assumptions, {}, (), 0, 0, counts, 0.0)
        counted = as_markdown(Report(CampaignPlan(1, (), (), runtime, ()), (tried,), Path()))
        assert (f"| {name} | NEVER |" in counted) is never[runtime]
    assert never == {LIKE: True, Runtime.HEADLESS: False}
    found = explore(model("6.40.0"), "outage", traces=20, runtime=LIKE, judging=["valid-session-survives"])
    assert name not in found.unused


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> str:
    """An assumption under which the device may be offline, and nothing else goes wrong: its graph is small."""
    offline = Assumption("away", "The device is offline.", events=(GoOffline(),))
    monkeypatch.setitem(ASSUMPTIONS, "away", offline)
    return "away"


def test_being_offline_breaks_nothing_and_random_traces_stay_within_the_closed_graph(away: str) -> None:
    assumptions, target, app = assuming(away), model("6.40.0"), one_call(CLERK)
    graph = Graph()
    problem = Problem(target, LIKE, assumptions, app, Memory.needed(assumptions, app, history=True))
    search = _Search(problem, Limits(depth=1000), lambda line: None)
    judged = [
        name for name in default_invariants(LIKE) if name != "refresh-chain-survives"
    ]  # a lost refresh ends it
    search.explore(graph, [INVARIANTS[name] for name in judged], hull=True)
    assert graph.closed
    assert not graph.broken
    of_shape: dict[object, list[int]] = {}
    for number, state in enumerate(graph.states):
        of_shape.setdefault(split_instants(state)[0], []).append(number)
    draw, offline = random.Random(1), 0
    for _ in range(40):
        ran = Run(target, LIKE, assumptions, ())
        for _ in range(25):
            ran.play(_something(ran, draw))
            here = state_of(CLERK, (ran.system, target.client), problem.memory)
            candidates = of_shape.get(split_instants(here)[0], [])
            assert any(contains(graph.states[number], here) for number in candidates), ran.events
            offline += ran.world.offline and bool(ran.world.calls)
    assert offline > 50


def _something(ran: Run, draw: random.Random) -> Event:
    now = enabled(ran.system, ran.assumptions, one_call(CLERK))
    options: list[Event] = [one for one in now if not isinstance(one, Span)]
    passing: list[Event] = [Advance(draw.choice([1, 3, 5, 17, 43, 61]) * SECOND), Advance(SECOND)]
    return draw.choice([*options, *(event for event in passing if ran.permits(event))])


# -- the reports ----------------------------------------------------------------------------------------------

EVENTS: dict[str, tuple[Event, ...]] = {
    "6.7.4": (GoOffline(), GetToken(skip_cache=True), Advance(15 * SECOND)),
    "6.40.0": (
        *(
            GetToken(skip_cache=True),
            GoOffline(),
            Answer(1, Outcome.LOST),
            Advance(3_000),
            Answer(2, Outcome.LOST),
        ),
        *(Advance(4_650), Answer(3, Outcome.LOST), Advance(7_207), Answer(4, Outcome.LOST)),
    ),
}


def silent(release: str, patch: pytest.MonkeyPatch) -> Violation:
    """A call that ends without a word of being offline."""
    patch.setattr("model.clerk.session.OFFLINE_ERROR", "Error")
    name = "offline-is-not-signed-out"
    trace = Trace(f"model@{release}", LIKE, assuming("outage"), EVENTS[release], name)
    found = violates(trace, model(release), INVARIANTS[name])
    assert found is not None
    return found


def test_a_counterexample_tells_of_the_network_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = silent("6.7.4", monkeypatch)
    found = Counterexample(violation.trace, violation.played, Found({}))
    assert str(found.trace) == "goOffline() -> getToken(skipCache) -> advance(15 s)"
    assert brief(GoOnline()) == "goOnline()"
    assert sentence(found.facts).endswith("call 1 ended with the error 'Error', on a device that is offline.")
    shown = view(found)
    first = shown.moments[0]
    assert (first.lane, first.text) == ("OS", "takes the network away: the device is offline")
    texts = {name: render(found) for name, render in FORMATS.items()}
    assert all(texts.values())
    document = json.loads(str(texts["json"]))
    jsonschema.Draft202012Validator(schema.schema()).validate(document)
    assert [event["event"] for event in document["events"]] == ["GoOffline", "GetToken", "Advance"]
    assert "none: the device is offline" in str(texts["html"])
    assert "await connect(false, 'takes the network away: the device is offline');" in str(texts["repro"])


def test_no_other_answer_is_tried_on_a_device_that_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = silent("6.40.0", monkeypatch)
    needs = necessities(violation, model("6.40.0"), INVARIANTS[str(violation.trace.invariant)])
    assert {need.parameter for need in needs} == {"call", "length"}
