"""What a run records beside its verdicts: how much of the model it took, and every trace (for Tyche)."""

from __future__ import annotations

from pathlib import Path

import pytest

from properties.conformance.plan import TransitionCoverage, plan_tour
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell
from properties.plugin.ending import one_line
from properties.plugin.workers import has_workers, is_worker
from properties.prove.prove import Limits, problem
from properties.search.observe import ModelCoverage, say_branches, write_observations
from properties.system.failures import Failure
from properties.system.registry import sdks
from properties.system.target import Target, TargetError
from properties.targets.model import as_model

COVERAGE = pytest.StashKey[ModelCoverage]()
TRANSITIONS = pytest.StashKey[dict[Cell, TransitionCoverage | str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the observers that the options enable. One that cannot start ends the run with one line."""
    with one_line():
        _start(config)


def _start(config: pytest.Config) -> None:
    config.stash[TRANSITIONS] = {}
    if config.getoption("model_coverage"):
        if has_workers(config):
            raise Failure("--model-coverage works in one process only: leave out -n")
        try:
            config.stash[COVERAGE] = ModelCoverage(sdks())
        except ImportError:
            raise Failure("--model-coverage needs coverage.py: pip install coverage") from None
    if (folder := config.getoption("observe")) and not has_workers(config):
        worker = config.workerinput["workerid"] if is_worker(config) else "traces"  # type: ignore[attr-defined]
        config.add_cleanup(write_observations(Path(folder), worker))


def watched(config: pytest.Config, cell: Cell, target: Target, invariants: list[Invariant]) -> list[Invariant]:
    """The invariants; with --model-coverage, the first one also records the transitions of the model."""
    model = as_model(target)
    if COVERAGE not in config.stash or model is None or not invariants:
        return invariants
    coverage = config.stash[TRANSITIONS]
    try:
        limits = Limits(seconds=30, states=3_000)
        seen = plan_tour(problem(model, cell.runtime, cell.assumptions), limits, lambda line: None)
    except TargetError as error:
        coverage[cell] = str(error).partition(":")[0]
        return invariants
    watcher = coverage[cell] = TransitionCoverage(seen, model)
    return [watcher.watching(invariants[0]), *invariants[1:]]


def observed(config: pytest.Config) -> list[str]:
    """The lines of the report about the model, if its coverage is measured."""
    if COVERAGE not in config.stash:
        return []
    branches = say_branches(config.stash[COVERAGE].end())
    taken = config.stash[TRANSITIONS].items()
    return [
        "",
        "branches of the model",
        *(f"  {line}" for line in branches),
        "transitions of the model, where the app makes one call at a time",
        *(f"  {cell.target}, assuming {cell.assumptions}: {of_cell}" for cell, of_cell in taken),
    ]
