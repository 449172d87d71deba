"""What is already known: the verdicts that a run is expected to reach, as data, each with its reason.

The file lists *findings*: cells in which an invariant is known to be violated. Everywhere else it is expected
to hold. A finding that no longer happens is as much a surprise as a new one.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from properties.search import Cell


class BadExpectations(Exception):
    """The file cannot be used. The message is one line: what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A known violation: on these targets, under these assumptions, these invariants; why, and where to read."""

    targets: tuple[str, ...]
    assume: str
    invariants: tuple[str, ...]
    reason: str
    link: str
    trace: str = ""
    runtime: str = "headless"

    def covers(self, cell: Cell, invariant: str) -> bool:
        """Is this the finding for `invariant` in `cell`?"""
        return (
            cell.target in self.targets
            and str(cell.assumptions) == self.assume
            and cell.runtime == self.runtime
            and invariant in self.invariants
        )


def load(path: Path) -> tuple[Finding, ...]:
    """Read the findings from a TOML file. Raises `BadExpectations`."""
    try:
        document = tomllib.loads(path.read_text())
        return tuple(msgspec.convert(document["finding"], tuple[Finding, ...]))
    except OSError as error:
        raise BadExpectations(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, KeyError, msgspec.ValidationError) as error:
        raise BadExpectations(f"{path}: not a list of findings ({error})") from error
