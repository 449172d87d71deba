"""`session.touch()`: what it asks, what comes back with it, and that model and builds agree on both."""

from __future__ import annotations

import pytest
from hypothesis import settings

from model.app import MAX_CALLS, App
from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.clerk.terms import SESSION_TOKEN, GetToken, Touch
from model.io import Called, RequestSent
from model.requests import Endpoint, Outcome
from model.step import permits
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, Freeze, LockKeychain
from model.world.facts import Announced, Origin, Sent, SessionDropped, Settled
from model.world.possible import NotEnabled
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.causes import sentence
from properties.invariants.verdict import Cell, Held, Proved
from properties.prove.prove import prove
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.run import Run
from properties.search.search import search
from properties.system.fact_kinds import tell
from properties.targets.clerk.target import clerk_js_target
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, SECOND, assuming, fresh, model, of_kind, ready, run, sessionproof
from tests.support import app as calling

BACKWARDS = "tokens-never-go-backwards"
REFUSED, STALE = Outcome.UNAUTHORIZED, Outcome.STALE_TOKEN
TOUCHED = (Touch(), Answer(1, Outcome.SESSION))
STALER = (Touch(), Answer(1, STALE))


def due(ran: Run) -> list[int]:
    """When timers are due, in ms."""
    return sorted(timer.due for timer in ran.world.timers)


def ended(ran: Run) -> list[str | None]:
    """The errors with which calls ended; None for one that ended well."""
    return [fact.error for fact in ran.facts if isinstance(fact, Settled)]


# -- what it does -------------------------------------------------------------------------------------------


def test_a_touch_asks_whatever_is_cached_and_ends_well() -> None:
    ran = run(model("6.40.0"), *TOUCHED)
    (sent,) = [fact for fact in ran.facts if isinstance(fact, Sent)]
    assert (sent.endpoint, sent.origin) == (Endpoint.MUTATE, Origin.FOREGROUND)
    assert ended(ran) == [None]


def test_the_client_that_comes_with_it_is_taken_with_its_token_and_new_timers() -> None:
    ran = run(model("6.40.0"), Advance(10 * SECOND), *TOUCHED, GetToken())
    assert [fact.token.number for fact in ran.facts if isinstance(fact, Announced)] == [2]
    assert due(ran) == [53 * SECOND, 70 * SECOND]
    assert [fact.token and fact.token.number for fact in ran.facts if isinstance(fact, Settled)] == [None, 2]


def test_until_8098_the_timers_of_the_token_before_go_on() -> None:
    assert due(run(model("6.3.2"), *TOUCHED)) == [43 * SECOND, 43 * SECOND, 60 * SECOND, 60 * SECOND]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Outcome.BROKEN, "api-500"),
        (Outcome.RATE_LIMITED, "api-429"),
        (Outcome.GATEWAY_PAGE, "api-503-bare"),
        (Outcome.LOST, "Error"),
    ],
)
def test_a_touch_that_fails_is_not_tried_again(failure: Outcome, error: str) -> None:
    ran = run(model("6.40.0"), Touch(), Answer(1, failure))
    assert ended(ran) == [error]
    assert due(ran) == [43 * SECOND, 60 * SECOND]


def test_a_client_that_takes_itself_for_offline_takes_a_lost_touch_for_a_success() -> None:
    """As seen on 6.0.0 and 6.1.0, headless: nothing comes back, and the call ends well."""
    assert ended(run(model("6.1.0"), Touch(), Answer(1, Outcome.LOST))) == [None]
    assert ended(run(model("6.1.0"), Touch(), Answer(1, Outcome.LOST), runtime=Runtime.BROWSER_LIKE)) == ["Error"]


def test_a_touch_that_meets_a_401_signs_out_in_the_foreground_when_the_session_is_gone() -> None:
    ran = run(model("6.40.0"), Touch(), Answer(1, REFUSED), Answer(2, Outcome.NO_SESSION))
    assert of_kind(SessionDropped, ran.facts) == [SessionDropped(0, Origin.FOREGROUND, valid=True)]
    assert ended(ran) == ["api-401"]


