"""The app is killed and started again: what ends with its process, what goes on, and what is nobody's fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model.app import App
from model.clerk import transition
from model.clerk.policy import CLERK_JS_6_40_0
from model.clerk.sdk import CLERK
from model.clerk.state import Turn
from model.clerk.terms import TIMINGS, GetToken, TokenId
from model.clerk.transition import start, step
from model.io import (
    Called,
    CallSettled,
    Output,
    Replied,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    TimerDue,
    TimerSet,
    TokenAnnounced,
    TokenShown,
)
from model.requests import Endpoint, Outcome
from model.step import Step, permits
from model.terms import Millis, Runtime, Token
from model.world.events import Advance, Answer, Event, Freeze, LockKeychain, RestartApp, Revoke, UnlockKeychain
from model.world.facts import Fact, Origin, Restarted, Sent, SessionDropped, Settled, TimerFired
from model.world.possible import NotEnabled
from properties.invariants.catalogue import INVARIANTS, breach_of
from properties.invariants.causes import cause_sentence
from properties.invariants.verdict import Proved, Vacuous
from properties.prove.prove import prove
from properties.run.run import Run, Violation
from properties.search.generate import kinds_of
from properties.system.event_kinds import brief
from properties.system.fact_kinds import tell
from properties.targets.clerk.expo import ExpoTarget
from properties.targets.clerk.target import bundle_target
from properties.targets.clerk.tokens import client_jwt
from properties.targets.node_target import NodeTarget
from properties.targets.server import EPOCH
from tests.support import (
    DAY,
    FIRST,
    HEADLINE,
    HOUR,
    MINUTE,
    SECOND,
    assuming,
    explore,
    fresh,
    in_lock_step,
    judged,
    model,
    of_kind,
    ready,
    run,
    without_events,
)

REFRESH = Advance(43 * SECOND)
FETCH = GetToken(skip_cache=True)
SIGN_OUT = (FETCH, Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
"""From a valid session, if the world lies."""

RELEASE = "6.40.0"
EVERYTHING_ENDS = (REFRESH, GetToken("api"), RestartApp())
"""With a refresh and a call under way, and the timers of a token."""


def restarted(ran: Run) -> list[Restarted]:
    return [fact for fact in ran.facts if isinstance(fact, Restarted)]


# -- what ends, and what goes on -----------------------------------------------------------------------------


def test_timers_requests_and_calls_end_with_the_process() -> None:
    ran = run(model(RELEASE), *EVERYTHING_ENDS)
    assert (ran.world.requests, ran.world.calls) == ((), ())
    token = Token(2, TokenId(), 43, 103)
    assert restarted(ran) == [Restarted(43 * SECOND, 2, calls=(1,), requests=(1, 2))]
    assert ran.world.token == token
    assert [timer.due for timer in ran.world.timers] == [103 * SECOND, 86 * SECOND]
    with pytest.raises(NotEnabled, match="no request 1 is in flight"):
        ran.play(Answer(1, Outcome.GRANTED))


def test_numbers_and_time_go_on() -> None:
    ran = run(model(RELEASE), *EVERYTHING_ENDS, GetToken("greeting"))
    (fact,) = [fact for fact in ran.steps[-1].facts if isinstance(fact, Sent)]
    assert (fact.at, fact.request) == (43 * SECOND, 5)
    assert min(timer.timer for timer in ran.world.timers) > 2
    assert ran.world.calls[0].call == 3


@pytest.mark.parametrize("assumption", ["calm", "outage"])
def test_nobody_is_to_blame_for_what_ended_with_the_process(assumption: str) -> None:
    """A call that never settles, a request that is never answered, a refresh chain that is begun anew."""
    ran = Run(model(RELEASE), Runtime.HEADLESS, assuming("restart", assumption), INVARIANTS.values())
    for event in (*EVERYTHING_ENDS, Advance(20 * SECOND), GetToken(), Advance(23 * SECOND)):
        assert ran.permits(event)
        ran.play(event)
    assert [fact.call for fact in ran.facts if isinstance(fact, Settled)] == [3]
    assert [fact.set_at for fact in ran.facts if isinstance(fact, TimerFired)] == [0, 43 * SECOND]


def test_a_client_that_starts_with_a_token_has_no_need_to_refresh_it() -> None:
    """The invariant judges it by the token that it was given, and by no request of the process before."""
    system = run(model(RELEASE), REFRESH).system
    world = system.world
    sent = Sent(world.now, 2, Endpoint.MINT, TokenId(), Origin.BACKGROUND, stale_for=0)
    ended, *came = run(model(RELEASE), REFRESH, RestartApp()).steps[-1].facts
    check = INVARIANTS["one-refresh-at-a-time"].check
    assert check(Step(system, RestartApp(), (ended, sent), system)) is None
    breach = check(Step(system, RestartApp(), (ended, *came, sent), system))
    assert breach is not None
    assert breach.why == "the background sends request 2, with most of the life of T2 to go"
    assert breach.fact == sent


def test_a_call_after_a_restart_is_out_of_the_trouble_before_it() -> None:
    trouble = (FETCH, Answer(1, Outcome.BROKEN))  # it would be tried again
    before, after = (run(model(RELEASE), *trouble, *more, FETCH) for more in ((), (RestartApp(),)))
    assert [call.healthy for call in before.system.monitor.calls] == [False, False]
    assert [call.healthy for call in after.system.monitor.calls] == [True]


def test_a_client_that_starts_knows_nothing_of_the_one_before() -> None:
    client, _ = start(CLERK_JS_6_40_0, Runtime.HEADLESS, FIRST)
    for stimulus in (TimerDue(2), Called(1, GetToken("api"))):
        client, _ = step(client, stimulus, 43 * SECOND)
    token = Token(2, TokenId(), 50, 110, behind=True)  # a staler one than that before: it cannot know
    client, outputs = step(client, Started(2), 50 * SECOND)
    environment, introspect = (output.request for output in outputs if isinstance(output, RequestSent))
    client, _ = step(client, Replied(environment, Outcome.SETTINGS), 50 * SECOND)
    client, outputs = step(client, Replied(introspect, Outcome.SESSION, token), 50 * SECOND)
    assert outputs[-1] == TokenAnnounced(token, None)
    assert (client.calls, client.flights, client.refreshing, len(client.cache)) == ((), (), frozenset(), 1)
    assert client.cache[0].token == token


# -- who is signed in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Revoke(), Advance(TIMINGS.session + DAY)], ids=brief)
def test_to_start_without_a_session_is_a_true_sign_out_and_the_last_start(end: Event) -> None:
    ran = judged(model(RELEASE), end, RestartApp())
    dropped = [(fact.valid, fact.origin) for fact in ran.facts if isinstance(fact, SessionDropped)]
    assert dropped == [(False, Origin.FOREGROUND)]
    assert not ran.world.signed_in
    assert not ran.world.timers
    with pytest.raises(NotEnabled, match="the user is signed out, and the session has ended"):
        ran.play(RestartApp())
    assert not permits(ran.system, assuming("restart"), RestartApp())


def test_a_restart_brings_back_a_session_that_was_dropped_while_it_was_valid() -> None:
    ran = run(model(RELEASE), *SIGN_OUT)
    assert not ran.world.signed_in
    ran.play(RestartApp())
    ran.play(GetToken())
    assert [fact.token for fact in ran.facts if isinstance(fact, Settled)][-1] == ran.world.token
    assert ran.world.signed_in


def test_an_app_is_not_started_while_the_keychain_is_locked() -> None:
    """What it asks would be a stranger's question: the honest answer signs everybody out, whatever the client."""
    ran = run(model(RELEASE), LockKeychain())
    assert not permits(ran.system, assuming("restart", "locked-keychain"), RestartApp())
    with pytest.raises(NotEnabled, match="the keychain is locked"):
        ran.play(RestartApp())
    ran.play(UnlockKeychain())
    assert ran.play(RestartApp()).after.signed_in


