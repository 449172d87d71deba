"""The `sessionproof` command: `check` is the main job, `replay` shows a saved trace again.

Exit codes: 0 holds, 1 violated, 2 usage or environment error (one line says what is wrong and what to do).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console

from model.world import NotEnabled
from properties.invariants import INVARIANTS
from properties.report import WIDTH, counterexample, plain
from properties.run import Run, Violation
from properties.target import TargetError
from properties.targets.names import FORMS, UnknownName, make_target
from properties.trace import BadTrace, load
from properties.verdict import Violated

ROOT = Path(__file__).parent.parent

CHECKED = ("6_7_1", "6_7_4", "6_40_0")
"""The releases of the main job: before the guard of #8303, with it, and the newest one pinned."""


@click.group()
@click.version_option(package_name="sessionproof")
def main() -> None:
    """Can a background timer sign a user out while the server still holds the session valid?"""


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
    arguments += [f"--expectations={ROOT / 'properties' / 'expectations.toml'}"]
    arguments += [f"--target={target}" for target in targets]
    # In place of this process: Ctrl-C and the exit code are then pytest's own affair.
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
    console = Console(stderr=True)
    target = None
    try:
        trace = load(file)
        if trace.invariant is not None and trace.invariant not in INVARIANTS:
            raise BadTrace(f"{file}: unknown invariant '{trace.invariant}' (known: {', '.join(INVARIANTS)})")
        target = make_target(spec or trace.target, console.print)
        target.prepare()
        judged = [
            one
            for one in INVARIANTS.values()
            if trace.invariant in (None, one.id) and trace.runtime in one.runtimes
        ]
        run = Run(target, trace.runtime, trace.assumptions, judged)
        for place, event in enumerate(trace.events, 1):
            try:
                run.play(event)
            except NotEnabled as error:
                click.echo(
                    f"not violated on {target.name}: event {place}, {event!r}, cannot happen here ({error})"
                )
                sys.exit(0)
        click.echo(f"not violated on {target.name}: {len(trace.events)} events replayed")
    except Violation as violation:
        violated = Violated(violation.trace, violation.facts, 1, len(violation.trace.events))
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else WIDTH
        click.echo(plain(counterexample(violated, file), width, terminal), nl=False)
        sys.exit(1)
    except (BadTrace, UnknownName, TargetError) as error:
        fail(str(error))
    finally:
        if target is not None:
            target.close()


def fail(message: str) -> None:
    """One line, exit code 2."""
    click.echo(f"sessionproof: {message}", err=True)
    sys.exit(2)
