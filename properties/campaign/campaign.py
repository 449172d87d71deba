"""A campaign: many traces over many machines, in shards that dask.distributed hands out.

What a shard found is kept in a journal, one file for a shard, so that a campaign that was cut short goes on where
it was and counts nothing twice.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis.errors import HypothesisDeprecationWarning

from properties.campaign.progress import bar
from properties.campaign.shards import Bench, CampaignError, Plan, Result, Shard, shards
from properties.campaign.totals import Report, add_up
from properties.system import trace as trace_module
from properties.system.trace import BadTrace, decode, write
from properties.targets.names import make_target

MISSING = "campaigns need dask.distributed: pip install 'sessionproof[campaign]'"


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
            with bar(total, done, tell) as advance, _client(scheduler, workers) as client:
                for result in _played(client, todo, _plugin(plan, todo[0].plan, scheduler is None)):
                    write(_place(folder, result.shard), msgspec.to_builtins(result))
                    results[result.shard] = result
                    advance(result.shard.traces)
    finally:
        report = Report(plan, add_up(results[shard] for shard in wanted if shard in results), folder)
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
