"""The values of the pytest options: targets, cells, known findings, and Hypothesis's profile."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import settings

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.terms import Runtime
from properties.invariants.verdict import Cell
from properties.run import known as expectations
from properties.search.examples import database
from properties.system.target import Target
from properties.targets.names import UnknownName, make_target, one_of

DEFAULT_TARGETS = ("model",)
DEFAULT_ASSUMPTIONS = (
    "calm",
    "starvation,stale-after-expiry",
    "starvation,stale-for-good",
    "starvation,stale-on-arrival",
    "stale-edge",
    "clock-skew",
    "outage",
    "outage,rotated-credential",
    "refused-credential",
    "locked-keychain",
    "revocation",
    "restart",
)


def targets(config: pytest.Config) -> dict[str, Target]:
    """The targets by name, not yet prepared. Raises `UnknownName`."""
    specs = config.getoption("target") or DEFAULT_TARGETS
    made = [make_target(spec, lambda line: print(line, file=sys.stderr)) for spec in specs]  # noqa: T201
    return {target.name: target for target in made}


def cells(config: pytest.Config, targets: Collection[str]) -> list[Cell]:
    """Every combination of target and assumptions, grouped by assumptions. Raises `UnknownName`."""
    runtime = Runtime(one_of("runtime", config.getoption("runtime"), tuple(Runtime)))
    made = []
    for joined in config.getoption("assume") or DEFAULT_ASSUMPTIONS:
        names = tuple(one_of("assumption", name, tuple(ASSUMPTIONS)) for name in joined.split(","))
        made += [Cell(name, runtime, Assumptions(names)) for name in targets]
    return made


def known(config: pytest.Config) -> tuple[expectations.Finding, ...]:
    """The known findings. Raises `BadExpectations`, and `UnknownName` if the file is not named."""
    path, update = config.getoption("expectations"), config.getoption("update_expectations")
    if update and not path:
        raise UnknownName("--update-expectations needs --expectations FILE, the file to write")
    if not path or (update and not Path(path).exists()):
        return ()
    return expectations.located(Path(path), expectations.load(Path(path)))


def profile(config: pytest.Config) -> settings:
    """Hypothesis's profile, with the example database of the options. Raises `UnknownName` and `BadDatabase`."""
    where = config.getoption("examples") or os.environ.get("SESSIONPROOF_EXAMPLES")
    chosen = settings()
    if not where:
        return chosen
    if chosen.derandomize:
        if not config.getoption("examples"):
            return chosen  # the variable applies only to profiles that keep failures
        raise UnknownName("--examples needs a profile that keeps failures: --hypothesis-profile=dev or thorough")
    return settings(chosen, database=database(where))
