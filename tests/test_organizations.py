"""Organizations: `setActive({organization})`, what it leaves behind, and that model and builds agree on it."""

from __future__ import annotations

import pytest

from model import terms
from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.clerk.server import Server
from model.clerk.terms import PERSONAL, GetToken, SignOut, SwitchOrganization, TokenId, Touch
from model.requests import Endpoint, Outcome
from model.step import permits
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, GoOffline, GoOnline, RestartApp
from model.world.facts import Announced, Sent, SessionDropped, SessionRegained, Settled
from model.world.possible import NotEnabled
from properties.invariants.causes import sentence
from properties.run.lockstep import LockStep
from properties.run.run import Run, Violation
from properties.system.event_kinds import brief
from properties.system.fact_kinds import tell
from properties.targets.clerk.target import clerk_js_target
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget
from tests.support import RELEASES, SECOND, assuming, judged, model, of_kind, ready, run

GRANTED, SESSION, REFUSED, BROKEN = Outcome.GRANTED, Outcome.SESSION, Outcome.UNAUTHORIZED, Outcome.BROKEN
SWITCH = SwitchOrganization("org_b")
SWITCHED = (SWITCH, Answer(1, SESSION))


def organization_of(token_id: terms.TokenId) -> str | None:
    """The organization that a token of Clerk's is for."""
    assert isinstance(token_id, TokenId)
    return token_id.organization


def server(ran: Run) -> Server:
    """What the server holds."""
    assert isinstance(ran.world.server, Server)
    return ran.world.server


def sent(ran: Run) -> list[tuple[Endpoint, str | None]]:
    """What was asked for, and for which organization."""
    return [(fact.endpoint, organization_of(fact.token_id)) for fact in ran.facts if isinstance(fact, Sent)]


def ended(ran: Run) -> list[str | None]:
    """How calls ended: the organization of a token, or an error; None for a call that ended well."""
    settled = [fact for fact in ran.facts if isinstance(fact, Settled)]
    return [(organization_of(fact.token.token_id) or PERSONAL) if fact.token else fact.error for fact in settled]


# -- what a switch does -------------------------------------------------------------------------------------


def test_a_switch_is_a_touch_that_names_the_organization_and_its_token_is_the_session_s() -> None:
    ran = run(model("6.40.0"), *SWITCHED, GetToken())
    assert sent(ran) == [(Endpoint.MUTATE, "org_b")]
    assert ended(ran) == [None, "org_b"]
    assert [fact.token.token_id for fact in ran.facts if isinstance(fact, Announced)] == [TokenId(None, "org_b")]


def test_the_client_takes_the_organization_for_the_active_one_before_the_server_has_heard_of_it() -> None:
    assert sent(run(model("6.40.0"), SWITCH, GetToken())) == [
        (Endpoint.MUTATE, "org_b"),
        (Endpoint.MINT, "org_b"),
    ]


def test_it_goes_on_taking_it_for_that_after_a_switch_that_failed() -> None:
    ran = run(model("6.40.0"), SWITCH, Answer(1, BROKEN), GetToken())
    assert ended(ran) == ["api-500"]
    assert sent(ran)[1:] == [(Endpoint.MINT, "org_b")]


def test_until_8004_a_switch_that_failed_went_on_as_if_nothing_had_happened() -> None:
    ran = run(model("6.0.0"), SWITCH, Answer(1, BROKEN), Answer(2, GRANTED))
    assert sent(ran) == [(Endpoint.MUTATE, "org_b"), (Endpoint.MINT, "org_b")]
    assert ended(ran) == [None]


@pytest.mark.parametrize("release", RELEASES)
def test_a_switch_that_is_refused_ends_well_although_nothing_was_switched(release: str) -> None:
    """And asks which sessions there are twice, the second time for nobody."""
    ran = run(model(release), SWITCH, Answer(1, REFUSED), Answer(2, SESSION), GetToken())
    assert sent(ran) == [(Endpoint.MUTATE, "org_b"), (Endpoint.INTROSPECT, None), (Endpoint.INTROSPECT, None)]
    assert ended(ran) == [None, PERSONAL]
    assert server(ran).organization is None


def test_a_switch_may_take_up_the_session_that_it_has_dropped() -> None:
    ran = run(model("6.40.0"), SWITCH, Answer(1, REFUSED), Answer(2, BROKEN), Answer(3, GRANTED))
    assert len(of_kind(SessionDropped, ran.facts)) == len(of_kind(SessionRegained, ran.facts)) == 1
    assert ran.world.signed_in
    assert "holds the session again, in the foreground" in [tell(fact)[1] for fact in ran.facts]


