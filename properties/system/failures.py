"""What ends a command other than a verdict: the line that is printed, and the exit code.

Exit code 1 means that an invariant is violated, so no failure may end a command with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from properties.system.wording import one_line

LONGEST_LINE = 1000
"""Characters of a line about a failure: half a terminal's screen."""


class Failure(Exception):
    """Why a command ends without an answer: bad input, something missing or broken, or a limit. Never a finding.

    The message is one line: what is wrong, and what to do.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM. Neither Hypothesis nor pytest takes an interrupt for a failure of the code under test."""


interrupts: list[KeyboardInterrupt] = []
"""The interrupts of this process so far."""


def heed_interrupts() -> None:
    """Let SIGTERM raise `Terminated`, as Ctrl-C raises an interrupt, so that the processes of this one are ended,
    too. An interrupt in a finalizer, which Python ignores, comes again."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell starts what runs in the background without it
        signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _again


def _interrupt(number: int, _: object) -> None:
    interrupts.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
    raise interrupts[-1]


def _again(ignored: Any) -> None:
    if not (interrupts and _is_interrupt(ignored.exc_type, ignored.exc_value)):
        sys.__unraisablehook__(ignored)
        return
    number = signal.SIGTERM if isinstance(interrupts[-1], Terminated) else signal.SIGINT
    signal.signal(signal.SIGALRM, lambda *_: _interrupt(number, None))
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _is_interrupt(kind: type[BaseException], error: BaseException | None) -> bool:
    """Is this an interrupt, or the error that ctypes makes of one while it converts an argument? That has no more
    than its name."""
    made = kind.__name__ == "ArgumentError" and type(interrupts[-1]).__name__ in str(error)
    return made or issubclass(kind, KeyboardInterrupt)


def is_defect(error: BaseException) -> bool:
    """Is this error one of ours? None is after an interrupt: a library may have made an error of its own of that,
    as ctypes does."""
    return not (interrupts or isinstance(error, Failure | OSError | KeyboardInterrupt | MemoryError))


def told(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for what ended a command."""
    if interrupts and not isinstance(error, Failure | OSError | MemoryError):
        error = interrupts[-1]
    match error:
        case Terminated():
            return "terminated; traces found so far are saved", 128 + signal.SIGTERM
        case KeyboardInterrupt():
            return "interrupted; traces found so far are saved", 128 + signal.SIGINT
        case Failure():
            line = str(error)
        case MemoryError():
            line = "out of memory: run it where there is more, or search less"
        case OSError(strerror=str(why)):
            line = f"{error.filename}: {why}" if error.filename else why
        case _:
            line = f"a defect of sessionproof, please report it: {type(error).__name__}: {error}"
    return cut(line), 2


def cut(text: str) -> str:
    """A text as one line that fits on a screen. What is too long loses its middle."""
    line = one_line(text)
    head = LONGEST_LINE * 3 // 4
    return line if len(line) <= LONGEST_LINE else f"{line[:head]} ... {line[head - LONGEST_LINE :]}"


@contextlib.contextmanager
def written_out() -> Iterator[None]:
    """A context at whose end all that was printed has been written. Raises `Failure` if it cannot be; then
    nothing more is written, not even when Python exits."""
    if sys.stdout is None or sys.__stdout__ is None:  # `>&-`
        raise Failure("the output cannot be written: stdout is closed")
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.__stdout__.fileno())  # not that of somebody who captures it
        os.close(nowhere)
        raise Failure(f"the output cannot be written: {error.strerror}") from None
