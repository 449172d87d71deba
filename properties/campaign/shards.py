"""What a campaign is made of: a plan, its parts, which are seeded searches, and what came of each.

A shard is the same search wherever and whenever it runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import pkgutil
import threading
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
from msgspec import Struct
from msgspec.structs import replace

import model
import properties
from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.terms import Outcome, Runtime
from model.world.events import Advance, Answer, Event, Freeze
from model.world.facts import Told
from properties.invariants.catalogue import INVARIANTS, Invariant
from properties.invariants.verdict import Cell, HeldTo, MayStarve, Proved, Vacuous, Verdict, Violated
from properties.search.observe import ModelCoverage
from properties.search.search import search
from properties.system.step import Step
from properties.system.target import Target, TargetError
from properties.system.trace import brief
from properties.targets.names import make_target, one_of

COUNTED = {"reached": "traces that reached", "events": "events", "answers": "answers", "401s": "401s, by cause"}
"""What is counted, with the title it has in a report."""


class CampaignError(Exception):
    """A campaign cannot be run here. The message is one line: what is wrong, and what to do."""


class Plan(Struct, frozen=True):
    """What to run: `traces` for each cell (target x assumptions), in shards of `shard`, each trace of `steps`;
    with the branches of the model that they take, if `coverage` is asked for."""

    traces: int
    targets: tuple[str, ...]
    assumptions: tuple[tuple[str, ...], ...]
    runtime: Runtime
    invariants: tuple[str, ...]
    shard: int = 2000
    steps: int = 30
    coverage: bool = False


class Shard(Struct, frozen=True):
    """One seeded search of one cell: a part of the plan with the digest `plan`."""

    plan: str
    number: int
    target: str
    assumptions: tuple[str, ...]
    seed: int
    traces: int


class Judged(Struct, frozen=True):
    """A verdict in plain values: its word, what it rests on, and the document of the trace that breaks it."""

    word: str
    traces: int
    steps: int
    never: tuple[str, ...] = ()
    trace: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one shard, in `seconds` of a worker. `steps` and `counts` (`events` by kind, `answers` by
    outcome, `401s` by cause) are of all that was played, shrinking too; `reached` counts traces that judged what
    held. With coverage, `branches` has the model's branches: 1 for those taken, 0 for the others."""

    shard: Shard
    verdicts: dict[str, Judged]
    traces: int
    steps: int
    counts: dict[str, dict[str, int]]
    seconds: float = field(compare=False)


def shards(plan: Plan) -> list[Shard]:
    """The parts of a plan, one of each cell in turn, so that one cut short has tried a bit of everything.

    Raises `UnknownName`, and `CampaignError` for numbers that make no plan or a build that cannot be read.
    """
    if min(plan.traces, plan.shard, plan.steps) < 1:
        raise CampaignError("a campaign needs at least 1 trace, 1 trace a shard and 1 step a trace")
    for name in chain(*plan.assumptions):
        one_of("assumption", name, ASSUMPTIONS)
    for name in plan.invariants:
        one_of("invariant", name, INVARIANTS)
    names = dict.fromkeys(make_target(spec, lambda line: None).name for spec in plan.targets)
    cells = [(name, assumptions) for assumptions in dict.fromkeys(plan.assumptions) for name in names]
    begins = enumerate(range(0, plan.traces, plan.shard))
    parts = [(*cell, seed, min(plan.shard, plan.traces - begin)) for seed, begin in begins for cell in cells]
    fingerprint = digest(plan)
    return [Shard(fingerprint, number, *part) for number, part in enumerate(parts)]


def digest(plan: Plan) -> str:
    """A fingerprint of all that decides what a plan finds: the plan, our code, Hypothesis, builds in files.

    Raises `CampaignError` when such a build cannot be read.
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
    """What an event is, whatever its length or, of an answer, whatever it answers."""
    match event:
        case Advance() | Freeze():
            return brief(event).partition("(")[0]
        case Answer(_, outcome):
            return f"answer {outcome}"
        case _:
            return brief(event).removesuffix("()")


class Bench:
    """What one worker keeps between shards: its targets. One shard at a time, for a target plays one trace."""

    def __init__(self, plan: Plan, fingerprint: str) -> None:
        self._plan = plan
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._targets: dict[str, Target] = {}
        self._stopping = False

    def play(self, shard: Shard) -> Result:
        """Search one shard. Raises `TargetError`, and `CampaignError` where other code is installed."""
        with self._lock:
            if not self._targets and digest(self._plan) != self._fingerprint:
                raise CampaignError("a worker has other code than this campaign: install the same on both")
            _import_everything()
            if shard.target not in self._targets:
                self._targets[shard.target] = make_target(shard.target, lambda line: None)
            return self._search(shard, self._targets[shard.target])

    def _search(self, shard: Shard, target: Target) -> Result:
        counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED if name != "reached"}
        seen: list[Step] = []  # the last step: each invariant in turn is asked about the same one
        steps = 0

        def count(step: Step) -> None:
            nonlocal steps
            if self._stopping:
                raise TargetError("the campaign is over")
            steps += 1
            seen[:] = [step]
            counts["events"][kind_of(step.event).partition(" ")[0].partition("(")[0]] += 1
            for fact in (fact for fact in step.facts if isinstance(fact, Told)):
                counts["answers"][fact.outcome.value] += 1
                if fact.outcome is Outcome.UNAUTHORIZED:
                    counts["401s"][fact.origin.value] += 1

        def watched(one: Invariant) -> Invariant:
            def check(step: Step) -> str | None:
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
        coverage = ModelCoverage() if self._plan.coverage else None
        found = search(target, cell, invariants, profile, seed=shard.seed)
        verdicts = {name: _judged(verdict) for name, verdict in found.verdicts.items()}
        plain = {"reached": found.reached} | {name: dict(counter) for name, counter in counts.items()}
        if coverage:
            plain["branches"] = {
                f"{file} {line} {to}": taken for (file, line, to), taken in coverage.end().items()
            }
        return Result(shard, verdicts, found.traces, steps, plain, found.seconds)

    def close(self) -> None:
        """Stop the search under way, if any, and close the targets. Raises `TargetError` as they do."""
        self._stopping = True
        with self._lock:
            while self._targets:
                self._targets.popitem()[1].close()


def _judged(verdict: Verdict) -> Judged:
    assert not isinstance(verdict, Proved | HeldTo | MayStarve), "a random search proves nothing"
    never = verdict.never if isinstance(verdict, Vacuous) else ()
    document = msgspec.to_builtins(verdict.trace.document()) if isinstance(verdict, Violated) else None
    return Judged(str(verdict), verdict.traces, verdict.steps, never, document)


def _import_everything() -> None:
    """Hypothesis draws numbers that it finds in whatever modules are loaded: load the same ones everywhere."""
    for package in (model, properties):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with contextlib.suppress(ImportError):  # a module for an extra that is not installed
                importlib.import_module(module.name)
