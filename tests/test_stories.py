"""What a report tells of a violation: a pinned text for each invariant, and the fact at which the mark stands."""

from __future__ import annotations

import pytest
from msgspec import Struct

import properties.targets.clerk.invariants  # noqa: F401 - registers what is Clerk's alone
from model.clerk.sdk import CLERK
from model.clerk.terms import PERSONAL, SESSION_TOKEN, GetToken, SignOut, SwitchOrganization
from model.io import CallSettled, Output, RequestSent, Stimulus, TimerSet, TokenAnnounced, TokenShown
from model.operations import NULL_ERROR
from model.requests import Endpoint, Outcome
from model.sdk import Sdk
from model.step import Step
from model.terms import Millis, Runtime, TabState, Timings, Token
from model.world.events import (
    Advance,
    Answer,
    CloseChannel,
    Event,
    Freeze,
    FreezeKind,
    GoOffline,
    HearTab,
    HoldLock,
    LockKeychain,
    Revoke,
    SetClock,
    StartApp,
    TurnTo,
)
from model.world.facts import Sent, Settled, TimerFired
from properties.invariants.catalogue import INVARIANTS, breach_of
from properties.invariants.causes import causal_chain, cause_sentence, links
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found
from properties.run.run import Run, Violation
from properties.system.fact_kinds import facts_of
from properties.system.target import Target
from tests.support import FIRST, HEADLINE, HOUR, SECOND, assuming, model

GRANTED, SESSION, LOST = Outcome.GRANTED, Outcome.SESSION, Outcome.LOST
REFRESH = Advance(43 * SECOND)


class Scripted:
    """A hand-made client: what it puts out when it starts, and for each stimulus in turn."""

    name = "scripted"
    sdk: Sdk = CLERK

    def __init__(self, *script: tuple[Output, ...]) -> None:
        self.script = script
        self.rest = iter(script)

    def timings(self, runtime: Runtime) -> Timings:
        return CLERK.timings(runtime)

    def described_by(self) -> Target | None:
        return None

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        pass

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        self.rest = iter(self.script)
        return next(self.rest)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        return next(self.rest)

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


def asks(number: int, cause: int | None) -> RequestSent:
    return RequestSent(number, Endpoint.MINT, SESSION_TOKEN, cause)


def retries(number: int) -> tuple[RequestSent, ...]:
    """A start is retried with the requests `number` and the one after it."""
    both = (Endpoint.CONFIGURE, Endpoint.INTROSPECT)
    return tuple(RequestSent(number + place, one, SESSION_TOKEN, None) for place, one in enumerate(both))


class Case(Struct, frozen=True):
    """A trace that breaks an invariant, and what is told of it."""

    invariant: str
    target: Target
    events: tuple[Event, ...]
    text: str
    runtime: Runtime = Runtime.HEADLESS


REFRESHES = "The timer set at sign-in fired on time; the SDK asked for a token in the background (request 1); "
SIGNED_OUT = "and so the SDK signed the user out, whose session the server still holds valid."

