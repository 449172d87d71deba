"""A campaign: many traces over many machines, in shards that dask.distributed hands out.

A shard is one seeded search: the same wherever and whenever it runs. What it found is kept in a journal, one file
for a shard, so that a campaign that was cut short goes on where it was and counts nothing twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import pkgutil
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
from hypothesis.errors import HypothesisDeprecationWarning
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

import model
import properties
from model.assumptions import ASSUMPTIONS, Assumptions
from model.events import Advance, Answer, Event, Freeze
from model.facts import Told
from model.terms import Outcome, Runtime
from properties import trace as trace_module
from properties.invariants import INVARIANTS, Invariant
from properties.observe import ModelCoverage
from properties.search import Cell, search
from properties.system import Step
from properties.target import Target, TargetError
from properties.targets.names import UnknownName, make_target
from properties.trace import BadTrace, Trace, brief, decode, duration, write
from properties.verdict import HeldTo, MayStarve, NotApplicable, Proved, Vacuous, Verdict, Violated

MISSING = "campaigns need dask.distributed: pip install 'sessionproof[campaign]'"
COUNTED = {"reached": "traces that reached", "events": "events", "answers": "answers", "401s": "401s, by cause"}
"""What is counted, with the title it has in a report."""
LINE_EVERY = 10.0
"""Seconds between two lines of progress, where there is no terminal to draw a bar on."""


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


class Shape(Struct, frozen=True):
    """Counterexamples that differ in lengths of time alone: how many shards met one, and the shortest."""

    shape: str
    count: int
    example: Trace


@dataclass(frozen=True, slots=True)
class CellReport:
    """All shards of one cell, added up: see `Result`. `rate` is in traces per second of one worker."""

    target: str
    assumptions: Assumptions
    verdicts: dict[str, Judged]
    shapes: tuple[Shape, ...]
    traces: int
    steps: int
    counts: dict[str, dict[str, int]]
    rate: float = field(compare=False)


class Report(Struct, frozen=True):
    """What a campaign found, cell by cell, and the folder of its journal."""

    plan: Plan
    cells: tuple[CellReport, ...]
    folder: Path


def shards(plan: Plan) -> list[Shard]:
    """The parts of a plan, one of each cell in turn, so that one cut short has tried a bit of everything.

    Raises `UnknownName`, and `CampaignError` for numbers that make no plan or a build that cannot be read.
    """
    if min(plan.traces, plan.shard, plan.steps) < 1:
        raise CampaignError("a campaign needs at least 1 trace, 1 trace a shard and 1 step a trace")
    asked = [("assumption", name, tuple(ASSUMPTIONS)) for names in plan.assumptions for name in names]
    for kind, name, known in asked + [("invariant", name, tuple(INVARIANTS)) for name in plan.invariants]:
        if name not in known:
            raise UnknownName(f"unknown {kind} '{name}' (known: {', '.join(known)})")
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


def shape_of(trace: Trace) -> str:
    """The trace without lengths of time, and what it breaks."""
    return f"{' -> '.join(map(_kind, trace.events))} | {trace.invariant}"


def _kind(event: Event) -> str:
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
            counts["events"][_kind(step.event).partition(" ")[0].partition("(")[0]] += 1
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


def _dask() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise CampaignError(MISSING) from None


def _plugin(plan: Plan, fingerprint: str, ours: bool) -> Any:
    """Gives each worker a bench, and closes it when the worker or the campaign ends."""

    class BenchPlugin(_dask().WorkerPlugin):  # type: ignore[misc]
        name = f"sessionproof-{fingerprint}"

        def setup(self, worker: Any) -> None:
            self.bench = Bench(plan, fingerprint)
            self.folder = trace_module.FOLDER
            # A search saves what it finds in one place for a cell: two workers must not write there at once.
            trace_module.FOLDER = Path(worker.local_directory) / self.folder.name
            # Hypothesis looks for uses of `random` while it generates, and finds those of dask's own thread.
            warnings.filterwarnings("ignore", "Do not use the `random` module", HypothesisDeprecationWarning)
            if ours:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the campaign, which ends its workers

        def teardown(self, worker: Any) -> None:
            trace_module.FOLDER = self.folder
            self.bench.close()

    return BenchPlugin()


def _play(shard: Shard) -> Result:
    result: Result = _dask().get_worker().plugins[f"sessionproof-{shard.plan}"].bench.play(shard)
    return result


def run(plan: Plan, scheduler: str | None, workers: int, tell: Callable[[str], None]) -> Report:
    """Run what of `plan` is not in its journal yet: on the dask scheduler at that address, or with so many
    `workers` (processes) on this machine. `tell` is told of downloads and, without a terminal, of progress.

    Raises `CampaignError`, `TargetError`, `UnknownName`; and `KeyboardInterrupt`, with all that was done saved.
    """
    wanted = shards(plan)
    folder = trace_module.FOLDER / "campaigns" / wanted[0].plan if wanted else trace_module.FOLDER
    results = {shard: result for shard in wanted if (result := _recorded(_place(folder, shard), shard))}
    todo = [shard for shard in wanted if shard not in results]
    try:
        if todo:
            _dask()
            for name in dict.fromkeys(shard.target for shard in todo):  # say what is missing, download once
                with contextlib.closing(make_target(name, tell)) as target:
                    target.prepare(plan.runtime)
            done, total = (sum(shard.traces for shard in some) for some in (results, wanted))
            with _progress(total, done, tell) as advance, _client(scheduler, workers) as client:
                for result in _played(client, todo, _plugin(plan, todo[0].plan, scheduler is None)):
                    write(_place(folder, result.shard), msgspec.to_builtins(result))
                    results[result.shard] = result
                    advance(result.shard.traces)
    finally:
        report = Report(plan, _cells(results[shard] for shard in wanted if shard in results), folder)
        for shape in (shape for cell in report.cells for shape in reversed(cell.shapes)):
            shape.example.save()  # the shortest last: there is one place for a cell and invariant
    return report


def _place(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.number:06}.json"


def _recorded(path: Path, shard: Shard) -> Result | None:
    """What the journal says of a shard; None when it says nothing, or nothing whole, or of another plan."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
        for judged in (judged for judged in result.verdicts.values() if judged.trace is not None):
            decode(judged.trace or {}, path)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, BadTrace):
        return None
    return result if result.shard == shard else None


