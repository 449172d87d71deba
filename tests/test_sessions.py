"""The app signs out, signs in again, and has two sessions: what the model does, and the builds, too."""

from __future__ import annotations

import pytest

from model.app import App
from model.clerk.terms import GetToken, SignIn, SignOut, SwitchOrganization, SwitchSession, Touch
from model.operations import NO_SESSION_ERROR
from model.requests import Endpoint, Outcome
from model.step import permits
from model.terms import Runtime, Session
from model.world.events import Advance, Answer, Deliver, Event, Freeze, LockKeychain, RestartApp, Revoke, Serve
from model.world.facts import Announced, Sent, SessionDropped, SessionEntered, SessionLeft, Settled
from model.world.possible import NotEnabled
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Proved
from properties.prove.prove import prove
from properties.run.run import Run
from properties.targets.node_target import NodeTarget
from tests.support import DAY, RELEASES, SECOND, assuming, in_lock_step, model, of_kind, ready, run

OUT: tuple[Event, ...] = (SignOut(), Answer(1, Outcome.NO_SESSION))
IN_AS_2: tuple[Event, ...] = (SignIn(2), Answer(1, Outcome.SESSION), Answer(2, Outcome.SESSION))
FORCED = GetToken(skip_cache=True)
SEVERAL = assuming("several-sessions")


def new(*events: Event) -> Run:
    return run(model("6.40.0"), *events)


def test_a_sign_out_ends_the_session_and_empties_the_cache() -> None:
    ran = new(*OUT)
    assert not ran.world.signed_in
    assert not ran.world.valid
    assert not ran.world.timers
    assert ran.world.left == (Session(1),)
    assert of_kind(SessionLeft, ran.facts)
    assert not of_kind(SessionDropped, ran.facts)


def test_a_sign_in_as_somebody_else_gives_tokens_of_that_user() -> None:
    ran = new(*OUT, SignIn(2), Answer(2, Outcome.SESSION), Answer(3, Outcome.SESSION), GetToken())
    assert [fact.session for fact in of_kind(SessionEntered, ran.facts)] == [Session(2, user=2)]
    (*_, got) = of_kind(Settled, ran.facts)
    assert got.token is not None
    assert got.token.session == Session(2, user=2)


def test_two_sessions_have_their_own_timers_and_tokens() -> None:
    ran = new(*IN_AS_2, Advance(43 * SECOND))
    asked = {fact.token_id.session.number for fact in of_kind(Sent, ran.facts) if fact.endpoint is Endpoint.MINT}
    assert asked == {1, 2}


def test_a_timer_that_an_answer_with_both_has_set_may_be_for_either() -> None:
    """A sign-in is answered with every session of the device: the token of the app's own has its timer then."""
    judged = Run(model("6.40.0"), Runtime.HEADLESS, SEVERAL, [INVARIANTS["refresh-chain-survives"]])
    for event in (SignIn(1), Answer(1, Outcome.SESSION), GetToken()):
        judged.play(event)
    assert {timer.token_id for timer in judged.world.timers} == {None}


def test_a_call_of_one_session_takes_no_token_of_the_next() -> None:
    """Whatever organization is active there."""
    here = (SignIn(2), Answer(2, Outcome.SESSION), Answer(3, Outcome.SESSION), SwitchOrganization("org_b"))
    ran = new(FORCED, *here)
    asked, _switch = ran.system.monitor.calls
    assert [str(one) for one in asked.accepts] == [""]


def test_the_app_changes_between_its_sessions() -> None:
    ran = new(*IN_AS_2, SwitchSession(), Answer(3, Outcome.SESSION), GetToken())
    assert ran.world.session == Session(1)
    (*_, got) = of_kind(Settled, ran.facts)
    assert got.token is not None
    assert got.token.session == Session(1)
    assert of_kind(Announced, ran.facts)[-1].token.session == Session(1)


def test_the_organization_is_each_sessions_own() -> None:
    ran = new(SwitchOrganization("org_b"), Answer(1, Outcome.SESSION), SignIn(2), Answer(2, Outcome.SESSION))
    assert str(ran.world.session_tokens[0]) == "org_b"
    ran = new(
        *(SwitchOrganization("org_b"), Answer(1, Outcome.SESSION)),
        *(SignIn(2), Answer(2, Outcome.SESSION), Answer(3, Outcome.SESSION)),
    )
    assert str(ran.world.session_tokens[0]) == "session 2"


def test_what_ends_one_session_leaves_the_other() -> None:
    ran = new(*IN_AS_2, Revoke(), FORCED, Answer(3, Outcome.UNAUTHORIZED), Answer(4, Outcome.NO_SESSION))
    assert not ran.world.signed_in
    assert ran.world.sessions == (Session(1),)