CASES = (
    Case(
        HEADLINE,
        model("6.40.0"),
        (LockKeychain(), REFRESH, Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION)),
        "The operating system locks the keychain: the device's credential cannot be read; "
        "the timer set at sign-in fired on time; "
        "the SDK asked for a token without the device's credential in the background (request 1); "
        "the answer was 401, although the session is valid; "
        "the SDK asked which sessions there are without the device's credential in the background (request 2); "
        "the answer was no session, although the session is valid; " + SIGNED_OUT,
    ),
    Case(
        "valid-session-survives",
        model("6.40.0"),
        (Freeze(8 * HOUR), GetToken(), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION)),
        "The app called getToken (call 1); "
        "the SDK asked for a token in the foreground (request 1), 7 h 59 min after its last session token had "
        "expired, because the event loop was frozen for 8 h; "
        "the answer was 401, although the session is valid; "
        "the SDK asked which sessions there are in the foreground (request 2); "
        "the answer was no session, although the session is valid; " + SIGNED_OUT,
    ),
    Case(
        "revoked-session-signs-out",
        Scripted((), (asks(1, 1),), (CallSettled(1, None, "api-401"),)),
        (Revoke(), GetToken(), Answer(1, Outcome.UNAUTHORIZED)),
        "The server ended the session; the app called getToken (call 1); "
        "the SDK asked for a token in the foreground (request 1); the answer was 401; "
        "and so call 1 ended with the error 'api-401'.",
    ),
    Case(
        "foreground-recovers",
        Scripted((), (asks(1, 1),), ()),
        (GetToken(), Answer(1, GRANTED), Advance(16 * SECOND)),
        "The app called getToken (call 1); the SDK asked for a token in the foreground (request 1); "
        "the answer was a token (T2); and call 1 still waits after 16 s.",
    ),
    Case(
        "every-call-settles",
        model("6.40.0"),
        (GetToken(skip_cache=True), GetToken(), Advance(43 * SECOND)),
        "The app called getToken (call 1); the SDK asked for a token in the foreground (request 1); "
        "the app called getToken (call 2); "
        "request 1 has had no answer for 43 s; and call 2 still waits after 43 s.",
    ),
    Case(
        "token-handed-out-is-valid",
        model("6.40.0"),
        (
            *(SwitchOrganization("org_b"), Answer(1, SESSION), REFRESH, Answer(2, GRANTED)),
            GetToken(organization=PERSONAL),
        ),
        "The app called setActive (call 1); the timer set at sign-in fired on time; "
        "the SDK asked for a token of org_b in the background (request 2); the answer was a token (T3); "
        "the app called getToken (call 2); "
        "and so call 2 got T3 of org_b instead of the session's default token.",
    ),
    Case(
        "tokens-never-go-backwards",
        model("6.7.4"),
        (REFRESH, Answer(1, Outcome.STALE_TOKEN)),
        REFRESHES + "the answer was a token made from older data (T2); "
        "and so T2 took the place of T1, which was made from fresher data.",
    ),
    Case(
        "given-tokens-never-go-backwards",
        model("6.40.0"),
        (GetToken(), GetToken(skip_cache=True), Answer(1, Outcome.STALE_TOKEN)),
        "The app called getToken (call 1); and so call 1 got T1; the app called getToken (call 2); "
        "the SDK asked for a token in the foreground (request 1); "
        "the answer was a token made from older data (T2); and so call 2 got T2.",
    ),
    Case(
        "no-token-of-another-user",
        model("6.40.0"),
        (GetToken(skip_cache=True), Answer(1, Outcome.FOREIGN_TOKEN)),
        "The app called getToken (call 1); the SDK asked for a token in the foreground (request 1); "
        "the answer was a token of another session (T2); and so call 1 got T2 of another device's session "
        "instead of the session's default token.",
    ),
    Case(
        "left-session-stays-left",
        model("6.40.0"),
        (
            *(GetToken(skip_cache=True), Answer(1, Outcome.BROKEN)),
            *(SignOut(), Answer(2, Outcome.NO_SESSION), Advance(3_000)),
        ),
        "The app called getToken (call 1); the SDK asked for a token in the foreground (request 1); the answer "
        "was 500; the app called signOut (call 2); the SDK asked for the end of all sessions in the foreground "
        "(request 2); the answer was no session; the timer set at sign-in fired on time; the SDK asked for a "
        "token in the foreground (request 3), for a session that the app has left.",
    ),
    Case(
        "start-recovers",
        Scripted((), (CallSettled(1, None, "api-500"),)),
        (StartApp(),),
        "The app was killed and started again; and so load() failed with 'api-500'.",
    ),
    Case(
        "one-start-retry-at-a-time",
        Scripted((TimerSet(1, 3 * SECOND, None), TimerSet(2, 3 * SECOND, None)), retries(1), retries(3)),
        (Advance(3 * SECOND),),
        "The timer set at sign-in fired on time; the SDK asked how the app is set up in the background (request "
        "1); the timer set at sign-in fired on time; the SDK asked how the app is set up in the background "
        "(request 3).",
    ),
    Case(
        "only-the-app-signs-out",
        Scripted((), (RequestSent(1, Endpoint.SIGN_OUT, SESSION_TOKEN, 1),)),
        (StartApp(),),
        "The app was killed and started again; the SDK asked for the end of all sessions in the foreground "
        "(request 1).",
    ),
    Case(
        "token-outlives-margin",
        Scripted((), (CallSettled(1, Token(1, SESSION_TOKEN, 0, 60), None),)),
        (Advance(56_000), GetToken()),
        "The app called getToken (call 1); and so call 1 got T1.",
    ),
    Case(
        "nothing-uncaught",
        model("6.40.0"),
        (
            *(SwitchOrganization("org_b"), Answer(1, Outcome.UNAUTHORIZED), Answer(2, SESSION)),
            Answer(3, Outcome.RATE_LIMITED),
        ),
        "The app called setActive (call 1); the SDK updated the session for org_b in the foreground (request 1); "
        "the answer was 401, although the session is valid; "
        "the SDK asked which sessions there are in the foreground (request 2); "
        "the answer was the session, still there (T2); "
        "the SDK asked which sessions there are in the foreground (request 3); "
        "the answer was 429; and so an error was thrown that nobody caught.",
    ),
    Case(
        "offline-is-not-signed-out",
        Scripted((), (), (asks(1, 1),), (CallSettled(1, None, NULL_ERROR),)),
        (GoOffline(), GetToken(), Answer(1, LOST)),
        "The operating system takes the network away: the device is offline; the app called getToken (call 1); "
        "the SDK asked for a token in the foreground (request 1); "
        "the answer was nothing: the connection is lost; "
        "and so call 1 ended with the error 'null', on a device that is offline.",
        Runtime.BROWSER_LIKE,
    ),
    Case(
        "no-empty-token-announced",
        Scripted((TimerSet(1, 43 * SECOND, None),), (asks(1, None),), (), (TokenShown(None),)),
        (REFRESH, GoOffline(), Answer(1, LOST)),
        REFRESHES + "the operating system takes the network away: the device is offline; "
        "the answer to request 1 was nothing: the connection is lost; "
        "and so the SDK showed the app's own server no token, while the session is valid, on a device that is "
        "offline.",
        Runtime.BROWSER,
    ),
    Case(
        "newest-token-is-shown",
        Scripted(
            *((TokenShown(FIRST), TimerSet(1, 43 * SECOND, None)), (asks(1, None),)),
            (TokenAnnounced(Token(2, SESSION_TOKEN, 43, 103), FIRST),),
        ),
        (REFRESH, Answer(1, GRANTED)),
        REFRESHES + "the answer was a token (T2); and so T2 became the last active token.",
        Runtime.BROWSER,
    ),
    Case(
        "asks-on-return",
        Scripted((TokenShown(FIRST),), ()),
        (Advance(61 * SECOND), TurnTo(TabState.VISIBLE)),
        "The browser shows the tab, without the focus.",
        Runtime.BROWSER,
    ),
    Case(
        "expired-token-is-renewed",
        Scripted((TokenShown(FIRST),), ()),
        (HoldLock(), Advance(60 * SECOND), Advance(15 * SECOND)),
        "Another tab of the app took the lock of the tabs.",
        Runtime.BROWSER,
    ),
    Case(
        "hidden-tab-says-so",
        Scripted((TimerSet(1, 43 * SECOND, None),), (), (), (asks(1, None),)),
        (TurnTo(TabState.VISIBLE), TurnTo(TabState.HIDDEN), REFRESH),
        REFRESHES[:-2] + ".",
        Runtime.BROWSER,
    ),
    Case(
        "kept-while-fresh",
        Scripted(
            *((TimerSet(1, 43 * SECOND, None),), (), (asks(1, None),), (TimerSet(2, 45 * SECOND, None),)),
            (asks(2, None),),
        ),
        (CloseChannel(), REFRESH, Answer(1, GRANTED), Advance(2 * SECOND)),
        "The browser closes the channel between the tabs: what the SDK posts there throws; "
        "the timer set at sign-in fired on time; the SDK asked for a token in the background (request 1); "
        "the answer was a token (T2); the timer set at +43 s fired on time; "
        "the SDK asked for a token in the background (request 2).",
        Runtime.BROWSER,
    ),
    Case(
        "no-older-token-by-another-tab",
        Scripted(
            *((), (CallSettled(1, FIRST, None),), ()),
            (CallSettled(2, Token(2, SESSION_TOKEN, 0, 60, behind=True), None),),
        ),
        (GetToken(), HearTab(Outcome.STALE_TOKEN), GetToken()),
        "The app called getToken (call 1); and so call 1 got T1; "
        "another tab got T2, which was made from older data, and told this one; "
        "the app called getToken (call 2); and so call 2 got T2.",
        Runtime.BROWSER,
    ),
    Case(
        "no-request-storm",
        model("6.40.0"),
        (REFRESH, Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.UNAUTHORIZED)),
        REFRESHES + "the answer was 401, although the session is valid; "
        "the SDK asked which sessions there are in the background (request 2); "
        "the answer was 401, although the session is valid; "
        "the SDK asked which sessions there are in the background (request 3).",
    ),
    Case(
        "refresh-chain-survives",
        model("6.40.0"),
        (REFRESH, Answer(1, Outcome.BROKEN), GetToken()),
        REFRESHES + "the answer was 500; the app called getToken (call 1); and so call 1 got T1.",
    ),
    Case(
        "one-refresh-at-a-time",
        model("6.3.2"),
        (
            *(Advance(10 * SECOND), GetToken(skip_cache=True), Answer(1, GRANTED)),
            *(Advance(33 * SECOND), Answer(2, GRANTED), Advance(10 * SECOND)),
        ),
        "The app called getToken (call 1); the SDK asked for a token in the foreground (request 1); "
        "the answer was a token (T2); the timer set at sign-in fired on time; "
        "the SDK asked for a token in the background (request 2); the answer was a token (T3); "
        "the timer set at +10 s fired on time; the SDK asked for a token in the background (request 3).",
    ),
)
"""One for each invariant that looks at the target alone."""


