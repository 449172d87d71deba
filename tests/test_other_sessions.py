"""The server ends a session of the device that is not the app's: what the model does, and the builds, too."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from model.app import App
from model.clerk.terms import GetToken, SignIn, SignOut, SwitchSession
from model.requests import Ending, Endpoint, Outcome
from model.step import permits
from model.terms import Runtime, Session
from model.world.events import Advance, Answer, Deliver, Event, Freeze, RestartApp, Revoke, RevokeOther, Serve
from model.world.facts import Answered, OtherSessionEnded, SessionDropped, SessionEnded, Settled
from model.world.possible import NotEnabled
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.causes import cause_sentence
from properties.invariants.verdict import Proved, Violated
from properties.prove.prove import Limits, prove
from properties.run.lockstep import LockStep, conforms
from properties.run.run import Run, Violation
from properties.system.event_kinds import brief, decoded, encoded, parsed
from properties.targets.clerk.builds import fetch_build
from properties.targets.clerk.target import bundle_target
from properties.targets.node_target import NodeTarget
from tests.support import DAY, HEADLINE, RELEASES, SECOND, assuming, explore, in_lock_step, model, of_kind, run

IN_AS_2: tuple[Event, ...] = (SignIn(2), Answer(1, Outcome.SESSION), Answer(2, Outcome.SESSION))
"""The app's session is 2 then, and 1 the other one."""
BOTH = assuming("revocation", "several-sessions")
SURVIVES = INVARIANTS["valid-session-survives"]


def new(*events: Event) -> Run:
    return run(model("6.40.0"), *events)


# -- the event -----------------------------------------------------------------------------------------------


def test_it_is_written_beside_the_end_of_the_apps_session_which_stays_as_it_was() -> None:
    for event in (RevokeOther(2), RevokeOther(1, Ending.GONE)):
        assert parsed(brief(event)) == event
        assert decoded(encoded(event)) == event
    assert brief(RevokeOther(2, Ending.BANNED)) == "revokeOther(2, banned)"
    assert brief(Revoke()) == "revoke()"
    assert encoded(Revoke()) == {"event": "Revoke", "ending": "revoked"}


def test_only_if_sessions_end_and_there_are_several_it_may_happen() -> None:
    system = new(*IN_AS_2).system
    assert permits(system, BOTH, RevokeOther(1))
    assert not permits(system, BOTH, RevokeOther(1, Ending.GONE))
    assert permits(system, assuming("session-gone", "several-sessions"), RevokeOther(1, Ending.GONE))
    assert not permits(system, assuming("several-sessions"), RevokeOther(1))
    assert not permits(system, assuming("revocation"), RevokeOther(1))


@pytest.mark.parametrize("number", [2, 3])
def test_it_is_not_about_the_apps_session_or_one_that_there_is_not(number: int) -> None:
    with pytest.raises(NotEnabled, match=f"no session {number} of this device beside the app's"):
        new(*IN_AS_2, RevokeOther(number))
    with pytest.raises(NotEnabled, match="no session 1 "):
        new(*IN_AS_2, RevokeOther(1), RevokeOther(1))


def test_a_ban_ends_every_session_of_the_user() -> None:
    twice = (SignIn(1), Answer(1, Outcome.SESSION), Answer(2, Outcome.SESSION))
    with pytest.raises(NotEnabled, match="a ban of this user ends the app's session too"):
        new(*twice, RevokeOther(1, Ending.BANNED))
    ran = new(*twice, Revoke(Ending.BANNED))
    assert ran.world.sessions == ()
    assert [fact.session for fact in of_kind(OtherSessionEnded, ran.facts)] == [Session(1)]
    assert new(*IN_AS_2, Revoke(Ending.BANNED)).world.sessions == (Session(1),)
    assert new(*IN_AS_2, RevokeOther(1, Ending.BANNED)).world.sessions == (Session(2, user=2),)