def test_a_refusal_for_a_session_that_was_left_does_not_end_the_one_that_followed() -> None:
    """`revoked-session-signs-out` is about the app's session."""
    asked = (FORCED, SignOut(), Answer(2, Outcome.NO_SESSION))
    entered = (SignIn(2), Answer(3, Outcome.SESSION), Answer(4, Outcome.SESSION))
    ran = new(*asked, *entered, Answer(1, Outcome.UNAUTHORIZED), Answer(5, Outcome.SESSION))
    assert of_kind(Settled, ran.facts)[-1].error == "api-401"
    assert ran.world.signed_in and ran.world.valid
    assert INVARIANTS["revoked-session-signs-out"].check(ran.steps[-1]) is None


def test_each_session_ages_from_its_own_sign_in() -> None:
    ran = new(Freeze(10 * DAY), *IN_AS_2, Freeze(20 * DAY))
    assert ran.world.valid
    assert ran.world.sessions == (Session(2, user=2),)
    ran.play(Freeze(10 * DAY))
    assert not ran.world.valid


def test_a_sign_in_after_a_sign_out_is_judged() -> None:
    """That no session is valid is no fault for the call that begins one."""
    ran = new(*OUT, SignIn(2), Answer(2, Outcome.SESSION), Answer(3, Outcome.SESSION))
    (*_, signed_in) = of_kind(Settled, ran.facts)
    assert signed_in.healthy
    ran = new(*OUT, SignIn(2), Answer(2, Outcome.BROKEN))
    (*_, failed) = of_kind(Settled, ran.facts)
    assert not failed.healthy


@pytest.mark.parametrize("ending", [Outcome.BROKEN, Outcome.LOST, Outcome.RATE_LIMITED])
def test_a_sign_out_that_fails_leaves_the_app_without_a_session_to_call(ending: Outcome) -> None:
    ran = new(SignOut(), Answer(1, ending), GetToken(), Touch())
    assert ran.world.signed_in
    assert [fact.error for fact in of_kind(Settled, ran.facts)][1:] == [NO_SESSION_ERROR] * 2


def test_a_sign_out_that_comes_to_nothing_spares_the_session_that_a_switch_has_set_since() -> None:
    """6.1.0 takes a lost reply for none, as if it were offline. It signs out only if no session is there."""
    lost = (SwitchOrganization("org_b"), Answer(1, Outcome.LOST), SignOut(), Advance(43 * SECOND))
    ran = run(model("6.1.0"), *lost, Answer(2, Outcome.LOST))
    assert ran.world.signed_in
    assert not of_kind(SessionLeft, ran.facts)


def test_a_sign_out_can_be_tried_again() -> None:
    ran = new(SignOut(), Answer(1, Outcome.BROKEN), SignOut(), Answer(2, Outcome.NO_SESSION))
    assert not ran.world.signed_in


def test_a_refresh_that_succeeds_in_mid_sign_out_signs_out_at_once() -> None:
    """The listener of SessionTokenResolved takes the session that is not there for none."""
    ran = new(Advance(43 * SECOND), SignOut(), Answer(1, Outcome.GRANTED))
    assert not ran.world.signed_in
    assert not ran.world.left


def test_a_restart_finds_the_session_that_the_app_had() -> None:
    ran = new(*IN_AS_2, RestartApp(), GetToken())
    assert ran.world.session == Session(2, user=2)
    (*_, got) = of_kind(Settled, ran.facts)
    assert got.token is not None
    assert got.token.session == Session(2, user=2)


def test_without_the_assumption_nobody_signs_out_or_in() -> None:
    start = new().system
    for operation in (SignOut(), SignIn(1), SwitchSession()):
        assert not permits(start, assuming("calm"), operation)
    assert permits(start, SEVERAL, SignOut())
    assert permits(start, SEVERAL, SignIn(1))
    assert not permits(start, SEVERAL, SwitchSession())


def test_an_app_signs_in_as_often_as_it_may() -> None:
    world = new(*IN_AS_2, SignOut(), Answer(3, Outcome.NO_SESSION)).system
    assert permits(world, SEVERAL, SignIn(1))
    assert not permits(world, SEVERAL, SignIn(1), App(sign_ins=1))


def test_a_sign_in_counts_before_the_server_has_acted_on_it() -> None:
    asking = new(*OUT, SignIn(2)).system
    assert permits(asking, SEVERAL, SignIn(2))
    assert not permits(asking, SEVERAL, SignIn(2), App(sign_ins=1))
    with pytest.raises(NotEnabled, match="2 sessions"):
        new(SignIn(2), SignIn(2))