def broken(case: Case) -> Violation:
    """What the case's trace comes to."""
    ran = Run(case.target, case.runtime, assuming("calm"), [INVARIANTS[case.invariant]])
    with pytest.raises(Violation) as caught:
        for event in case.events:
            ran.play(event)
    assert caught.value.trace.events == case.events, "it is the last event that breaks it"
    return caught.value


def told(violation: Violation) -> str:
    return cause_sentence(violation.played, breach_of(violation.trace, violation.played))


def case_of(invariant: str) -> Case:
    return next(case for case in CASES if case.invariant == invariant)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.invariant)
def test_the_report_of_each_invariant_tells_the_whole_story(case: Case) -> None:
    assert told(broken(case)) == case.text


def test_every_invariant_that_needs_no_reference_client_has_its_story_pinned() -> None:
    assert {case.invariant for case in CASES} == {one.id for one in INVARIANTS.values() if one.reference is None}


def test_where_a_reference_client_diverges_the_last_fact_is_the_story() -> None:
    (step,) = steps_of(model("6.40.0"), REFRESH)
    diverged = Step(step.start, step.event, step.facts, step.end, "the two are no longer the same")
    breach = INVARIANTS["guard-is-headless-only"].check(diverged)
    assert breach is not None
    assert cause_sentence([diverged], breach) == REFRESHES[: -len("; ")] + "."


