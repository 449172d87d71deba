"""Progress of searches, proofs and campaigns on stderr: one line rewritten in place on a terminal, else a new
line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from properties.invariants.verdict import Cell
from properties.system.wording import duration

LINE_EVERY = 10.0
"""Seconds between two lines of progress without a terminal."""


def teller() -> Callable[[str], None]:
    """A function that prints lines of progress. On a terminal each replaces the last one, and an empty one clears
    it."""
    live = sys.stderr.isatty()

    def tell(line: str) -> None:
        if line or live:
            click.echo(f"\r\x1b[K{line}" if live else line, err=True, nl=not live)

    return tell


def counter(what: str) -> Callable[[int, int], None]:
    """A function that reports how many traces of the search `what` are done."""
    live = sys.stderr.isatty()
    tell = teller()
    reported_at = time.monotonic()

    def count(traces: int, of: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at > (0.2 if live else LINE_EVERY):
            reported_at = time.monotonic()
            tell(f"{what}: {traces} of {of} traces")

    return count


@contextlib.contextmanager
def bar(total: int, done: int, tell: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """The progress of a campaign in traces: a bar on a terminal, else a line now and then. Yields a function that
    advances it."""
    began = last = time.monotonic()
    ran = 0
    drawn = Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
    task = drawn.add_task(f"{done:,} of {total:,} traces", total=total, completed=done)
    live = sys.stderr.isatty()

    def advance(more: int) -> None:
        nonlocal ran, last
        ran += more
        now = time.monotonic()
        rate = ran / max(now - began, 0.001)
        left = duration(1000 * round((total - done - ran) / rate))
        line = f"{done + ran:,} of {total:,} traces, {rate:,.0f} a second, {left} left"
        drawn.update(task, completed=done + ran, description=line)
        if not live and now - last >= LINE_EVERY:
            last = now
            tell(line)

    with drawn if live else contextlib.nullcontext():
        yield advance


class SearchLine:
    """The progress of the search of one cell: rewritten in place on a terminal, else one line per cell and one
    every ten seconds."""

    def __init__(self, cell: Cell, uncaptured: Callable[[], AbstractContextManager[None]], live: bool) -> None:
        """`uncaptured` is a context in which writes reach stderr; `live` is whether that is a terminal."""
        self._cell = cell
        self._live = live
        self._uncaptured = uncaptured
        self._last = -1
        self._reported_at = time.monotonic()

    def __enter__(self) -> SearchLine:
        if not self._live:
            self._write(f"searching {self._cell.target}, assuming {self._cell.assumptions}\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def tell(self, traces: int, of: int) -> None:
        """Show the number of traces so far. The count includes the traces of shrinking."""
        percent = min(100 * traces // max(of, 1), 100)
        if not self._live and time.monotonic() - self._reported_at > LINE_EVERY:
            self._reported_at = time.monotonic()
            self._write(f"  {self._cell.target}, assuming {self._cell.assumptions}: {traces} traces\n")
        if self._live and percent != self._last:
            self._last = percent
            self._write(
                f"\r\x1b[K{self._cell.target}, assuming {self._cell.assumptions}: {traces} traces ({percent} %)"
            )

    def _write(self, text: str) -> None:
        with self._uncaptured():
            sys.stderr.write(text)
            sys.stderr.flush()
