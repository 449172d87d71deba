"""The first part of `make bench`: how well the search finds what is known, and what another tool makes of it.

A finding is a trace of the corpus. It is searched for on its build, by its cause: another violation of the same
invariant does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct

from model.app import App
from properties.cli.common import profile
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Violated
from properties.prove.prove import Limits, prove
from properties.run.reference import model_like
from properties.run.shrink import violates
from properties.search.gate import first_known
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.system.trace import Trace, load
from properties.targets.adapter import Adapter, Compared
from properties.targets.names import make_target

STEPS = 30
"""The steps of a trace."""

REPLAYS = 10
"""How often the replay is timed."""

BOOT = 0.1
"""The seconds in which the next instance boots; twenty times what it takes."""

PROOF = Limits(depth=8, seconds=20, steps=200_000)
"""What the prover may spend on its shortest trace."""


class Power(Struct, frozen=True):
    """What became of the search for one finding: ours for each seed, and another tool's.

    `known` is the length of the trace in the corpus, and `proved` that of the prover's shortest, if it finds one.
    `replayed` are the seconds until the replay of what is known violates the invariant.
    """

    name: str
    known: int
    proved: int | None
    replayed: float | None
    ours: tuple[Compared, ...]
    other: tuple[Compared, ...]


def findings(adapter: Adapter, named: Sequence[str]) -> list[Path]:
    """The traces of the findings of these names, or of all. Raises `TargetError` for an unknown name."""
    known = {path.stem: path for path in sorted(adapter.corpus.glob("*.json"))}
    if unknown := [name for name in named if name not in known]:
        raise TargetError(f"unknown finding '{unknown[0]}' (known: {', '.join(known)})")
    return [known[name] for name in named or known]


def measured(adapter: Adapter, path: Path, seeds: int, traces: int, say: Callable[[str], None]) -> Power:
    """The power of the search for one finding. Raises `TargetError`."""
    trace = load(path)
    target = make_target(trace.target, say)
    try:
        target.prepare(trace.runtime)
        invariant = INVARIANTS[str(trace.invariant)]
        again = violates(trace, target, invariant)
        if again is None:
            raise TargetError(f"{path.stem} does not happen on {target.name} any more")
        known = again.trace
        ours = tuple(_searched(target, known, seed, traces) for seed in range(seeds))
        replayed = _replayed(target, Cell(target.name, trace.runtime, trace.assumptions), invariant)
    finally:
        target.close()
    other = tuple(adapter.compared(trace, range(seeds), traces, STEPS, say))
    return Power(path.stem, len(known.events), _proved(target, known), replayed, ours, other)


def _searched(target: Target, known: Trace, seed: int, traces: int) -> Compared:
    invariant = INVARIANTS[str(known.invariant)]
    cell = Cell(target.name, known.runtime, known.assumptions)
    found = search(target, cell, [invariant], profile(traces), seed=seed, aim=known.cause)
    verdict = found.verdicts[invariant.id]
    if isinstance(verdict, Violated):
        length = len(verdict.trace.events)
        return Compared(verdict.traces + 1, verdict.steps, found.first, found.seconds, length)
    return Compared(found.traces, 0, None, found.seconds, None)


def _replayed(target: Target, cell: Cell, invariant: Invariant) -> float | None:
    """The median of the seconds until the replay of what is known violates the invariant. Start-up is apart: the
    instance has booted."""
    found = list[float]()
    for _ in range(REPLAYS):
        time.sleep(BOOT)
        seconds = first_known(target, cell, [invariant])
        if seconds is None:
            return None
        found.append(seconds)
    return median(found)


def _proved(target: Target, known: Trace) -> int | None:
    """The length of the prover's shortest trace."""
    model = model_like(target, known.runtime)
    if model is None or model.loses_credential_by:
        return None
    calls = tuple(event for event in known.events if event in target.sdk.operations)
    app = App(tuple(dict.fromkeys((*target.sdk.proved_operations, *calls))), calls=min(2, len(calls) or 1))
    invariant = INVARIANTS[str(known.invariant)]
    found = prove(model, known.runtime, known.assumptions, [invariant], app, PROOF).verdicts[invariant.id]
    return len(found.trace.events) if isinstance(found, Violated) else None


HEADINGS = (
    *("finding", "found", "traces", "first, s", "shrunk, s", "events", "corpus", "prover"),
    *(
        "fast-check: found",
        "traces",
        "first, s",
        "shrunk, s",
        "events",
        "ours / its: first",
        "shrunk",
        "replayed",
    ),
)


def row(power: Power) -> Iterator[str]:
    """The cells of a finding: medians over the seeds, the range of lengths, and the ratios of medians."""
    yield power.name
    yield from _cells(power.ours)
    yield str(power.known)
    yield str(power.proved or "-")
    yield from _cells(power.other)
    for ours, its in (
        (_median(power.ours, "first"), _median(power.other, "first")),
        (_median(power.ours, "shrunk"), _median(power.other, "shrunk")),
        (power.replayed, _median(power.other, "first")),
    ):
        yield f"{ours / its:.2f}" if ours is not None and its else "-"


def _cells(searches: Sequence[Compared]) -> Iterator[str]:
    found = [one for one in searches if one.length is not None]
    yield f"{len(found)} of {len(searches)}" if searches else "-"
    yield f"{median(one.traces for one in found):.0f}" if found else "-"
    for when in ("first", "shrunk"):
        yield f"{seconds:.2f}" if (seconds := _median(searches, when)) is not None else "-"
    lengths = sorted({one.length for one in found if one.length})
    yield "-" if not lengths else "..".join(map(str, dict.fromkeys((lengths[0], lengths[-1]))))


def _median(searches: Sequence[Compared], when: str) -> float | None:
    found = [getattr(one, when) for one in searches if one.length is not None]
    return median(found) if found else None
