"""Expo in an app that keeps the last client and settings on the phone, to start with them without a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from msgspec.structs import replace

from model.clerk.policy import Policy
from model.clerk.terms import GetToken
from model.operations import Load
from model.requests import Endpoint, Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, LockKeychain, StartApp
from model.world.facts import Loaded, Origin, Sent, Settled
from properties.invariants.verdict import Cell, Held, Violated
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.run import Run
from properties.search.search import search
from properties.targets.clerk.expo import ExpoTarget
from properties.targets.clerk.expo_start import CachedStartModel
from tests.support import FIRST, SECOND, assuming, explore, ready, run, sessionproof
from tests.test_expo import compared

PILES_UP, RETRIES_ONCE, NEWEST = "3.7.5", "3.7.7", "4.6.6"
"""The last release before the fix of #9173, the first with it, and the newest that is pinned."""
ONE_RETRY = "one-start-retry-at-a-time"
LOST = Outcome.LOST
MOUNTED_TWICE: tuple[Event, ...] = (LockKeychain(), StartApp(), Load(), Answer(1, LOST), Answer(3, LOST))
"""The provider is mounted again while Clerk loads; both loads fail, and the cache cannot be read."""


@pytest.fixture
def expo(request: pytest.FixtureRequest) -> Iterator[ExpoTarget]:
    """A release of Expo in such an app, ready."""
    target = ExpoTarget(request.param, lambda line: None, setup="resource-cache")
    yield ready(target)
    target.close()


before_and_after = pytest.mark.parametrize(
    ("expo", "piles_up"), [(PILES_UP, True), (RETRIES_ONCE, False), (NEWEST, False)], indirect=["expo"]
)