def test_a_trace_that_breaks_nothing_known_tells_of_its_last_fact() -> None:
    steps = steps_of(model("6.40.0"), REFRESH, Answer(1, Outcome.BROKEN))
    assert cause_sentence(steps, None) == REFRESHES + "the answer was 500."


def steps_of(target: Target, *events: Event) -> list[Step]:
    ran = Run(target, Runtime.HEADLESS, assuming("calm"), ())
    return [ran.play(event) for event in events]


# -- the fact -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.invariant)
def test_a_breach_names_a_fact_of_its_step_or_what_is_missing(case: Case) -> None:
    violation = broken(case)
    breach = breach_of(violation.trace, violation.played)
    assert breach is not None
    assert breach.why == violation.trace.why
    assert breach.fact in violation.played[-1].facts if breach.fact else breach.about


def moments(case: Case) -> list[tuple[str, str, bool]]:
    violation = broken(case)
    shown = view(Counterexample(violation.trace, violation.played, Found({})))
    return [(one.lane, one.text, one.fatal) for one in shown.moments]


def test_the_mark_stands_at_the_request_that_is_one_too_many_not_at_a_call_that_ended_before() -> None:
    *before, last = moments(case_of("one-refresh-at-a-time"))
    assert last == ("SDK", "asks for a token, in the background (request 3)", True)
    assert not any(fatal for _, _, fatal in before)