def test_nobody_touches_a_session_that_is_gone_and_the_app_has_only_so_many_calls() -> None:
    gone = run(model("6.40.0"), Touch(), Answer(1, REFUSED), Answer(2, Outcome.NO_SESSION))
    with pytest.raises(NotEnabled, match="there is no session to call touch on"):
        gone.play(Touch())
    busy = run(model("6.40.0"), *[Touch()] * MAX_CALLS)
    assert not permits(busy.system, assuming("calm"), Touch())


def test_a_keychain_that_is_locked_makes_a_touch_a_strangers() -> None:
    ran = run(model("6.40.0"), LockKeychain(), Touch())
    (request,) = ran.world.requests
    assert assuming("locked-keychain").outcomes(ran.world, request) == (REFUSED,)


# -- a client made from older data --------------------------------------------------------------------------


@pytest.mark.parametrize(("release", "backwards"), [("6.7.4", True), ("6.24.0", True), ("6.28.1", False)])
def test_until_9284_a_staler_client_takes_the_place_of_a_fresher_one(release: str, backwards: bool) -> None:
    """#9030 had mended the cache, and what getToken brings."""
    touched = run(model(release), *STALER)
    assert [fact.backwards for fact in touched.facts if isinstance(fact, Announced)] == [True] * backwards
    asked = run(model(release), Touch(), Answer(1, REFUSED), Answer(2, STALE))  # GET /client brings one too
    assert [fact.backwards for fact in asked.facts if isinstance(fact, Announced)] == [True] * backwards


def test_what_is_said_of_it_names_the_touch() -> None:
    ran = run(model("6.24.0"), *STALER)
    assert [tell(fact)[1] for fact in ran.facts if isinstance(fact, Settled)] == ["settles call 1"]
    assert sentence(ran.facts) == (
        "The app called touch (call 1); the SDK updated the session in the foreground (request 1); the answer "
        "was a token made from older data (T2); and so T2 took the place of T1, which was made from fresher data."
    )


# -- what is proved of it -----------------------------------------------------------------------------------


def test_touches_do_not_break_the_guard_under_the_theory_of_8303() -> None:
    assumptions, judged = assuming("starvation", "stale-after-expiry"), [INVARIANTS[HEADLINE]]
    found = prove(model("6.7.4"), Runtime.HEADLESS, assumptions, judged, calling(Touch()))
    assert isinstance(found.verdicts[HEADLINE], Proved)


def test_a_proof_with_touches_finds_the_staler_client() -> None:
    words = ("--assume=stale-edge", f"--invariant={BACKWARDS}", "--policy=CLERK_JS_6_24_0")
    calls = [f"--operation={name}" for name in ("getToken()", "getToken(skipCache)", "touch")]
    done = sessionproof("prove", *words, *calls)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "touch() -> answer(1, stale-token)" in done.stdout
    assert "the app makes one call at a time of getToken(), getToken(skipCache), touch()\n" in done.stdout


def test_since_9284_no_touch_takes_a_token_back() -> None:
    judged = [INVARIANTS[BACKWARDS]]
    found = prove(model("6.28.1"), Runtime.HEADLESS, assuming("stale-edge"), judged, calling(Touch()))
    assert isinstance(found.verdicts[BACKWARDS], Proved)


# -- model and build ----------------------------------------------------------------------------------------

SIGNED_OUT = (Advance(20 * SECOND), Touch(), Touch(), Answer(1, REFUSED))
"""One touch has met a 401, another is in flight."""
FROZEN = Freeze(50 * SECOND)
"""Long enough for the first token to expire, and not for the second: which of the two does the guard look at?"""

