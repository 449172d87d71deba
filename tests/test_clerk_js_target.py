"""Real builds of @clerk/clerk-js behind the adapter: what crosses the boundary, and that nothing else does."""

from __future__ import annotations

import pytest

from model.clerk.sdk import CLERK
from model.clerk.terms import SESSION_TOKEN, GetToken, TokenId
from model.io import Called, CallSettled, Output, Replied, RequestSent, SignedOut, TimerDue, TimerSet
from model.requests import Endpoint, Outcome
from model.terms import Runtime, Token
from model.world.events import Answer
from properties.run.run import Violation
from properties.system.target import TargetError
from properties.targets.clerk import server as fapi
from properties.targets.clerk.target import clerk_js_target
from properties.targets.node_target import NodeTarget
from tests.support import FIRST, HOUR, RELEASES, fresh, judged, ready

SEED, FIXED, NEWEST = RELEASES
EVICTION, REFRESH = 1, 2


def token(number: int, at: int, token_id: TokenId = SESSION_TOKEN) -> Token:
    """A token minted at `at` ms."""
    return Token(number, token_id, at // 1000, at // 1000 + 60)


# -- what a fresh instance does -----------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", CLERK.runtimes)
@pytest.mark.parametrize("release", RELEASES)
def test_a_fresh_instance_evicts_at_60_s_and_refreshes_at_43_s(
    builds: dict[str, NodeTarget], release: str, runtime: Runtime
) -> None:
    outputs = ready(builds[release]).start(runtime, FIRST)
    assert outputs == (TimerSet(EVICTION, 60_000, None), TimerSet(REFRESH, 43_000, None))


def script(target: NodeTarget) -> list[tuple[Output, ...]]:
    """A trace that touches most of what an SDK could keep from one instance to the next."""
    outputs = [target.start(Runtime.HEADLESS, FIRST)]
    outputs.append(target.feed(TimerDue(REFRESH), 43_000))
    outputs.append(target.feed(Called(1, GetToken()), 43_100))
    outputs.append(target.feed(Called(2, GetToken("other")), 43_200))
    outputs.append(target.feed(Replied(1, Outcome.GRANTED, token(2, 43_300)), 43_300))
    outputs.append(target.feed(Replied(2, Outcome.BROKEN), 43_400))
    outputs.append(target.feed(TimerDue(5), 46_400))
    target.finish()
    return outputs


def test_each_trace_starts_afresh(builds: dict[str, NodeTarget]) -> None:
    target = ready(builds[NEWEST])
    before = script(target)
    for length in range(50):
        target.start(Runtime.HEADLESS, FIRST)
        target.feed(TimerDue(REFRESH), 43_000)  # left in flight: its in-progress mark must not survive
        for call in range(length % 7):
            target.feed(Called(call + 1, GetToken(skip_cache=True)), 43_000 + call)
        if length % 3 == 0:
            target.feed(Replied(1, Outcome.UNAUTHORIZED), 44_000)
        if length % 2 == 0:
            target.finish()
    assert script(target) == before


def test_an_abandoned_trace_leaks_nothing_into_the_next(builds: dict[str, NodeTarget]) -> None:
    target = fresh(builds[FIXED])
    target.feed(Called(1, GetToken(skip_cache=True)), 10)
    target.finish()
    target.start(Runtime.HEADLESS, FIRST)
    with pytest.raises(TargetError, match="request 1 is not in flight"):
        target.feed(Replied(1, Outcome.UNAUTHORIZED), 20)


# -- the seed's defect --------------------------------------------------------------------------------------


def test_a_late_refresh_signs_out_on_the_release_of_the_seed(builds: dict[str, NodeTarget]) -> None:
    target = fresh(builds[SEED])
    assert target.feed(TimerDue(REFRESH), 8 * HOUR) == (RequestSent(1, Endpoint.MINT, SESSION_TOKEN, None),)
    assert target.feed(Replied(1, Outcome.UNAUTHORIZED), 8 * HOUR) == (
        RequestSent(2, Endpoint.INTROSPECT, SESSION_TOKEN, None),
    )
    assert target.feed(Replied(2, Outcome.NO_SESSION), 8 * HOUR) == (SignedOut(cause=None),)


@pytest.mark.parametrize("release", [FIXED, NEWEST])
def test_a_late_refresh_sends_nothing_since_the_fix(builds: dict[str, NodeTarget], release: str) -> None:
    assert fresh(builds[release]).feed(TimerDue(REFRESH), 8 * HOUR) == ()


@pytest.mark.parametrize("release", [FIXED, NEWEST])
def test_a_late_refresh_is_still_sent_where_there_is_no_guard(
    builds: dict[str, NodeTarget], release: str
) -> None:
    target = fresh(builds[release], Runtime.BROWSER_LIKE)
    assert target.feed(TimerDue(REFRESH), 8 * HOUR) == (RequestSent(1, Endpoint.MINT, SESSION_TOKEN, None),)


# -- causes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_a_call_is_the_cause_of_its_retries_and_of_the_recovery_after_a_401(
    builds: dict[str, NodeTarget], release: str
) -> None:
    target = fresh(builds[release])
    forced = ("debug=skip_cache",)
    assert RequestSent(1, Endpoint.MINT, SESSION_TOKEN, 7, details=forced) in target.feed(
        Called(7, GetToken(skip_cache=True)), 10
    )
    (retry,) = target.feed(Replied(1, Outcome.LOST), 20)
    assert retry == TimerSet(3, 3_020, 7)
    again = RequestSent(2, Endpoint.MINT, SESSION_TOKEN, 7, details=forced)
    assert target.feed(TimerDue(3), 3_020) == (again,)
    assert target.feed(Replied(2, Outcome.UNAUTHORIZED), 3_030) == (
        RequestSent(3, Endpoint.INTROSPECT, SESSION_TOKEN, 7),
    )
    assert target.feed(Replied(3, Outcome.NO_SESSION), 3_040) == (
        SignedOut(cause=7),
        CallSettled(7, None, "api-401"),
    )