# -- the honest answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Ending.REVOKED, Outcome.UNAUTHORIZED),
        (Ending.BANNED, Outcome.FORBIDDEN),
        (Ending.GONE, Outcome.NOT_FOUND),
    ],
)
def test_what_is_asked_for_it_is_refused_and_the_apps_own_session_goes_on(
    ending: Ending, outcome: Outcome
) -> None:
    ran = new(*IN_AS_2, RevokeOther(1, ending))
    assert ran.world.valid and ran.world.sessions == (Session(2, user=2),)
    assert not of_kind(SessionEnded, ran.facts)
    for endpoint in (Endpoint.MINT, Endpoint.MUTATE):
        assert ran.world.honest(endpoint, Session(1)) is outcome
    assert ran.world.honest(Endpoint.MINT) is Outcome.GRANTED
    assert ran.world.honest(Endpoint.INTROSPECT) is Outcome.SESSION


@pytest.mark.parametrize("release", RELEASES)
def test_a_build_whose_other_session_has_ended_keeps_its_own(builds: dict[str, NodeTarget], release: str) -> None:
    ran = in_lock_step(builds[release], *IN_AS_2, RevokeOther(1), Advance(43 * SECOND))
    asked = {request.token_id.session.number: request.request for request in ran.world.requests}
    ran.play(Answer(asked[1], Outcome.UNAUTHORIZED))
    ran.play(Answer(asked[2], Outcome.GRANTED))
    ran.play(Answer(ran.world.requests[0].request, Outcome.SESSION))
    ran.play(GetToken())
    assert not of_kind(SessionDropped, ran.facts)
    assert of_kind(Settled, ran.facts)[-1].token == ran.world.token
    with pytest.raises(NotEnabled, match="the client knows of no other session"):
        ran.play(SwitchSession())


def test_the_app_may_change_to_it_until_it_is_told() -> None:
    ran = new(*IN_AS_2, RevokeOther(1))
    assert permits(ran.system, BOTH, SwitchSession())
    ran.play(SwitchSession())
    assert not ran.system.monitor.calls[-1].healthy, "that it fails is no fault of the client's"


def test_so_it_may_to_one_that_is_too_old_until_it_is_told() -> None:
    ran = new(Freeze(10 * DAY), *IN_AS_2, Freeze(21 * DAY))
    assert ran.world.valid and not ran.world.holds(Session(1))
    assert permits(ran.system, BOTH, SwitchSession())
    assert ran.world.honest(Endpoint.MUTATE, Session(1)) is Outcome.UNAUTHORIZED


def test_a_refusal_that_is_about_it_says_so() -> None:
    ran = new(*IN_AS_2, RevokeOther(1), SwitchSession(), Answer(3, Outcome.UNAUTHORIZED))
    (*_, refused) = of_kind(Answered, ran.facts)
    assert refused.honest and refused.about == Session(1)
    assert not any(record.told_ended for record in ran.system.monitor.calls)


# -- what goes wrong -----------------------------------------------------------------------------------------

ENDED: tuple[Event, ...] = (
    *(*IN_AS_2, RevokeOther(1), SwitchSession()),
    *(Answer(3, Outcome.UNAUTHORIZED), Answer(4, Outcome.SESSION)),
)


@pytest.mark.parametrize("release", RELEASES)
def test_who_changes_to_a_session_that_has_ended_is_signed_out_of_the_valid_one(
    builds: dict[str, NodeTarget], release: str
) -> None:
    """setActive takes the session that GET /client no longer lists for none."""
    for target in (model(release), builds[release]):
        ran = run(target, *ENDED)
        breach = SURVIVES.check(ran.steps[-1])
        assert breach is not None, target.name
        assert ran.world.valid and not ran.world.signed_in
        assert [fact.error for fact in of_kind(Settled, ran.facts)] == [None, None]
    told = cause_sentence(ran.steps, breach)
    assert "the server ended the first session, which was not the app's; the app called setActiveSession" in told


# -- the engines ---------------------------------------------------------------------------------------------


APP = App((GetToken(), SignOut(), SignIn(2)), calls=1, sign_ins=1)


