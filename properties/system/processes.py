"""Tasks in parallel, each in a process. Whatever ends this process also ends the others."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Any, Protocol, TypeVar

from properties.system.failures import Failure
from properties.system.orphans import end_with

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Task(Protocol[R_co]):
    """What one process does, as plain values that can be sent to it."""

    def run(self) -> R_co:
        """Do it."""


def run_all(
    tasks: Sequence[Task[T]],
    workers: int,
    tell: Callable[[T], None],
    alike: Callable[[Any], Hashable] = id,
) -> list[T]:
    """The result of every task, in order; in this process if there is one task, or one worker. `tell` gets them
    as they come. Tasks that are `alike` run in the same process, one after the other, unless another process has
    nothing to do: what one keeps in memory may serve the next.

    Raises `Failure` if a worker process dies.
    """
    if workers == 1 or len(tasks) == 1:
        found = []
        for task in tasks:
            found.append(task.run())
            tell(found[-1])
        return found
    pools = [
        ProcessPoolExecutor(1, get_context("spawn"), _begin_worker, (os.getpid(),))
        for _ in range(min(workers, len(tasks)))
    ]
    try:
        results = share_out(tasks, alike, pools, tell)
    except BaseException as error:
        for process in active_children():  # a task does not check for cancellation
            process.kill()
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise Failure("a worker was killed: is there enough memory? Fewer --workers need less") from None
        raise
    for pool in pools:
        pool.shutdown()
    return results


def share_out(
    tasks: Sequence[Task[T]],
    alike: Callable[[Any], Hashable],
    pools: Sequence[Executor],
    tell: Callable[[T], None],
) -> list[T]:
    """The results of the tasks in these pools, of one process each. A pool takes the next group of tasks that are
    alike; if there is none, half of what the busiest one has ahead."""
    results: dict[int, T] = {}
    groups: dict[Hashable, deque[int]] = {}
    for number, task in enumerate(tasks):
        groups.setdefault(alike(task), deque()).append(number)
    untaken, ahead = deque(groups.values()), [deque[int]() for _ in pools]
    running: dict[Future[T], tuple[int, int]] = {}
    free = [*range(len(pools))]
    while free or running:
        for place in free:
            if not ahead[place]:
                busiest = max(ahead, key=len)
                half = (len(busiest) + 1) // 2
                ahead[place] = untaken.popleft() if untaken else deque(busiest.pop() for _ in range(half))
            if ahead[place]:
                number = ahead[place].popleft()
                running[pools[place].submit(tasks[number].run)] = place, number
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        free = []
        for future in done:
            place, number = running.pop(future)
            results[number] = future.result()
            tell(results[number])
            free.append(place)
    return [results[number] for number in range(len(tasks))]


def _begin_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    end_with(parent)
