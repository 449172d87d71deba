"""The fake server: its tokens are real, and an independent verifier says the same of them as the symbols."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import jwt
import pytest

from model.clerk.terms import SESSION_TOKEN, TokenId
from model.requests import Endpoint, Outcome
from model.terms import Token
from properties.targets.clerk import server as fapi
from properties.targets.clerk.requests import CLIENT_PATH, endpoint_of, tokens_path, touch_path
from properties.targets.clerk.tokens import mint, read, recognise
from properties.targets.server import EPOCH, HttpRequest

SESSION = Token(3, SESSION_TOKEN, 40, 100)
TEMPLATE = Token(4, TokenId("other"), 40, 100)
ORGANIZATION = Token(6, TokenId(organization="org_b"), 40, 100)


def test_a_token_is_recognised_and_minted_once() -> None:
    raw = mint(SESSION)
    assert mint(SESSION) == raw
    for token in (SESSION, TEMPLATE, ORGANIZATION):
        assert recognise(mint(token)) == read(mint(token)) == token
    head, claims, signature = raw.split(".")
    assert recognise(f"{head}.{claims}x.{signature}") is None
    assert recognise("not a token") is None


def test_a_long_campaign_does_not_keep_every_token() -> None:
    """A token that is not among the recent ones is recognised by what it says."""
    raw = mint(SESSION)
    mint.cache_clear()
    assert read(raw) == SESSION
    assert mint(SESSION) == raw


def test_no_two_tokens_share_a_jwt() -> None:
    assert mint(Token(5, SESSION_TOKEN, 40, 100)) != mint(SESSION)


def test_claims_count_seconds_from_the_epoch_and_the_header_carries_oiat() -> None:
    raw = mint(SESSION)
    claims = jwt.decode(raw, options={"verify_signature": False})
    assert claims == {
        "iss": "https://clerk.test",
        "sub": "user_1",
        "sid": "sess_1",
        "iat": EPOCH + 40,
        "nbf": EPOCH + 30,
        "exp": EPOCH + 100,
        "jti": "3",
    }
    assert jwt.get_unverified_header(raw)["oiat"] == EPOCH + 40
    assert "sid" not in jwt.decode(mint(TEMPLATE), options={"verify_signature": False})


@pytest.mark.parametrize("token", [SESSION, TEMPLATE, ORGANIZATION])
def test_pyjwt_accepts_a_token_from_its_issue_until_its_expiry(token: Token) -> None:
    verdicts = fapi.ClerkServer().verify([(token, at) for at in (39_999, 40_000, 99_999, 100_000, 3_600_000)])
    assert verdicts == ["ImmatureSignatureError", None, None, "ExpiredSignatureError", "ExpiredSignatureError"]


def test_verification_leaves_the_clock_alone() -> None:
    before = time.time()
    fapi.ClerkServer().verify([(SESSION, 50_000)])
    assert 0 <= time.time() - before < 60


def test_an_event_loop_in_another_thread_keeps_the_real_time() -> None:
    """Else whatever it is told to do later waits for the virtual instant, years away."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    seen: list[float] = []

    def look() -> None:
        seen.append(loop.time())
        loop.call_later(0.0001, look)

    began = time.monotonic()
    loop.call_soon_threadsafe(look)
    for _ in range(30):
        fapi.ClerkServer().verify([(SESSION, 50_000)])
    ended = time.monotonic()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()
    assert len(seen) > 5
    assert all(began <= at <= ended + 10 for at in seen)


def test_a_forged_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head, claims, _ = mint(SESSION).split(".")
    _, _, signature = mint(TEMPLATE).split(".")
    monkeypatch.setattr(fapi.ClerkServer, "mint", lambda server, token: f"{head}.{claims}.{signature}")
    assert fapi.ClerkServer().verify([(SESSION, 50_000)]) == ["InvalidSignatureError"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.GRANTED, 200),
        (Outcome.SESSION, 200),
        (Outcome.NO_SESSION, 200),
        (Outcome.UNAUTHORIZED, 401),
        (Outcome.RATE_LIMITED, 429),
        (Outcome.BROKEN, 500),
        (Outcome.GATEWAY_PAGE, 503),
        (Outcome.LOST, 0),
    ],
)
def test_each_outcome_has_its_status(outcome: Outcome, status: int) -> None:
    assert fapi.render(outcome, SESSION).status == status


def test_every_outcome_can_be_rendered() -> None:
    for outcome in Outcome:
        fapi.render(outcome, SESSION)


