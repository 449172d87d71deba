"""The workers of pytest-xdist: which cells each one searches, and how its findings come back.

A cell is searched once for all its invariants, so all its tests go to one worker. Each worker has its own
targets, and so its own Node processes.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from properties.invariants.catalogue import INVARIANTS
from properties.plugin.stash import FINDINGS, REPORTS


class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Assigns whole cells to workers."""

    def _split_scope(self, nodeid: str) -> str:
        for name in INVARIANTS:
            if nodeid.endswith(f"-{name}]"):
                return nodeid.removesuffix(f"-{name}]")
        return nodeid


def is_worker(config: pytest.Config) -> bool:
    """Is this a worker?"""
    return hasattr(config, "workerinput")


def has_workers(config: pytest.Config) -> bool:
    """Is this the controller of workers?"""
    return bool(getattr(config.option, "numprocesses", None)) and not is_worker(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Assign whole cells to workers, because a cell is searched once for all its tests."""
    return CellScheduling(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker sends its findings to the controller."""
    if is_worker(session.config):
        stash = session.config.stash
        session.config.workeroutput["sessionproof"] = pickle.dumps((stash[FINDINGS], stash[REPORTS]))  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the findings of a worker."""
    if sent := getattr(node, "workeroutput", {}).get("sessionproof"):
        findings, reports = pickle.loads(sent)
        node.config.stash[FINDINGS] |= findings
        node.config.stash[REPORTS] |= reports
