"""The app starts, and what it asks for while it loads is in flight: late, refused, lost, hanging."""

from __future__ import annotations

from contextlib import closing

import pytest
from msgspec.structs import replace

from model.clerk import loading
from model.clerk.sdk import CLERK
from model.clerk.state import Flight, Purpose, Turn
from model.clerk.terms import GetToken
from model.operations import Load
from model.requests import Endpoint, Outcome
from model.step import permits
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, GoOffline, LockKeychain, Revoke, StartApp, UnlockKeychain
from model.world.facts import Loaded, Sent, SessionDropped, SessionRegained, Settled
from model.world.possible import NotEnabled
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.causes import cause_sentence
from properties.invariants.verdict import Cell, Proved, Violated
from properties.prove.prove import Limits, one_call, prove
from properties.run.run import Run, Violation
from properties.run.shrink import violates
from properties.search.search import search
from properties.system.trace import load
from properties.targets.clerk.adapter import CLERK_ADAPTER
from properties.targets.clerk.expo import ExpoTarget
from properties.targets.node_target import NodeTarget
from tests.support import (
    HEADLINE,
    MINUTE,
    SECOND,
    assuming,
    explore,
    in_lock_step,
    judged,
    model,
    of_kind,
    profile_of,
    run,
)

SETTINGS, SESSION, BROKEN, LOST = Outcome.SETTINGS, Outcome.SESSION, Outcome.BROKEN, Outcome.LOST
STARTED = (StartApp(), Answer(1, SETTINGS), Answer(2, SESSION))
FAILED = (StartApp(), Answer(1, BROKEN))
"""The other request is still in flight."""


def loads(ran: Run) -> list[tuple[str | None, bool]]:
    """How each load() ended: with which error, and with a session or not."""
    return [(fact.error, fact.signed_in) for fact in ran.facts if isinstance(fact, Loaded)]


# -- what a start is -----------------------------------------------------------------------------------------


def test_a_start_asks_for_two_things_and_ends_with_the_later_answer() -> None:
    ran = run(model("6.40.0"), *STARTED[:2])
    assert [fact.endpoint for fact in ran.facts if isinstance(fact, Sent)] == [
        Endpoint.CONFIGURE,
        Endpoint.INTROSPECT,
    ]
    assert not ran.world.signed_in and not loads(ran)
    with pytest.raises(NotEnabled, match="the SDK has not loaded: there is no session to call getToken on"):
        ran.play(GetToken())
    ran.play(STARTED[2])
    assert ran.world.signed_in and loads(ran) == [(None, True)]
    assert len(of_kind(SessionRegained, ran.facts)) == 1
    ran.play(GetToken())
    assert [fact.token for fact in ran.facts if isinstance(fact, Settled)] == [ran.world.token]
    with pytest.raises(NotEnabled, match="the SDK has loaded: to load it again does nothing"):
        ran.play(Load())


@pytest.mark.parametrize("request_number", [1, 2])
def test_one_failure_ends_a_start_which_is_no_sign_out_and_can_be_tried_again(request_number: int) -> None:
    ran = judged(model("6.40.0"), StartApp(), Answer(request_number, BROKEN))
    assert loads(ran) == [("api-500", False)]
    assert not of_kind(SessionDropped, ran.facts)
    for event in (Load(), Answer(3, SETTINGS), Answer(4, SESSION)):
        ran.play(event)
    assert loads(ran) == [("api-500", False), (None, True)]


def test_a_401_while_it_loads_asks_nothing_more() -> None:
    ran = run(model("6.40.0"), StartApp(), Answer(2, Outcome.UNAUTHORIZED))
    assert loads(ran) == [("api-401", False)]
    assert [request.request for request in ran.world.requests] == [1]


def test_a_lost_get_is_sent_again_before_load_fails() -> None:
    lost: list[Event] = [Answer(1, LOST)]
    for number, delay in ((3, 100), (4, 700), (5, 1_400)):
        lost += [Advance(delay), Answer(number, LOST)]
    ran = run(model("6.40.0"), StartApp(), *lost)
    assert loads(ran) == [("Error", False)]


def test_what_a_failed_start_has_left_keeps_a_token_that_nobody_can_ask_for() -> None:
    ran = run(model("6.40.0"), *FAILED, Answer(2, SESSION), Advance(43 * SECOND))
    assert not ran.world.signed_in
    assert [fact.endpoint for fact in ran.facts if isinstance(fact, Sent)][2:] == [Endpoint.MINT]


def test_a_start_without_a_session_is_a_sign_out() -> None:
    ran = run(model("6.40.0"), Revoke(), StartApp(), Answer(1, SETTINGS), Answer(2, Outcome.NO_SESSION))
    assert [fact.valid for fact in ran.facts if isinstance(fact, SessionDropped)] == [False]
    assert loads(ran) == [(None, False)]


