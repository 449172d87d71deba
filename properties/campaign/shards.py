"""The shards of a campaign: seeded searches that make up its plan, how a worker runs one, and its result.

A shard is deterministic: it is the same search wherever and whenever it runs.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
from msgspec import Struct
from msgspec.structs import replace

import model
import properties
from model.assumptions.sets import Assumptions
from model.requests import Outcome
from model.step import Step
from model.terms import Runtime
from model.world.events import Advance, Answer, Deliver, Event, Freeze, Lose, Serve
from model.world.facts import Answered
from properties.invariants.breach import Breach
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, HeldTo, MayStarve, Proved, Vacuous, Verdict, Violated
from properties.search.observe import ModelCoverage
from properties.search.search import search
from properties.system.event_kinds import brief, word
from properties.system.failures import Failure
from properties.system.target import Target, TargetError
from properties.targets.closing import close_all
from properties.targets.names import assumed, make_target, one_of

COUNTED = {"reached": "traces that reached", "events": "events", "answers": "answers", "401s": "401s, by cause"}
"""The counts that a shard collects, with their titles in a report."""


class CampaignError(Failure):
    """A campaign cannot be run here."""


class CampaignPlan(Struct, frozen=True):
    """What to run: `traces` traces of up to `steps` steps for each cell (target x assumptions), in shards of
    `shard` traces. With `coverage`, also the branches of the model that they take."""

    traces: int
    targets: tuple[str, ...]
    assumptions: tuple[tuple[str, ...], ...]
    runtime: Runtime
    invariants: tuple[str, ...]
    shard: int = 2000
    steps: int = 30
    coverage: bool = False


class Shard(Struct, frozen=True):
    """One seeded search of one cell. `plan` is the digest of the campaign's plan."""

    plan: str
    number: int
    target: str
    assumptions: tuple[str, ...]
    seed: int
    traces: int


