"""A checker that notices nothing is worse than none: each invariant kills a deliberate mistake in the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from model.app import App
from model.clerk import cache, loading, network, session, sign_in_out, transition
from model.clerk.policy import Policy
from model.clerk.sdk import CLERK
from model.clerk.state import Call, Client, Entry, Flight, Purpose, Turn
from model.clerk.terms import PERSONAL, GetToken, SignOut, SwitchOrganization, TokenId, Touch
from model.io import CallSettled, Uncaught
from model.operations import NULL_ERROR
from model.requests import Outcome
from model.terms import STRANGE, CallId, Runtime, Token
from model.world.events import RestartApp
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS, MARGIN
from properties.invariants.verdict import Findings, Proved, Violated
from properties.prove.prove import Limits, one_call, prove
from tests.support import HEADLINE, assuming, explore, model
from tests.support import app as calling

ONE_CALL = one_call(CLERK)

THERE_AND_BACK = (GetToken(organization=PERSONAL), SwitchOrganization(None))
"""After a switch the cache has the token of one workspace in the slot of another. Whoever asks for the personal
one, or switches back, may get the wrong one: on every release, and in a calm world too."""

ORDINARY = App(tuple(one for one in CLERK.operations if one not in THERE_AND_BACK))
"""An app that calls everything else."""

Patch = Callable[[pytest.MonkeyPatch], None]


def guard_inverted(patch: pytest.MonkeyPatch) -> None:
    """Fresh tokens are skipped, expired ones refreshed."""

    def inverted(turn: Turn, entry: Entry) -> bool:
        token = turn.client.last_active(entry.holder)
        return token is not None and turn.at <= token.expires * 1000

    patch.setattr(session, "_guarded", inverted)


def guard_on_the_wrong_runtime(patch: pytest.MonkeyPatch) -> None:
    """The guard works in browsers only."""
    right = session._guarded

    def wrong(turn: Turn, entry: Entry) -> bool:
        runtime = Runtime.BROWSER_LIKE if turn.client.runtime is Runtime.HEADLESS else Runtime.HEADLESS
        return right(replace(turn, client=replace(turn.client, runtime=runtime)), entry)

    patch.setattr(session, "_guarded", wrong)


def guard_in_the_foreground(patch: pytest.MonkeyPatch) -> None:
    """The guard also stops getToken: after a long freeze the app never gets a token again."""
    right = session.attempt

    def wrong(turn: Turn, call: Call) -> Turn:
        if session._guarded(turn, Entry(call.token_id, call.holder)):
            return turn.put(CallSettled(call.call, None, "skipped"))
        return right(turn, call)

    patch.setattr(session, "attempt", wrong)


def ignores_401(patch: pytest.MonkeyPatch) -> None:
    """A 401 is an error like any other: nobody is ever signed out."""

    def wrong(turn: Turn, flight: Flight, outcome: Outcome, *brought: Any) -> Turn:
        signed_out = replace(turn, client=replace(turn.client, signed_in=False))
        answered = right(signed_out, flight, outcome, *brought)
        return replace(answered, client=replace(answered.client, signed_in=True))

    right = network.answered
    patch.setattr(network, "answered", wrong)


def foreground_signs_out_on_any_401(patch: pytest.MonkeyPatch) -> None:
    """A 401 in the foreground signs out at once, without a look at GET /client."""
    right = network.answered

    def wrong(turn: Turn, flight: Flight, outcome: Outcome, *brought: Any) -> Turn:
        if outcome is Outcome.UNAUTHORIZED and flight.cause is not None:
            turn = session.sign_out(turn, flight.cause)
        return right(turn, flight, outcome, *brought)

    patch.setattr(network, "answered", wrong)


def reads_expired_tokens(patch: pytest.MonkeyPatch) -> None:
    """A read looks at the entry, never at the clock."""
    patch.setattr(cache, "unreadable", lambda turn, token: False)


def timers_of_the_replaced_live_on(patch: pytest.MonkeyPatch) -> None:
    """What #8098 mended: a refresh begins beside the one that it replaced."""
    patch.setattr(cache, "vacate", leaving)


def leaving(turn: Turn, token_id: TokenId) -> Turn:
    entry = turn.client.entry(token_id)
    if entry is None or entry.token is None:
        return cache.drop(turn, entry)
    return cache.swap(turn, entry, replace(entry, replaced=True))


