"""The workers of pytest-xdist: which cells each one searches, how its findings come back, and how it ends.

A cell is searched once for all its invariants, so all its tests go to one worker. Each worker has its own
targets, and so its own Node processes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell
from properties.plugin.stash import FINDINGS, REPORTS
from properties.system.orphans import end_with
from properties.system.trace import unsaved

PARENT, SENDS, FAILED = "sessionproof-parent", "sessionproof-findings", "sessionproof-failure"
"""What controller and workers send each other, beside what pytest-xdist does."""

WORKERS = pytest.StashKey[list[int]]()
"""The process ids of the workers."""

SENT = pytest.StashKey[set[Cell]]()
"""The cells whose findings a worker has sent."""


class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Assigns whole cells to workers."""

    def _split_scope(self, nodeid: str) -> str:
        for name in sorted(INVARIANTS, key=len, reverse=True):  # one name may end like another
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


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker who started it, and ask for its process id."""
    node.workerinput[PARENT] = os.getpid()
    asked = node.gateway.remote_exec("import os; channel.send(os.getpid())")
    node.config.stash.setdefault(WORKERS, []).append(asked.receive())


def pytest_configure(config: pytest.Config) -> None:
    """End a worker with its controller."""
    if is_worker(config):
        end_with(config.workerinput[PARENT])  # type: ignore[attr-defined]


def kill_workers(config: pytest.Config) -> None:
    """End the workers, whatever they are searching: pytest-xdist would wait for them."""
    for pid in config.stash.get(WORKERS, []):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(config: pytest.Config) -> Generator[None, Any, Any]:
    """A worker sends its new findings with the report of each test."""
    data = yield
    if data is not None and is_worker(config):
        sent, found = config.stash.setdefault(SENT, set()), config.stash[FINDINGS]
        new = {cell: one for cell, one in found.items() if cell not in sent}
        sent |= set(new)
        traces = {one.trace for found in new.values() for one in found.violations}
        reports = {trace: one for trace, one in config.stash[REPORTS].items() if trace in traces}
        data[SENDS] = pickle.dumps((new, reports, unsaved))
    return data


@pytest.hookimpl(wrapper=True)
def pytest_report_from_serializable(config: pytest.Config, data: dict[str, Any]) -> Generator[None, Any, Any]:
    """Collect the findings of a worker."""
    if sent := data.pop(SENDS, None):
        findings, reports, not_saved = pickle.loads(sent)
        config.stash[FINDINGS] |= findings
        config.stash[REPORTS] |= reports
        unsaved.update(not_saved)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """End the run with a worker that cannot go on, or that was killed: its cells have no verdict."""
    if failed := getattr(node, "workeroutput", {}).get(FAILED):
        raise pytest.exit.Exception(failed[0], returncode=failed[1])
    if error:
        raise pytest.exit.Exception(f"worker {node.gateway.id} was killed: is there enough memory?", returncode=2)
