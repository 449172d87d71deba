"""The matrix of proofs: every policy under every set of assumptions, proved in parallel."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.step import App
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Findings, Violated
from properties.prove.prove import Limits, prove
from properties.run.shrink import violates
from properties.system.failures import Failure
from properties.system.orphans import end_with
from properties.system.target import Target
from properties.targets.names import adapter_of, make_target, model_named, policies

EVERY_POLICY: tuple[str, ...] = tuple(policies())

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("starvation", "stale-after-expiry"),
    ("starvation", "stale-on-arrival"),
    ("starvation", "stale-for-good"),
    tuple(name for name in ASSUMPTIONS if name != "calm"),
)
"""Combinations of assumptions besides the single ones: those that interact, and all of them."""

EVERY_ASSUMPTION: tuple[tuple[str, ...], ...] = (*((name,) for name in ASSUMPTIONS), *TOGETHER)


class Task(Struct, frozen=True):
    """One cell to prove, as plain values that can be sent to another process."""

    policy: str
    assumptions: tuple[str, ...]
    runtime: Runtime
    invariants: tuple[str, ...]
    app: App | None
    limits: Limits

    def run(self, tell: Callable[[str], None] = lambda line: None) -> Findings:
        """Run the proof. Raises `UnknownName`."""
        judged = [INVARIANTS[name] for name in self.invariants]
        found = Assumptions(self.assumptions)
        return prove(model_named(self.policy), self.runtime, found, judged, self.app, self.limits, tell)


def _saved_here(found: Findings) -> Findings:
    """The findings, with their traces saved again: a worker does not tell which ones it could not save."""
    for verdict in found.verdicts.values():
        if isinstance(verdict, Violated):
            verdict.trace.save()
    return found


def prove_all(tasks: Sequence[Task], workers: int, tell: Callable[[Findings], None]) -> list[Findings]:
    """The findings of every task, in order. `tell` gets them as they come.

    Raises `Failure` if a worker process dies. Whatever ends this process also ends the workers.
    """
    if workers == 1 or len(tasks) == 1:
        found = []
        for task in tasks:
            found.append(task.run())
            tell(found[-1])
        return found
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), _begin_worker, (os.getpid(),))
    futures: list[Future[Findings]] = []
    try:
        futures = [pool.submit(Task.run, task) for task in tasks]
        for future in as_completed(futures):
            tell(_saved_here(future.result()))
    except BaseException as error:
        for process in active_children():  # a proof does not check for cancellation
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise Failure("a worker was killed: is there enough memory? Fewer --workers need less") from None
        raise
    pool.shutdown()
    return [future.result() for future in futures]


def _begin_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    end_with(parent)


def confirmed(findings: Sequence[Findings], say: Callable[[str], None]) -> list[Findings]:
    """The findings, with every counterexample of a released policy replayed on the build of that release.

    Raises `TargetError`.
    """
    with contextlib.ExitStack() as targets:
        builds: dict[str, Target] = {}
        for name in dict.fromkeys(found.cell.target for found in findings):
            adapter = adapter_of(name)
            if adapter and (build := adapter.build_of(name.removeprefix("model@"))):
                builds[name] = make_target(build, say)
                targets.callback(builds[name].close)
        return [_confirmed(found, builds.get(found.cell.target)) for found in findings]


def _confirmed(found: Findings, build: Target | None) -> Findings:
    verdicts = dict(found.verdicts)
    for name, verdict in found.verdicts.items():
        if isinstance(verdict, Violated) and build is not None:
            happens = violates(replace(verdict.trace, target=build.name), build, INVARIANTS[name])
            word = "confirmed on" if happens else "NOT CONFIRMED on"
            verdicts[name] = replace(verdict, confirmed=f"{word} {build.name}")
    return replace(found, verdicts=verdicts)
