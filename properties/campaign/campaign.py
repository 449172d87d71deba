"""A campaign: many traces on many machines, in shards that dask.distributed schedules.

The result of each shard is saved in a journal, one file per shard. An interrupted campaign resumes from its
journal and counts nothing twice.
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
from properties.campaign.shards import CampaignError, CampaignPlan, Shard, ShardResult, ShardRunner, shards
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


def _plugin(plan: CampaignPlan, fingerprint: str, ours: bool) -> Any:
    """Gives each worker a `ShardRunner`, and closes it when the worker or the campaign ends."""

    class RunnerPlugin(_dask().WorkerPlugin):  # type: ignore[misc]
        name = f"sessionproof-{fingerprint}"

        def setup(self, worker: Any) -> None:
            self.runner = ShardRunner(plan, fingerprint)
            self.folder = trace_module.FOLDER
            # A search saves its traces in one file per cell: two workers must not write there at once.
            trace_module.FOLDER = Path(worker.local_directory) / self.folder.name
            # Hypothesis warns about uses of `random` during generation, and sees those of dask's own thread.
            warnings.filterwarnings("ignore", "Do not use the `random` module", HypothesisDeprecationWarning)
            if ours:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the campaign handles Ctrl-C and ends its workers

        def teardown(self, worker: Any) -> None:
            trace_module.FOLDER = self.folder
            self.runner.close()

    return RunnerPlugin()


def _play(shard: Shard) -> ShardResult:
    result: ShardResult = _dask().get_worker().plugins[f"sessionproof-{shard.plan}"].runner.play(shard)
    return result


def run(plan: CampaignPlan, scheduler: str | None, workers: int, tell: Callable[[str], None]) -> Report:
    """Run the shards of `plan` that are not in its journal yet, on the dask scheduler at that address, or with
    `workers` processes on this machine. `tell` gets lines about downloads and, without a terminal, about
    progress.

    Raises `CampaignError`, `TargetError`, `UnknownName`, and `KeyboardInterrupt`. Finished shards stay saved.
    """
    wanted = shards(plan)
    folder = trace_module.FOLDER / "campaigns" / wanted[0].plan if wanted else trace_module.FOLDER
    results = {shard: result for shard in wanted if (result := _recorded(_place(folder, shard), shard))}
    todo = [shard for shard in wanted if shard not in results]
    try:
        if todo:
            _dask()
            for name in dict.fromkeys(
                shard.target for shard in todo
            ):  # report what is missing first, and download once
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
        for one in (one for cell in report.cells for one in reversed(cell.counterexamples)):
            one.shortest.save()  # the shortest last: there is one file for each cell, invariant and cause
    return report


def _place(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.number:06}.json"


def _recorded(path: Path, shard: Shard) -> ShardResult | None:
    """The result of a shard in the journal; None if it is missing, damaged, or of another plan."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=ShardResult)
        for judged in (judged for judged in result.verdicts.values() if judged.trace is not None):
            decode(judged.trace or {}, path)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, BadTrace):
        return None
    return result if result.shard == shard else None


def _played(client: Any, todo: list[Shard], plugin: Any) -> Iterator[ShardResult]:
    """The result of each shard, as it completes. An exception cancels the running shards."""
    dask = _dask()
    futures = []
    client.register_plugin(plugin)
    try:
        keys = [f"sessionproof-{shard.plan}-{shard.number}" for shard in todo]
        futures = client.map(_play, todo, key=keys, pure=False)
        for future, result in dask.as_completed(futures, with_results=True):
            yield result
            future.release()
        client.unregister_worker_plugin(plugin.name)  # raises what closing the targets raises
    except BaseException as error:
        with contextlib.suppress(Exception):  # report the first error
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
    # dask always serves HTTP: restrict it to the loopback, without routes.
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
