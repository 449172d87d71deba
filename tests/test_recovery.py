"""From every state of a closed graph the foreground recovers; and what does not is noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from model.clerk import cache, session
from model.clerk.sdk import CLERK
from model.clerk.state import Call, Flight, Turn
from model.requests import Outcome
from model.terms import Runtime, Token
from model.world.state import World
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import MayStarve, Proved, Verdict
from properties.prove.prove import Limits, prove
from tests import support
from tests.support import assuming, model

NAME = "foreground-recovers"


def verdict(*assumptions: str, release: str = "6.40.0", runtime: Runtime = Runtime.HEADLESS) -> Verdict:
    judged, limits = [INVARIANTS[NAME]], Limits(seconds=600)
    return prove(model(release), runtime, assuming(*assumptions), judged, limits=limits).verdicts[NAME]


@pytest.mark.parametrize("assumption", ["starvation", "outage", "locked-keychain", "revocation"])
def test_from_every_state_the_foreground_recovers(assumption: str) -> None:
    found = verdict(assumption)
    assert isinstance(found, Proved)
    assert found.recovers


@pytest.mark.slow
def test_a_device_that_can_see_that_it_is_offline_recovers_when_it_is_back() -> None:
    assert isinstance(verdict("outage", release="6.24.0", runtime=Runtime.BROWSER_LIKE), Proved)


def never_content(patch: pytest.MonkeyPatch) -> None:
    """A token is thrown away, and another one asked for."""

    def wrong(turn: Turn, flight: Flight, token: Token) -> Turn:
        entry, request = turn.client.entry(flight.token_id), turn.client.next_request
        if entry and entry.request == flight.request:
            turn = cache.swap(turn, entry, replace(entry, request=request))
        waiting = [replace(call, waits_for=request) for call in turn.client.calls]
        return turn.but(calls=tuple(waiting)).send(replace(flight, request=request))

    patch.setattr(session, "resolve", wrong)


def no_timer_for_another_try(patch: pytest.MonkeyPatch) -> None:
    """A call that failed waits for a timer that nobody sets."""

    def wrong(turn: Turn, call: Call) -> Turn:
        later = replace(call, failures=call.failures + 1, waits_for=None)
        return turn.but(calls=(*turn.client.calls, later))

    patch.setattr(session, "_retry_later", wrong)


@pytest.mark.parametrize(("mutant", "again"), [(never_content, True), (no_timer_for_another_try, False)])
def test_a_client_that_lets_its_user_wait_for_ever_is_noticed(
    mutant: Callable[[pytest.MonkeyPatch], None], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a look at single steps: in each, a request is answered, or time passes, and nothing fails."""
    mutant(monkeypatch)
    found = verdict("starvation" if again else "outage")
    assert isinstance(found, MayStarve)
    assert ("again and again" in found.path) is again


def test_a_timer_that_is_waited_for_fires_sooner_or_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refreshes that go round while it stays set are no excuse, and would be taken for one."""
    monkeypatch.setattr(support, "CLERK", replace(CLERK, awaited=lambda client: ()))
    assert isinstance(verdict("outage"), MayStarve)


def test_a_server_that_lies_for_ever_starves_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a world is taken for healthy only where it is."""
    monkeypatch.setattr(World, "honest_answer", lambda world, request: Outcome.BROKEN)
    assert isinstance(verdict("outage"), MayStarve)
