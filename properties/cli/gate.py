"""The commands that run pytest: `check`, `gate` and `baseline`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click
import pytest

import properties
from properties.system.failures import interrupts
from properties.targets.names import built_in

WITHOUT_VERDICT = range(pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED + 1)
"""Further exit codes of pytest: an error in it, a wrong option, no test."""

PACKAGE = Path(str(properties.__file__)).parent

pytest_arguments = click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
known_findings = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default="sessionproof.toml",
    show_default=True,
    help="the file of known findings",
)


def pytest_words(*words: str) -> list[str]:
    """The words after `pytest` that run our tests, the same in every folder: without the configuration, the
    conftest.py and the plugins of a project that it is run in."""
    plugins = [f"-p{name}" for name in ("hypothesispytest", "xdist", "properties.plugin", "no:cacheprovider")]
    tests = str(PACKAGE / "plugin" / "test_invariants.py")
    return [tests, f"-c{os.devnull}", f"--rootdir={PACKAGE.parent}", "--noconftest", *plugins, *words]


def pytest_environment() -> dict[str, str]:
    """The environment of that run. No module of the working directory hides one of ours."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return {**outside, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONSAFEPATH": "1"}


@click.command(context_settings={"ignore_unknown_options": True})
@pytest_arguments
def check(pytest_arguments: tuple[str, ...]) -> None:
    """The main job: check every invariant on the model and on real SDK builds, against the known findings.

    Exits 0 when every verdict is as expected, 1 when one is not, 2 when the job could not run. Further arguments
    are passed to pytest, for example `-x` or `--hypothesis-profile=thorough`; `--target` replaces the default
    targets.
    """
    sdk = built_in()
    targets = [name for policy in sdk.checked for name in (f"model@{policy}", sdk.build_of(policy)) if name]
    named = _given(pytest_arguments, "--target")
    _run(
        "-q",
        "--hypothesis-profile=check",
        f"--expectations={sdk.expectations}",
        *(f"--target={target}" for target in targets if not named),
        *_on_every_core(pytest_arguments),
    )


@click.command(context_settings={"ignore_unknown_options": True})
@known_findings
@pytest_arguments
def gate(path: Path, pytest_arguments: tuple[str, ...]) -> None:
    """Compare a build with the known findings.

    Runs pytest with the further arguments, for example `--target path:dist/clerk.native.js`. Fails on new
    violations, and on listed ones that stopped. Exits 0, 1, or 2 when it could not run. Says little if all is as
    expected; `-v` prints the whole table. The default profile is `fast`.
    """
    _run("-qq", "--hypothesis-profile=fast", f"--expectations={path}", *_on_every_core(pytest_arguments))


@click.command(context_settings={"ignore_unknown_options": True})
@known_findings
@click.option("--update", is_flag=True, help="write the file")
@pytest_arguments
def baseline(path: Path, update: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Accept the current violations as known findings: what `sessionproof gate` compares with.

    Runs pytest with the further arguments, for example `--target path:dist/clerk.native.js`, and writes each
    violation to the file, and its trace next to it. Findings that no longer happen are removed; those that did
    not run stay. A gate of the same build is green then, with the profile of this run (`ci` by default) and with
    `fast`.
    """
    if not update:
        raise click.UsageError(f"--update writes {path}; to compare with it, run `sessionproof gate`")
    words = ("-q", "--hypothesis-profile=ci", f"--expectations={path}", "--update-expectations")
    _run(*words, *_on_every_core(pytest_arguments))


def _on_every_core(words: Sequence[str]) -> Iterator[str]:
    if not _given(words, "-n", "--numprocesses"):
        yield "-nauto"
    yield from words


def _given(words: Sequence[str], *options: str) -> bool:
    return any(word.startswith(options) for word in words)


def _run(*words: str) -> NoReturn:
    """Run pytest in this process. Where it has other codes for a run without a verdict, exit with 2."""
    os.environ |= pytest_environment()
    os.environ.pop("PYTEST_ADDOPTS", None)
    code = int(pytest.main(pytest_words("--no-header", "-rN", "--tb=no", *words)))
    if interrupts and code == pytest.ExitCode.INTERRUPTED:  # where pytest says nothing of it
        raise interrupts[0]
    sys.exit(2 if code in WITHOUT_VERDICT else code)