def test_a_background_request_has_no_cause_while_a_call_is_pending(builds: dict[str, NodeTarget]) -> None:
    target = fresh(builds[NEWEST])
    target.feed(Called(1, GetToken("other")), 42_000)
    assert target.feed(TimerDue(REFRESH), 43_000) == (RequestSent(2, Endpoint.MINT, SESSION_TOKEN, None),)
    assert target.feed(Replied(2, Outcome.UNAUTHORIZED), 43_000) == (
        RequestSent(3, Endpoint.INTROSPECT, SESSION_TOKEN, None),
    )


# -- tokens and the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token_id",
    [SESSION_TOKEN, TokenId("other"), TokenId(organization="org_b")],
    ids=lambda one: str(one) or "session",
)
def test_a_token_comes_back_as_the_symbol_it_was_minted_for(
    builds: dict[str, NodeTarget], token_id: TokenId
) -> None:
    target = fresh(builds[NEWEST])
    call = GetToken(token_id.template, skip_cache=True, organization=token_id.organization)
    sent = target.feed(Called(1, call), 5_000)[-1]
    assert sent == RequestSent(1, Endpoint.MINT, token_id, 1, details=("debug=skip_cache",))
    second = token(2, 5_100, token_id)
    outputs = target.feed(Replied(1, Outcome.GRANTED, second), 5_100)
    assert CallSettled(1, second, None) in outputs
    target.finish()


@pytest.mark.parametrize("version", RELEASES)
def test_a_request_for_a_template_does_not_say_for_which_organization(
    builds: dict[str, NodeTarget], version: str
) -> None:
    """And so the token is one of the active organization, whichever the app asked for."""
    ran = judged(ready(builds[version]), GetToken("other", organization="org_b"))
    assert [request.token_id for request in ran.world.requests] == [TokenId("other")]
    with pytest.raises(Violation, match="asked for a token of other-org_b and got a token of other"):
        ran.play(Answer(1, Outcome.GRANTED))


def test_a_client_in_an_answer_brings_its_token(builds: dict[str, NodeTarget]) -> None:
    target = fresh(builds[NEWEST])
    target.feed(Called(1, GetToken("other")), 1_000)
    target.feed(Replied(1, Outcome.UNAUTHORIZED), 1_000)
    second = token(2, 1_000)
    target.feed(Replied(2, Outcome.SESSION, second), 1_000)
    assert target.feed(Called(2, GetToken()), 1_000) == (CallSettled(2, second, None),)


def test_a_lost_get_client_is_sent_again_after_100_700_and_1400_ms(builds: dict[str, NodeTarget]) -> None:
    target = fresh(builds[NEWEST])
    target.feed(TimerDue(REFRESH), 43_000)
    target.feed(Replied(1, Outcome.UNAUTHORIZED), 43_000)
    at = 43_000
    for number, delay in enumerate((100, 700, 1_400)):
        assert target.feed(Replied(2 + number, Outcome.LOST), at) == (TimerSet(3 + number, at + delay, None),)
        at += delay
        attempt = (f"_clerk_retry_attempt={number + 1}",)
        assert target.feed(TimerDue(3 + number), at) == (
            RequestSent(3 + number, Endpoint.INTROSPECT, SESSION_TOKEN, None, details=attempt),
        )
    assert target.feed(Replied(5, Outcome.LOST), at) == ()


@pytest.mark.parametrize("outcome", [Outcome.BROKEN, Outcome.RATE_LIMITED, Outcome.GATEWAY_PAGE, Outcome.LOST])
def test_a_failure_of_the_server_makes_the_call_try_again_after_3_s(
    builds: dict[str, NodeTarget], outcome: Outcome
) -> None:
    target = fresh(builds[NEWEST])
    target.feed(Called(1, GetToken(skip_cache=True)), 0)
    assert target.feed(Replied(1, outcome), 10) == (TimerSet(3, 3_010, 1),)


# -- a verdict of PyJWT's that the symbols do not share -------------------------------------------------------


def test_a_verdict_that_pyjwt_does_not_share_is_our_fault(
    builds: dict[str, NodeTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(builds[NEWEST])
    target = clerk_js_target(NEWEST, lambda line: None)
    target.start(Runtime.HEADLESS, FIRST)
    target.feed(Called(1, GetToken()), 12_345)
    monkeypatch.setattr(
        fapi.ClerkServer, "verify", lambda server, handed: ["ExpiredSignatureError" for _ in handed]
    )
    with pytest.raises(TargetError, match=r"PyJWT says ExpiredSignatureError of Token\(number=1.* 12345 ms"):
        target.close()
    target.close()