def _played(client: Any, todo: list[Shard], plugin: Any) -> Iterator[Result]:
    """The result of each shard, as it comes. Whatever ends this ends the shards under way."""
    dask = _dask()
    futures = []
    client.register_plugin(plugin)
    try:
        keys = [f"sessionproof-{shard.plan}-{shard.number}" for shard in todo]
        futures = client.map(_play, todo, key=keys, pure=False)
        for future, result in dask.as_completed(futures, with_results=True):
            yield result
            future.release()
        client.unregister_worker_plugin(plugin.name)  # raises what the targets say when they close
    except BaseException as error:
        with contextlib.suppress(Exception):  # what went wrong first is what to tell
            client.cancel(futures, force=True)
            client.unregister_worker_plugin(plugin.name)
        if isinstance(error, dask.KilledWorker):
            raise CampaignError("a shard lost its worker again and again: is there enough memory?") from None
        raise


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    dask = _dask()
    if scheduler is not None:
        try:
            remote = dask.Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise CampaignError(f"no dask scheduler answers at {scheduler} ({error})") from None
        with remote:
            yield remote
        return
    # dask always serves HTTP: without routes, and on any port of the loopback, there is nothing to see.
    bare: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    http = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with (
        importlib.import_module("dask.config").set(bare),
        dask.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
            **http,
        ) as cluster,
        dask.Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def _progress(total: int, done: int, tell: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """How far a campaign is, in traces: a bar on a terminal, else a line now and then."""
    began = last = time.monotonic()
    ran = 0
    bar = Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
    task = bar.add_task(f"{done:,} of {total:,} traces", total=total, completed=done)
    live = sys.stderr.isatty()

    def advance(more: int) -> None:
        nonlocal ran, last
        ran += more
        now = time.monotonic()
        rate = ran / max(now - began, 0.001)
        left = duration(1000 * round((total - done - ran) / rate))
        line = f"{done + ran:,} of {total:,} traces, {rate:,.0f} a second, {left} left"
        bar.update(task, completed=done + ran, description=line)
        if not live and now - last >= LINE_EVERY:
            last = now
            tell(line)

    with bar if live else contextlib.nullcontext():
        yield advance


def _cells(results: Iterable[Result]) -> tuple[CellReport, ...]:
    cells: dict[tuple[str, tuple[str, ...]], list[Result]] = {}
    for result in results:
        cells.setdefault((result.shard.target, result.shard.assumptions), []).append(result)
    return tuple(_cell(target, Assumptions(names), parts) for (target, names), parts in cells.items())


def _cell(target: str, assumptions: Assumptions, parts: list[Result]) -> CellReport:
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


def _together(parts: list[Judged]) -> Judged:
    """Broken in one shard is broken; what one shard reached, the campaign has reached."""
    words = {part.word for part in parts}
    never = tuple(name for name in parts[0].never if all(name in part.never for part in parts))
    word = "VIOLATED" if "VIOLATED" in words else "vacuous" if never else "held"
    word = str(NotApplicable()) if words == {str(NotApplicable())} else word
    return Judged(word, sum(part.traces for part in parts), sum(part.steps for part in parts), never)
