"""Small builders that let a test say in one line what happens."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings

from model.assumptions import Assumptions
from model.events import Event
from model.facts import Fact
from model.policy import POLICIES
from model.terms import Runtime
from properties.invariants import INVARIANTS
from properties.run import Run
from properties.search import Cell, Findings, search
from properties.target import Target
from properties.targets.model_target import ModelTarget

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

HEADLINE = "background-never-destroys-valid-session"


def model(release: str) -> ModelTarget:
    """The model of a release: `model("6.7.4")`."""
    return ModelTarget(POLICIES[f"CLERK_JS_{release.replace('.', '_')}"])


def assuming(*names: str) -> Assumptions:
    """A set of assumptions."""
    return Assumptions(names)


def run(target: Target, *events: Event, runtime: Runtime = Runtime.HEADLESS) -> Run:
    """Play `events` on a fresh `target`, judging nothing."""
    started = Run(target, runtime, assuming("calm"), ())
    for event in events:
        started.play(event)
    return started


def judged(target: Target, *events: Event, runtime: Runtime = Runtime.HEADLESS) -> Run:
    """Play `events` on a fresh `target` under every invariant; raises `Violation`."""
    started = Run(target, runtime, assuming("calm"), INVARIANTS.values())
    for event in events:
        started.play(event)
    return started


def of_kind(kind: type[Fact], facts: Iterable[Fact]) -> list[Fact]:
    """The facts of one kind."""
    return [fact for fact in facts if isinstance(fact, kind)]


def explore(
    target: Target, *assumptions: str, traces: int = 300, runtime: Runtime = Runtime.HEADLESS
) -> Findings:
    """A search that is the same every time."""
    profile = settings(max_examples=traces, derandomize=True, database=None, stateful_step_count=30)
    cell = Cell(target.name, runtime, assuming(*assumptions))
    return search(target, cell, list(INVARIANTS.values()), profile)
