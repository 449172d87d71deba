"""Tasks in parallel, each in a process. Whatever ends this process also ends the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Protocol, TypeVar

from properties.system.failures import Failure
from properties.system.orphans import end_with

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Task(Protocol[R_co]):
    """What one process does, as plain values that can be sent to it."""

    def run(self) -> R_co:
        """Do it."""


def run_all(tasks: Sequence[Task[T]], workers: int, tell: Callable[[T], None]) -> list[T]:
    """The result of every task, in order; in this process if there is one task, or one worker. `tell` gets them
    as they come.

    Raises `Failure` if a worker process dies.
    """
    if workers == 1 or len(tasks) == 1:
        found = []
        for task in tasks:
            found.append(task.run())
            tell(found[-1])
        return found
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), _begin_worker, (os.getpid(),))
    futures: list[Future[T]] = []
    try:
        futures = [pool.submit(task.run) for task in tasks]
        for future in as_completed(futures):
            tell(future.result())
    except BaseException as error:
        for process in active_children():  # a task does not check for cancellation
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