SCRIPTS: dict[str, tuple[Event, ...]] = {
    "what it brings is read": (*TOUCHED, GetToken(), Advance(43 * SECOND)),
    "a template's timer reads the touched object": (
        *(GetToken("api"), Answer(1, Outcome.GRANTED), Advance(20 * SECOND), Touch()),
        *(Answer(2, Outcome.SESSION), Freeze(45 * SECOND)),
    ),
    "it overtakes a fetch": (
        *(GetToken(skip_cache=True), Touch(), Answer(2, STALE), GetToken(), Answer(1, Outcome.GRANTED)),
        Advance(43 * SECOND),
    ),
    "a staler one is refreshed": (Advance(20 * SECOND), *STALER, FROZEN),
    "a staler one comes after a sign-out": (*SIGNED_OUT, Answer(3, Outcome.NO_SESSION), Answer(2, STALE), FROZEN),
    "a staler one comes after a 500": (*SIGNED_OUT, Answer(3, Outcome.BROKEN), Answer(2, STALE), FROZEN),
    "GET /client brings a staler one after a sign-out": (
        *(*SIGNED_OUT, Answer(2, REFUSED), Answer(3, Outcome.NO_SESSION), Answer(4, STALE), FROZEN),
    ),
    "a gateway's page ends it": (Touch(), Answer(1, Outcome.GATEWAY_PAGE)),
    "it is lost": (Touch(), Answer(1, Outcome.LOST)),
    "a 401, then a gateway's page": (Touch(), Answer(1, REFUSED), Answer(2, Outcome.GATEWAY_PAGE)),
    "a 401, then a 429": (Touch(), Answer(1, REFUSED), Answer(2, Outcome.RATE_LIMITED)),
}


@pytest.mark.parametrize("release", ["6.0.0", "6.1.0", "6.3.2", "6.7.4", "6.27.1", "6.28.1", "6.40.0"])
def test_what_a_touch_brings_agrees_step_by_step(release: str) -> None:
    policy = policy_of(release)
    assert policy is not None
    build = ready(clerk_js_target(release, lambda line: None))
    try:
        for runtime in (Runtime.HEADLESS, Runtime.BROWSER_LIKE):
            for name, events in SCRIPTS.items():
                pair = LockStep(build, ModelTarget(CLERK, policy))
                sends = policy.sends_when_offline or not policy.offline_in_react_native
                if GetToken in map(type, events) and runtime is Runtime.HEADLESS and not sends:
                    continue  # 6.1.0 takes itself for offline there, and getToken sends nothing
                run(pair, *events, runtime=runtime)
                pair.finish()
                assert pair.difference is None, f"{name}, {runtime}: {pair.difference}"
    finally:
        build.close()


def test_traces_full_of_touches_agree_too(builds: dict[str, NodeTarget]) -> None:
    app = App((*CLERK.operations, *[Touch()] * len(CLERK.operations)))
    pair = LockStep(ready(builds["6.40.0"]), model("6.40.0"))
    cell = Cell(pair.name, Runtime.HEADLESS, assuming("starvation", "outage", "stale-edge", "stale-for-good"))
    profile = settings(max_examples=80, derandomize=True, database=None, stateful_step_count=30)
    assert isinstance(search(pair, cell, [conforms(pair)], profile, app=app).verdicts[CONFORMS], Held)


def test_the_app_of_a_proof_may_have_organizations_and_templates_of_its_own() -> None:
    place = ("prove", "--policy=CLERK_JS_6_40_0", "--assume=calm", "--invariant=one-refresh-at-a-time")
    calls = ("getToken(organization=acme)", "getToken(organization=other)", "getToken(template=hasura)")
    done = sessionproof(*place, *(f"--operation={one}" for one in calls))
    assert done.returncode == 0, done.stderr
    assert "proved" in done.stdout
    assert ", ".join(calls) in done.stdout


@pytest.mark.parametrize("call", ["getToken(colour=red)", "signIn(user=9)", "load", "advance 1s"])
def test_no_other_words_are_a_call(call: str) -> None:
    done = sessionproof("prove", f"--operation={call}")
    assert done.returncode == 2
    assert f"unknown operation '{call}'" in done.stderr


def test_a_touch_is_the_cause_of_its_request_and_of_the_recovery(builds: dict[str, NodeTarget]) -> None:
    target = fresh(builds["6.40.0"])
    assert target.feed(Called(7, Touch()), 10) == (RequestSent(1, Endpoint.MUTATE, SESSION_TOKEN, 7),)
    answer = run(target, Touch(), Answer(1, REFUSED)).facts[-1]
    assert isinstance(answer, Sent)
    assert (answer.endpoint, answer.origin) == (Endpoint.INTROSPECT, Origin.FOREGROUND)
