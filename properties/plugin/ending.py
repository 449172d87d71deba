"""How a pytest run ends: whatever is no verdict becomes one line on stderr and an exit code, in workers too."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import click
import pytest

from properties.plugin.workers import FAILED, is_worker, kill_workers
from properties.system.failures import Failure, heed_interrupts, told, written_out
from properties.system.trace import print_unsaved

ENDED = pytest.StashKey[BaseException]()
"""What ended a run early."""

OF_PYTEST = (pytest.exit.Exception, pytest.Session.Interrupted, pytest.Session.Failed, pytest.UsageError)
"""What pytest itself raises to end a run."""

NO_ANSWER = (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)


@contextlib.contextmanager
def one_line(what: str = "") -> Iterator[None]:
    """A context in which an exception ends the run with a line, which is about `what`."""
    try:
        yield
    except OF_PYTEST:
        raise
    except BaseException as error:
        line, code = told(error)
        about = f"{what}: " if what and isinstance(error, Failure) else ""
        raise pytest.exit.Exception(f"{about}{line}", returncode=code) from error


def pytest_configure() -> None:
    """Let SIGTERM end the run as Ctrl-C does."""
    heed_interrupts()


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart() -> Generator[None]:
    """Ctrl-C while workers start."""
    with one_line():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """End the run early without a word of pytest's, so that the report shows what is known by then. A worker
    leaves the line to the controller."""
    try:
        with one_line(), written_out():
            return (yield)
    except pytest.exit.Exception as error:
        if is_worker(session.config):
            session.config.workeroutput[FAILED] = (error.msg, error.returncode)  # type: ignore[attr-defined]
        else:
            session.config.stash[ENDED] = error
            kill_workers(session.config)
        return True


@pytest.hookimpl(wrapper=True, trylast=True, specname="pytest_sessionfinish")
def pytest_files_of_other_plugins(session: pytest.Session) -> Generator[None]:
    """What they cannot write does not hide our report, which comes after it."""
    try:
        with one_line():
            return (yield)
    except pytest.exit.Exception as error:
        session.config.stash.setdefault(ENDED, error)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """The last line and the exit code, after all reports are written."""
    if is_worker(session.config):
        return (yield)
    with one_line(), written_out():
        yield
        print_unsaved(click.echo)
        if early := session.config.stash.get(ENDED, None):
            raise early
        if session.exitstatus in NO_ANSWER:
            raise Failure("no invariant was judged")
    return None
