"""The totals of a campaign by cell: verdicts, counts, and counterexamples without duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.world.events import Advance, Freeze
from properties.campaign.shards import CampaignPlan, ShardResult, ShardVerdict, kind_of
from properties.invariants.verdict import NotApplicable
from properties.system.trace import Trace, decode


class Shape(Struct, frozen=True):
    """Counterexamples that differ only in durations: how many shards found one, and the shortest of them."""

    shape: str
    count: int
    example: Trace


@dataclass(frozen=True, slots=True)
class CellReport:
    """The sum over all shards of one cell: see `ShardResult`. `rate` is in traces per second of one worker."""

    target: str
    assumptions: Assumptions
    verdicts: dict[str, ShardVerdict]
    shapes: tuple[Shape, ...]
    traces: int
    steps: int
    counts: dict[str, dict[str, int]]
    rate: float = field(compare=False)


class Report(Struct, frozen=True):
    """The report of a campaign: its cells, and the folder of its journal."""

    plan: CampaignPlan
    cells: tuple[CellReport, ...]
    folder: Path


def shape_of(trace: Trace) -> str:
    """The trace without durations, and the invariant that it violates."""
    return f"{' -> '.join(map(kind_of, trace.events))} | {trace.invariant}"


def add_up(results: Iterable[ShardResult]) -> tuple[CellReport, ...]:
    """The report of each cell that has results."""
    cells: dict[tuple[str, tuple[str, ...]], list[ShardResult]] = {}
    for result in results:
        cells.setdefault((result.shard.target, result.shard.assumptions), []).append(result)
    return tuple(_cell(target, Assumptions(names), parts) for (target, names), parts in cells.items())


def _cell(target: str, assumptions: Assumptions, parts: list[ShardResult]) -> CellReport:
    documents = [judged.trace for part in parts for judged in part.verdicts.values() if judged.trace is not None]
    found: dict[str, list[Trace]] = {}
    for trace in (decode(document, Path()) for document in documents):
        found.setdefault(shape_of(trace), []).append(trace)
    shapes = [Shape(shape, len(alike), min(alike, key=_length)) for shape, alike in found.items()]
    verdicts = {name: _together([part.verdicts[name] for part in parts]) for name in parts[0].verdicts}
    counts = {name: _sum(part.counts[name] for part in parts) for name in parts[0].counts}
    ran, seconds = sum(part.traces for part in parts), sum(part.seconds for part in parts)
    shapes.sort(key=lambda one: (*_length(one.example), one.shape))
    steps = sum(part.steps for part in parts)
    return CellReport(target, assumptions, verdicts, tuple(shapes), ran, steps, counts, ran / (seconds or 1))


def _length(trace: Trace) -> tuple[int, int]:
    return len(trace.events), sum(event.ms for event in trace.events if isinstance(event, Advance | Freeze))


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))


def _together(parts: list[ShardVerdict]) -> ShardVerdict:
    """The combined verdict: violated if it is in any shard, and vacuous only for landmarks that no shard
    reached."""
    words = {part.word for part in parts}
    never = tuple(name for name in parts[0].never if all(name in part.never for part in parts))
    word = "VIOLATED" if "VIOLATED" in words else "vacuous" if never else "held"
    word = NotApplicable.word if words == {NotApplicable.word} else word
    return ShardVerdict(word, sum(part.traces for part in parts), sum(part.steps for part in parts), never)