# -- the assumption, and the engines -------------------------------------------------------------------------


def test_without_the_assumption_nothing_is_restarted() -> None:
    system, app = run(model(RELEASE)).system, App(CLERK.operations)
    assert not permits(system, assuming("calm", "starvation"), RestartApp())
    assert permits(system, assuming("calm", "restart"), RestartApp())
    for names, restarts in (("starvation", False), ("restart", True)):
        kinds = {kind.name for kind in kinds_of(assuming(names), app, Runtime.HEADLESS)}
        assert ("the app starts again" in kinds) is restarts


def test_a_run_that_never_restarted_the_app_is_vacuous(monkeypatch: pytest.MonkeyPatch) -> None:
    without_events(monkeypatch)
    verdict = explore(model(RELEASE), "restart", traces=20, judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Vacuous)
    assert verdict.never == ("the app was killed and started again",)


def test_random_traces_restart_with_calls_and_requests_under_way() -> None:
    found = explore(model(RELEASE), "restart", traces=50, judging=[HEADLINE])
    assert not found.unused


def test_that_the_background_destroys_nothing_is_proved_over_restarts_too() -> None:
    names = ("starvation", "stale-after-expiry")
    without, with_restarts = (
        prove(model("6.40.0"), Runtime.HEADLESS, assuming(*more), [INVARIANTS[HEADLINE]]).verdicts[HEADLINE]
        for more in (names, (*names, "restart"))
    )
    assert isinstance(without, Proved)
    assert isinstance(with_restarts, Proved)
    assert with_restarts.states == without.states  # a client that starts is as one that has just signed in
    assert with_restarts.steps > without.steps