def test_a_sign_out_without_a_credential_ends_nothing() -> None:
    with pytest.raises(NotEnabled, match="without a credential"):
        new(LockKeychain(), SignOut(), Answer(1, Outcome.NO_SESSION))


def test_a_device_has_two_sessions_at_most() -> None:
    with pytest.raises(NotEnabled, match="2 sessions"):
        new(*IN_AS_2, SignIn(1))


STORIES: dict[str, tuple[str, tuple[Event, ...]]] = {
    "a refresh that comes after the sign-out": (
        "left-session-stays-left",
        (
            *(Advance(43 * SECOND), Serve(1, Outcome.GRANTED), SignOut(), Answer(2, Outcome.NO_SESSION)),
            *(Deliver(1), Advance(43 * SECOND)),
        ),
    ),
    "a call that waits to try again": (
        "left-session-stays-left",
        (FORCED, Answer(1, Outcome.BROKEN), SignOut(), Answer(2, Outcome.NO_SESSION), Advance(3 * SECOND)),
    ),
    "a call that gets its token after the sign-out": (
        "left-session-stays-left",
        (FORCED, Serve(1, Outcome.GRANTED), SignOut(), Answer(2, Outcome.NO_SESSION), Deliver(1)),
    ),
    "a sign-out that failed": ("foreground-recovers", (SignOut(), Answer(1, Outcome.BROKEN), GetToken())),
    "a sign-out that failed, and then a refresh": (
        "background-never-destroys-valid-session",
        (SignOut(), Answer(1, Outcome.BROKEN), Advance(43 * SECOND), Answer(2, Outcome.GRANTED)),
    ),
    "a client from before the sign-in": (
        "valid-session-survives",
        (
            *(Touch(), Serve(1, Outcome.SESSION), SignIn(2), Answer(2, Outcome.SESSION)),
            *(Answer(3, Outcome.SESSION), Deliver(1)),
        ),
    ),
}


@pytest.mark.parametrize(("invariant", "events"), STORIES.values(), ids=list(STORIES))
@pytest.mark.parametrize("release", RELEASES)
def test_what_goes_wrong_with_several_sessions_goes_wrong_on_the_builds(
    builds: dict[str, NodeTarget], release: str, invariant: str, events: tuple[Event, ...]
) -> None:
    for target in (model(release), builds[release]):
        breach = INVARIANTS[invariant].check(run(target, *events).steps[-1])
        assert breach is not None, target.name


@pytest.mark.parametrize("release", RELEASES)
def test_a_build_does_with_sessions_what_its_model_does(builds: dict[str, NodeTarget], release: str) -> None:
    """Everything that the random traces found to differ while the model was made."""
    for events in (
        (Advance(43 * SECOND), SignOut(), Answer(1, Outcome.GRANTED), Answer(2, Outcome.NO_SESSION)),
        (
            SignIn(1),
            SignOut(),
            Answer(1, Outcome.SESSION),
            Answer(3, Outcome.SESSION),
            Answer(2, Outcome.NO_SESSION),
        ),
        (*IN_AS_2, SwitchSession(), Answer(3, Outcome.UNAUTHORIZED), Answer(4, Outcome.SESSION)),
        (SignIn(1), Serve(1, Outcome.SESSION), RestartApp(), Advance(43 * SECOND)),
        (*OUT, SignIn(1), Answer(2, Outcome.UNAUTHORIZED), SignIn(2), Answer(3, Outcome.SESSION)),
        (
            *(SwitchOrganization(None), SignOut(), Answer(1, Outcome.SESSION)),
            *(Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.SESSION)),
        ),
    ):
        in_lock_step(builds[release], *events)


@pytest.mark.parametrize("release", RELEASES)
def test_a_page_signs_out_and_in_again(builds: dict[str, NodeTarget], release: str) -> None:
    page = ready(builds[release], Runtime.BROWSER)
    ran = run(page, *OUT, SignIn(2), Answer(2, Outcome.SESSION), GetToken(), runtime=Runtime.BROWSER)
    assert of_kind(SessionLeft, ran.facts)
    assert [fact.session for fact in of_kind(SessionEntered, ran.facts)] == [Session(2, user=2)]
    (*_, got) = of_kind(Settled, ran.facts)
    assert got.token is not None
    assert got.token.session == Session(2, user=2)


def test_that_the_background_destroys_no_session_is_proved_over_sign_outs_too() -> None:
    wanted = [INVARIANTS[name] for name in ("background-never-destroys-valid-session", "left-session-stays-left")]
    calls = App((GetToken(), SignOut(), SignIn(1)), calls=1, sign_ins=1)
    found = prove(model("6.40.0"), Runtime.HEADLESS, SEVERAL, wanted, calls)
    assert all(isinstance(verdict, Proved) for verdict in found.verdicts.values())