class Hasty:
    """A policy by which a refresh is always too late."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.timings = replace(policy.timings, lead=10**6)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)


def timers_of_a_replaced_template_live_on(patch: pytest.MonkeyPatch) -> None:
    """The same of the tokens of templates alone."""
    right = cache.vacate
    patch.setattr(cache, "vacate", lambda turn, one: leaving(turn, one) if one.template else right(turn, one))


def refreshes_nothing_ahead(patch: pytest.MonkeyPatch) -> None:
    """No refresh timer is ever set."""
    right = cache.arm

    def wrong(turn: Turn, entry: Entry) -> Turn:
        return right(turn.but(policy=Hasty(turn.client.policy)), entry).but(policy=turn.client.policy)

    patch.setattr(cache, "arm", wrong)


def refreshes_no_template_ahead(patch: pytest.MonkeyPatch) -> None:
    """No refresh timer is ever set for the token of a template."""
    right = cache.arm
    with pytest.MonkeyPatch.context() as only_for_them:
        refreshes_nothing_ahead(only_for_them)
        wrong = cache.arm
    patch.setattr(cache, "arm", lambda turn, one: (wrong if one.token_id.template else right)(turn, one))


def no_mark_of_a_refresh_in_progress(patch: pytest.MonkeyPatch) -> None:
    """A refresh timer sends, whatever is in flight."""
    right = session.refresh

    def wrong(turn: Turn, entry: Entry) -> Turn:
        return right(turn.but(refreshing=frozenset()), entry)

    patch.setattr(session, "refresh", wrong)


def forgets_which_is_fresher(patch: pytest.MonkeyPatch) -> None:
    """What #9030 mended: whatever comes last is taken."""
    patch.setattr(cache, "fresher", lambda turn, known, token: token)


def believes_whatever_client_comes_with_an_answer(patch: pytest.MonkeyPatch) -> None:
    """What #9284 mended: a client's session takes over no fresher token."""
    patch.setattr(loading, "last_active", lambda turn, known, token: token)


def keeps_what_it_has(patch: pytest.MonkeyPatch) -> None:
    """Who forced a new token gets it; the slot keeps the old one as long as that can be read."""

    def wrong(turn: Turn, known: Token | None, token: Token) -> Token:
        return token if known is None or cache.unreadable(turn, known) else known

    patch.setattr(cache, "fresher", wrong)


def mixes_up_users(patch: pytest.MonkeyPatch) -> None:
    """A forced call gets the token of somebody else."""
    right = session._end

    def wrong(turn: Turn, call: Call, token: Token | None, error: str | None) -> Turn:
        return right(
            turn,
            call,
            replace(token, token_id=token.token_id.of(STRANGE)) if token and call.skip_cache else token,
            error,
        )

    patch.setattr(session, "_end", wrong)


def keeps_its_cache_after_a_sign_out(patch: pytest.MonkeyPatch) -> None:
    """Timers of the session that the app has left go on."""
    right = sign_in_out.signed_out

    def wrong(turn: Turn, flight: Flight, outcome: Outcome) -> Turn:
        return right(turn.but(cache=()), flight, outcome).but(cache=turn.client.cache)

    patch.setattr(sign_in_out, "signed_out", wrong)


