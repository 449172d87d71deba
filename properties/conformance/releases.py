"""The table of releases, computed: every release is judged by every finding of its package.

A judgement rests on the first of these that gives one:

1. the finding's own trace, on the build;
2. a proof on the model of the release, for an app that makes the calls of the trace beside those of every proof,
   unless it is a finding on a setup of the app, of which the proof knows nothing;
3. the counterexample of that proof, on the build;
4. a search on the build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

from hypothesis import settings
from msgspec import Struct
from msgspec.structs import replace

from model.app import MAX_CALLS, App
from model.operations import Operation
from properties.conformance.bisect import replayed
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Proved, Violated
from properties.prove.prove import Limits, prove
from properties.run import releases
from properties.run.advice import Known, known
from properties.run.reference import model_of
from properties.run.releases import History, Judgement, Table, spans
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.targets.adapter import Adapter, Say
from properties.targets.names import make_target
from properties.targets.npm import released_versions

Count: TypeAlias = Callable[[int, int], None]
"""Gets the number of traces that a search has tried, and that it will try."""

PROOF_LIMITS = Limits(depth=8, seconds=600, states=600)
"""The graphs that close have less than 300 states."""


def judge(target: Target, known: Known, profile: settings, tell: Count) -> Judgement:
    """What a release has of a known finding. The target is prepared; `tell` gets the progress of a search. Raises
    `TargetError`."""
    trace, invariant = known.trace, INVARIANTS[str(known.trace.invariant)]
    if replayed([trace], target, invariant):
        helpful = (name for name, remedy in known.about.remedies.items() if remedy.helps(trace, target))
        return releases.Breaks(remedies=tuple(helpful))
    calls = [event for event in trace.events if isinstance(event, Operation)]
    operations = tuple(dict.fromkeys((*target.sdk.proved_operations, *calls)))
    app = App(operations, min(max(len(calls), 1), MAX_CALLS))
    model = None if known.setup else model_of(target)
    if model and trace.runtime in target.sdk.runtimes:
        proof = prove(model, trace.runtime, trace.assumptions, [invariant], app, PROOF_LIMITS)
        match proof.verdicts[invariant.id]:
            case Proved():
                return releases.Proved(model.name)
            case Violated(other) if replayed([other], target, invariant):
                return releases.Breaks(instead=str(other))
    cell = Cell(target.name, trace.runtime, trace.assumptions)
    match search(target, cell, [invariant], profile, tell, app=app).verdicts[invariant.id]:
        case Violated(other):
            return releases.Breaks(instead=str(other))
        case Held():
            return releases.Held(profile.max_examples)
        case verdict:
            raise TargetError(f"{target.name}, assuming {trace.assumptions}: {verdict}, which is no evidence")


def recompute(
    adapter: Adapter, table: Table, profile: settings, say: Say, follow: Callable[[str], Count]
) -> Iterator[Table]:
    """The table after each release that lacked a judgement, until none does. What `table` has of a finding
    stays, unless the finding's trace has changed. `follow` is told of each search, and counts its traces. Raises
    `BadTrace` and `TargetError`."""
    for package, source in adapter.packages.items():
        versions = released_versions(source)
        others = tuple(one for one in table.findings if one.package != package)
        rows = [_row(table, one, package, adapter, say) for one in known(adapter, package)]
        for place, version in enumerate(versions, 1):
            spec = f"{package}@{version}"
            lacking = [row for row in rows if version not in row.judged]
            for row, judgement in _judgements(spec, lacking, profile, say, follow):
                row.judged[version] = judgement
                say(f"{spec} ({place} of {len(versions)}), {row.known.name}: {judgement}")
            judged = tuple(one for one in versions if any(one in row.judged for row in rows))
            histories = tuple(replace(row.history, spans=spans(row.judged, judged)) for row in rows)
            table = Table({**table.releases, package: judged}, (*others, *histories))
            if lacking:
                yield table


class _Row(Struct):
    """A finding on one package while it is judged: `judged` has its judgements by version so far."""

    known: Known
    history: History
    judged: dict[str, Judgement]


def _row(table: Table, one: Known, package: str, adapter: Adapter, say: Say) -> _Row:
    """What the table has of the finding, or nothing but its logs if it was another trace."""
    place = (one.name, package, one.claim, str(one.trace))
    for old in table.findings:
        if (old.finding, old.package, old.claim, old.events) == place:
            return _Row(one, old, table.judgements(one.name, package))
    return _Row(one, History(*place, _logs(one, adapter, say), ()), {})


def _judgements(
    spec: str, rows: Sequence[_Row], profile: settings, say: Say, follow: Callable[[str], Count]
) -> Iterator[tuple[_Row, Judgement]]:
    """The judgements on one release; none on a release that no policy describes."""
    if not rows or model_of(make_target(spec, say)) is None:
        return
    for name, some in groupby(sorted(rows, key=lambda row: row.known.on(spec)), lambda row: row.known.on(spec)):
        target = make_target(name, say)
        try:
            for row in sorted(some, key=lambda row: row.known.trace.runtime):  # each runtime is loaded once
                target.prepare(row.known.trace.runtime)
                yield row, judge(target, row.known, profile, follow(f"{spec}, {row.known.name}"))
        finally:
            target.close()


def _logs(one: Known, adapter: Adapter, say: Say) -> tuple[str, ...]:
    """What the finding's trace leaves in logs, on the release that it was found on."""
    target = make_target(one.trace.target, say)
    try:
        found = replayed([one.trace], target, INVARIANTS[str(one.trace.invariant)])
    finally:
        target.close()
    if found is None:
        raise TargetError(f"{one.name} does not violate {one.trace.invariant} on {target.name} any more")
    return adapter.logs(found.facts, found.played[-1].after.now)
