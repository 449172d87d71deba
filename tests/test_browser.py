"""A page: the SDK's browser build with its session cookie and the poller, and the little that surrounds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from model.app import ANY_APP
from model.clerk.sdk import CLERK
from model.clerk.terms import PAGE_TIMINGS, SESSION_TOKEN, GetToken, TokenId
from model.io import Called, CallSettled, ConnectionChanged, Output, Replied, Stimulus, TimerSet, TokenShown
from model.requests import Outcome
from model.step import TICKS_AT_ONCE, Span, enabled, longest_advance
from model.terms import Millis, Runtime
from model.world.events import Advance, Answer, Freeze, Revoke, StartApp
from model.world.facts import Origin, Sent, SessionDropped, Settled, Shown
from model.world.state import System, Timer, World
from properties.cli.main import main
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS, breach_of
from properties.invariants.causes import cause_sentence
from properties.render.files import FORMATS
from properties.run import schema
from properties.run.counterexample import Counterexample, Found
from properties.run.run import Run
from properties.run.shrink import violates
from properties.system.fact_kinds import tell
from properties.system.trace import Trace
from properties.targets.clerk.target import bundle_target
from properties.targets.dom import LOCK_FOLDER
from properties.targets.node_target import NodeTarget
from tests.support import FIRST, HOUR, RELEASES, SECOND, assuming, explore, fresh, of_kind, ready, run

SEED, FIXED, NEWEST = RELEASES
PAGE = Runtime.BROWSER
EMPTIED = "no-empty-token-announced"


def on_a_page(builds: dict[str, NodeTarget], release: str) -> NodeTarget:
    """The build of a release, ready to run on a page."""
    return ready(builds[release], PAGE)


# -- the poller and the cookie --------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_a_fresh_page_has_the_token_in_its_cookie_and_polls_after_5_s(
    builds: dict[str, NodeTarget], release: str
) -> None:
    outputs = on_a_page(builds, release).start(PAGE, FIRST)
    assert outputs[-1] == TokenShown(FIRST)
    assert 5_000 in [output.due for output in outputs if isinstance(output, TimerSet)]


def test_the_newest_release_sets_no_refresh_timer_in_a_tab_that_is_not_in_front(
    builds: dict[str, NodeTarget],
) -> None:
    """There its poller is all that keeps a session alive; the releases of the seed have both."""
    dues = {
        release: [timer.due for timer in run(on_a_page(builds, release), runtime=PAGE).world.one_shot_timers]
        for release in (FIXED, NEWEST)
    }
    assert dues == {FIXED: [60_000, 43_000], NEWEST: [60_000]}


def test_the_poller_asks_in_the_background_while_a_call_is_pending(builds: dict[str, NodeTarget]) -> None:
    ran = run(on_a_page(builds, NEWEST), Advance(50_000), GetToken("api"), Advance(5_000), runtime=PAGE)
    sent = [(fact.token_id, fact.origin) for fact in ran.facts if isinstance(fact, Sent)]
    assert sent == [(TokenId("api"), Origin.FOREGROUND), (SESSION_TOKEN, Origin.BACKGROUND)]


def test_a_token_goes_into_the_cookie_and_a_template_does_not(builds: dict[str, NodeTarget]) -> None:
    ran = run(
        on_a_page(builds, NEWEST),
        *(GetToken("api"), Answer(1, Outcome.GRANTED)),
        *(GetToken(skip_cache=True), Answer(2, Outcome.GRANTED)),
        runtime=PAGE,
    )
    kept = [(fact.token.number, fact.due) for fact in ran.facts if isinstance(fact, Shown) and fact.token]
    assert kept == [(3, True)]
    assert ran.world.page.shown == ran.world.token


def test_a_sign_out_empties_the_cookie_and_that_is_no_finding_of_its_own(
    builds: dict[str, NodeTarget],
) -> None:
    events = (GetToken(skip_cache=True), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    for first in ((Revoke(),), ()):
        ran = run(on_a_page(builds, NEWEST), *first, *events, runtime=PAGE)
        (dropped,), (kept,) = of_kind(SessionDropped, ran.facts), of_kind(Shown, ran.facts)
        assert isinstance(dropped, SessionDropped)
        assert dropped.valid == (not first)
        assert kept == Shown(ran.world.now, None, due=False)
        assert ran.world.page.shown is None


@pytest.mark.parametrize("release", [FIXED, NEWEST])
def test_a_starved_page_still_asks_and_is_signed_out(builds: dict[str, NodeTarget], release: str) -> None:
    """The guard of #8303 is not there: what happened to React Native's users happens to a frozen tab."""
    ran = Run(on_a_page(builds, release), PAGE, assuming("starvation", "stale-after-expiry"), ())
    events = (Freeze(8 * HOUR), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    for event in events:
        assert ran.permits(event)
        ran.play(event)
    assert SessionDropped(8 * HOUR, Origin.BACKGROUND, valid=True) in ran.facts


def test_a_page_asks_twice_which_sessions_there_are_after_a_401_and_no_more(
    builds: dict[str, NodeTarget],
) -> None:
    """First its network layer, then its cookie service, which handles the same 401: no storm."""
    ran = Run(on_a_page(builds, NEWEST), PAGE, assuming("rotated-credential"), INVARIANTS.values())
    ran.play(Advance(55_000))
    ran.play(Answer(1, Outcome.UNAUTHORIZED))
    ran.play(Answer(2, Outcome.SESSION))
    ran.play(Answer(3, Outcome.SESSION))
    assert not ran.world.requests


# -- an empty cookie ------------------------------------------------------------------------------------------


class EmptiesItsCookie:
    """A real build that takes a lost request for a reason to empty the cookie, and is otherwise as it is."""

    def __init__(self, build: NodeTarget) -> None:
        self.name = f"{build.name}, but"
        self.prepare, self.start, self.finish, self.close = build.prepare, build.start, build.finish, build.close
        self.described_by, self.sdk, self.timings = build.described_by, build.sdk, build.timings
        self._feed = build.feed

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """What the build does, and one thing more."""
        lost = isinstance(stimulus, Replied) and stimulus.outcome is Outcome.LOST
        return (*self._feed(stimulus, at), *[TokenShown(None)] * lost)


@pytest.mark.parametrize("judged", sorted(INVARIANTS))
def test_to_empty_the_cookie_when_a_request_is_lost_breaks_that_invariant_alone(
    builds: dict[str, NodeTarget], judged: str
) -> None:
    build = on_a_page(builds, NEWEST)
    for target, broken in ((build, False), (EmptiesItsCookie(build), judged == EMPTIED)):
        trace = Trace(target.name, PAGE, assuming("outage"), (Advance(55_000), Answer(1, Outcome.LOST)), judged)
        assert bool(violates(trace, target, INVARIANTS[judged])) is broken


def test_it_is_told_with_its_cause_and_rendered_in_every_way_but_as_a_script(
    builds: dict[str, NodeTarget],
) -> None:
    target = EmptiesItsCookie(on_a_page(builds, NEWEST))
    events = (Advance(55_000), Answer(1, Outcome.LOST))
    trace = Trace(f"clerk-js@{NEWEST}", PAGE, assuming("outage"), events, EMPTIED)
    violation = violates(trace, target, INVARIANTS[EMPTIED])
    assert violation is not None
    found = Counterexample(violation.trace, violation.played, Found({}))
    assert cause_sentence(found.played, breach_of(found.trace, found.played)).endswith(
        "the answer was nothing: the connection is lost; "
        "and so the SDK showed the app's own server no token, while the session is valid."
    )
    assert [name for name, render in FORMATS.items() if render(found) is None] == ["repro", "vitest"]
    jsonschema.Draft202012Validator(schema.schema()).validate(json.loads(FORMATS["json"](found) or ""))


def test_only_a_page_is_judged_by_its_cookie() -> None:
    assert EMPTIED not in DEFAULT_INVARIANTS
    assert INVARIANTS[EMPTIED].runtimes == {PAGE, Runtime.FRAME}
    nothing = "shows the app's own server no token"
    assert tell(Shown(0, None, due=True)) == ("SDK", f"{nothing}, while the session is valid")
    assert tell(Shown(0, None, due=False)) == ("SDK", nothing)


# -- no chance, no leftovers ----------------------------------------------------------------------------------


def script(target: NodeTarget) -> list[str]:
    """What a page does in a trace that touches cookie, lock, storage and network."""
    ran = Run(target, PAGE, assuming("outage"), ())
    ran.play(Advance(60_000))
    for outcome in (Outcome.LOST, Outcome.UNAUTHORIZED, Outcome.GRANTED):
        ran.play(GetToken(skip_cache=True))
        ran.play(Answer(ran.world.requests[0].request, outcome))
        ran.play(Advance(7_000))
    target.finish()
    return [repr(step.facts) for step in ran.steps]


def test_while_a_page_loads_nobody_has_to_be_told_of_a_session(builds: dict[str, NodeTarget]) -> None:
    """When GET /client fails, the SDK makes a session up from the cookie until load() ends."""
    target = ready(builds["6.7.4"], PAGE)
    ran = Run(target, PAGE, assuming("failing-start"), ())
    for event in (StartApp(), Answer(2, Outcome.BROKEN)):
        assert ran.permits(event)
        ran.play(event)
    target.finish()


def test_a_page_leaves_nothing_to_the_next(builds: dict[str, NodeTarget]) -> None:
    target = on_a_page(builds, NEWEST)
    before = script(target)
    run(target, Advance(60_000), GetToken(), runtime=PAGE)  # a lock is held, a request is in flight
    run(target, GetToken(skip_cache=True), Answer(1, Outcome.UNAUTHORIZED), runtime=PAGE)
    assert script(target) == before


@pytest.mark.slow
def test_the_same_seed_gives_the_same_traces(builds: dict[str, NodeTarget]) -> None:
    target = on_a_page(builds, NEWEST)
    first, second = (explore(target, "outage", traces=6, runtime=PAGE) for _ in range(2))
    assert first.verdicts == second.verdicts
    assert first.reached == second.reached


# -- the page itself ------------------------------------------------------------------------------------------

STUB = """
exports.Clerk = class {
  addListener() {}
  async load() { this.session = { getToken: this.ask }; }
  async ask({ template: program }) {
    const seen = await eval(program);
    throw Object.assign(new Error(), { code: `${seen}` });
  }
};
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeTarget]:
    """An SDK on a page that runs whatever it is asked for, and ends the call with what came of it."""
    path = tmp_path_factory.mktemp("stub") / "stub.js"
    path.write_text(STUB)
    target = bundle_target(path)
    yield target
    target.close()


@pytest.mark.parametrize(
    ("program", "seen"),
    [
        ("[document.hasFocus(), document.visibilityState]", "false,hidden"),
        ("[window.top === window, isSecureContext, location.href]", "true,true,https://app.clerk.test/"),
        ("document.cookie = 'a=1; max-age=1'; document.cookie", "__client_uat=1767225600; a=1"),
        ("document.cookie = 'a=1; max-age=0'; document.cookie", "__client_uat=1767225600"),
        ("document.cookie = `a=1; expires=${new Date(Date.now() + 1000)}`; document.cookie.slice(25)", "a=1"),
        ("document.cookie = `a=1; expires=${new Date(Date.now())}`; document.cookie.slice(25)", ""),
        ("[new Event('x').timeStamp, new CustomEvent('x').timeStamp, document.lastModified]", "0,0,"),
        (
            "['XMLHttpRequest', 'WebSocket', 'performance'].map(name => name in document.defaultView)",
            "false,false,false",
        ),
        ("document.defaultView.setTimeout === setTimeout", "true"),
        ("[typeof process, typeof Buffer, typeof Worker]", "undefined,undefined,undefined"),
        ("let n = 0; addEventListener('focus', () => n++); window.dispatchEvent(new Event('focus')); n", "1"),
        (
            "let n = 0; const next = () => navigator.locks.request('x', async () => { await null; return n++; });"
            "Promise.all([next(), next(), next()])",
            "0,1,2",
        ),
        (
            "navigator.locks.request('x', () => new Promise(() => {})); const gone = new AbortController();"
            "const b = navigator.locks.request('x', { signal: gone.signal }, () => 2); gone.abort('aborted');"
            "b.catch(reason => reason)",
            "aborted",
        ),
    ],
)
def test_what_an_sdk_finds_on_a_page(stub: NodeTarget, program: str, seen: str) -> None:
    assert fresh(stub, PAGE).feed(Called(1, GetToken(program)), 0) == (CallSettled(1, None, seen),)


def test_cookies_expire_by_the_clock_of_the_page(stub: NodeTarget) -> None:
    program = "const old = document.cookie; document.cookie = 'a=1; max-age=10'; old.slice(25)"
    target = fresh(stub, PAGE)
    seen = [target.feed(Called(call, GetToken(program)), at) for call, at in ((1, 0), (2, 9_999), (3, 19_999))]
    assert seen == [(CallSettled(call, None, was),) for call, was in ((1, ""), (2, "a=1"), (3, ""))]


def test_a_page_hears_that_it_is_offline_and_that_it_is_back(stub: NodeTarget) -> None:
    target = fresh(stub, PAGE)
    for call, online in enumerate((False, True), 1):
        name = "online" if online else "offline"
        program = f"new Promise(hear => addEventListener('{name}', () => hear(navigator.onLine)))"
        assert target.feed(Called(call, GetToken(program)), 0) == ()
        assert target.feed(ConnectionChanged(online), 0) == (CallSettled(call, None, str(online).lower()),)


def test_to_lose_a_request_takes_no_page_offline(stub: NodeTarget) -> None:
    target = fresh(stub, PAGE)
    target.feed(Called(1, GetToken("fetch('https://x.test/v1/client').catch(() => navigator.onLine)")), 0)
    assert target.feed(Replied(1, Outcome.LOST), 0) == (CallSettled(1, None, "true"),)


# -- time -----------------------------------------------------------------------------------------------------


def page(*dues: tuple[Millis, Millis], runtime: Runtime = PAGE) -> World:
    """A world with timers: when each was set, and when it is due."""
    timers = tuple(Timer(n, due, due, at) for n, (at, due) in enumerate(dues))
    return World(runtime, CLERK.timings(runtime), CLERK.server, FIRST, timers=timers)


def test_the_poller_does_not_keep_time_from_passing() -> None:
    poll, refresh = (0, PAGE_TIMINGS.ticker), (0, 43_000)
    assert longest_advance(page(poll, refresh), assuming("calm")) == 43_000 + PAGE_TIMINGS.patience
    asks_at = 55_000  # for a new token
    assert longest_advance(page(poll), assuming("calm")) == asks_at + PAGE_TIMINGS.patience
    elsewhere = page(poll, refresh, runtime=Runtime.BROWSER_LIKE)
    assert longest_advance(elsewhere, assuming("calm")) == PAGE_TIMINGS.ticker + PAGE_TIMINGS.patience


def test_a_step_on_a_page_takes_five_minutes_at_most_and_a_freeze_does_not() -> None:
    world = page((0, PAGE_TIMINGS.ticker))
    assert longest_advance(world, assuming("outage")) == TICKS_AT_ONCE * PAGE_TIMINGS.ticker == 300_000
    options = enabled(System(world), assuming("starvation"), ANY_APP, like=Freeze(1))
    (freeze,) = [one for one in options if isinstance(one, Span) and one.kind]
    assert freeze.longest > 29 * 24 * HOUR


def test_a_page_is_out_of_trouble_when_its_poller_is_all_that_goes_on(builds: dict[str, NodeTarget]) -> None:
    ran = Run(on_a_page(builds, NEWEST), PAGE, assuming("outage"), ())
    ran.play(Advance(55_000))
    ran.play(Answer(1, Outcome.BROKEN))
    ran.play(Advance(3 * SECOND))  # its retry
    ran.play(Answer(2, Outcome.GRANTED))
    ran.play(Advance(10 * SECOND))
    ran.play(GetToken())
    (settled,) = of_kind(Settled, ran.facts)
    assert isinstance(settled, Settled)
    assert settled.healthy


def test_a_question_that_is_asked_again_after_a_fault_is_still_trouble(builds: dict[str, NodeTarget]) -> None:
    """Its timer is as short as the poller's. A call that joins another's request shares the end of it."""
    ran = Run(on_a_page(builds, NEWEST), PAGE, assuming("outage", "rotated-credential"), INVARIANTS.values())
    ran.play(GetToken("api"))
    ran.play(Answer(1, Outcome.UNAUTHORIZED))
    ran.play(Answer(2, Outcome.LOST))
    ran.play(Advance(100))
    ran.play(GetToken("api"))
    ran.play(Answer(3, Outcome.SESSION))
    ended = [(fact.call, fact.error, fact.healthy) for fact in ran.facts if isinstance(fact, Settled)]
    assert ended == [(2, "api-401", False), (1, "api-401", False)]


# -- what is refused ------------------------------------------------------------------------------------------

NOT_MODELLED = "the model does not describe the runtime browser"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prove"], NOT_MODELLED),
        (["matrix"], NOT_MODELLED),
        (["tour"], NOT_MODELLED),
        (["campaign", "--target=model"], NOT_MODELLED),
        (["conform", "--target=clerk-js@6.7.4"], f"{NOT_MODELLED}: name real builds"),
        (["conform", "--target=clerk-js@6.7.4", "--against=model"], NOT_MODELLED),
    ],
)
def test_what_needs_the_model_is_refused_in_one_line(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, [*words, "--runtime=browser"])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert said in line


def test_react_natives_bundle_is_refused_on_a_page(tmp_path: Path) -> None:
    native = tmp_path / "clerk.native.js"
    native.write_text("")
    words = ["conform", f"--target=path:{native}", "--against=clerk-js@6.7.4", "--runtime=browser"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert "is React Native's bundle: on a page name the browser's, clerk.no-rhc.js" in line


def test_the_pinned_dom_names_no_registry() -> None:
    lock = (LOCK_FOLDER / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/') > 30