def test_nobody_switches_where_nobody_is_signed_in() -> None:
    gone = run(model("6.40.0"), SWITCH, Answer(1, REFUSED), Answer(2, Outcome.NO_SESSION))
    with pytest.raises(NotEnabled, match="there is no session to call setActive on"):
        gone.play(SWITCH)
    assert not permits(gone.system, assuming("calm"), SWITCH)


def test_while_a_switch_is_under_way_the_token_of_either_organization_is_the_one_asked_for() -> None:
    judged(model("6.40.0"), SWITCH, Answer(1, REFUSED), GetToken(), Answer(2, SESSION), Answer(3, GRANTED))


def test_what_is_said_of_a_switch_names_the_organization() -> None:
    ran = run(model("6.40.0"), *SWITCHED)
    assert tell(ran.facts[0]) == ("app", "calls setActive to organization 'org_b' (call 1)")
    assert [brief(event) for event in (SWITCH, SwitchOrganization(None))] == [
        "setActive(org_b)",
        "setActive(personal)",
    ]
    assert sentence(ran.facts).startswith("The app called setActive (call 1)")


# -- what a switch leaves behind ----------------------------------------------------------------------------

PERSONAL_TOKEN = (*SWITCHED, Advance(43 * SECOND), Answer(2, GRANTED), GetToken(organization=PERSONAL))
"""The slot of the token that the session came with is refreshed for what is active by then."""

TWO_SWITCHES = (
    *(SwitchOrganization("org_a"), Answer(1, SESSION), Advance(10 * SECOND)),
    *(SwitchOrganization("org_b"), Answer(2, SESSION)),
)


@pytest.mark.parametrize("runtime", [Runtime.HEADLESS, Runtime.BROWSER_LIKE])
@pytest.mark.parametrize("release", RELEASES)
def test_after_a_switch_a_call_for_the_personal_workspace_gets_the_organizations_token(
    builds: dict[str, NodeTarget], release: str, runtime: Runtime
) -> None:
    """In a calm world, on every release tried: Session.ts #hydrateCache reads which organization is active when
    it refreshes, and the slot stays that of the one before."""
    for target in (ready(builds[release], runtime), model(release)):
        with pytest.raises(Violation, match="asked for the session's default token and got a token of org_b"):
            judged(target, *PERSONAL_TOKEN, runtime=runtime)


@pytest.mark.parametrize("release", RELEASES)
def test_after_a_switch_one_organizations_token_is_asked_for_twice_in_its_life(
    builds: dict[str, NodeTarget], release: str
) -> None:
    for target in (ready(builds[release]), model(release)):
        ran = run(target, *SWITCHED, Advance(43 * SECOND))
        assert sent(ran)[1:] == [(Endpoint.MINT, "org_b")] * 2


@pytest.mark.parametrize("release", RELEASES)
def test_a_call_for_one_organization_gets_the_token_of_another(
    builds: dict[str, NodeTarget], release: str
) -> None:
    for target in (ready(builds[release]), model(release)):
        ran = run(target, *TWO_SWITCHES, Advance(33 * SECOND))
        for request in ran.world.requests:  # what was to be refreshed by now
            ran.play(Answer(request.request, GRANTED))
        ran.play(GetToken(organization="org_a"))
        assert ended(ran) == [None, None, "org_b"]


def test_the_last_active_token_of_another_organization_is_no_measure_of_freshness() -> None:
    """tokenFreshness.ts: a switch adopts a token whatever its age."""
    ran = run(model("6.40.0"), SWITCH, Answer(1, Outcome.STALE_TOKEN))
    assert [fact.backwards for fact in ran.facts if isinstance(fact, Announced)] == [False]


# -- model and build ----------------------------------------------------------------------------------------

