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


def teller(live: bool | None = None) -> Callable[[str], None]:
    """A function that prints lines of progress. On a terminal (`live`) each replaces the last one, and an empty
    one clears it."""
    live = sys.stderr.isatty() if live is None else live

    def tell(line: str) -> None:
        if line or live:
            click.echo(f"\r\x1b[K{line}" if live else line, err=True, nl=not live)

    return tell


def counter(
    what: str, tell: Callable[[str], None] | None = None, live: bool | None = None
) -> Callable[[int, int], None]:
    """A function that reports now and then how many traces of the search `what` are done, those of shrinking
    included."""
    live = sys.stderr.isatty() if live is None else live
    tell = tell or teller(live)
    reported_at = time.monotonic()

    def count(traces: int, of: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at > (0.2 if live else LINE_EVERY):
            reported_at = time.monotonic()
            tell(f"{what}: {traces} of {of} traces")

    return count


@contextlib.contextmanager
def search_line(
    cell: Cell, uncaptured: Callable[[], AbstractContextManager[None]], live: bool
) -> Iterator[Callable[[int, int], None]]:
    """The progress of the search of one cell, as a function that gets the numbers of traces done and to do.
    `uncaptured` is a context in which writes reach stderr; `live` is whether that is a terminal."""
    place, line = f"{cell.target}, assuming {cell.assumptions}", teller(live)

    def tell(text: str) -> None:
        with uncaptured():
            line(text)

    if not live:
        tell(f"searching {place}")
    try:
        yield counter(place, tell, live)
    finally:
        tell("")


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