def test_a_sign_out_after_a_restart_is_told_with_it() -> None:
    ran = Run(model("6.7.1"), Runtime.HEADLESS, assuming("restart"), [INVARIANTS[HEADLINE]])
    events = (REFRESH, RestartApp(), Freeze(8 * HOUR), Answer(4, Outcome.UNAUTHORIZED))
    with pytest.raises(Violation) as caught:
        for event in (*events, Answer(5, Outcome.NO_SESSION)):
            ran.play(event)
    breach = breach_of(caught.value.trace, caught.value.played)
    assert cause_sentence(caught.value.played, breach).startswith(
        "The app was killed and started again; the SDK asked which sessions there are in the foreground (request "
        "3); the answer was the session, still there (T2); the timer set at +43 s fired 7 h 59 min 17 s late, "
    )
    assert tell(ran.steps[1].facts[0]) == (
        "OS",
        "kills the app, and it starts again: it loads (call 1); with it end request 1",
    )


# -- real builds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["6.7.1", "6.7.4", "6.40.0"])
def test_a_build_starts_anew_as_its_model_does(builds: dict[str, NodeTarget], release: str) -> None:
    ran = in_lock_step(builds[release], *EVERYTHING_ENDS, Freeze(8 * HOUR), RestartApp(), GetToken("api"))
    more: list[Event] = [REFRESH, RestartApp(), FETCH]
    for event in more:
        ran.play(event)
    for outcome in (Outcome.UNAUTHORIZED, Outcome.NO_SESSION):
        ran.play(Answer(ran.world.requests[0].request, outcome))
    more = [RestartApp(), Advance(MINUTE), Revoke(), RestartApp()]
    for event in more:
        ran.play(event)
    assert len(restarted(ran)) == 5
    assert [fact.valid for fact in ran.facts if isinstance(fact, SessionDropped)] == [True, False]