def test_the_mark_stands_at_the_end_of_the_trace_where_something_is_missing() -> None:
    *before, last = moments(case_of("every-call-settles"))
    assert last == ("app", "still waits for call 2", True)
    assert not any(fatal for _, _, fatal in before)


# -- the links ----------------------------------------------------------------------------------------------


def test_a_token_that_a_call_gets_is_traced_to_the_answer_that_brought_that_very_token() -> None:
    """The call is answered from the cache: what set it off is the call, what it gives came before."""
    facts = facts_of(steps_of(model("6.40.0"), REFRESH, Answer(1, GRANTED), GetToken()))
    settled = next(index for index, fact in enumerate(facts) if isinstance(fact, Settled))
    names = [type(facts[index]).__name__ for index in links(facts)[settled]]
    assert names == ["CallStarted", "Answered"]


def test_a_request_that_the_network_s_return_sets_off_is_linked_to_that() -> None:
    client = Scripted((TimerSet(1, 43 * SECOND, None),), (), (asks(1, None),))
    ran = Run(client, Runtime.BROWSER_LIKE, assuming("calm"), ())
    facts = facts_of([ran.play(REFRESH), ran.play(GoOffline())])
    sent = next(index for index, fact in enumerate(facts) if isinstance(fact, Sent))
    assert [type(facts[index]).__name__ for index in links(facts)[sent]] == ["NetworkChanged"]


def expired_token_given(*events: Event) -> str:
    """The story of a client that gives the token it began with, whatever it is by then."""
    token = Token(1, SESSION_TOKEN, 0, 60)
    client = Scripted((), *[()] * (len(events) - 2), (CallSettled(1, token, None),))
    return told(broken(Case("token-handed-out-is-valid", client, events, "")))


def test_a_clock_that_was_set_right_again_is_no_part_of_a_story() -> None:
    story_of_both = expired_token_given(SetClock(-HOUR), SetClock(0), Advance(HOUR), GetToken())
    assert "clock" not in story_of_both
    assert "clock" in expired_token_given(SetClock(-HOUR), Advance(HOUR), GetToken())


def test_a_token_that_expired_in_a_freeze_is_told_with_the_freeze() -> None:
    assert expired_token_given(Freeze(HOUR), GetToken()) == (
        "The app called getToken (call 1); "
        "and so call 1 got T1, which had expired 59 min before, because the event loop was frozen for 1 h."
    )


def test_a_token_that_expired_on_a_device_with_a_wrong_clock_is_told_with_the_clock() -> None:
    case = Case(
        "token-handed-out-is-valid",
        model("6.40.0"),
        (REFRESH, SetClock(-HOUR), Answer(1, GRANTED), Advance(HOUR), GetToken()),
        REFRESHES + "the device's clock was set 1 h behind; the answer to request 1 was a token (T2); "
        "the app called getToken (call 1); "
        "and so call 1 got T2, which had expired 59 min before, on a device whose clock is 1 h behind.",
    )
    assert told(broken(case)) == case.text


def test_a_refresh_that_a_sleeping_device_put_off_is_told_with_the_sleep() -> None:
    case = Case(
        "refresh-chain-survives",
        model("6.40.0"),
        (Freeze(30 * SECOND, FreezeKind.ASLEEP), GetToken()),
        "The device slept for 30 s, and timers kept their time to go; the app called getToken (call 1); "
        "and so call 1 got T1.",
    )
    assert told(broken(case)) == case.text


def test_an_answer_after_the_session_s_end_is_not_said_to_lie_about_a_valid_session() -> None:
    steps = steps_of(
        model("6.40.0"),
        *(Revoke(), GetToken(skip_cache=True), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.UNAUTHORIZED)),
    )
    assert "although" not in cause_sentence(steps, None)


def test_the_story_is_data_before_it_is_text() -> None:
    violation = broken(case_of("every-call-settles"))
    found = causal_chain(violation.played, breach_of(violation.trace, violation.played))
    assert found.breach is None
    assert [(one.call, one.request, one.since) for one in found.waiting] == [(None, 1, 0), (2, None, 0)]
    assert not [index for index in found.facts if isinstance(facts_of(violation.played)[index], TimerFired)]
