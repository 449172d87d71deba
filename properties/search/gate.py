"""One cell of a gate: replay what is known, search for everything else, and say which violations are accepted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from hypothesis import settings
from msgspec.structs import replace

from model.world.events import Event
from properties.invariants.identity import Cause, explained
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Findings, Held, Vacuous, Verdict, Violated
from properties.run.distinct import simpler, widened
from properties.run.known import Finding
from properties.run.run import Counts, Violation
from properties.run.shrink import begun, permitted, readdressed, reduce, violates
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.system.trace import Trace, load
from properties.targets.adapter import Adapter
from properties.targets.names import adapter_of

MOST_CAUSES = 20
"""The number of new causes after which the search of an invariant in a cell ends. A build with more is broken
throughout, and whoever reads that many needs no more of them."""

Events: TypeAlias = tuple[Event, ...]
Happens: TypeAlias = dict[str, list[Violated]]
"""The violations that happen, by invariant."""


def judge(
    target: Target,
    cell: Cell,
    invariants: Sequence[Invariant],
    known: Collection[Finding],
    profiles: Iterable[settings],
    tell: Callable[[int, int], None] = lambda traces, of: None,
    seed: int | None = None,
    most: float = MOST_CAUSES,
) -> Findings:
    """The verdicts of a cell, with every new violation and every known finding that happens.

    The traces of the `known` findings, which are `located`, and those of other releases are replayed first. So a
    known finding needs no luck, and a defect of another release is found at once. Then the cell is searched with
    each of the `profiles`, and each search passes over whatever has a known cause, or one that was found before.
    A new trace is replayed too, because it may violate other invariants. So with what is found here as known, and
    the same traces drawn by one of these profiles, nothing is new. `most` is the number of new causes after which
    a search of an invariant ends. Raises `BadTrace` and `TargetError`.
    """
    accepted = {one.id: [it for it in known if it.covers(cell, one.id)] for one in invariants}
    happens: Happens = {one.id: [] for one in invariants}
    searches: list[Findings] = []
    _replay([*_traces(cell, accepted)], target, invariants, accepted, happens)
    for profile in profiles:
        causes = {name: _causes(accepted[name], happens[name]) for name in accepted}
        found = search(target, cell, invariants, profile, tell, seed, known=causes, most=most)
        for one in invariants:
            happens[one.id] += _each(found.verdicts[one.id])
            met = found.met.get(one.id, ())
            happens[one.id] += _without_trace(target, one, accepted[one.id], happens[one.id], met)
        _replay([it.trace for it in found.violations], target, invariants, accepted, happens)
        searches.append(found)
    return Findings(
        cell,
        {name: _together([it.verdicts[name] for it in searches], happens[name]) for name in accepted},
        sum(it.traces for it in searches),
        dict(sum((Counter(it.reached) for it in searches), Counter())),
        sum(it.seconds for it in searches),
    )


def first_known(target: Target, cell: Cell, invariants: Sequence[Invariant]) -> float | None:
    """The seconds until what is known of the SDK violates one of the invariants in a cell; None if nothing does.
    Raises `BadTrace` and `TargetError`."""
    began = time.perf_counter()
    for trace in _traces(cell, {one.id: () for one in invariants}):
        if violates(trace, target, *invariants):
            return time.perf_counter() - began
    return None


def _replay(
    traces: Sequence[Trace],
    target: Target,
    invariants: Sequence[Invariant],
    accepted: Mapping[str, Sequence[Finding]],
    happens: Happens,
) -> None:
    """Add what these traces of one cell violate to `happens`: one violation for each finding, and the new ones,
    reduced. Their traces are replayed next."""
    shortest: dict[tuple[str, Cause], Violation] = {}

    def note(violation: Violation) -> bool:
        place = str(violation.trace.invariant), violation.trace.cause
        if place not in shortest or len(violation.played) < len(shortest[place].played):
            shortest[place] = violation
        return False

    replay_together(traces, target, invariants, note)
    by_id = {one.id: one for one in invariants}
    new: list[Trace] = []
    for violation in sorted(shortest.values(), key=lambda one: len(one.played)):
        name = str(violation.trace.invariant)
        listed, findings = happens[name], [it for it in accepted[name] if it.has(violation.trace)]
        causes = _causes(accepted[name], listed)
        if not explained(causes, violation.trace.cause):
            counts = simpler(violation, {name: causes})
            reduced = reduce(violation, target, by_id[name], counts)
            if violates(reduced.trace, target, by_id[name], counts=counts, speculates=False) is None:
                raise TargetError(f"{reduced.trace}: found once and not again: not deterministic")
            listed.append(_violated(widened(reduced, target, by_id[name]), ()))
            new.append(listed[-1].trace)
        elif any(not _happens(it, listed) for it in findings):
            listed.append(_violated(violation, findings))
    if new:
        _replay(new, target, invariants, accepted, happens)


def _causes(findings: Iterable[Finding], listed: Iterable[Violated]) -> list[Cause]:
    """The known causes, and those that were found."""
    return [*(it.cause for it in findings), *(it.trace.cause for it in listed if it.accepted is None)]


def replay_together(
    traces: Sequence[Trace], target: Target, invariants: Sequence[Invariant], counts: Counts
) -> None:
    """Play these traces of one cell, each as far as the assumptions permit, but none that ends within another: a
    target is deterministic. Raises `TargetError`, and each `Violation` that counts."""
    following: dict[Events, set[Event]] = {}
    for events in (trace.events for trace in traces):
        for place, event in enumerate(events):
            following.setdefault(events[:place], set()).add(event)
    played: set[Events] = set()
    refused: set[Events] = set()
    for trace in sorted(traces, key=lambda one: len(one.events), reverse=True):
        starts = [trace.events[: place + 1] for place in range(len(trace.events))]
        if next((one for one in starts if one not in played), None) in {None, *refused}:
            continue
        run = begun(trace, target, invariants, counts, partial(permitted, trace))
        for before, after in pairwise([(), *starts]):
            refused |= {(*before, it) for it in following[before] if not run.permits(readdressed(it, run.world))}
            if after in refused:
                break
            run.play(readdressed(after[-1], run.world))
            played.add(after)
        run.target.finish()


def _happens(finding: Finding, listed: Iterable[Violated]) -> bool:
    return any(finding.has(it.trace) for it in listed)


def _traces(cell: Cell, accepted: Mapping[str, Iterable[Finding]]) -> Iterator[Trace]:
    """The traces of these findings, of all that is known of the SDK, and of what its models do in a world that is
    assumed here, in this cell. The nearest come first: of one of these invariants, in such a world, and short."""

    def elsewhere(trace: Trace) -> bool:
        return not {*trace.assumptions.names} <= {*cell.assumptions.names}

    def far(trace: Trace) -> tuple[bool, bool, int]:
        return trace.invariant not in accepted, elsewhere(trace), len(trace.events)

    known, proved = _of_sdk(adapter_of(cell.target))
    traces = [_loaded(it.trace) for some in accepted.values() for it in some if it.trace]
    traces += [*known, *(one for one in proved if not elsewhere(one))]
    for events in dict.fromkeys(one.events for one in sorted(traces, key=far)):
        yield Trace(cell.target, cell.runtime, cell.assumptions, events)


@cache
def _loaded(path: str) -> Trace:
    return load(Path(path))


@cache
def _of_sdk(adapter: Adapter | None) -> tuple[tuple[Trace, ...], tuple[Trace, ...]]:
    """The traces of all that is known of an SDK, and the counterexamples of its models."""
    if adapter is None:
        return (), ()
    return tuple(map(load, adapter.known_traces)), tuple(map(load, adapter.proved_traces))


def _without_trace(
    target: Target, one: Invariant, accepted: Iterable[Finding], happens: list[Violated], met: Iterable[Violated]
) -> Iterator[Violated]:
    """A violation for each finding that the search met, though its trace does not show it any more."""
    for finding in (it for it in accepted if not _happens(it, happens)):
        for violated in [it for it in met if finding.has(it.trace)][:1]:
            violation = Violation(violated.trace, violated.played)
            reduced = reduce(violation, target, one, lambda it, finding=finding: finding.has(it.trace))  # type: ignore[misc]
            yield _violated(reduced, [finding], replayed=False)


def _violated(violation: Violation, findings: Sequence[Finding], *, replayed: bool = True) -> Violated:
    violation.trace.save()
    accepted = str(findings[0]) if findings else None
    return Violated(violation.trace, violation.played, 0, 0, replayed=replayed, accepted=accepted)


def _each(verdict: Verdict) -> tuple[Violated, ...]:
    return verdict.each if isinstance(verdict, Violated) else ()


def _together(verdicts: Sequence[Verdict], happens: Sequence[Violated]) -> Verdict:
    """The verdict on an invariant: that of all its searches, with what happens. New violations come first. A
    vacuous search is no evidence that there is nothing beside the known findings."""
    is_new = [it for it in happens if it.accepted is None]
    if not is_new:
        for verdict in verdicts:
            if isinstance(verdict, Vacuous):
                return verdict
    held = [it for it in verdicts if isinstance(it, Held)]
    traces = sum(it.traces for it in held) if len(held) == len(verdicts) else 0
    if not happens:
        return Held(traces, sum(it.steps for it in held)) if held else verdicts[0]
    first, *others = (*is_new, *(replace(it, traces=traces) for it in happens if it.accepted is not None))
    return replace(first, others=tuple(others))