def test_only_under_its_assumption_a_start_takes_time_and_may_fail() -> None:
    system = run(model("6.40.0")).system
    assert not permits(system, assuming("restart", "outage"), StartApp())
    assert permits(system, assuming("failing-start"), StartApp())
    system = run(model("6.40.0"), StartApp()).system
    for event in (Answer(2, Outcome.UNAUTHORIZED), Answer(1, LOST), Advance(MINUTE), Load()):
        assert permits(system, assuming("failing-start"), event)
    system = run(model("6.40.0"), *STARTED, GetToken(skip_cache=True)).system
    for event in (Answer(3, Outcome.UNAUTHORIZED), Answer(3, LOST), Advance(MINUTE)):
        assert not permits(system, assuming("failing-start"), event)


# -- the invariants ------------------------------------------------------------------------------------------


def test_a_hanging_request_is_no_excuse_for_load() -> None:
    """As in clerk/javascript#9065."""
    ran = Run(model("6.40.0"), Runtime.HEADLESS, assuming("failing-start"), [INVARIANTS["every-call-settles"]])
    ran.play(StartApp())
    ran.play(Answer(1, SETTINGS))
    with pytest.raises(Violation) as caught:
        ran.play(Advance(MINUTE))
    violation = caught.value
    assert violation.trace.why == (
        "call 1 has waited for more than 15 s, and only a hanging request is under way for it"
    )
    breach = INVARIANTS["every-call-settles"].check(violation.played[-1])
    assert cause_sentence(violation.played, breach) == (
        "The app was killed and started again; the SDK asked how the app is set up in the foreground (request "
        "1); the SDK asked which sessions there are in the foreground (request 2); the answer to request 1 was "
        "the settings; request 2 has had no answer for 1 min; and call 1 still waits after 1 min."
    )


@pytest.mark.parametrize("release", ["6.7.1", "6.7.4", "6.40.0"])
def test_a_load_whose_settings_hang_stays_pending_though_the_session_is_there(
    builds: dict[str, NodeTarget], release: str
) -> None:
    invariant = INVARIANTS["every-call-settles"]
    for target in (model(release), builds[release]):
        ran = run(target, StartApp(), Answer(2, SESSION), Advance(20 * SECOND))
        assert invariant.check(ran.steps[-1]), target.name
        ran.play(Advance(23 * SECOND))
        assert [fact.endpoint for fact in ran.facts if isinstance(fact, Sent)][2:] == [Endpoint.MINT]
        assert not loads(ran), target.name
        ran.play(Answer(1, SETTINGS))
        assert loads(ran) == [(None, True)], target.name


