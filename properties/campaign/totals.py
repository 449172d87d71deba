"""The totals of a campaign by cell: verdicts, counts, and counterexamples without duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.world.events import Advance, Freeze
from properties.campaign.shards import CampaignPlan, ShardResult, ShardVerdict
from properties.invariants.identity import explains
from properties.invariants.verdict import NotApplicable
from properties.system.trace import Trace, decode


class Counterexamples(Struct, frozen=True):
    """The counterexamples of one finding (`properties/invariants/identity.py`): in how many shards, and the
    shortest of them."""

    count: int
    shortest: Trace


@dataclass(frozen=True, slots=True)
class CellReport:
    """The sum over all shards of one cell: see `ShardResult`. `rate` is in traces per second of one worker."""

    target: str
    assumptions: Assumptions
    verdicts: dict[str, ShardVerdict]
    counterexamples: tuple[Counterexamples, ...]
    traces: int
    steps: int
    counts: dict[str, dict[str, int]]
    rate: float = field(compare=False)


class Report(Struct, frozen=True):
    """The report of a campaign: its cells, and the folder of its journal."""

    plan: CampaignPlan
    cells: tuple[CellReport, ...]
    folder: Path


def by_finding(traces: Iterable[Trace]) -> tuple[Counterexamples, ...]:
    """The counterexamples of each finding, the shortest first."""
    found: list[list[Trace]] = []
    for trace in sorted(traces, key=_length):
        alike = (one for one in found if one[0].invariant == trace.invariant)
        same = next((one for one in alike if explains(one[0].cause, trace.cause)), None)
        if same is None:
            found.append([trace])
        else:
            same.append(trace)
    return tuple(Counterexamples(len(one), one[0]) for one in found)


def add_up(results: Iterable[ShardResult]) -> tuple[CellReport, ...]:
    """The report of each cell that has results."""
    cells: dict[tuple[str, tuple[str, ...]], list[ShardResult]] = {}
    for result in results:
        cells.setdefault((result.shard.target, result.shard.assumptions), []).append(result)
    return tuple(_cell(target, Assumptions(names), parts) for (target, names), parts in cells.items())


def _cell(target: str, assumptions: Assumptions, parts: list[ShardResult]) -> CellReport:
    documents = [judged.trace for part in parts for judged in part.verdicts.values() if judged.trace is not None]
    found = by_finding(decode(document, Path()) for document in documents)
    verdicts = {name: _together([part.verdicts[name] for part in parts]) for name in parts[0].verdicts}
    counts = {name: _sum(part.counts[name] for part in parts) for name in parts[0].counts}
    ran, seconds = sum(part.traces for part in parts), sum(part.seconds for part in parts)
    steps = sum(part.steps for part in parts)
    return CellReport(target, assumptions, verdicts, found, ran, steps, counts, ran / (seconds or 1))


def _length(trace: Trace) -> tuple[int, int, str]:
    """The order of traces: by events, by time, and then any that is always the same."""
    time = sum(event.ms for event in trace.events if isinstance(event, Advance | Freeze))
    return len(trace.events), time, f"{trace.invariant} {trace.cause} {trace}"


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
