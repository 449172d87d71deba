"""The `sessionproof` command. `check` is the main job; `replay` and `explain` show what it found.

Exit codes: 0 holds, 1 violated, 2 usage or environment error (one line: what is wrong and what to do).
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from properties.cli.bisect import bisect
from properties.cli.campaign import campaign
from properties.cli.common import fail, say, terminal
from properties.cli.conformance import conform, tour
from properties.cli.gate import baseline, check, gate
from properties.cli.proofs import condition, matrix, prove
from properties.invariants.catalogue import INVARIANTS
from properties.render.files import FORMATS, on_page, save
from properties.render.tables import plain
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found, versions
from properties.run.counterexample import load as read_counterexample
from properties.run.explain import explain as made_of
from properties.run.explain import replay as play_again
from properties.run.run import Violation
from properties.system.target import Target, TargetError
from properties.system.trace import BadTrace, Trace, load
from properties.targets.names import UnknownName, forms, make_target


@click.group()
@click.version_option(package_name="sessionproof")
def main() -> None:
    """Can a background timer sign a user out while the server still holds the session valid?"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that child processes end, too


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--target", "spec", metavar="NAME", help=f"replay on this target instead of the trace's own: {forms()}"
)
def replay(file: Path, spec: str | None) -> None:
    """Replay a saved trace and show what happens.

    Exits 1 when the trace violates its invariant on the target (any invariant, if it names none), else 0.
    """
    with _loaded(file, spec) as (trace, target):
        violation = _played(trace, target)
        if violation is None:
            sys.exit(0)
        found = Counterexample(violation.trace, violation.played, Found(versions()))
        _show(found, file)
        sys.exit(1)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["timeline", *FORMATS]),
    default="timeline",
    help="what to print (default: timeline)",
)
@click.option("--to", "folder", type=click.Path(path_type=Path), help="write all formats to this folder instead")
@click.option(
    "--target", "spec", metavar="NAME", help=f"replay on this target instead of the trace's own: {forms()}"
)
def explain(file: Path, form: str, folder: Path | None, spec: str | None) -> None:
    """Explain a counterexample: timeline, cause, and which parts of it are necessary.

    A full document is rendered as it is. A bare trace is replayed first, and so is a trace on another target.
    Exits 0, or 2 when there is nothing to explain.
    """
    try:
        document = read_counterexample(file)
    except BadTrace as error:
        fail(str(error))
    if isinstance(document, Counterexample) and spec is None:
        found = document
    else:
        with _loaded(file, spec) as (trace, target):
            violation = _played(trace, target)
            if violation is None:
                sys.exit(2)
            found = made_of(violation, target)
    if folder is not None:
        try:
            for path in save(found, folder):
                click.echo(path)
        except OSError as error:
            fail(f"{folder}: {error.strerror}")
    elif form == "timeline":
        _show(found, file)
    else:
        text = FORMATS[form](found)
        if text is None:
            why = "a script has no page" if on_page(found) else f"{found.trace.target} is not on npm"
            fail(f"{why}, so no script can play this: try another --format")
        click.echo(text, nl=False)


@contextlib.contextmanager
def _loaded(file: Path, spec: str | None) -> Iterator[tuple[Trace, Target]]:
    """A context with the trace in a file and its prepared target, which is closed at the end."""
    target = None
    try:
        trace = load(file)
        if trace.invariant is not None and trace.invariant not in INVARIANTS:
            raise BadTrace(f"{file}: unknown invariant '{trace.invariant}' (known: {', '.join(INVARIANTS)})")
        target = make_target(spec or trace.target, say)
        target.prepare(trace.runtime)
        yield trace, target
    except (BadTrace, UnknownName, TargetError) as error:
        fail(str(error))
    finally:
        if target is not None:
            target.close()


def _played(trace: Trace, target: Target) -> Violation | None:
    """The violation in a replay. Prints a line if there is none."""
    ends: list[str] = []

    def tell(place: int, reason: str) -> None:
        event = trace.events[place - 1]
        ends.append(f"event {place}, {event!r}, cannot happen here ({reason})")

    violation = play_again(trace, target, tell)
    if violation is None:
        said = ends[0] if ends else f"{len(trace.events)} events replayed"
        click.echo(f"not violated on {target.name}: {said}")
    return violation


def _show(found: Counterexample, file: Path) -> None:
    click.echo(plain(timeline(view(found), file), *terminal()), nl=False)


for command in (check, gate, baseline, campaign, prove, condition, matrix, conform, tour, bisect):
    main.add_command(command)
