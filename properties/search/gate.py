"""One cell of a gate: replay what is known, search for everything else, and say which violations are accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from hypothesis import settings
from msgspec.structs import replace

from model.world.events import Event
from properties.invariants.catalogue import Invariant
from properties.invariants.identity import Cause, explained
from properties.invariants.verdict import Cell, Findings, Held, Vacuous, Verdict, Violated
from properties.run.distinct import simpler, widened
from properties.run.known import Finding
from properties.run.run import Counts, Run, Violation
from properties.run.shrink import readdressed, reduce, violates
from properties.search.search import search
from properties.system.target import Target
from properties.system.trace import Trace, load
from properties.targets.names import adapter_of

MOST_CAUSES = 20
"""The number of new causes after which the search of an invariant in a cell ends. A build with more is broken
throughout, and whoever reads that many needs no more of them."""

Events: TypeAlias = tuple[Event, ...]

_loaded = cache(load)


def judge(
    target: Target,
    cell: Cell,
    invariants: Sequence[Invariant],
    known: Collection[Finding],
    profile: settings,
    tell: Callable[[int, int], None] = lambda traces, of: None,
    seed: int | None = None,
) -> Findings:
    """The verdicts of a cell, with every new violation and every known finding that happens.

    The traces of the `known` findings, which are `located`, and those of other releases are replayed first. So a
    known finding needs no luck, and a defect of another release is found at once. Then the search passes over
    whatever has one of these causes. Raises `BadTrace` and `TargetError`.
    """
    accepted = {one.id: [it for it in known if it.covers(cell, one.id)] for one in invariants}
    happens = _replayed(target, cell, invariants, accepted)
    causes = {name: [it.cause for it in accepted[name]] for name in accepted}
    for name, violations in happens.items():
        causes[name] += [it.trace.cause for it in violations if it.accepted is None]
    found = search(target, cell, invariants, profile, tell, seed, known=causes, most=MOST_CAUSES)
    for one in invariants:
        met = found.met.get(one.id, ())
        happens[one.id] += _without_trace(target, one, accepted[one.id], happens[one.id], met)
    verdicts = {name: _together(verdict, happens[name]) for name, verdict in found.verdicts.items()}
    return replace(found, verdicts=verdicts, met={})


def first_known(target: Target, cell: Cell, invariants: Sequence[Invariant]) -> float | None:
    """The seconds until what is known of the SDK violates one of the invariants in a cell; None if nothing does.
    Raises `BadTrace` and `TargetError`."""
    began = time.perf_counter()
    for trace in _traces(cell, {one.id: () for one in invariants}):
        if violates(trace, target, *invariants):
            return time.perf_counter() - began
    return None


def _replayed(
    target: Target, cell: Cell, invariants: Sequence[Invariant], accepted: Mapping[str, Sequence[Finding]]
) -> dict[str, list[Violated]]:
    """The violations that replays lead to, by invariant: one for each finding that happens, and the new ones,
    reduced."""
    shortest: dict[tuple[str, Cause], Violation] = {}

    def note(violation: Violation) -> bool:
        place = str(violation.trace.invariant), violation.trace.cause
        if place not in shortest or len(violation.played) < len(shortest[place].played):
            shortest[place] = violation
        return False

    replay_together([*_traces(cell, accepted)], target, invariants, note)
    happens: dict[str, list[Violated]] = {one.id: [] for one in invariants}
    by_id = {one.id: one for one in invariants}
    for violation in sorted(shortest.values(), key=lambda one: len(one.played)):
        name = str(violation.trace.invariant)
        listed, findings = happens[name], [it for it in accepted[name] if it.has(violation.trace)]
        causes = [*(it.cause for it in accepted[name]), *(it.trace.cause for it in listed)]
        if not findings and not explained(causes, violation.trace.cause):
            reduced = reduce(violation, target, by_id[name], simpler(violation, {name: causes}))
            listed.append(_violated(widened(reduced, target, by_id[name]), ()))
        elif any(not _happens(it, listed) for it in findings):
            listed.append(_violated(violation, findings))
    return happens


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
        begun = [trace.events[: place + 1] for place in range(len(trace.events))]
        if next((one for one in begun if one not in played), None) in {None, *refused}:
            continue
        run = Run(target, trace.runtime, trace.assumptions, invariants, counts)
        for before, after in pairwise([(), *begun]):
            refused |= {(*before, it) for it in following[before] if not run.permits(readdressed(it, run.world))}
            if after in refused:
                break
            run.play(readdressed(after[-1], run.world))
            played.add(after)
        target.finish()


def _happens(finding: Finding, listed: Iterable[Violated]) -> bool:
    return any(finding.has(it.trace) for it in listed)


def _traces(cell: Cell, accepted: Mapping[str, Iterable[Finding]]) -> Iterator[Trace]:
    """The traces of these findings, and of all that is known of the SDK, in this cell. The nearest come first: of
    one of these invariants, in a world that is assumed here, and short."""

    def far(trace: Trace) -> tuple[bool, bool, int]:
        elsewhere = not {*trace.assumptions.names} <= {*cell.assumptions.names}
        return trace.invariant not in accepted, elsewhere, len(trace.events)

    paths = [Path(it.trace) for some in accepted.values() for it in some if it.trace]
    adapter = adapter_of(cell.target)
    of_sdk = adapter.known_traces if adapter else []
    for events in dict.fromkeys(one.events for one in sorted(map(_loaded, (*paths, *of_sdk)), key=far)):
        yield Trace(cell.target, cell.runtime, cell.assumptions, events)


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


def _together(verdict: Verdict, happens: Sequence[Violated]) -> Verdict:
    """The verdict on an invariant: that of the search, with what `happens` besides. New violations come first. A
    vacuous search is no evidence that there is nothing beside the known findings."""
    searched = verdict.each if isinstance(verdict, Violated) else ()
    is_new = [it for it in (*happens, *searched) if it.accepted is None]
    if not happens or (isinstance(verdict, Vacuous) and not is_new):
        return verdict
    tried = verdict.traces if isinstance(verdict, Held) else 0
    first, *others = (*is_new, *(replace(it, traces=tried) for it in happens if it.accepted is not None))
    return replace(first, others=tuple(others))
