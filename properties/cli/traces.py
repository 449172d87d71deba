"""`sessionproof replay` and `sessionproof explain`: one trace, from a file, by its name, or as it is typed."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from properties.cli.common import RUNTIMES, options, say, terminal
from properties.invariants.catalogue import INVARIANTS
from properties.render.files import FORMATS, save
from properties.render.tables import plain
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found, recorded, versions
from properties.run.explain import explain as made_of
from properties.run.explain import replay as play_again
from properties.run.run import Violation
from properties.system.event_kinds import brief
from properties.system.failures import Failure
from properties.system.target import Target
from properties.system.trace import BadTrace, Trace, decode, document_in
from properties.targets.names import UnknownName, adapters, forms, make_target

EVENTS = re.compile(r"[\s;(]")
"""What events have and a name has not."""

trace_options = options(
    click.argument("trace"),
    click.option("--target", metavar="NAME", help=f"on this target instead of the trace's own: {forms()}"),
    click.option("--assume", metavar="NAME[,NAME...]", help="what the world may do, instead of the trace's own"),
    click.option("--invariant", metavar="ID", help="what must hold, instead of the trace's own"),
    click.option("--runtime", type=RUNTIMES, help="instead of the trace's own (its default: headless)"),
)
"""A trace, and what may be given beside it."""


def read_document(words: str, **given: str | None) -> dict[str, Any]:
    """The document of a trace: in a file, on standard input (`-`), a known finding by its name, or the events
    themselves. `given` replaces fields of its own. Raises `BadTrace`, and `UnknownName` for an SDK."""
    if words == "-":
        return document_in(sys.stdin.buffer.read(), "standard input", **given)
    try:
        raw = Path(words).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file has a name with a zero byte
        if EVENTS.search(words):
            return document_in(words.encode(errors="replace"), words, **given)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise BadTrace(f"{words}: {error.strerror}") from error
        known = {path.stem: path for one in adapters() for path in sorted(one.corpus.glob("*.json"))}
        if words not in known:
            names = ", ".join(known)
            why = f"there is no file {words}, and no known finding has that name (known: {names})"
            raise BadTrace(why) from None
        raw = known[words].read_bytes()
    return document_in(raw, words, **given)


@click.command()
@trace_options
def replay(trace: str, **given: str | None) -> None:
    """Replay a trace and show what happens.

    TRACE is a file, - for standard input, the name of a known finding such as starved-refresh-6.7.1, or the
    events: 'advance 30s; freeze 8h; answer 1 401'. A file has a JSON document, or the same as text.

    Exits 1 when the trace violates its invariant on the target (any invariant, if it names none), else 0.
    """
    loaded = decode(read_document(trace, **given), trace)
    with _prepared(loaded) as target:
        violation = _played(loaded, target)
    if violation is None:
        sys.exit(0)
    _show(Counterexample(violation.trace, violation.played, Found(versions())), trace, given)
    sys.exit(1)


@click.command()
@trace_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["timeline", *FORMATS]),
    default="timeline",
    help="what to print (default: timeline)",
)
@click.option("--to", "folder", type=click.Path(path_type=Path), help="write all formats to this folder instead")
def explain(trace: str, form: str, folder: Path | None, **given: str | None) -> None:
    """Explain a counterexample: timeline, cause, and which parts of it are necessary.

    TRACE is as for replay. A full document is rendered as it is. A bare trace is replayed first, and so is a
    trace with another target. Exits 0, or 2 when there is nothing to explain.
    """
    found = recorded(read_document(trace, **given), trace)
    if isinstance(found, Trace):
        with _prepared(found) as target:
            violation = _played(found, target)
            if violation is None:
                sys.exit(2)
            found = made_of(violation, target)
    if folder is not None:
        for path in save(found, folder):
            click.echo(path)
    elif form == "timeline":
        _show(found, trace, given)
    else:
        text = FORMATS[form](found)
        if text is None:
            trace_of = f"{found.trace.invariant} on {found.trace.target}, {found.trace.runtime}"
            raise Failure(f"there is no {form} of {trace_of}: try another --format")
        click.echo(text, nl=False)


@contextlib.contextmanager
def _prepared(trace: Trace) -> Iterator[Target]:
    """A context with the trace's target, ready to play it."""
    if trace.invariant is not None and trace.invariant not in INVARIANTS:
        raise UnknownName(f"unknown invariant '{trace.invariant}' (known: {', '.join(INVARIANTS)})")
    with contextlib.closing(make_target(trace.target, say)) as target:
        target.prepare(trace.runtime)
        yield target


def _played(trace: Trace, target: Target) -> Violation | None:
    """The violation in a replay. Prints a line if there is none."""
    ends: list[str] = []

    def tell(place: int, reason: str) -> None:
        event = trace.events[place - 1]
        ends.append(f"event {place}, {brief(event)}, cannot happen here ({reason})")

    violation = play_again(trace, target, tell)
    if violation is None:
        said = ends[0] if ends else f"{len(trace.events)} events replayed"
        click.echo(f"not violated on {target.name}: {said}")
    return violation


def _show(found: Counterexample, words: str, given: dict[str, str | None]) -> None:
    """Print the timeline, with the command that replays it."""
    flags = [f"--{name}={value}" for name, value in given.items() if value is not None]
    whole = words == "-" or "\n" in words
    again = found.trace.command if whole else f"sessionproof replay {shlex.join([words, *flags])}"
    click.echo(plain(timeline(view(found), again), *terminal()), nl=False)