def lets_a_failed_refresh_escape(patch: pytest.MonkeyPatch) -> None:
    """Nobody catches the failure of a refresh."""
    right = session.reject

    def wrong(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
        return right(turn.put(Uncaught()) if flight.purpose is Purpose.REFRESH else turn, flight, failure)

    patch.setattr(session, "reject", wrong)


def asks_twice_before_it_signs_out(patch: pytest.MonkeyPatch) -> None:
    """A client without sessions is not believed at once."""
    right = network._recovered

    def wrong(turn: Turn, flight: Flight, outcome: Outcome, *brought: Any) -> Turn:
        if outcome is Outcome.NO_SESSION and flight.tries == 1:
            return turn.send(replace(flight, request=turn.client.next_request, tries=2))
        return right(turn, flight, outcome, *brought)

    patch.setattr(network, "_recovered", wrong)


def lost_is_null(patch: pytest.MonkeyPatch) -> None:
    """What #7598 mended: a lost request ends in null, as if nobody were signed in."""
    right = session._failed

    def wrong(turn: Turn, call: Call, failure: Outcome | None) -> Turn:
        if failure is Outcome.LOST:
            return turn.put(CallSettled(call.call, None, NULL_ERROR))
        return right(turn, call, failure)

    patch.setattr(session, "_failed", wrong)


def tells_only_who_asked(patch: pytest.MonkeyPatch) -> None:
    """Of the calls that wait for a request, only the one that sent it hears of its answer."""
    release = session._release

    def forgetful(turn: Turn, flight: Flight) -> tuple[Turn, list[Call]]:
        after, waiting = release(turn, flight)
        others = tuple(call for call in waiting if call.call != flight.cause)
        return after.but(calls=(*after.client.calls, *others)), [call for call in waiting if call not in others]

    patch.setattr(session, "_release", forgetful)


def tells_only_who_asked_of_a_failure(patch: pytest.MonkeyPatch) -> None:
    """The same of one that fails."""
    reject = session.reject

    def wrong(turn: Turn, flight: Flight, failure: Outcome) -> Turn:
        with pytest.MonkeyPatch.context() as meanwhile:
            tells_only_who_asked(meanwhile)
            return reject(turn, flight, failure)

    patch.setattr(session, "reject", wrong)


def slots_for_every_organization(patch: pytest.MonkeyPatch) -> None:
    """A slot of the cache goes by the template alone."""

    def wrong(client: Client, token_id: TokenId) -> Entry | None:
        slots = (one for one in client.cache if one.token_id.template == token_id.template and not one.replaced)
        return next(slots, None)

    patch.setattr(Client, "entry", wrong)


def says_nothing_of_being_offline(patch: pytest.MonkeyPatch) -> None:
    """What fetch throws is what the app gets."""
    patch.setattr(session, "OFFLINE_ERROR", "Error")


def signs_out_when_offline(patch: pytest.MonkeyPatch) -> None:
    """Who cannot be asked has no session."""
    right = session._failed

    def wrong(turn: Turn, call: Call, failure: Outcome | None) -> Turn:
        return right(
            session.sign_out(turn, call.call) if session.is_offline(turn.client) else turn, call, failure
        )

    patch.setattr(session, "_failed", wrong)


def never_sees_that_it_is_back(patch: pytest.MonkeyPatch) -> None:
    """Once offline, always offline."""
    right = Turn.but

    def wrong(turn: Turn, **changes: object) -> Turn:
        return right(turn, **{**changes, "offline": True} if turn.client.offline else changes)

    patch.setattr(Turn, "but", wrong)


def timers_outlive_a_restart(patch: pytest.MonkeyPatch) -> None:
    """An app that is only loaded anew: what the old instance set timers for is refreshed beside the new one."""
    right = transition._started

    def wrong(turn: Turn) -> Turn:
        old = [entry for entry in turn.client.cache if entry.token]
        turn = right(turn)
        for entry in old:
            turn = cache.arm(turn, Entry(entry.token_id, 0, entry.token, replaced=True))
        return turn

    patch.setattr(transition, "_started", wrong)


def guard_on_every_runtime(patch: pytest.MonkeyPatch) -> None:
    """The guard works in browsers too."""
    right = session._guarded

    def wrong(turn: Turn, entry: Entry) -> bool:
        return right(replace(turn, client=replace(turn.client, runtime=Runtime.HEADLESS)), entry)

    patch.setattr(session, "_guarded", wrong)


def never_loads_again(patch: pytest.MonkeyPatch) -> None:
    """Once load() has failed while a request of it was in flight, it fails for the life of the process."""
    right = loading.load

    def wrong(turn: Turn, call: CallId) -> Turn:
        again = turn.client.flights and not turn.client.loading
        return turn.put(CallSettled(call, None, "api-500")) if again else right(turn, call)

    patch.setattr(loading, "load", wrong)


KILLS: list[tuple[Patch, tuple[str, ...], str]] = [
    (guard_inverted, ("starvation", "stale-after-expiry"), HEADLINE),
    (guard_on_the_wrong_runtime, ("starvation", "stale-after-expiry"), HEADLINE),
    (foreground_signs_out_on_any_401, ("starvation", "stale-for-good"), "valid-session-survives"),
    (guard_in_the_foreground, ("starvation",), "foreground-recovers"),
    (ignores_401, ("revocation",), "revoked-session-signs-out"),
    (reads_expired_tokens, ("starvation",), "token-handed-out-is-valid"),
    (never_loads_again, ("failing-start",), "start-recovers"),
    (tells_only_who_asked_of_a_failure, ("revocation",), "every-call-settles"),
    (forgets_which_is_fresher, ("stale-edge",), "tokens-never-go-backwards"),
    (lost_is_null, ("outage",), "offline-is-not-signed-out"),
    (asks_twice_before_it_signs_out, ("revocation",), "no-request-storm"),
    (refreshes_nothing_ahead, ("calm",), "refresh-chain-survives"),
    (keeps_what_it_has, ("calm",), "given-tokens-never-go-backwards"),
    (mixes_up_users, ("calm",), "no-token-of-another-user"),
    (keeps_its_cache_after_a_sign_out, ("several-sessions",), "left-session-stays-left"),
    (lets_a_failed_refresh_escape, ("revocation",), "nothing-uncaught"),
    (timers_of_the_replaced_live_on, ("starvation",), "one-refresh-at-a-time"),
]


BROKEN_ANYWAY = {"refresh-chain-survives", "every-call-settles", "given-tokens-never-go-backwards"}
"""What no release keeps once anything goes wrong: a refresh fails, a request hangs, an answer is stale."""


def prove_40(*assumptions: str, only: str = "", app: App = ONE_CALL) -> Findings:
    """The exhaustive engine, on the policy of 6.40.0."""
    limits = Limits(depth=6, seconds=600, states=300)
    judged = [one for one in INVARIANTS.values() if only in one.id]
    return prove(model("6.40.0"), Runtime.HEADLESS, assuming(*assumptions), judged, app, limits)


def search_40(*assumptions: str, only: str) -> Findings:
    """The random one, whose app makes more calls at a time than one anyway."""
    return explore(model("6.40.0"), *assumptions, traces=400, judging=[only])


EVERY_KILL = pytest.mark.parametrize(
    ("mutant", "assumptions", "killer"), KILLS, ids=lambda value: getattr(value, "__name__", None)
)


@pytest.mark.slow
@EVERY_KILL
def test_the_random_engine_lets_every_invariant_kill_its_mutant(
    mutant: Patch, assumptions: tuple[str, ...], killer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    assert isinstance(search_40(*assumptions, only=killer).verdicts[killer], Violated)


@EVERY_KILL
def test_every_invariant_alone_kills_its_mutant(
    mutant: Patch, assumptions: tuple[str, ...], killer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    leaves = [SignOut()] if killer == "left-session-stays-left" else []
    app = calling(*leaves, calls=2 if killer == "every-call-settles" else 1)
    verdicts = prove_40(*assumptions, app=app).verdicts
    killers = {name for name, verdict in verdicts.items() if isinstance(verdict, Violated)}
    assert killer in killers
    assert killers - (BROKEN_ANYWAY - {killer}) <= {killer, "valid-session-survives", MARGIN}, (
        "what one forbids, its stronger sister forbids too"
    )


def test_a_second_refresh_in_flight_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the exhaustive engine alone: random traces seldom leave a refresh unanswered for so long."""
    no_mark_of_a_refresh_in_progress(monkeypatch)
    (verdict,) = prove_40("outage", only="one-refresh-at-a-time").verdicts.values()
    assert isinstance(verdict, Violated)
    assert "while it waits" in str(verdict.trace.why)


TEMPLATE = GetToken(template="api")
EVERY_KIND: list[tuple[Patch, str]] = [
    (timers_of_a_replaced_template_live_on, "one-refresh-at-a-time"),
    (refreshes_no_template_ahead, "refresh-chain-survives"),
]


@pytest.mark.parametrize(("mutant", "killer"), EVERY_KIND, ids=[killer for _, killer in EVERY_KIND])
def test_a_token_of_a_template_is_judged_as_the_session_s_own(
    mutant: Patch, killer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = calling(TEMPLATE, replace(TEMPLATE, skip_cache=True))
    (right,) = prove_40("calm", only=killer, app=app).verdicts.values()
    assert isinstance(right, Proved)
    mutant(monkeypatch)
    verdicts = prove_40("calm", app=app).verdicts
    assert {name for name, one in verdicts.items() if isinstance(one, Violated)} == {killer}


GUARD = "guard-is-headless-only"


def prove_elsewhere(*names: str) -> Findings:
    """The exhaustive engine, on the runtime that has no guard."""
    judged, limits = [INVARIANTS[name] for name in names], Limits(depth=4, seconds=600, states=500)
    assumptions = assuming("starvation", "stale-after-expiry")
    return prove(model("6.40.0"), Runtime.BROWSER_LIKE, assumptions, judged, ONE_CALL, limits)


def search_elsewhere(*names: str) -> Findings:
    """The random one."""
    assumptions, runtime = ("starvation", "stale-after-expiry"), Runtime.BROWSER_LIKE
    return explore(model("6.40.0"), *assumptions, traces=100, runtime=runtime, judging=names, app=ORDINARY)


@pytest.mark.parametrize("engine", [search_elsewhere, prove_elsewhere], ids=["random", "exhaustive"])
def test_a_guard_on_every_runtime_is_noticed_by_who_has_one_without_it_beside(
    engine: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by nothing else: such a client only refreshes less."""
    assert not broken(engine(GUARD))
    before = broken(engine(*DEFAULT_INVARIANTS))
    guard_on_every_runtime(monkeypatch)
    assert broken(engine(GUARD)) == {GUARD}
    assert broken(engine(*DEFAULT_INVARIANTS)) <= before | BROKEN_ANYWAY


def broken(findings: Findings) -> set[str]:
    """The ids of the invariants that are."""
    return {name for name, verdict in findings.verdicts.items() if isinstance(verdict, Violated)}


def test_a_slot_that_ignores_the_organization_hands_out_anothers_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be noticed by a proof whose app asks for one; the random engine's sometimes does."""
    slots_for_every_organization(monkeypatch)
    judged = [INVARIANTS["token-handed-out-is-valid"]]
    app = calling(GetToken(organization="org_b"))
    proved = prove(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), judged, app, Limits(depth=2, states=300))
    assert isinstance(proved.verdicts["token-handed-out-is-valid"], Violated)
    assert isinstance(
        search_40("calm", only="token-handed-out-is-valid").verdicts["token-handed-out-is-valid"], Violated
    )


def test_only_with_a_touch_a_staler_client_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing answers 401, nobody asks which sessions there are: a client comes with a touch alone."""
    believes_whatever_client_comes_with_an_answer(monkeypatch)
    name = "tokens-never-go-backwards"
    assert isinstance(search_40("stale-edge", only=name).verdicts[name], Violated)
    assert isinstance(prove_40("stale-edge", only=name, app=calling(Touch())).verdicts[name], Violated)
    assert not isinstance(prove_40("stale-edge", only=name).verdicts[name], Violated)


def test_timers_that_outlive_their_process_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the invariant that a mistake in the cache breaks too: it is about what the server sees of either."""
    (right,) = prove_40("restart", only="one-refresh-at-a-time").verdicts.values()
    assert isinstance(right, Proved)
    timers_outlive_a_restart(monkeypatch)
    (verdict,) = prove_40("restart", only="one-refresh-at-a-time").verdicts.values()
    assert isinstance(verdict, Violated)
    assert RestartApp() in verdict.trace.events


@pytest.mark.parametrize("assumptions", sorted({case[1] for case in KILLS if "stale-for-good" not in case[1]}))
def test_without_a_mutant_nothing_is_killed(assumptions: tuple[str, ...]) -> None:
    found = explore(model("6.40.0"), *assumptions, traces=80, app=ORDINARY)
    chain = "refresh-chain-survives"  # the guard may skip the refresh of a template's token, in a calm world too
    assert broken(found) <= ({chain} if assumptions == ("calm",) else BROKEN_ANYWAY | {"one-refresh-at-a-time"})


OFFLINE_KILLS: list[tuple[Patch, str]] = [
    (says_nothing_of_being_offline, "offline-is-not-signed-out"),
    (signs_out_when_offline, "offline-is-not-signed-out"),
    (never_sees_that_it_is_back, "foreground-recovers"),
]
"""On a runtime that can look whether it is online; by the policy of 6.24.0, which sends nothing while it is
not."""


BREAKS_ITSELF = {"token-handed-out-is-valid", "one-refresh-at-a-time"}
"""What 6.24.0 breaks without a mutant, in an app that switches to an organization."""


def prove_24() -> Findings:
    """The exhaustive engine, on the policy of 6.24.0."""
    limits = Limits(depth=4, seconds=600, states=200)
    judged = [one for one in INVARIANTS.values() if one.id not in BROKEN_ANYWAY]
    return prove(model("6.24.0"), Runtime.BROWSER_LIKE, assuming("outage"), judged, ONE_CALL, limits)


def search_24() -> Findings:
    """The random one."""
    judged = [name for name in INVARIANTS if name not in BROKEN_ANYWAY]
    return explore(model("6.24.0"), "outage", traces=300, runtime=Runtime.BROWSER_LIKE, judging=judged)


@pytest.mark.parametrize("engine", [search_24, prove_24], ids=["random", "exhaustive"])
@pytest.mark.parametrize(("mutant", "killer"), OFFLINE_KILLS, ids=lambda value: getattr(value, "__name__", None))
def test_what_goes_wrong_offline_is_killed_too(
    mutant: Patch, killer: str, engine: Callable[[], Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    killers = {name for name, verdict in engine().verdicts.items() if isinstance(verdict, Violated)}
    assert killer in killers
    assert killers <= {killer, "valid-session-survives", *BREAKS_ITSELF}
