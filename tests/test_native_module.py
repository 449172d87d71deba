"""Expo in an app with Clerk's native module: React runs, and a reload of the JavaScript leaves it alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from model.clerk.policy import Policy
from model.clerk.terms import SignOut
from model.operations import Load
from model.requests import Endpoint, Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, RestartApp, StartApp
from model.world.facts import Loaded, Origin, Sent
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Violated
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.run import Run
from properties.search.search import search
from properties.targets.clerk.expo import REACT, ExpoTarget
from properties.targets.clerk.expo_native import NativeModuleModel
from tests.support import SECOND, assuming, complaint, explore, judged, of_kind, ready, run, sessionproof
from tests.test_expo import compared

FIRST_WITHOUT, SIGNS_OUT, WAITS, NEWEST = "3.1.5", "3.2.7", "3.2.8", "4.6.6"
"""The last release that never signs out of the native module, the last that does so while Clerk loads, the first
that waits for it (#8469), and the newest."""
ONLY_THE_APP = "only-the-app-signs-out"


@pytest.fixture
def expo(request: pytest.FixtureRequest) -> Iterator[ExpoTarget]:
    """A release of Expo in such an app, ready."""
    target = ExpoTarget(request.param, lambda line: None, setup="native-module")
    yield ready(target)
    target.close()


each_release = pytest.mark.parametrize("expo", [FIRST_WITHOUT, SIGNS_OUT, WAITS, NEWEST], indirect=True)
before_and_after = pytest.mark.parametrize(
    ("expo", "survives"),
    [(FIRST_WITHOUT, True), (SIGNS_OUT, False), (WAITS, True), (NEWEST, True)],
    indirect=["expo"],
)


def sign_outs(ran: Run) -> list[Origin]:
    return [one.origin for one in ran.facts if isinstance(one, Sent) and one.endpoint is Endpoint.SIGN_OUT]


@before_and_after
def test_a_reload_signs_out_of_the_native_module_before_the_fix(expo: ExpoTarget, survives: bool) -> None:
    """It takes `isSignedIn`, undefined while Clerk loads, for signed out; the server ends the session."""
    ran = run(expo, RestartApp())
    assert len(sign_outs(ran)) == (0 if survives else 1)
    assert ran.world.signed_in is survives
    assert ran.world.valid is survives


@before_and_after
def test_random_search_finds_the_reload(expo: ExpoTarget, survives: bool) -> None:
    verdict = explore(expo, "restart", traces=30, judging=[ONLY_THE_APP]).verdicts[ONLY_THE_APP]
    assert isinstance(verdict, Held if survives else Violated)
    assert survives or (isinstance(verdict, Violated) and verdict.trace.events == (RestartApp(),))


@pytest.mark.parametrize("expo", [SIGNS_OUT, WAITS], indirect=True)
def test_a_sign_out_of_the_app_is_one_of_the_native_module_too(expo: ExpoTarget) -> None:
    """An effect of React's, which runs when `isSignedIn` changes. The app's own call waits meanwhile."""
    ran = judged(expo, SignOut(), Answer(1, Outcome.NO_SESSION))
    assert sign_outs(ran) == [Origin.FOREGROUND, Origin.FOREGROUND]
    assert INVARIANTS[ONLY_THE_APP].check(ran.steps[-1]) is None


@pytest.mark.parametrize(("expo", "asks"), [("3.3.1", True), ("3.4.2", False)], indirect=["expo"])
def test_a_wrong_sign_out_becomes_a_real_one(expo: ExpoTarget, asks: bool) -> None:
    """The effect above makes no difference between a sign-out of the app and one that the SDK concludes."""
    events = (Advance(43 * SECOND), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    assert sign_outs(run(expo, *events)) == ([Origin.BACKGROUND] if asks else [])


@each_release
def test_the_provider_can_be_mounted_again(expo: ExpoTarget) -> None:
    ran = run(expo, StartApp())
    own = [one.request for one in ran.world.requests if one.endpoint is Endpoint.CONFIGURE]
    ran.play(Answer(own[0], Outcome.BROKEN))
    assert [fact.error for fact in ran.facts if isinstance(fact, Loaded)] == ["api-500"]
    ran.play(Load())
    for _ in range(2):
        for request in ran.world.requests:
            ran.play(Answer(request.request, ran.world.honest_answer(request)))
    assert [fact.error for fact in of_kind(Loaded, ran.facts)] == ["api-500", None]


@each_release
def test_react_sets_no_timer_of_its_own(expo: ExpoTarget) -> None:
    ran = run(expo, Advance(42 * SECOND))
    assert [timer.due for timer in ran.world.timers] == [60 * SECOND, 43 * SECOND]


@pytest.mark.parametrize("expo", [SIGNS_OUT, WAITS], indirect=True)
@pytest.mark.parametrize("names", [(), ("failing-start", "several-sessions")], ids=["everything", "starts"])
def test_the_app_and_its_model_agree_step_by_step(expo: ExpoTarget, names: tuple[str, ...]) -> None:
    """What Expo asks for at a start, what it makes the active session, and when it signs out of the module."""
    assert isinstance(compared(expo, *names), Held)


@pytest.mark.parametrize(("expo", "early"), [(SIGNS_OUT, False), (WAITS, True)], indirect=["expo"])
def test_a_model_of_the_other_side_differs(expo: ExpoTarget, early: bool) -> None:
    described = expo.described_by()
    assert described is not None
    assert isinstance(described.policy, Policy)
    pair = LockStep(expo, NativeModuleModel(described.policy, early))
    profile = settings(max_examples=60, derandomize=True, database=None, stateful_step_count=30)
    cell = Cell(expo.name, Runtime.HEADLESS, assuming("restart"))
    assert isinstance(search(pair, cell, [conforms(pair)], profile).verdicts[CONFORMS], Violated)


def test_later_releases_have_no_model() -> None:
    done = sessionproof("conform", f"--target=expo@{NEWEST}+native-module")
    assert "no policy describes" in complaint(done)


def test_the_pinned_react_names_no_registry() -> None:
    lock = (REACT.folder / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/') > 5