class ShardVerdict(Struct, frozen=True):
    """A verdict as plain values: its word, its evidence, and the document of the violating trace, if any."""

    word: str
    traces: int
    steps: int
    never: tuple[str, ...] = ()
    trace: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of one shard, which took `seconds` of a worker.

    `steps` and the `counts` of `events` by kind, `answers` by outcome and `401s` by cause include shrinking. The
    count `reached` has the traces of the last round by landmark. With coverage, `branches` has the model's
    branches: 1 for those taken, 0 for the others.
    """

    shard: Shard
    verdicts: dict[str, ShardVerdict]
    traces: int
    steps: int
    counts: dict[str, dict[str, int]]
    seconds: float = field(compare=False)


def shards(plan: CampaignPlan) -> list[Shard]:
    """The shards of a plan, round-robin over its cells, so that an interrupted campaign has covered each of them.

    Raises `UnknownName`, and `CampaignError` for numbers below 1 or a build that cannot be read.
    """
    if min(plan.traces, plan.shard, plan.steps) < 1:
        raise CampaignError("a campaign needs at least 1 trace, 1 trace a shard and 1 step a trace")
    for assumptions in plan.assumptions:
        assumed(assumptions, plan.runtime)
    for name in plan.invariants:
        one_of("invariant", name, INVARIANTS)
    names = dict.fromkeys(make_target(spec, lambda line: None).name for spec in plan.targets)
    cells = [(name, assumptions) for assumptions in dict.fromkeys(plan.assumptions) for name in names]
    begins = enumerate(range(0, plan.traces, plan.shard))
    parts = [(*cell, seed, min(plan.shard, plan.traces - begin)) for seed, begin in begins for cell in cells]
    fingerprint = digest(plan)
    return [Shard(fingerprint, number, *part) for number, part in enumerate(parts)]


def digest(plan: CampaignPlan) -> str:
    """A fingerprint of everything that determines the results: the plan, our code, Hypothesis, builds in files.

    Raises `CampaignError` if such a build cannot be read.
    """
    sha = hashlib.sha256(msgspec.json.encode([plan, metadata.version("hypothesis")]))
    for folder in (Path(package.__path__[0]) for package in (model, properties)):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".mjs"}):
            sha.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for path in (Path(spec.removeprefix("path:")) for spec in plan.targets if spec.startswith("path:")):
        try:
            sha.update(path.read_bytes())
        except OSError as error:
            raise CampaignError(f"{path} cannot be read: {error.strerror}") from None
    return sha.hexdigest()[:16]


def kind_of(event: Event) -> str:
    """An event in short, without its duration or, for an answer, without its request."""
    match event:
        case Advance() | Freeze():
            return word(event)
        case Answer(_, outcome) | Serve(_, outcome):
            return f"{word(event)} {outcome}"
        case Deliver() | Lose():
            return word(event)
        case _:
            return brief(event).removesuffix("()")


class ShardRunner:
    """Runs shards on one worker, one at a time, and keeps the targets between them."""

    def __init__(self, plan: CampaignPlan, fingerprint: str) -> None:
        self._plan = plan
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._targets: dict[str, Target] = {}
        self._stopping = False

    def play(self, shard: Shard) -> ShardResult:
        """Run one shard. Raises `TargetError`, and `CampaignError` if the code differs from that of the
        campaign."""
        with self._lock:
            if not self._targets and digest(self._plan) != self._fingerprint:
                raise CampaignError("a worker has other code than this campaign: install the same on both")
            if shard.target not in self._targets:
                self._targets[shard.target] = make_target(shard.target, lambda line: None)
            return self._search(shard, self._targets[shard.target])

    def _search(self, shard: Shard, target: Target) -> ShardResult:
        counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED if name != "reached"}
        seen: list[Step] = []  # the last step, since every invariant checks the same one
        steps = 0

        def count(step: Step) -> None:
            nonlocal steps
            if self._stopping:
                raise TargetError("the campaign is over")
            steps += 1
            seen[:] = [step]
            counts["events"][word(step.event)] += 1
            for fact in (fact for fact in step.facts if isinstance(fact, Answered)):
                counts["answers"][fact.outcome.value] += 1
                if fact.outcome is Outcome.UNAUTHORIZED:
                    counts["401s"][fact.origin.value] += 1

        def watched(one: Invariant) -> Invariant:
            def check(step: Step) -> Breach | None:
                if not seen or step is not seen[0]:
                    count(step)
                return one.check(step)

            return replace(one, check=check)

        profile = hypothesis.settings(
            max_examples=shard.traces,
            stateful_step_count=self._plan.steps,
            deadline=None,
            database=None,
            derandomize=False,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
        )
        cell = Cell(shard.target, self._plan.runtime, Assumptions(shard.assumptions))
        invariants = [watched(INVARIANTS[name]) for name in self._plan.invariants]
        coverage = ModelCoverage([target.sdk]) if self._plan.coverage else None
        found = search(target, cell, invariants, profile, seed=shard.seed)
        verdicts = {name: _judged(verdict) for name, verdict in found.verdicts.items()}
        plain = {"reached": found.reached} | {name: dict(counter) for name, counter in counts.items()}
        if coverage:
            plain["branches"] = {
                f"{file} {line} {to}": taken for (file, line, to), taken in coverage.end().items()
            }
        return ShardResult(shard, verdicts, found.traces, steps, plain, found.seconds)

    def close(self) -> None:
        """Stop the running search, if any, and close the targets. Raises `TargetError`."""
        self._stopping = True
        with self._lock:
            targets, self._targets = self._targets, {}
            close_all(targets.values())


def _judged(verdict: Verdict) -> ShardVerdict:
    assert not isinstance(verdict, Proved | HeldTo | MayStarve), "a random search proves nothing"
    never = verdict.never if isinstance(verdict, Vacuous) else ()
    document = msgspec.to_builtins(verdict.trace.document()) if isinstance(verdict, Violated) else None
    return ShardVerdict(str(verdict), verdict.traces, verdict.steps, never, document)
