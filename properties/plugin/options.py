"""The options of pytest, and what they name: targets, cells and known findings."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from model.assumptions.catalogue import ASSUMPTIONS
from model.terms import Runtime
from properties.invariants.catalogue import DEFAULT_INVARIANTS, INVARIANTS
from properties.invariants.verdict import Cell
from properties.plugin.ending import one_line
from properties.plugin.stash import CELLS, FINDINGS, KNOWN, REPORTS, TARGETS
from properties.plugin.workers import has_workers
from properties.run import known as expectations
from properties.search.examples import FORMS as EXAMPLE_FORMS
from properties.system.target import Target
from properties.targets.names import UnknownName, assumed, forms, make_target, one_of

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, in one group of `pytest --help`."""
    group = parser.getgroup("sessionproof", "sessionproof: targets, assumptions and invariants to check")
    group.addoption(
        "--target",
        action="append",
        metavar="NAME",
        help=f"a target to check: {forms()} (repeatable; default: model)",
    )
    group.addoption(
        "--assume",
        action="append",
        metavar="NAME[,NAME...]",
        help=f"what the world may do: {', '.join(ASSUMPTIONS)}; a list with commas is one set (repeatable)",
    )
    group.addoption(
        "--invariant",
        action="append",
        metavar="ID",
        help=f"an invariant: {', '.join(INVARIANTS)} (repeatable; default: {', '.join(DEFAULT_INVARIANTS)})",
    )
    group.addoption(
        "--runtime", default="headless", metavar="NAME", help=f"the runtime of the SDK: {', '.join(Runtime)}"
    )
    group.addoption(
        "--expectations",
        metavar="FILE",
        help="a TOML file of known findings: fail on new violations, and on listed ones that stopped",
    )
    group.addoption(
        "--update-expectations",
        action="store_true",
        help="add the findings of this run to that file, and remove those that no longer happen",
    )
    group.addoption(
        "--examples",
        metavar="WHERE",
        help=f"the database of failures, which are replayed first: {EXAMPLE_FORMS}; comma-separated "
        "(default: SESSIONPROOF_EXAMPLES, or else Hypothesis's own folder)",
    )
    group.addoption(
        "--observe",
        metavar="FOLDER",
        help="write every generated trace to this folder, as JSON lines (for Tyche)",
    )
    group.addoption(
        "--model-coverage",
        action="store_true",
        help="report which branches and transitions of the model were taken (slower; one process only)",
    )
    group.addoption(
        "--sarif",
        metavar="FILE",
        help="write the findings to this file as SARIF, for the annotations of a code host",
    )
    group.addoption(
        "--pages",
        metavar="FOLDER",
        help="write the verdict table to this folder as a page, with a page for each counterexample",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Turn the options into cells and prepare the targets. An unknown name or an unavailable target ends the run
    with one line and exit code 2, before any search."""
    config.stash[FINDINGS] = {}
    config.stash[REPORTS] = {}
    with one_line():
        config.stash[KNOWN] = _known(config)
        config.stash[TARGETS] = targets = _targets(config)
        config.stash[CELLS] = _cells(config, targets)
        for name in config.getoption("invariant") or ():
            one_of("invariant", name, INVARIANTS)
    for target in targets.values():
        with one_line(target.name):
            target.prepare(Runtime(config.getoption("runtime")))
            if has_workers(config):  # the workers have their own targets; this was only a check
                target.close()


def _targets(config: pytest.Config) -> dict[str, Target]:
    """The targets by name, not yet prepared. Raises `UnknownName`."""
    specs = config.getoption("target") or DEFAULT_TARGETS
    made = [make_target(spec, lambda line: print(line, file=sys.stderr)) for spec in specs]  # noqa: T201
    return {target.name: target for target in made}


def _cells(config: pytest.Config, targets: Collection[str]) -> list[Cell]:
    """Every combination of target and assumptions, grouped by assumptions. Raises `UnknownName`."""
    runtime = Runtime(one_of("runtime", config.getoption("runtime"), tuple(Runtime)))
    made = []
    for joined in config.getoption("assume") or DEFAULT_ASSUMPTIONS:
        assumptions = assumed(joined.split(","), runtime)
        made += [Cell(name, runtime, assumptions) for name in targets]
    return made


def _known(config: pytest.Config) -> tuple[expectations.Finding, ...]:
    """The known findings. Raises `BadExpectations`, and `UnknownName` if the file is not named."""
    path, update = config.getoption("expectations"), config.getoption("update_expectations")
    if update and not path:
        raise UnknownName("--update-expectations needs --expectations FILE, the file to write")
    if not path or (update and not Path(path).exists()):
        return ()
    return expectations.located(Path(path), expectations.load(Path(path)))
