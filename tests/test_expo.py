"""Expo's own code as a target: the device's credential, and what a locked keychain makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from msgspec.structs import replace

from model.clerk.terms import GetToken
from model.requests import Endpoint, Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, LockKeychain, RestartApp, UnlockKeychain
from model.world.facts import Answered, Fact, Origin, Sent, SessionDropped, Settled
from model.world.possible import NotEnabled
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Vacuous, Verdict, Violated
from properties.run.lockstep import CONFORMS, LockStep, conforms
from properties.run.run import Run, Violation
from properties.run.shrink import violates
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.system.trace import load
from properties.targets import npm as downloads
from properties.targets.cache import SEAL, digest
from properties.targets.clerk.expo import ExpoTarget
from properties.targets.clerk.target import clerk_js_target
from properties.targets.clerk.tokens import client_jwt
from properties.targets.names import built_in
from tests.support import (
    FIRST,
    HEADLINE,
    SECOND,
    assuming,
    complaint,
    explore,
    judged,
    model,
    of_kind,
    ready,
    run,
    sessionproof,
    without_events,
)
from tests.test_conformance import EVERYTHING

BEFORE, SINCE, NEWEST = "3.1.10", "3.2.1", "4.6.6"
"""Published with @clerk/clerk-js 6.7.0, the last before the fix of #8303; with 6.7.4, the fix; with 6.31.1."""

MEMORY_ALONE, TAKES_THE_PROVIDERS = "3.6.2", "3.6.3"
"""The last release before the fix of #8928, and the first with it."""

REFRESH = Advance(43 * SECOND)
FETCH = GetToken(skip_cache=True)


@pytest.fixture(scope="module")
def expos() -> Iterator[dict[str, ExpoTarget]]:
    """One target for each release of Expo, which starts when first asked for."""
    made = {version: ExpoTarget(version, lambda line: None) for version in (BEFORE, SINCE, NEWEST)}
    yield made
    for target in made.values():
        target.close()


@pytest.fixture(params=[BEFORE, NEWEST])
def expo(request: pytest.FixtureRequest, expos: dict[str, ExpoTarget]) -> ExpoTarget:
    """A release of Expo, ready: one whose modules were made by esbuild, and one of rolldown's."""
    target = expos[request.param]
    ready(target)
    return target


def credentials(*numbers: int) -> list[str]:
    """Those that the server gave the device as its first, second, ...; 0 is none."""
    return [client_jwt(number) if number else "" for number in numbers]


# -- the credential ------------------------------------------------------------------------------------------


def test_each_request_carries_the_credential_that_the_last_answer_brought(expo: ExpoTarget) -> None:
    run(
        expo,
        *(FETCH, Answer(1, Outcome.GRANTED)),
        *(FETCH, Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.SESSION)),
        FETCH,
    )
    assert expo.credentials == credentials(1, 2, 2, 3)


def test_each_trace_begins_with_the_first_credential(expo: ExpoTarget) -> None:
    for _ in range(2):
        run(expo, FETCH, Answer(1, Outcome.GRANTED), FETCH)
        assert expo.credentials == credentials(1, 2)


def test_a_request_while_the_keychain_is_locked_carries_none(expo: ExpoTarget) -> None:
    ran = run(expo, LockKeychain(), REFRESH)
    assert expo.credentials == credentials(0)
    assert [fact.unauthenticated for fact in of_kind(Sent, ran.facts) if isinstance(fact, Sent)] == [True]


def test_a_keychain_that_nobody_read_while_it_was_locked_still_holds_the_credential(expo: ExpoTarget) -> None:
    run(expo, LockKeychain(), UnlockKeychain(), REFRESH)
    assert expo.credentials == credentials(1)


LOCKED_REFRESH = (LockKeychain(), REFRESH, Answer(1, Outcome.LOST), UnlockKeychain(), FETCH)