def retries(ran: Run) -> list[int]:
    """When the background asked for the settings, in s."""
    sent = (fact for fact in ran.facts if isinstance(fact, Sent) and fact.origin is Origin.BACKGROUND)
    return [fact.at // SECOND for fact in sent if fact.endpoint is Endpoint.CONFIGURE]


@pytest.mark.parametrize("expo", [PILES_UP, NEWEST], indirect=True)
def test_an_app_starts_with_what_it_has_kept_when_there_is_no_network(expo: ExpoTarget) -> None:
    ran = run(expo, StartApp(), Answer(1, LOST), GetToken())
    assert [(fact.error, fact.signed_in) for fact in ran.facts if isinstance(fact, Loaded)] == [(None, True)]
    assert [fact.token for fact in ran.facts if isinstance(fact, Settled)] == [FIRST]
    assert [fact.endpoint for fact in ran.facts if isinstance(fact, Sent)] == [
        *(Endpoint.CONFIGURE, Endpoint.INTROSPECT)
    ]


@pytest.mark.parametrize("expo", [PILES_UP, NEWEST], indirect=True)
def test_a_cache_that_cannot_be_read_is_as_none(expo: ExpoTarget) -> None:
    """load() ends well, with Expo's client of nobody; what would write that down is rejected."""
    ran = run(expo, LockKeychain(), StartApp(), Answer(1, LOST))
    assert [(fact.error, fact.signed_in) for fact in ran.facts if isinstance(fact, Loaded)] == [(None, False)]
    assert set(expo.threw) == {"User interaction is not allowed."}


@before_and_after
def test_each_load_that_fails_starts_retries_of_its_own_before_the_fix(expo: ExpoTarget, piles_up: bool) -> None:
    ran = run(expo, *MOUNTED_TWICE, Advance(3 * SECOND))
    assert retries(ran) == ([3, 3] if piles_up else [3])
    for request in ran.world.requests:
        ran.play(Answer(request.request, LOST))
    ran.play(Advance(2 * SECOND))
    assert retries(ran) == ([3, 3, 5, 5] if piles_up else [3, 5])


@pytest.mark.slow
@before_and_after
def test_random_search_finds_retries_that_pile_up(expo: ExpoTarget, piles_up: bool) -> None:
    names = ("outage", "locked-keychain", "failing-start")
    verdict = explore(expo, *names, traces=200, judging=[ONE_RETRY]).verdicts[ONE_RETRY]
    assert isinstance(verdict, Violated if piles_up else Held)


# -- a cache of the app's own --------------------------------------------------------------------------------


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[ExpoTarget]:
    """A release of Expo in an app whose resource cache does not depend on the keychain, ready."""
    target = ExpoTarget(request.param, lambda line: None, setup="own-resource-cache")
    yield ready(target)
    target.close()


@pytest.mark.parametrize("own", [PILES_UP, NEWEST], indirect=True)
def test_a_cache_that_can_be_read_while_the_keychain_is_locked_starts_the_app(own: ExpoTarget) -> None:
    ran = run(own, LockKeychain(), StartApp(), Answer(1, LOST), GetToken())
    assert [(fact.error, fact.signed_in) for fact in ran.facts if isinstance(fact, Loaded)] == [(None, True)]
    assert [fact.token for fact in ran.facts if isinstance(fact, Settled)] == [FIRST]
    assert not own.threw


@pytest.mark.slow
@pytest.mark.parametrize("own", [PILES_UP], indirect=True)
def test_with_such_a_cache_no_retries_pile_up_and_nothing_is_uncaught(own: ExpoTarget) -> None:
    """On the release whose retries do, with Expo's own cache."""
    names, judged = ("outage", "locked-keychain", "failing-start"), [ONE_RETRY, "nothing-uncaught"]
    verdicts = explore(own, *names, traces=200, judging=judged).verdicts
    assert all(isinstance(verdicts[name], Held) for name in judged)


# -- the model -----------------------------------------------------------------------------------------------

STARTS = ("outage", "locked-keychain", "failing-start")


@pytest.mark.parametrize("expo", [PILES_UP, RETRIES_ONCE, NEWEST], indirect=True)
@pytest.mark.parametrize("names", [(), (*STARTS, "several-sessions")], ids=["everything", "starts"])
def test_the_app_and_its_model_agree_step_by_step(expo: ExpoTarget, names: tuple[str, ...]) -> None:
    """What is asked when, which session it starts with, and how often the store rejects."""
    assert isinstance(compared(expo, *names), Held)


@pytest.mark.parametrize("own", [PILES_UP, NEWEST], indirect=True)
def test_an_app_with_a_cache_of_its_own_and_its_model_agree(own: ExpoTarget) -> None:
    assert isinstance(compared(own, *STARTS, "several-sessions"), Held)


@pytest.mark.parametrize(
    ("expo", "changed"),
    [
        (PILES_UP, {"once": True}),
        (RETRIES_ONCE, {"once": False}),
        (RETRIES_ONCE, {"keeps_nobody": False}),
        (RETRIES_ONCE, {"leaves": True}),
        (NEWEST, {"leaves": False}),
        (NEWEST, {"locked": False}),
    ],
    indirect=["expo"],
)
def test_a_model_that_chooses_otherwise_differs(expo: ExpoTarget, changed: dict[str, bool]) -> None:
    described = expo.described_by()
    assert isinstance(described, CachedStartModel)
    assert isinstance(described.policy, Policy)
    pair = LockStep(expo, CachedStartModel(described.policy, replace(described.choices, **changed)))
    profile = settings(max_examples=300, derandomize=True, database=None, stateful_step_count=30)
    cell = Cell(expo.name, Runtime.HEADLESS, assuming(*STARTS, "several-sessions"))
    assert isinstance(search(pair, cell, [conforms(pair)], profile).verdicts[CONFORMS], Violated)


@pytest.mark.parametrize("name", [f"expo@{NEWEST}+own-caches", "expo@3.0.1+resource-cache"])
def test_a_read_that_rejects_is_in_no_model_and_an_sdk_that_takes_itself_for_offline_neither(name: str) -> None:
    done = sessionproof("conform", f"--target={name}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no policy describes" in done.stderr.splitlines()[-1]  # after those about downloads, if there are any
