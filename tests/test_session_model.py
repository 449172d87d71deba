"""What the model's client does, rule by rule."""

from __future__ import annotations

import pytest

from model.clerk.policy import FIX_GUARD_OWN_TOKEN
from model.clerk.sdk import CLERK
from model.clerk.terms import SESSION_TOKEN, GetToken, TokenId
from model.requests import Endpoint, Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Freeze, FreezeKind
from model.world.facts import Announced, Origin, Sent, SessionDropped, Settled, TimerFired
from properties.run.run import Run
from properties.targets.model import ModelTarget
from tests.support import HOUR, SECOND, model, of_kind, run


def due(ran: Run) -> list[int]:
    """When timers are due, in ms."""
    return sorted(timer.due for timer in ran.world.timers)


def settled(ran: Run) -> list[Settled]:
    return [fact for fact in ran.facts if isinstance(fact, Settled)]


def test_a_fresh_token_is_refreshed_17_s_before_it_expires_and_evicted_at_expiry() -> None:
    assert due(run(model("6.7.4"))) == [43 * SECOND, 60 * SECOND]


def test_a_successful_refresh_arms_both_timers_again() -> None:
    ran = run(model("6.7.4"), Advance(43 * SECOND), Answer(1, Outcome.GRANTED))
    assert due(ran) == [86 * SECOND, 103 * SECOND]


@pytest.mark.parametrize(("later", "entries"), [(1 * SECOND, 2), (17 * SECOND, 1)])
def test_a_replaced_entry_goes_with_the_last_of_its_timers(later: int, entries: int) -> None:
    target = model("6.1.0")
    run(target, Advance(43 * SECOND), Answer(1, Outcome.GRANTED), Advance(later))
    assert target.client is not None
    assert len(target.client.cache) == entries


@pytest.mark.parametrize("failure", [Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST])
def test_a_failed_refresh_is_swallowed_and_arms_nothing(failure: Outcome) -> None:
    ran = run(model("6.7.4"), Advance(43 * SECOND), Answer(1, failure))
    assert due(ran) == [60 * SECOND]
    assert ran.world.requests == ()


def test_the_old_token_stays_readable_while_its_refresh_is_in_flight() -> None:
    ran = run(model("6.7.4"), Advance(43 * SECOND), GetToken())
    assert [fact.token and fact.token.number for fact in settled(ran)] == [1]


@pytest.mark.parametrize(("at", "requests"), [(54 * SECOND + 999, 0), (55 * SECOND, 1)])
def test_a_read_with_5_s_left_or_less_counts_as_a_miss(at: int, requests: int) -> None:
    ran = run(
        model("6.7.4"), Advance(43 * SECOND), Answer(1, Outcome.BROKEN), Advance(at - 43 * SECOND), GetToken()
    )
    assert len(ran.world.requests) == requests


def test_concurrent_calls_share_the_pending_fetch() -> None:
    ran = run(model("6.7.4"), GetToken(template="api"), GetToken(template="api"), Answer(1, Outcome.GRANTED))
    assert len(of_kind(Sent, ran.facts)) == 1
    assert [fact.token and fact.token.number for fact in settled(ran)] == [2, 2]


def test_a_foreground_call_is_tried_nine_times_with_growing_delays() -> None:
    ran = run(model("6.7.4"), GetToken(template="api"), Answer(1, Outcome.BROKEN))
    for request, delay in enumerate((3_000, 4_650, 7_207, 11_171, 17_316, 26_839, 41_601, 50_000), 2):
        asked_at = ran.world.now
        while not ran.world.requests:
            before = ran.world.now
            ran.play(Advance(min(timer.due for timer in ran.world.timers) - before))
            refreshes = [r for r in ran.world.requests if r.token_id == SESSION_TOKEN]
            for other in refreshes:
                ran.play(Answer(other.request, Outcome.LOST))
        assert ran.world.now - asked_at == delay
        ran.play(Answer(ran.world.requests[0].request, Outcome.BROKEN))
        assert request <= 9 + 1
    assert [fact.error for fact in settled(ran)] == ["api-500"]


def test_a_401_keeps_the_call_waiting_until_get_client_is_answered() -> None:
    ran = run(model("6.7.4"), GetToken(skip_cache=True), Answer(1, Outcome.UNAUTHORIZED))
    assert [request.endpoint for request in ran.world.requests] == [Endpoint.INTROSPECT]
    assert settled(ran) == []
    ran.play(Answer(2, Outcome.SESSION))
    assert [fact.error for fact in settled(ran)] == ["api-401"]
    assert ran.world.signed_in


@pytest.mark.parametrize("outcome", [Outcome.NO_SESSION, Outcome.BROKEN])
def test_no_session_or_a_500_after_a_401_signs_the_user_out(outcome: Outcome) -> None:
    ran = run(model("6.7.4"), Advance(43 * SECOND), Answer(1, Outcome.UNAUTHORIZED), Answer(2, outcome))
    assert of_kind(SessionDropped, ran.facts) == [SessionDropped(43 * SECOND, Origin.BACKGROUND, valid=True)]