def test_a_refused_read_costs_expo_the_credential_for_good(expo: ExpoTarget) -> None:
    """token-cache/index.ts deletes what it could not read: the call after the unlocking is a stranger's."""
    events = (*LOCKED_REFRESH, Answer(2, Outcome.UNAUTHORIZED), Answer(3, Outcome.NO_SESSION))
    ran = run(expo, *events)
    assert expo.credentials == credentials(0, 0, 0)
    assert of_kind(SessionDropped, ran.facts) == [SessionDropped(43 * SECOND, Origin.FOREGROUND, valid=True)]


def test_a_token_cache_that_rejects_keeps_the_credential_and_sends_nothing_without_it() -> None:
    expo = ExpoTarget(NEWEST, lambda line: None, setup="rejecting-cache")
    try:
        run(ready(expo), LockKeychain(), REFRESH, UnlockKeychain(), FETCH)
    finally:
        expo.close()
    assert expo.credentials == credentials(1)


def test_without_expo_the_call_after_the_unlocking_gets_a_token(expo: ExpoTarget) -> None:
    target = clerk_js_target(expo.release, lambda line: None)
    try:
        ran = judged(ready(target), *LOCKED_REFRESH, Answer(2, Outcome.GRANTED))
    finally:
        target.close()
    assert settled(ran)[-1].token is not None


def test_an_answer_that_arrives_while_the_keychain_is_locked_fails_its_request(expo: ExpoTarget) -> None:
    """Its credential cannot be saved, and so nobody gets its token; the call tries again."""
    ran = run(expo, FETCH, LockKeychain(), Answer(1, Outcome.GRANTED))
    assert settled(ran) == []
    ran.play(UnlockKeychain())
    ran.play(Advance(3 * SECOND))
    ran.play(Answer(2, Outcome.GRANTED))
    assert expo.credentials == credentials(1, 1)  # what could not be written was not read either
    assert [fact.token is not None for fact in settled(ran)] == [True]


def test_a_rotation_elsewhere_signs_out_on_expo_as_on_clerk_js(expo: ExpoTarget) -> None:
    events = (REFRESH, Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    target = clerk_js_target(expo.release, lambda line: None)
    try:
        alone = broken_by(ready(target), "rotated-credential", *events)
    finally:
        target.close()
    assert alone == broken_by(expo, "rotated-credential", *events)
    assert alone[0] == HEADLINE
    assert expo.credentials == credentials(1, 1)


def broken_by(target: Target, names: str, *events: Event) -> tuple[str | None, tuple[Fact, ...]]:
    """What the events, all of them permitted, break on the target, and the answers and sign-outs on the way."""
    ran = Run(target, Runtime.HEADLESS, assuming(names), INVARIANTS.values())
    for event in events:
        assert ran.permits(event)
        try:
            ran.play(event)
        except Violation as violation:
            told = [fact for fact in ran.facts if isinstance(fact, Answered | SessionDropped)]
            return violation.trace.invariant, tuple(told)
    return None, ()


def settled(ran: Run) -> list[Settled]:
    return [fact for fact in ran.facts if isinstance(fact, Settled)]


# -- an app whose code has the instance before the provider --------------------------------------------------


@pytest.fixture
def early(request: pytest.FixtureRequest) -> Iterator[ExpoTarget]:
    """A release of Expo in such an app, ready."""
    target = ExpoTarget(request.param, lambda line: None, setup="early-singleton")
    yield ready(target)
    target.close()


of_releases = pytest.mark.parametrize("early", [MEMORY_ALONE, TAKES_THE_PROVIDERS, NEWEST], indirect=True)
before_and_after = pytest.mark.parametrize(
    ("early", "survives"), [(MEMORY_ALONE, False), (TAKES_THE_PROVIDERS, True)], indirect=["early"]
)


@before_and_after
def test_the_cache_of_the_provider_reaches_an_instance_that_was_made_before_it(
    early: ExpoTarget, survives: bool
) -> None:
    """Since #8928. Before, the app starts without the credential that it had in memory."""
    ran = run(early, FETCH, Answer(1, Outcome.GRANTED), RestartApp())
    assert early.credentials == (credentials(1, 2, 2) if survives else credentials(1, 0, 0))
    assert ran.world.signed_in is survives
    dropped: list[Fact] = [] if survives else [SessionDropped(0, Origin.FOREGROUND, valid=True)]
    assert of_kind(SessionDropped, ran.facts) == dropped


@before_and_after
def test_a_credential_in_memory_knows_no_lock(early: ExpoTarget, survives: bool) -> None:
    run(early, LockKeychain(), REFRESH)
    assert early.credentials == credentials(0 if survives else 1)


@before_and_after
def test_random_search_finds_the_start_without_a_credential(early: ExpoTarget, survives: bool) -> None:
    name = "valid-session-survives"
    verdict = explore(early, "restart", traces=60, judging=[name]).verdicts[name]
    assert isinstance(verdict, Held if survives else Violated)
    assert survives or (isinstance(verdict, Violated) and verdict.trace.events == (RestartApp(),))


def test_a_tour_does_not_claim_what_a_start_without_a_credential_makes_impossible() -> None:
    done = sessionproof("tour", f"--target=expo@{MEMORY_ALONE}+early-singleton", "--assume=restart")
    assert "the graph is that of a client without a store" in complaint(done)


# -- verdicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "holds"), [(BEFORE, False), pytest.param(SINCE, True, marks=pytest.mark.slow), (NEWEST, True)]
)
def test_a_starved_refresh_signs_out_before_the_fix_and_not_since(
    expos: dict[str, ExpoTarget], version: str, holds: bool
) -> None:
    """Also: Expo loads Clerk as headless, or there would be no guard."""
    target = ready(expos[version])
    verdict = explore(target, "starvation", "stale-after-expiry", traces=80, judging=[HEADLINE]).verdicts[
        HEADLINE
    ]
    assert isinstance(verdict, Held if holds else Violated)
    assert holds or "freeze(" in str(getattr(verdict, "trace", ""))


