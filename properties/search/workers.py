"""More than one core: how pytest-xdist shares the cells out.

A cell is searched once, for all its invariants, so all its tests belong to one worker; each worker has its own
targets, and so its own Node processes.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from properties.invariants.catalogue import INVARIANTS


class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker whole cells, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        for name in INVARIANTS:
            if nodeid.endswith(f"-{name}]"):
                return nodeid.removesuffix(f"-{name}]")
        return nodeid
