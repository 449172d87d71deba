"""Other ways to be refused, and answers that bring less than expected, or another's."""

from __future__ import annotations

import contextlib

import pytest

from model.clerk.terms import GetToken, SwitchOrganization, Touch
from model.requests import Ending, Endpoint, Outcome
from model.step import life_left
from model.terms import STRANGE
from model.world.events import Advance, Answer, Freeze, Revoke
from model.world.facts import Sent, SessionDropped, Settled, Uncaught
from properties.targets.clerk.target import clerk_js_target
from tests.support import HOUR, assuming, in_lock_step, model, needs_builds, of_kind, run

FORCED = GetToken(skip_cache=True)


@pytest.mark.parametrize(("name", "may"), [("revocation", True), ("banned-user", False), ("session-gone", False)])
def test_a_session_ends_by_age_only_where_it_may_be_revoked(name: str, may: bool) -> None:
    """For an honest server says the same of both: 401."""
    world = run(model("6.40.0")).world
    assert (life_left(world, assuming(name)) >= world.timings.session) is may


def errors(*facts: object) -> list[str | None]:
    return [fact.error for fact in facts if isinstance(fact, Settled)]


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (Ending.REVOKED, Outcome.UNAUTHORIZED),
        (Ending.BANNED, Outcome.FORBIDDEN),
        (Ending.GONE, Outcome.NOT_FOUND),
    ],
)
def test_how_a_session_ends_decides_what_an_honest_server_says(ending: Ending, said: Outcome) -> None:
    world = run(model("6.40.0"), Revoke(ending)).world
    assert world.honest(Endpoint.MINT) is said
    assert world.honest(Endpoint.MUTATE) is said
    assert world.honest(Endpoint.INTROSPECT) is Outcome.NO_SESSION


@pytest.mark.parametrize(
    ("ending", "said", "error"),
    [
        (Ending.BANNED, Outcome.FORBIDDEN, "api-403"),
        (Ending.GONE, Outcome.NOT_FOUND, "api-404"),
    ],
)
def test_a_403_or_404_ends_the_call_and_asks_nothing(ending: Ending, said: Outcome, error: str) -> None:
    """What clerk/javascript #8649 reports: the user stays signed in."""
    ran = run(model("6.40.0"), Revoke(ending), FORCED, Answer(1, said))
    assert errors(*ran.facts) == [error]
    assert len(of_kind(Sent, ran.facts)) == 1
    assert ran.world.signed_in
    assert next(fact for fact in ran.facts if isinstance(fact, Settled)).told_ended


@pytest.mark.parametrize(("release", "asks"), [("6.0.0", True), ("6.1.0", False), ("6.13.0", True)])
def test_whether_a_switch_takes_a_403_for_a_401_depends_on_the_release(release: str, asks: bool) -> None:
    ban = Revoke(Ending.BANNED)
    ran = run(model(release), SwitchOrganization("org_b"), ban, Answer(1, Outcome.FORBIDDEN))
    sent = [fact.endpoint for fact in ran.facts if isinstance(fact, Sent)]
    assert (Endpoint.INTROSPECT in sent) is asks


def test_a_429_that_says_when_to_come_back_has_an_error_that_says_so_too() -> None:
    ran = run(model("6.40.0"), Touch(), Answer(1, Outcome.RETRY_AFTER))
    assert errors(*ran.facts) == ["api-429-retry-after-30"]


def test_a_403_that_says_nothing_of_the_session_is_no_401() -> None:
    needs_builds()
    with contextlib.closing(clerk_js_target("6.40.0", lambda line: None)) as build:
        ran = in_lock_step(build, SwitchOrganization("org_b"), Answer(1, Outcome.BLOCKED))
        assert [fact.endpoint for fact in of_kind(Sent, ran.facts)] == [Endpoint.MUTATE]
        assert errors(*in_lock_step(build, FORCED, Answer(1, Outcome.BLOCKED)).facts) == ["api-403"]


