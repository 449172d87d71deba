"""Processes that end with the process that started them, whatever ends that."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

LOOK_EVERY = 0.5
"""Seconds between two looks at the parent."""

PR_SET_PDEATHSIG = 1
"""The number of Linux's option for a signal at the parent's death."""


def end_with(parent: int) -> None:
    """Kill this process once `parent`, the id of the process that started it, has ended. A parent that is killed
    can tell nobody; but then the operating system gives this process another one."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def ending_with_this_process(command: list[str]) -> list[str]:
    """A foreign program's command, such that Linux kills the program when this process ends. Elsewhere it runs to
    its own end."""
    if sys.platform != "linux":
        return command
    code = (
        f"import ctypes, os, sys; ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {int(signal.SIGKILL)}); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-IS", "-c", code, *command]
