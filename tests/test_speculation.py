"""Speculation: a search that has the model predict the stimuli is the same search, with fewer messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.clerk.terms import SESSION_TOKEN, GetToken
from model.io import Called, CallSettled, Output, RequestSent, SignedOut, TimerDue, TimerSet
from model.requests import Endpoint
from model.step import Step
from model.terms import Runtime
from model.world.events import Advance, Event, Revoke, SetClock
from model.world.facts import Fact
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Findings, Verdict
from properties.run import shrink
from properties.run.shrink import violates
from properties.run.speculation import Speculated, _alike
from properties.search import search as engine
from properties.search.search import search
from properties.system.target import Exchange, Target
from properties.system.trace import Trace, load
from properties.targets.clerk.adapter import CLERK_ADAPTER
from properties.targets.clerk.builds import fetch_build
from properties.targets.clerk.server import ClerkServer
from properties.targets.clerk.target import GLUE
from properties.targets.node import Driver
from properties.targets.node_target import NodeTarget
from properties.targets.verification import Verification
from tests.support import HEADLINE, assuming, profile_of, ready


def build(release: str, described_by: str) -> NodeTarget:
    """A release, said to behave as another one does."""
    policy = policy_of(described_by)
    server = ClerkServer()
    return NodeTarget(
        release, CLERK, GLUE, server, lambda _: fetch_build(release, lambda line: None), policy=policy
    )


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[NodeTarget]:
    target = ready(build(*request.param))
    yield target
    target.close()


Played: TypeAlias = list[tuple[Event, tuple[Fact, ...]]]


def searched(target: Target, *assumptions: str) -> tuple[Played, dict[str, Verdict], dict[str, int]]:
    """What was played and what happened, what was judged, and what was reached."""
    played: Played = []

    def note(step: Step) -> None:
        played.append((step.event, step.facts))

    judged = [Invariant("notes-events", "", note, frozenset(Runtime)), INVARIANTS[HEADLINE]]
    cell = Cell(target.name, Runtime.HEADLESS, assuming(*assumptions))
    found: Findings = search(target, cell, judged, profile_of(40), seed=3)
    return played, found.verdicts, found.reached


def one_step_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches, replays and shrinking do not speculate."""
    for module in (engine, shrink):
        monkeypatch.setattr(module, "speculating", lambda target, _runtime: lambda _play: target)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is heard of a driver from now on."""
    heard: list[object] = []
    hear = Driver.hear

    def hear_and_note(driver: Driver, decoded: object) -> object:
        heard.append(hear(driver, decoded))  # type: ignore[arg-type]
        return heard[-1]

    monkeypatch.setattr(Driver, "hear", hear_and_note)
    return heard


@pytest.mark.parametrize(
    "assumptions", [("starvation", "stale-after-expiry"), ("outage", "late-replies", "restart")]
)
@pytest.mark.parametrize(
    "target",
    [("6.40.0", "6.40.0"), ("6.7.1", "6.7.1"), ("6.7.1", "6.7.4"), ("6.40.0", "6.0.0")],
    indirect=True,
    ids="as {0[1]}".format,
)
def test_speculation_changes_no_trace_and_no_verdict(
    target: NodeTarget, assumptions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the model is right about the build or not."""
    with_it = searched(target, *assumptions)
    one_step_at_a_time(monkeypatch)
    assert searched(target, *assumptions) == with_it


@pytest.mark.parametrize("target", [("6.40.0", "6.40.0")], indirect=True)
def test_a_trace_is_one_message_and_one_play_where_the_model_is_right(
    target: NodeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(target, "starvation")  # until each kind of request was seen once
    heard = counted(monkeypatch)
    monkeypatch.delattr(Speculated, "feed")  # the steps are those that the model has taken
    _, verdicts, _ = searched(target, "starvation")
    assert {type(one).__name__ for one in verdicts.values()} == {"Held"}
    assert len(heard) == 40


SEEDED = load(CLERK_ADAPTER.corpus / "starved-refresh-6.7.1.json")
IMPOSSIBLE = replace(SEEDED, events=(*SEEDED.events[:1], Revoke(), Revoke(), *SEEDED.events[1:]))
"""The assumptions do not permit a `Revoke`, and a second one cannot happen."""


@pytest.mark.parametrize(
    "target", [("6.7.1", "6.7.1"), ("6.7.1", "6.7.4")], indirect=True, ids="as {0[1]}".format
)
@pytest.mark.parametrize(
    ("trace", "options", "broken"),
    [
        (SEEDED, {}, True),
        (IMPOSSIBLE, {}, False),
        (IMPOSSIBLE, {"skips": True}, True),
        (IMPOSSIBLE, {"beyond_assumptions": True}, False),
    ],
    ids=["as found", "not permitted", "skipped", "impossible"],
)
def test_a_replay_is_one_message_and_the_same_replay(
    target: NodeTarget, trace: Trace, options: dict[str, bool], broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same whether the model is right about the build or not."""

    def replayed() -> tuple[Trace, Played] | None:
        violation = violates(trace, target, INVARIANTS[HEADLINE], **options)  # type: ignore[arg-type]
        return (violation.trace, [(step.event, step.facts) for step in violation.played]) if violation else None

    with monkeypatch.context() as patch:
        one_step_at_a_time(patch)
        without = replayed()
    assert (without is not None) is broken
    heard = counted(monkeypatch)
    assert replayed() == without
    described = target.described_by()
    assert described
    if described.policy.name == "CLERK_JS_6_7_1":
        assert len(heard) == 1


def sent(cause: int | None) -> RequestSent:
    return RequestSent(1, Endpoint.MINT, SESSION_TOKEN, cause)


ENDED, TIMER = CallSettled(7, None, None), TimerSet(1, 5000, 7)


@pytest.mark.parametrize(
    ("built", "modelled", "same"),
    [
        ([sent(7)], [sent(None)], False),
        ([sent(7), ENDED], [sent(None), ENDED], False),
        ([ENDED, sent(7)], [ENDED, sent(None)], True),
        ([TIMER], [replace(TIMER, cause=None)], False),
        ([TIMER, ENDED], [replace(TIMER, cause=None), ENDED], True),
        ([TIMER, ENDED], [replace(TIMER, cause=None, due=5001), ENDED], False),
        ([SignedOut(7)], [SignedOut(None)], False),
        ([ENDED, SignedOut(7)], [ENDED, SignedOut(None)], True),
    ],
)
def test_a_cause_that_has_settled_is_none(built: list[Output], modelled: list[Output], same: bool) -> None:
    """As for `World.origin`. That of a timer is read when it runs, and not before."""
    made = Called(7, GetToken())
    predicted = [Exchange(None, 0, ()), Exchange(made, 0, tuple(modelled)), Exchange(TimerDue(9), 9, (sent(7),))]
    assert _alike(predicted, [(), tuple(built), (sent(7),)]) is same


@pytest.mark.parametrize("target", [("6.40.0", "6.40.0")], indirect=True)
def test_a_token_is_verified_at_the_instant_at_which_it_was_handed_out(
    target: NodeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the device's clock is set to later on in the same message."""
    handed: list[int] = []
    monkeypatch.setattr(Verification, "add", lambda _self, _token, at: handed.append(at))
    events = (Advance(5000), GetToken(), SetClock(3_600_000))
    trace = Trace(target.name, Runtime.HEADLESS, assuming("clock-skew"), events)
    assert violates(trace, target) is None
    assert handed == [5000]
