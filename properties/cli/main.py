"""The `sessionproof` command: `check` is the main job; `replay` and `explain` are for what it found.

Exit codes: 0 holds, 1 violated, 2 usage or environment error (one line says what is wrong and what to do).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from model.world.state import NotEnabled
from properties.cli.bisect import bisect
from properties.cli.campaign import campaign
from properties.cli.common import fail, terminal
from properties.cli.conformance import conform, tour
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
from properties.targets.names import FORMS, UnknownName, make_target

ROOT = Path(__file__).parents[2]

CHECKED = ("6_7_1", "6_7_4", "6_40_0")
"""The releases of the main job: before the guard of #8303, with it, and the newest one pinned."""


@click.group()
@click.version_option(package_name="sessionproof")
def main() -> None:
    """Can a background timer sign a user out while the server still holds the session valid?"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and what it has started ends, too


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def check(pytest_arguments: tuple[str, ...]) -> None:
    """The main job: every invariant, on the model and on real SDK builds, against what is known.

    Exits 0 when each verdict is the expected one, 1 when one is not, 2 when it could not be run. Further
    arguments go to pytest, for example `-x` or `--hypothesis-profile=thorough`.
    """
    if not (ROOT / "conftest.py").exists():
        fail(f"there is no conftest.py in {ROOT}: run sessionproof from a checkout of its repository")
    targets = [f"{kind}{version}" for release in CHECKED for kind, version in _pair(release)]
    arguments = [str(ROOT / "properties"), f"--rootdir={ROOT}", "-q", "--no-header", "-rN", "--tb=no"]
    arguments += ["-p", "no:cacheprovider", "--hypothesis-profile=check"]
    arguments += [f"--expectations={ROOT / 'properties' / 'targets' / 'clerk' / 'expectations.toml'}"]
    arguments += [f"--target={target}" for target in targets]
    if not any(argument.startswith(("-n", "--numprocesses")) for argument in pytest_arguments):
        arguments += ["-n", "auto"]
    # In place of this process: Ctrl-C and the exit code are then pytest's own affair.
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments, *pytest_arguments])


@main.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default="sessionproof.toml",
    show_default=True,
    help="the known findings",
)
@click.option("--update", is_flag=True, help="write the file; without this, only compare")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def baseline(path: Path, update: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Accept what is violated today, so that only news fails: a gate for CI.

    Searches what the further arguments say, for example `--target path:dist/clerk.native.js`, and writes each
    violation into the file, with a trace beside it. Later runs with `--expectations FILE` pass while just these
    happen. What no longer happens is taken out, what did not run stays.
    """
    arguments = [str(ROOT / "properties"), f"--rootdir={ROOT}", "-q", "--no-header", "-rN", "--tb=no"]
    arguments += ["-p", "no:cacheprovider", f"--expectations={path}", *["--update-expectations"] * update]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments, *pytest_arguments])


def _pair(release: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("model@CLERK_JS_", release), ("clerk-js@", release.replace("_", "."))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--target", "spec", metavar="NAME", help=f"replay on this target instead of the trace's own: {FORMS}"
)
def replay(file: Path, spec: str | None) -> None:
    """Play a saved trace again and show what happens.

    Exits 1 when the trace breaks its invariant on the target (any invariant, if it names none), 0 when not.
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
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="write every format into this folder instead"
)
@click.option("--target", "spec", metavar="NAME", help=f"play it on this target, not on the trace's own: {FORMS}")
def explain(file: Path, form: str, folder: Path | None, spec: str | None) -> None:
    """Say what a counterexample means: timeline, cause, and what of it is necessary.

    A document that knows what was seen is rendered as it is; a bare trace, or one on another target, is played
    first. Exits 0, or 2 when there is nothing to explain.
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
    """The trace in a file, and the target to play it on, made ready; closed in the end, whatever happens."""
    console = Console(stderr=True)
    target = None
    try:
        trace = load(file)
        if trace.invariant is not None and trace.invariant not in INVARIANTS:
            raise BadTrace(f"{file}: unknown invariant '{trace.invariant}' (known: {', '.join(INVARIANTS)})")
        target = make_target(spec or trace.target, console.print)
        target.prepare(trace.runtime)
        yield trace, target
    except (BadTrace, UnknownName, TargetError) as error:
        fail(str(error))
    finally:
        if target is not None:
            target.close()


def _played(trace: Trace, target: Target) -> Violation | None:
    """The violation; where there is none, that is said."""
    ends: list[str] = []

    def tell(place: int, reason: NotEnabled) -> None:
        event = trace.events[place - 1]
        ends.append(f"event {place}, {event!r}, cannot happen here ({reason})")

    violation = play_again(trace, target, tell)
    if violation is None:
        said = ends[0] if ends else f"{len(trace.events)} events replayed"
        click.echo(f"not violated on {target.name}: {said}")
    return violation


def _show(found: Counterexample, file: Path) -> None:
    click.echo(plain(timeline(view(found), file), *terminal()), nl=False)


for command in (campaign, prove, condition, matrix, conform, tour, bisect):
    main.add_command(command)
