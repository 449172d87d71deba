"""Scheduling of cells over the workers of pytest-xdist.

A cell is searched once for all its invariants, so all its tests go to one worker. Each worker has its own
targets, and so its own Node processes.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from properties.invariants.catalogue import INVARIANTS


class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Assigns whole cells to workers."""

    def _split_scope(self, nodeid: str) -> str:
        for name in INVARIANTS:
            if nodeid.endswith(f"-{name}]"):
                return nodeid.removesuffix(f"-{name}]")
        return nodeid
