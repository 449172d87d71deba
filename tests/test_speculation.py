"""Speculation: a search that has the model predict the stimuli is the same search, with fewer messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.step import Step
from model.terms import Runtime
from model.world.events import Event, Revoke
from model.world.facts import Fact
from properties.invariants.catalogue import INVARIANTS, Invariant
from properties.invariants.verdict import Cell, Findings, Verdict
from properties.run import shrink
from properties.run.shrink import violates
from properties.run.speculation import Speculated
from properties.search import search as engine
from properties.search.search import search
from properties.system.target import Target
from properties.system.trace import Trace, load
from properties.targets.clerk.adapter import CLERK_ADAPTER
from properties.targets.clerk.builds import fetch_build
from properties.targets.clerk.server import ClerkServer
from properties.targets.clerk.target import GLUE
from properties.targets.node import Driver
from properties.targets.node_target import NodeTarget
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
    monkeypatch.setattr(engine, "speculating", lambda target, _runtime: lambda _play: (target, None))
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

    def replayed() -> tuple[Event, ...] | None:
        violation = violates(trace, target, INVARIANTS[HEADLINE], **options)  # type: ignore[arg-type]
        return tuple(step.event for step in violation.played) if violation else None

    with monkeypatch.context() as patch:
        patch.setattr(shrink, "speculating", lambda target, _runtime: lambda _play: (target, None))
        without = replayed()
    assert (without is not None) is broken
    heard = counted(monkeypatch)
    assert replayed() == without
    described = target.described_by()
    assert described
    if described.policy.name == "CLERK_JS_6_7_1":
        assert len(heard) == 1