def test_a_model_that_keeps_its_cache_over_a_restart_is_noticed(
    builds: dict[str, NodeTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = transition._started

    def wrong(turn: Turn) -> Turn:
        kept = tuple(entry for entry in turn.client.cache if entry.token_id.template)
        turn = right(turn)
        return turn.but(cache=(*turn.client.cache, *kept))

    monkeypatch.setattr(transition, "_started", wrong)
    with pytest.raises(Violation, match=r"the build sends request 4 for mint \(api\)"):
        in_lock_step(builds["6.40.0"], GetToken("api"), Answer(1, Outcome.GRANTED), RestartApp(), GetToken("api"))


STUB = """
let asked = 0;
exports.Clerk = class {
  addListener() {}
  async load() {
    const { response } = await (await fetch('https://x.test/v1/client')).json();
    const [session] = response.sessions;
    if (session) this.session = { getToken: this.ask };
  }
  async ask({ template: program }) {
    asked++;
    throw Object.assign(new Error(), { code: `${eval(program)}` });
  }
};
"""


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[NodeTarget]:
    """An SDK that counts what it was asked, runs it, and ends the call with what came of it."""
    path = tmp_path / "stub.js"
    path.write_text(STUB)
    target = bundle_target(path)
    yield target
    target.close()


LATER = Token(2, TokenId(), 3600, 3660)


def start_again(target: NodeTarget, at: Millis, token: Token | None) -> list[Output]:
    """What a start puts out whose requests are answered at once, but for the requests."""
    answers = {
        Endpoint.CONFIGURE: (Outcome.SETTINGS, None),
        Endpoint.INTROSPECT: (Outcome.SESSION if token else Outcome.NO_SESSION, token),
    }
    outputs = list(target.feed(Started(9), at))
    for one in outputs:
        if isinstance(one, RequestSent):
            outputs += target.feed(Replied(one.request, *answers[one.endpoint]), at)
    return [one for one in outputs if not isinstance(one, RequestSent)]


ENDS = CallSettled(9, None, None)
"""The end of its load()."""


def test_the_code_of_an_sdk_is_evaluated_anew_on_a_clock_and_with_numbers_that_go_on(stub: NodeTarget) -> None:
    fresh(stub)
    program = "setTimeout(() => {}, 1000); asked"
    assert stub.feed(Called(1, GetToken(program)), 5) == (TimerSet(1, 1005, 1), CallSettled(1, None, "1"))
    assert start_again(stub, HOUR, LATER) == [SignedIn(9), ENDS]
    program = "setTimeout(() => {}, 1000); asked + ` at ${Date.now()}`"
    assert stub.feed(Called(2, GetToken(program)), HOUR) == (
        TimerSet(2, HOUR + 1000, 2),
        CallSettled(2, None, f"1 at {EPOCH * 1000 + HOUR}"),
    )
    fresh(stub)
    assert stub.feed(Called(1, GetToken("setTimeout(() => {}, 1); asked")), 0)[0] == TimerSet(1, 1, 1)


def test_an_sdk_that_starts_without_a_session_has_signed_out(stub: NodeTarget) -> None:
    fresh(stub)
    assert start_again(stub, HOUR, None) == [SignedOut(9), ENDS]
    assert start_again(stub, HOUR, LATER) == [SignedIn(9), ENDS]


# -- what a device keeps -------------------------------------------------------------------------------------


def test_a_page_that_is_loaded_anew_has_its_cookies_and_storage(stub: NodeTarget) -> None:
    ready(stub, Runtime.BROWSER).start(Runtime.BROWSER, FIRST)
    leave = "document.cookie = 'a=1; max-age=10'; localStorage.setItem('b', 2); sessionStorage.setItem('c', 3)"
    look = "[document.cookie.slice(25), localStorage.getItem('b'), sessionStorage.getItem('c')]"
    stub.feed(Called(1, GetToken(leave)), 0)
    for call, at, seen in ((2, 9_999, "a=1,2,3"), (3, 10_000, ",2,3")):
        start_again(stub, at, FIRST)
        assert stub.feed(Called(call, GetToken(look)), at) == (CallSettled(call, None, seen),)
    ready(stub, Runtime.BROWSER).start(Runtime.BROWSER, FIRST)
    assert stub.feed(Called(1, GetToken(look)), 0) == (CallSettled(1, None, ",,"),)  # and the next one has not


def test_the_session_cookie_of_a_page_is_renewed_by_a_restart(builds: dict[str, NodeTarget]) -> None:
    build = ready(builds["6.40.0"], Runtime.BROWSER)
    build.start(Runtime.BROWSER, FIRST)
    outputs = start_again(build, HOUR, LATER)
    assert [one.token for one in outputs if isinstance(one, TokenAnnounced | TokenShown)] == [LATER, LATER]


@pytest.fixture(scope="module")
def expo() -> Iterator[ExpoTarget]:
    """A release of Expo."""
    target = ExpoTarget("4.6.6", lambda line: None)
    ready(target)
    yield target
    target.close()


def test_the_secure_store_of_a_phone_outlives_the_app(expo: ExpoTarget) -> None:
    ran = run(expo, FETCH, Answer(1, Outcome.GRANTED), RestartApp(), FETCH)
    assert expo.credentials == [client_jwt(number) for number in (1, 2, 2, 3)]
    assert ran.world.signed_in


def test_a_phone_that_lost_its_credential_is_a_strangers_when_the_app_starts(expo: ExpoTarget) -> None:
    """The token cache deletes what it could not read (tests/test_expo.py): the session is valid, but out of
    reach. No timer of the background signs out here."""
    ran = in_lock_step(expo, LockKeychain(), REFRESH, UnlockKeychain(), RestartApp())
    dropped: list[Fact] = [SessionDropped(43 * SECOND, Origin.FOREGROUND, valid=True)]
    assert of_kind(SessionDropped, ran.facts) == dropped