def test_random_traces_end_other_sessions() -> None:
    found = explore(model("6.40.0"), "revocation", "several-sessions", traces=300, judging=[HEADLINE])
    assert found.reached["the server ended a session that is not the app's"]


@pytest.mark.slow
def test_the_background_is_proved_to_spare_the_apps_session() -> None:
    found = prove(model("6.40.0"), Runtime.HEADLESS, BOTH, [INVARIANTS[HEADLINE]], APP, Limits(seconds=600))
    verdict = found.verdicts[HEADLINE]
    assert isinstance(verdict, Proved)
    assert verdict.states == 4_919


@pytest.mark.slow
def test_a_shortest_trace_in_which_a_sign_in_does_not_spare_it_has_five_events() -> None:
    verdict = prove(model("6.40.0"), Runtime.HEADLESS, BOTH, [SURVIVES], APP).verdicts[SURVIVES.id]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) == 5


# -- real builds ---------------------------------------------------------------------------------------------


STARTS = {
    "the one that was active last": (
        (RestartApp(),),
        Session(2, user=2),
        "if(t)return t}return",
        "if(!t)return t}return",
    ),
    "the first": ((Revoke(), RestartApp()), Session(1), "signedInSessions[0]||null", "signedInSessions[1]||null"),
}
"""What happens to a device with two sessions; the session that the app gets; the code that decides that, and a
mutant of it."""


@pytest.mark.parametrize(("events", "session", "code", "mutant"), STARTS.values(), ids=list(STARTS))
def test_which_session_a_start_takes_is_checked(
    tmp_path: Path, events: tuple[Event, ...], session: Session, code: str, mutant: str
) -> None:
    """GET /client lists sessions in the order of their sign-ins, and names the one that was active last, if it is
    there."""
    text = fetch_build("6.40.0", lambda line: None).read_text(encoding="utf-8")
    code, mutant = (f"{one}{' e.signedInSessions[0]' * one.endswith('return')}" for one in (code, mutant))
    assert text.count(code) == 1
    assert played_on(tmp_path / "as-it-is.js", text, *IN_AS_2, *events).world.session == session
    with pytest.raises(Violation):
        played_on(tmp_path / "changed.js", text.replace(code, mutant), *IN_AS_2, *events)


def played_on(path: Path, bundle: str, *events: Event) -> Run:
    """The events on a bundle and the model of 6.40.0, which must agree."""
    path.write_text(bundle, encoding="utf-8")
    with contextlib.closing(bundle_target(path)) as build:
        pair = LockStep(build, model("6.40.0"))
        ran = Run(pair, Runtime.HEADLESS, BOTH, [conforms(pair)])
        for event in events:
            ran.play(event)
        return ran


STORIES: dict[str, tuple[Event, ...]] = {
    "changed to": ENDED,
    "signed in to": (
        *(SignIn(2), Answer(1, Outcome.SESSION), RevokeOther(2)),
        *(Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.SESSION)),
    ),
    "ended before the sign-in is heard of": (
        *(SignIn(2), Serve(1, Outcome.SESSION), RevokeOther(2), Deliver(1)),
        *(Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.SESSION)),
    ),
    "banned": (*IN_AS_2, RevokeOther(1, Ending.BANNED), SwitchSession(), Answer(3, Outcome.FORBIDDEN)),
    "gone": (*IN_AS_2, RevokeOther(1, Ending.GONE), SwitchSession(), Answer(3, Outcome.NOT_FOUND)),
    "then signed out": (*IN_AS_2, RevokeOther(1), SignOut(), Answer(3, Outcome.NO_SESSION), SignIn(1)),
}


@pytest.mark.parametrize("events", STORIES.values(), ids=list(STORIES))
@pytest.mark.parametrize("release", RELEASES)
def test_a_build_does_what_its_model_does(
    builds: dict[str, NodeTarget], release: str, events: tuple[Event, ...]
) -> None:
    in_lock_step(builds[release], *events, Advance(43 * SECOND))