def test_a_granted_token_and_a_client_carry_the_jwt() -> None:
    raw = mint(SESSION)
    assert json.loads(fapi.render(Outcome.GRANTED, SESSION).body) == {"object": "token", "jwt": raw}
    client = json.loads(fapi.render(Outcome.SESSION, SESSION).body)["response"]
    assert client["last_active_session_id"] == client["sessions"][0]["id"] == "sess_1"
    assert client["sessions"][0]["last_active_token"] == {"object": "token", "jwt": raw}


def test_a_touch_brings_the_session_and_beside_it_the_client() -> None:
    for outcome in (Outcome.SESSION, Outcome.STALE_TOKEN):
        answer = json.loads(fapi.render(outcome, SESSION, Endpoint.MUTATE).body)
        assert answer["response"]["last_active_token"]["jwt"] == mint(SESSION)
        assert answer["client"]["sessions"] == [answer["response"]]


def test_an_edge_that_lags_behind_answers_with_what_was_asked_for() -> None:
    assert "jwt" in json.loads(fapi.render(Outcome.STALE_TOKEN, SESSION, Endpoint.MINT).body)
    assert json.loads(fapi.render(Outcome.STALE_TOKEN, SESSION, Endpoint.INTROSPECT).body)["response"]["sessions"]


def test_failures_are_told_as_the_sdk_reads_them() -> None:
    for outcome in (Outcome.UNAUTHORIZED, Outcome.RATE_LIMITED, Outcome.BROKEN):
        (error,) = json.loads(fapi.render(outcome, None).body)["errors"]
        assert error.keys() >= {"code", "message", "long_message"}
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(fapi.render(Outcome.GATEWAY_PAGE, None).body)


def test_an_answer_that_needs_a_token_does_not_go_without() -> None:
    with pytest.raises(ValueError, match="an answer 'granted' needs a token"):
        fapi.render(Outcome.GRANTED, None)


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("GET", "/v1/client", (Endpoint.INTROSPECT, SESSION_TOKEN)),
        ("POST", "/v1/client/sessions/sess_1/tokens", (Endpoint.MINT, SESSION_TOKEN)),
        ("POST", "/v1/client/sessions/sess_1/tokens/other", (Endpoint.MINT, TokenId("other"))),
        ("POST", "/v1/client", None),
        ("POST", "/v1/client/sessions/sess_2/tokens", None),
        ("POST", "/v1/client/sessions/sess_1/touch", (Endpoint.MUTATE, SESSION_TOKEN)),
        ("POST", "/v1/client/sessions/sess_2/touch", None),
    ],
)
def test_requests_are_told_apart_by_method_and_path(
    method: str, path: str, known: tuple[Endpoint, TokenId] | None
) -> None:
    assert endpoint_of(HttpRequest(method, path)) == known


@pytest.mark.parametrize(
    ("path", "field"), [(tokens_path(), "organization_id"), (touch_path(), "active_organization_id")]
)
@pytest.mark.parametrize(("says", "organization"), [("org_b", "org_b"), ("", None)])
def test_a_request_names_its_organization_in_its_body(
    path: str, field: str, says: str, organization: str | None
) -> None:
    known = endpoint_of(HttpRequest("POST", path, body=f"other=1&{field}={says}"))
    assert known is not None
    assert known[1] == TokenId(organization=organization)


AS_EVER = {"__clerk_api_version": "2026-08-20", "_clerk_js_version": "6.40.0"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def said(
    query: dict[str, str] = AS_EVER, headers: dict[str, str] = FORM, body: str = "organization_id="
) -> object:
    """What a request for a token says beside its organization."""
    request = HttpRequest("POST", tokens_path(), query, headers, body, "include")
    return fapi.ClerkServer().details(request)


def test_what_every_request_says_is_no_detail() -> None:
    assert said() == ()
    assert said(body="organization_id=org_b") == ()


def test_the_details_of_a_request_are_its_other_parameters_wherever_they_stand() -> None:
    assert said({**AS_EVER, "debug": "skip_cache"}, {**FORM, "x-odd": ""}, "organization_id=&a=b") == (
        *("a=b", "debug=skip_cache", "x-odd="),
    )


def test_what_a_request_should_say_and_does_not_is_a_detail() -> None:
    assert said({}, {}, "") == (
        *("no __clerk_api_version", "no _clerk_js_version", "no content-type", "no organization_id"),
    )
    assert said(headers={"content-type": "text/plain"}) == ("content-type=text/plain",)
    assert fapi.ClerkServer().details(HttpRequest("GET", CLIENT_PATH, AS_EVER)) == ("credentials=same-origin",)