@pytest.mark.parametrize(("inner", "signs_out"), [("6.7.1", True), ("6.7.4", False)])
def test_expo_runs_around_the_clerk_js_that_a_lock_file_names(inner: str, signs_out: bool) -> None:
    """Though this release of Expo was published with 6.7.4."""
    target = ExpoTarget(SINCE, lambda line: None, inner)
    trace = replace(load(built_in().corpus / "starved-refresh-6.7.1.json"), target=target.name)
    try:
        assert bool(violates(trace, ready(target), INVARIANTS[HEADLINE])) is signs_out
    finally:
        target.close()


def test_a_locked_keychain_signs_the_user_out_in_the_background(expo: ExpoTarget) -> None:
    verdict = explore(expo, "locked-keychain", traces=60, judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    assert len(verdict.trace.events) <= 4


def test_expo_and_its_model_agree_step_by_step(expo: ExpoTarget) -> None:
    """Requests, what they carry, tokens, errors and timers, whatever the world does."""
    assert isinstance(compared(expo), Held)


@of_releases
def test_an_app_with_an_early_instance_and_its_model_agree_step_by_step(early: ExpoTarget) -> None:
    assert isinstance(compared(early), Held)


def compared(expo: ExpoTarget, *names: str) -> Verdict:
    """What a comparison with its model finds in random traces, assuming everything unless some is named."""
    described = expo.described_by()
    assert described is not None
    pair = LockStep(expo, described)
    profile = settings(max_examples=60, derandomize=True, database=None, stateful_step_count=30)
    cell = Cell(expo.name, Runtime.HEADLESS, assuming(*(names or EVERYTHING)))
    return search(pair, cell, [conforms(pair)], profile).verdicts[CONFORMS]


# -- what cannot be had --------------------------------------------------------------------------------------


def test_a_runtime_that_a_phone_has_not_is_refused(expo: ExpoTarget) -> None:
    with pytest.raises(TargetError, match="@clerk/expo is headless on a phone: there is no browser-like of it"):
        expo.start(Runtime.BROWSER_LIKE, FIRST)


def test_a_version_that_is_not_exact_is_refused() -> None:
    with pytest.raises(TargetError, match=r"'\^4\.0\.0' is not an exact version of @clerk/expo: pin one"):
        ExpoTarget("^4.0.0", lambda line: None).prepare()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of downloads of the test's own."""

    def folder(package: downloads.Package) -> Path:
        return tmp_path / package.name.rpartition("/")[2]

    monkeypatch.setattr(downloads, "cache_folder", folder)
    return tmp_path


def cached(cache: Path, name: str, version: str, **files: str) -> None:
    """Put a package into the cache."""
    for path, text in files.items():
        file = cache / name / version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (cache / name / version / SEAL).write_text(digest(cache / name / version))


def test_a_release_that_depends_on_no_clerk_js_is_named(empty_cache: Path) -> None:
    cached(empty_cache, "expo", "0.0.1", **{"package.json": '{"dependencies": {"tslib": "2.8.1"}}'})
    with pytest.raises(TargetError, match=r"@clerk/expo@0\.0\.1 names no @clerk/clerk-js it depends on"):
        ExpoTarget("0.0.1", lambda line: None).prepare()


def test_a_module_that_is_neither_there_nor_stubbed_is_named(expo: ExpoTarget, empty_cache: Path) -> None:
    wants = '{"dependencies": {"@clerk/clerk-js": "^0.0.2", "@clerk/shared": "^0.0.3"}}'
    cached(
        empty_cache,
        "expo",
        "0.0.1",
        **{"package.json": wants, "dist/constants.js": "exports.CLERK_CLIENT_JWT_KEY = 'key'"},
        **{"dist/provider/ClerkProvider.js": "require('left-pad')"},
    )
    cached(
        empty_cache, "clerk-js", "0.0.2", **{"package.json": "{}", "clerk.native.js": "exports.Clerk = class {}"}
    )
    cached(empty_cache, "shared", "0.0.3", **{"package.json": "{}"})
    target = ExpoTarget("0.0.1", lambda line: None)
    with pytest.raises(
        TargetError, match=r"ClerkProvider\.js requires 'left-pad', which is neither there nor st"
    ):
        target.prepare()
    target.close()


def test_a_tour_does_not_claim_what_the_store_makes_impossible(expo: ExpoTarget) -> None:
    done = sessionproof("tour", f"--target={expo.name}", "--assume=locked-keychain")
    assert "the graph is that of a client without a store" in complaint(done)


# -- the assumption ------------------------------------------------------------------------------------------


def test_a_stranger_is_given_no_token(expo: ExpoTarget) -> None:
    ran = run(expo, LockKeychain(), REFRESH)
    assert assuming("locked-keychain", "outage").outcomes(ran.world, ran.world.requests[0]) == (
        Outcome.UNAUTHORIZED,
        *(Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST),
    )
    with pytest.raises(NotEnabled, match="a request to mint without a credential cannot end with 'granted'"):
        ran.play(Answer(1, Outcome.GRANTED))
    ran.play(Answer(1, Outcome.UNAUTHORIZED))
    allowed = assuming("locked-keychain")
    (request,) = ran.world.requests
    assert (request.request, allowed.outcomes(ran.world, request)) == (2, (Outcome.NO_SESSION,))
    assert request.endpoint is Endpoint.INTROSPECT


def test_a_call_that_the_keychain_was_locked_under_is_not_healthy() -> None:
    ran = run(model("6.7.4"), FETCH, LockKeychain(), UnlockKeychain(), FETCH, LockKeychain(), FETCH)
    assert [call.healthy for call in ran.system.monitor.calls] == [False, False, False]


def test_a_keychain_is_locked_once() -> None:
    ran = run(model("6.7.4"), LockKeychain())
    with pytest.raises(NotEnabled, match="the keychain is locked already"):
        ran.play(LockKeychain())


def test_a_run_that_never_locked_the_keychain_is_vacuous(monkeypatch: pytest.MonkeyPatch) -> None:
    without_events(monkeypatch)
    verdict = explore(model("6.7.4"), "locked-keychain", traces=20, judging=[HEADLINE]).verdicts[HEADLINE]
    assert isinstance(verdict, Vacuous)
    assert set(verdict.never) == {"the keychain is locked", "a request without a credential"}