SCRIPTS: dict[str, tuple[Event, ...]] = {
    "it is granted": (*SWITCHED, GetToken(), Advance(43 * SECOND)),
    "what was first is refreshed for what is active": PERSONAL_TOKEN,
    "there and back": (
        *(*SWITCHED, Advance(SECOND), SwitchOrganization(None), Answer(2, SESSION), GetToken()),
        *(Advance(43 * SECOND), GetToken(organization="org_b"), GetToken()),
    ),
    "it ends in mid sign-out, and that comes to nothing": (
        *(SWITCH, Answer(1, Outcome.LOST), SignOut(), Advance(43 * SECOND), Answer(2, Outcome.LOST)),
        *(Advance(15 * SECOND), GetToken()),
    ),
    "two overtake each other": (
        SWITCH,
        SwitchOrganization(None),
        Answer(2, SESSION),
        GetToken(),
        Answer(1, SESSION),
    ),
    "a call overtakes it": (
        SWITCH,
        GetToken(skip_cache=True),
        Answer(2, GRANTED),
        Answer(1, SESSION),
        GetToken(),
    ),
    "a call is tried again for another organization": (
        *(GetToken(skip_cache=True), Answer(1, BROKEN), SWITCH, Answer(2, SESSION), Advance(3 * SECOND)),
    ),
    "it is broken": (SWITCH, Answer(1, BROKEN)),
    "it is rate limited": (SWITCH, Answer(1, Outcome.RATE_LIMITED)),
    "it is lost": (SWITCH, Answer(1, Outcome.LOST)),
    "a 401, the session, and none": (
        *(SWITCH, Answer(1, REFUSED), Answer(2, SESSION), GetToken(), Answer(3, Outcome.NO_SESSION)),
    ),
    "a 401, the session, and a 401 again": (SWITCH, Answer(1, REFUSED), Answer(2, SESSION), Answer(3, REFUSED)),
    "a 401 and no session": (SWITCH, Answer(1, REFUSED), Answer(2, Outcome.NO_SESSION)),
    "a 401 and a 500": (SWITCH, Answer(1, REFUSED), Answer(2, BROKEN)),
    "it is of older data": (SWITCH, Answer(1, Outcome.STALE_TOKEN), GetToken()),
    "a touch says what is active": (*SWITCHED, Touch()),
    "the personal workspace by name, while it is active": (
        *(Advance(43 * SECOND), Advance(43 * SECOND), GetToken(organization=PERSONAL), Answer(2, GRANTED)),
    ),
    "an app that starts again is told which is active": (
        *(*SWITCHED, Advance(SECOND), RestartApp(), GetToken(), Advance(43 * SECOND), Answer(4, GRANTED)),
        *(Touch(), Answer(5, SESSION)),
    ),
    "an app that starts again has not chosen": (SWITCH, RestartApp(), GetToken(), Advance(43 * SECOND)),
}

OFFLINE: tuple[Event, ...] = (
    *(GoOffline(), SWITCH, Answer(1, Outcome.LOST), Advance(20 * SECOND), GoOnline(), GetToken()),
    *(Advance(43 * SECOND), GetToken(organization="org_b")),
)
"""Where the client can look whether it is online."""


@pytest.mark.parametrize("release", ["6.0.0", "6.24.0", "6.40.0"])
def test_a_switch_without_a_network_agrees_step_by_step(release: str) -> None:
    policy = policy_of(release)
    assert policy is not None
    build = ready(clerk_js_target(release, lambda line: None))
    try:
        pair = LockStep(build, ModelTarget(CLERK, policy))
        run(pair, *OFFLINE, runtime=Runtime.BROWSER_LIKE)
        pair.finish()
        assert pair.difference is None, pair.difference
    finally:
        build.close()


def test_what_a_switch_took_up_again_the_next_one_drops() -> None:
    """Until #8004, when a switch went on whatever came of its touch."""
    build, policy = ready(clerk_js_target("6.0.0", lambda line: None)), policy_of("6.0.0")
    assert policy is not None
    try:
        pair = LockStep(build, ModelTarget(CLERK, policy))
        taken_up = (SWITCH, Answer(1, Outcome.RATE_LIMITED), Answer(2, Outcome.NO_SESSION), Answer(3, GRANTED))
        ran = run(pair, *taken_up, SWITCH, Answer(4, BROKEN))
        pair.finish()
        assert pair.difference is None, pair.difference
    finally:
        build.close()
    assert len(of_kind(SessionRegained, ran.facts)) == 1
    assert len(of_kind(SessionDropped, ran.facts)) == 2


def test_the_active_organization_outlives_the_app_as_the_server_knows_it() -> None:
    known = run(model("6.40.0"), *SWITCHED, RestartApp(), GetToken())
    assert ended(known)[-1] == "org_b"
    unheard = run(model("6.40.0"), SWITCH, RestartApp(), GetToken())
    assert ended(unheard)[-1] == PERSONAL
    assert server(unheard).organization is None
    assert unheard.world.server.session_tokens == (TokenId(),)


@pytest.mark.parametrize("release", ["6.0.0", "6.1.0", "6.3.2", "6.7.4", "6.24.0", "6.28.1", "6.40.0"])
def test_what_comes_of_a_switch_agrees_step_by_step(release: str) -> None:
    policy = policy_of(release)
    assert policy is not None
    build = ready(clerk_js_target(release, lambda line: None))
    try:
        for runtime in (Runtime.HEADLESS, Runtime.BROWSER_LIKE):
            for name, events in SCRIPTS.items():
                pair = LockStep(build, ModelTarget(CLERK, policy))
                try:
                    run(pair, *events, runtime=runtime)
                except NotEnabled:  # one that takes itself for offline does not send all that the script answers
                    assert policy.offline_in_react_native
                pair.finish()
                assert pair.difference is None, f"{name}, {runtime}: {pair.difference}"
    finally:
        build.close()
