"""Hypothesis profiles: how many traces a search draws, and whether it draws new ones each time."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.errors import InvalidArgument
from msgspec.structs import replace

from properties.invariants.verdict import Cell
from properties.plugin.ending import one_line
from properties.plugin.stash import PROFILE
from properties.run.known import load
from properties.search.examples import database
from properties.targets.names import UnknownName, adapter_of, one_of

# `dev` stores failures and draws new traces in every run; `ci` and `check` are deterministic. Traces can be slow
# to generate on a cold machine, so the health check too_slow is off. On CI, Hypothesis loads a profile of its
# own; ours are based on its default profile, so that they mean the same everywhere.
COMMON = settings(
    settings.get_profile("default"),
    deadline=None,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)
CHECK = settings(COMMON, max_examples=300, stateful_step_count=15, derandomize=True, database=None)
PROFILES = {
    "dev": settings(COMMON, max_examples=1000),
    "ci": settings(COMMON, max_examples=1000, derandomize=True, database=None),
    "check": CHECK,
    "glance": settings(CHECK, max_examples=100),
    "thorough": settings(COMMON, max_examples=20_000),
    "fast": settings(CHECK, stateful_step_count=30),
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the profile that the command line names, before Hypothesis loads it: not all of them, because
    profiles belong to every test of a run, and Hypothesis and other test suites have a `ci` of their own."""
    name = _named(config)
    if name is None:
        return
    try:
        settings.get_profile(name)
    except InvalidArgument:
        with one_line():
            settings.register_profile(name, PROFILES[one_of("Hypothesis profile", name, PROFILES)])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Choose the profile of the search. By now Hypothesis has loaded the one that the command line names."""
    with one_line():
        session.config.stash[PROFILE] = _profile(session.config)


def profiles_of(config: pytest.Config, cell: Cell) -> list[settings]:
    """The profiles with which a cell is searched. An update of the known findings takes in what a `fast` gate
    finds, too. With `fast`, a cell in which the releases of the SDK do not differ gets a glance: what changes
    from release to release shows in the others."""
    chosen, named_fast = config.stash[PROFILE], _named(config) == "fast"
    if not named_fast and not config.getoption("update_expectations"):
        return [chosen]
    fast = settings(PROFILES["fast" if _differs(cell) else "glance"], verbosity=chosen.verbosity)
    return [fast] if named_fast else [fast, chosen]


def _differs(cell: Cell) -> bool:
    """Do the known findings of the SDK's releases differ under these assumptions? Yes, if nothing is known. A
    finding under any assumptions makes no difference here: its trace shows it in every cell."""
    adapter = adapter_of(cell.target)
    if adapter is None or not adapter.expectations.is_file():
        return True
    known = load(adapter.expectations)
    releases = [replace(cell, target=f"model@{policy}") for policy in adapter.checked]
    findings = [
        {(one, name) for one in known for name in one.invariants if one.covers(release, name)}
        for release in releases
    ]
    here = {frozenset(name for one, name in some if one.assume != "*") for some in findings}
    return len(here) != 1 or not any(findings)


def _named(config: pytest.Config) -> str | None:
    name: str | None = config.getoption("--hypothesis-profile", None)
    return name


def _profile(config: pytest.Config) -> settings:
    """The profile, with the example database of the options. Raises `UnknownName` and `BadDatabase`."""
    name = _named(config) or ("ci" if settings.get_current_profile_name().startswith("ci") else "dev")
    chosen = settings(PROFILES.get(name) or settings.get_profile(name), verbosity=settings().verbosity)
    where = config.getoption("examples") or os.environ.get("SESSIONPROOF_EXAMPLES")
    if not where:
        return chosen
    if chosen.derandomize:
        if not config.getoption("examples"):
            return chosen  # the variable applies only to profiles that keep failures
        raise UnknownName("--examples needs a profile that keeps failures: --hypothesis-profile=dev or thorough")
    return settings(chosen, database=database(where))