@pytest.mark.parametrize("outcome", [Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE])
def test_another_failure_of_get_client_leaves_the_user_signed_in(outcome: Outcome) -> None:
    ran = run(model("6.7.4"), Advance(43 * SECOND), Answer(1, Outcome.UNAUTHORIZED), Answer(2, outcome))
    assert ran.world.signed_in


def test_a_401_on_get_client_asks_again_at_the_same_instant_for_ever() -> None:
    ran = run(model("6.40.0"), Advance(43 * SECOND))
    for request in range(1, 50):
        ran.play(Answer(request, Outcome.UNAUTHORIZED))
    assert ran.world.now == 43 * SECOND
    assert [request.request for request in ran.world.requests] == [50]


def test_a_lost_get_client_is_sent_again_three_times() -> None:
    ran = run(model("6.7.4"), Advance(43 * SECOND), Answer(1, Outcome.UNAUTHORIZED))
    for request, delay in enumerate((100, 700, 1_400), 2):
        ran.play(Answer(request, Outcome.LOST))
        assert ran.world.requests == ()
        ran.play(Advance(delay))
    ran.play(Answer(5, Outcome.LOST))
    ran.play(Advance(5 * SECOND))
    assert ran.world.requests == ()
    assert ran.world.signed_in


@pytest.mark.parametrize(("ms", "sends"), [(60 * SECOND, True), (60 * SECOND + 1, False)])
def test_the_guard_skips_a_refresh_strictly_after_expiry(ms: int, sends: bool) -> None:
    assert bool(of_kind(Sent, run(model("6.7.4"), Freeze(ms)).facts)) is sends


def test_the_guard_is_for_headless_runtimes_only() -> None:
    ran = run(model("6.7.4"), Freeze(8 * HOUR), runtime=Runtime.BROWSER_LIKE)
    assert len(of_kind(Sent, ran.facts)) == 1


def test_the_guard_looks_at_the_session_token_whatever_token_the_timer_belongs_to() -> None:
    """The template's timer is on time, yet nothing is sent: the session token has expired meanwhile."""
    ran = run(
        model("6.7.4"),
        Advance(43 * SECOND),
        Answer(1, Outcome.BROKEN),
        GetToken(template="api"),
        Answer(2, Outcome.GRANTED),
        Advance(60 * SECOND),
    )
    assert [fact.at for fact in of_kind(Sent, ran.facts)] == [43 * SECOND, 43 * SECOND]


def test_another_organizations_token_has_timers_of_its_own_and_is_not_announced() -> None:
    ran = run(
        model("6.40.0"),
        Advance(SECOND),
        GetToken(organization="org_b"),
        Answer(1, Outcome.GRANTED),
        Advance(43 * SECOND),
    )
    assert of_kind(Announced, ran.facts) == []
    sent = [(fact.at, fact.token_id) for fact in ran.facts if isinstance(fact, Sent)]
    assert sent[1:] == [(43 * SECOND, SESSION_TOKEN), (44 * SECOND, TokenId(organization="org_b"))]


def test_the_guard_looks_at_the_session_token_where_another_organizations_has_not_expired() -> None:
    """By that one, which has 1 s to go at thaw, a refresh would be sent."""
    events = (
        GetToken(organization="org_b"),
        Advance(10 * SECOND),
        Answer(1, Outcome.GRANTED),
        Freeze(59 * SECOND),
    )
    own = run(ModelTarget(CLERK, FIX_GUARD_OWN_TOKEN), *events)
    assert [request.token_id for request in own.world.requests] == [TokenId(organization="org_b")]
    assert run(model("6.40.0"), *events).world.requests == ()


def test_at_thaw_a_starved_timer_fires_late_and_a_sleeping_one_keeps_its_time() -> None:
    starved = run(model("6.7.1"), Freeze(8 * HOUR))
    asleep = run(model("6.7.1"), Freeze(8 * HOUR, FreezeKind.ASLEEP))
    assert [fact.late_by for fact in starved.facts if isinstance(fact, TimerFired)] == [
        8 * HOUR - 43 * SECOND,
        8 * HOUR - 60 * SECOND,
    ]
    assert due(asleep) == [8 * HOUR + 43 * SECOND, 8 * HOUR + 60 * SECOND]


def test_after_9030_a_replaced_fetch_still_freshens_the_entry_that_replaced_it() -> None:
    events = (
        Advance(43 * SECOND),  # request 1: the refresh
        GetToken(skip_cache=True),  # request 2: a fetch, now the slot's promise
        Answer(1, Outcome.GRANTED),  # T2 takes the slot
        Advance(5 * SECOND),
        Answer(2, Outcome.GRANTED),  # T3, for the promise that was replaced
        GetToken(),
    )
    kept = settled(run(model("6.7.4"), *events))[-1].token
    merged = settled(run(model("6.40.0"), *events))[-1].token
    assert (kept and kept.number, merged and merged.number) == (2, 3)