def keeps_a_failure_to_itself(patch: pytest.MonkeyPatch) -> None:
    """Nobody tells the app that the settings did not come."""
    right = loading.failed

    def wrong(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
        return turn if flight.purpose is Purpose.ENVIRONMENT else right(turn, flight, failure)

    patch.setattr(loading, "failed", wrong)


def test_a_load_that_never_hears_of_a_failure_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    events = (StartApp(), Answer(2, SESSION), Answer(1, BROKEN), Advance(20 * SECOND))
    judged(model("6.40.0"), *events)
    keeps_a_failure_to_itself(monkeypatch)
    with pytest.raises(Violation, match="call 1 has waited for more than 15 s, and nothing is"):
        judged(model("6.40.0"), *events)


# -- the engines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["6.7.1", "6.7.4", "6.40.0"])
def test_that_a_start_recovers_is_proved_for_all_that_earlier_ones_may_leave(release: str) -> None:
    names = ("failing-start", "starvation", "stale-after-expiry")
    app = replace(one_call(CLERK), loads=2)
    found = prove(model(release), Runtime.HEADLESS, assuming(*names), [INVARIANTS["start-recovers"]], app)
    assert isinstance(found.verdicts["start-recovers"], Proved)


@pytest.mark.slow
def test_the_guard_holds_however_often_the_app_starts() -> None:
    """The first load() of a process only: see `one_call`."""
    names = ("failing-start", "starvation", "stale-after-expiry")
    judged, limits = [INVARIANTS[HEADLINE]], Limits(seconds=600)
    verdict = prove(model("6.40.0"), Runtime.HEADLESS, assuming(*names), judged, limits=limits).verdicts[HEADLINE]
    assert isinstance(verdict, Proved)
    assert verdict.states == 853


def test_random_traces_fail_to_start_in_every_way_and_start_again() -> None:
    found = explore(model("6.40.0"), "failing-start", traces=300, judging=["start-recovers"])
    assert not found.unused
    assert found.reached["load() was called again"]


# -- real builds ---------------------------------------------------------------------------------------------

LEFT_BEHIND = (*FAILED, Load(), Answer(3, SETTINGS), Answer(4, SESSION), Answer(2, SESSION), Advance(43 * SECOND))
"""What the first load() asked for is answered after the second one has ended."""
SHORT: dict[str, tuple[Event, ...]] = {
    "well": (*STARTED, GetToken(), Advance(43 * SECOND)),
    "again": (*FAILED, Load(), Answer(3, SETTINGS), Answer(4, SESSION), GetToken()),
    "left behind": (*LEFT_BEHIND, GetToken(skip_cache=True)),
    "401": (StartApp(), Answer(2, Outcome.UNAUTHORIZED), Answer(1, SETTINGS), Load()),
    "a page": (StartApp(), Answer(1, Outcome.GATEWAY_PAGE), Answer(2, Outcome.NO_SESSION), Load()),
    "lost": (StartApp(), Answer(2, LOST), Advance(100), Answer(3, SESSION), Answer(1, SETTINGS), GetToken()),
    "two": (StartApp(), Load(), Answer(3, SETTINGS), Answer(4, SESSION), Answer(1, SETTINGS), Answer(2, SESSION)),
    "over": (StartApp(), Load(), Answer(1, SETTINGS), Answer(2, SESSION), Answer(4, Outcome.UNAUTHORIZED)),
}


@pytest.mark.parametrize("events", SHORT.values(), ids=SHORT)
@pytest.mark.parametrize("release", ["6.7.1", "6.7.4", "6.40.0"])
def test_a_build_starts_as_its_model_does(
    builds: dict[str, NodeTarget], release: str, events: tuple[Event, ...]
) -> None:
    in_lock_step(builds[release], *events)


@pytest.mark.parametrize("release", ["6.7.1", "6.40.0"])
def test_a_start_offline_ends_without_a_session(builds: dict[str, NodeTarget], release: str) -> None:
    events: list[Event] = [GoOffline(), StartApp(), Answer(1, LOST), Answer(2, LOST)]
    ran = in_lock_step(builds[release], *events, runtime=Runtime.BROWSER_LIKE)
    while ran.world.timers:
        ran.play(Advance(5 * SECOND))
        for request in ran.world.requests:
            ran.play(Answer(request.request, LOST))
    assert loads(ran) == [(None, False)]
    assert [fact.valid for fact in ran.facts if isinstance(fact, SessionDropped)] == [True]


def test_a_search_finds_a_start_whose_last_attempt_is_offline() -> None:
    """`offline-start-6.40.0`, for a seed that did not find it while the network came back as often as it went."""
    target, survives = model("6.40.0"), INVARIANTS["valid-session-survives"]
    trace = load(CLERK_ADAPTER.corpus / "offline-start-6.40.0.json")
    known = violates(trace, target, survives)
    assert known
    cell = Cell(target.name, Runtime.BROWSER_LIKE, trace.assumptions)
    found = search(target, cell, [survives], profile_of(1000), seed=3, aim=known.trace.cause)
    verdict = found.verdicts[survives.id]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) == len(trace.events)


def test_a_phone_that_starts_locked_loads_without_a_session() -> None:
    with closing(ExpoTarget("4.6.6", lambda line: None)) as expo:
        events = (LockKeychain(), StartApp(), Answer(1, SETTINGS), Answer(2, Outcome.NO_SESSION))
        ran = in_lock_step(expo, *events, UnlockKeychain(), StartApp(), Answer(3, SETTINGS))
    assert loads(ran) == [(None, False)]
    assert [fact.unauthenticated for fact in ran.facts if isinstance(fact, Sent)] == [True] * 4


def test_a_model_that_waits_for_one_answer_only_is_noticed(
    builds: dict[str, NodeTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PARTS", loading.PARTS[1:])
    with pytest.raises(Violation, match="the build sends request 1 for configure"):
        in_lock_step(builds["6.40.0"], StartApp())


def test_a_load_waits_for_the_question_that_a_401_to_a_part_of_it_raises(builds: dict[str, NodeTarget]) -> None:
    """Another load() has ended well, so there is a session to ask for."""
    ran = in_lock_step(
        builds["6.40.0"],
        *(LockKeychain(), StartApp(), Load(), Answer(3, LOST), UnlockKeychain(), Load(), Answer(5, SETTINGS)),
        *(Advance(100), Answer(6, SESSION), Answer(4, Outcome.UNAUTHORIZED), Answer(7, SETTINGS)),
    )
    assert loads(ran) == [(None, True)]