@pytest.mark.parametrize("release", ["6.0.0", "6.7.4", "6.40.0"])
def test_such_a_403_in_answer_to_the_question_after_a_401_signs_the_user_out(release: str) -> None:
    needs_builds()
    with contextlib.closing(clerk_js_target(release, lambda line: None)) as build:
        asked = Advance(43_000), Answer(1, Outcome.UNAUTHORIZED)
        (dropped,) = of_kind(SessionDropped, in_lock_step(build, *asked, Answer(2, Outcome.BLOCKED)).facts)
    assert dropped.valid


def test_a_lean_touch_takes_the_last_active_token_away_and_so_the_guards_eyes() -> None:
    """What clerk/javascript #8101 and #8117 report, and the guard of #8303 after it: the refresh timer fires
    late, finds no token whose expiry it could look at, and sends."""
    touched = run(model("6.40.0"), Touch(), Answer(1, Outcome.LEAN_SESSION), Freeze(8 * HOUR))
    assert [fact.endpoint for fact in touched.facts if isinstance(fact, Sent)][1:] == [Endpoint.MINT]
    guarded = run(model("6.40.0"), Touch(), Answer(1, Outcome.SESSION), Freeze(8 * HOUR))
    assert [fact.endpoint for fact in guarded.facts if isinstance(fact, Sent)][1:] == []


def test_after_a_lean_touch_a_starved_refresh_signs_out_in_the_background() -> None:
    ran = run(
        model("6.40.0"),
        *(Touch(), Answer(1, Outcome.LEAN_SESSION), Freeze(8 * HOUR)),
        *(Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.NO_SESSION)),
    )
    (dropped,) = [fact for fact in ran.facts if isinstance(fact, SessionDropped)]
    assert dropped.valid


def test_a_token_of_another_session_is_cached_and_handed_out() -> None:
    """What clerk/javascript #7945 reports."""
    ran = run(model("6.40.0"), FORCED, Answer(1, Outcome.FOREIGN_TOKEN), GetToken())
    assert [fact.token and fact.token.session for fact in ran.facts if isinstance(fact, Settled)] == [
        STRANGE,
        STRANGE,
    ]


def test_a_token_of_another_session_does_not_renew_the_devices_credential() -> None:
    assert run(model("6.40.0"), FORCED, Answer(1, Outcome.FOREIGN_TOKEN)).world.token.number == 1


def test_nobody_catches_the_failure_of_a_recovery_that_a_switch_has_started() -> None:
    ran = run(
        model("6.40.0"),
        *(SwitchOrganization("org_b"), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.SESSION)),
        Answer(3, Outcome.RATE_LIMITED),
    )
    assert len(of_kind(Uncaught, ran.facts)) == 1


def test_a_401_to_a_recovery_that_nobody_waits_for_is_uncaught_in_the_end() -> None:
    """The recovery that meets it starts another, and throws the 401 when that is over."""
    ran = run(
        model("6.40.0"),
        *(SwitchOrganization("org_b"), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.SESSION)),
        *(Answer(3, Outcome.UNAUTHORIZED),),
    )
    asked = ran.world.requests[-1].request
    assert not of_kind(Uncaught, ran.facts)
    ran.play(Answer(asked, Outcome.SESSION))
    assert len(of_kind(Uncaught, ran.facts)) == 1


def test_a_question_that_the_network_layer_answers_with_nothing_leaves_all_as_it_was() -> None:
    """Up to 6.3.1 React Native counts as offline, where a gateway's page is no error: nobody throws anything."""
    switch = SwitchOrganization("org_b"), Answer(1, Outcome.RATE_LIMITED), Answer(2, Outcome.GATEWAY_PAGE)
    needs_builds()
    with contextlib.closing(clerk_js_target("6.0.0", lambda line: None)) as build:
        ran = in_lock_step(build, *switch)
    assert not of_kind(Uncaught, ran.facts)
    assert ran.world.signed_in
