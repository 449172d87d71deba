"""`token-outlives-margin`: a token that a call gets still lives for a while. For how long, a user says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model.clerk import cache
from model.clerk.terms import GetToken
from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS, MARGIN, default_invariants
from properties.invariants.verdict import Proved, Violated
from properties.prove.prove import prove
from properties.run.run import Run, Violation
from tests.support import SECOND, assuming, explore, model


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A margin that was asked for is in the catalogue from then on."""
    before = {*INVARIANTS}
    yield
    for name in {*INVARIANTS} - before:
        del INVARIANTS[name]


LATE = (Advance(43 * SECOND), Advance(9 * SECOND), GetToken())
"""The refresh takes its time, and the token has 8 s left."""


def judged(name: str, *events: Event) -> Run:
    ran = Run(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), [INVARIANTS[name]])
    for event in events:
        ran.play(event)
    return ran


def test_the_margin_is_in_the_name() -> None:
    judged(f"{MARGIN}-8s", *LATE)
    with pytest.raises(Violation, match="call 1 got T1, which lives for less than 9 s from then on"):
        judged(f"{MARGIN}-9s", *LATE)
    judged(f"{MARGIN}-9s", *LATE[:1], Answer(1, Outcome.GRANTED), *LATE[1:])


@pytest.mark.parametrize(
    "name", [f"{MARGIN}-", f"{MARGIN}-s", f"{MARGIN}-1.5s", f"{MARGIN}--1s", "token-outlives-9s"]
)
def test_a_name_without_seconds_is_none(name: str) -> None:
    assert name not in INVARIANTS
    assert INVARIANTS.get(name) is None
    with pytest.raises(KeyError):
        INVARIANTS[name]


def test_it_is_judged_when_named_alone() -> None:
    assert f"{MARGIN}-10s" in INVARIANTS
    assert MARGIN not in DEFAULT_INVARIANTS
    assert not [name for name in default_invariants(Runtime.HEADLESS) if name.startswith(MARGIN)]


def test_what_the_sdk_takes_for_the_least_is_proved_and_kept_by_a_rule_of_its_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And by no other invariant: a token that is read until its last second is valid."""
    names = [MARGIN, "token-handed-out-is-valid"]

    def verdicts() -> list[type]:
        found = prove(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), [INVARIANTS[name] for name in names])
        return [type(found.verdicts[name]) for name in names]

    assert verdicts() == [Proved, Proved]
    hasty = lambda turn, token: token.expires - turn.at // 1000 <= 1  # noqa: E731
    monkeypatch.setattr(cache, "unreadable", hasty)
    assert verdicts() == [Violated, Proved]


def test_the_random_engine_finds_a_token_that_is_about_to_end() -> None:
    name = f"{MARGIN}-10s"
    verdict = explore(model("6.40.0"), "calm", judging=[name]).verdicts[name]
    assert isinstance(verdict, Violated)
    assert verdict.trace.invariant == name
