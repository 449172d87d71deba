"""Closing several targets at once."""

from __future__ import annotations

from collections.abc import Iterable

from properties.system.target import Target, TargetError


def close_all(targets: Iterable[Target]) -> None:
    """Close all targets, even if some raise `TargetError`. Then raises the first one, prefixed with the target's
    name."""
    first: TargetError | None = None
    for target in targets:
        try:
            target.close()
        except TargetError as error:
            first = first or TargetError(f"{target.name}: {error}")
    if first:
        raise first
