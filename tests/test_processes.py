"""Tasks in parallel: where each one runs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

from msgspec import Struct

from properties.system.processes import run_all, share_out

TOGETHER = Barrier(2)
"""Each task waits here for one of the other worker's: so which of them is the quicker makes no difference."""


class Where(Struct, frozen=True):
    """A task that tells where it ran."""

    group: str
    number: int

    def run(self) -> tuple[str, int]:
        """The group of the task, and the thread."""
        TOGETHER.wait(timeout=60)
        return self.group, get_ident()


def shared_out(groups: str) -> list[tuple[str, int]]:
    """Where tasks of these groups ran, with two workers."""
    tasks = [Where(group, number) for number, group in enumerate(groups)]
    told: deque[tuple[str, int]] = deque()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        found = share_out(tasks, lambda task: task.group, (one, other), told.append)
    assert sorted(told) == sorted(found), "each result is told once"
    assert [group for group, _ in found] == list(groups), "in order"
    return found


def test_tasks_that_are_alike_run_in_one_process() -> None:
    places = shared_out("abcabcab" + "dd")
    assert {len({where for group, where in places if group == one}) for one in "ab"} == {1}


def test_a_process_with_nothing_to_do_takes_half_of_what_another_has_ahead() -> None:
    first, second, third, fourth = (where for _, where in shared_out("aaaa"))
    assert first == second != third == fourth


class Square(Struct, frozen=True):
    """A task for a process."""

    number: int

    def run(self) -> int:
        """The square."""
        return self.number**2


def test_results_come_in_the_order_of_their_tasks() -> None:
    told: list[int] = []
    assert run_all([Square(number) for number in range(5)], 2, told.append) == [0, 1, 4, 9, 16]
    assert sorted(told) == [0, 1, 4, 9, 16]
