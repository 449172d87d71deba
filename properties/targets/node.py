"""The Node process that runs a real SDK: find Node, start and stop the process, send commands, receive responses.

The messages are defined in protocol.py. Nothing here depends on an SDK.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from properties.system.target import TargetError
from properties.targets.protocol import Command, Response, decode, encode

R = TypeVar("R")

NEEDED = "Node 18 or newer is needed for real SDK builds"
NODE_REMEDY = "install it from your package manager or nodejs.org; the model targets work without it"

OLDEST_MAJOR = 18

STIMULUS_TIMEOUT_S = 30
"""The timeout of one stimulus, in s of real time. An SDK that takes longer is stuck."""

DRIVER = Path(__file__).parent / "driver"
LOOP = DRIVER / "loop.mjs"

HEAP_MB = 1024
"""The bound on the JavaScript heap of the process."""

MEMORY_MB = 2048
"""The bound on all memory of the process, with buffers outside the heap."""

FLAGS = ("--min-semi-space-size=32", "--max-semi-space-size=32")
"""A large young generation, so that collections happen only when the driver triggers them: boots take a third
less time."""

NO_CODE_FROM_TEXT = "--disallow-code-generation-from-strings"
"""`Function` and `eval` of Node's realm throw. An instance has its own."""

# -- the process --------------------------------------------------------------------------------------------


def node_executable() -> str:
    """The path of `node`, if it is new enough. Raises `TargetError`."""
    return installed_node()[0]


@functools.cache
def installed_node() -> tuple[str, tuple[int, int]]:
    """The path of `node`, if it is new enough, with its major and minor version. Raises `TargetError`."""
    path = shutil.which("node")
    if path is None:
        raise TargetError(f"{NEEDED}, and there is no `node` on the PATH: {NODE_REMEDY}")
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=STIMULUS_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(
            f"{NEEDED}, and `node --version` fails ({type(error).__name__}): {NODE_REMEDY}"
        ) from None
    version = said.stdout.strip()
    found = re.fullmatch(r"v(\d+)\.(\d+)\..*", version)
    if found is None or int(found[1]) < OLDEST_MAJOR:
        raise TargetError(f"{NEEDED}, and this is {version or 'unknown'}: {NODE_REMEDY}")
    return path, (int(found[1]), int(found[2]))


def permissions(version: tuple[int, int], readable: Iterable[Path]) -> list[str]:
    """The flags with which Node may read `readable`, and use no other file and no process. There are none before
    version 20."""
    if version < (20, 0):
        return []
    renamed = version >= (23, 5) or (22, 13) <= version < (23, 0)
    flag = "--permission" if renamed else "--experimental-permission"
    paths = [str(path) for path in (DRIVER, *readable)]
    if any(mark in path for path in paths for mark in ",*"):  # Node takes these for a list and for a pattern
        paths = ["*"]
    return [flag, "--allow-worker", "--no-warnings", *(f"--allow-fs-read={path}" for path in paths)]


class Driver:
    """A running driver process. It ends when it is closed or garbage-collected, or when this process ends."""

    def __init__(self, readable: Iterable[Path] = (), *, page: bool = False, inspected: bool = False) -> None:
        """Start a process that may read the files and folders `readable`. On a `page`, jsdom makes functions from
        text. An `inspected` process has every permission, for without them all Node has no inspector. Raises
        `TargetError`."""
        path, version = installed_node()
        flags = [*FLAGS, f"--max-old-space-size={HEAP_MB}"]
        flags += [] if inspected else permissions(version, readable)
        flags += [] if page else [NO_CODE_FROM_TEXT]
        command = [path, *flags, str(LOOP), str(os.getpid()), str(MEMORY_MB)]
        # A file, not a pipe, which would fill up unless it is read. For debugging, our own stderr.
        debug = bool(os.environ.get("SESSIONPROOF_DRIVER_DEBUG"))
        self._stderr = None if debug else tempfile.TemporaryFile()  # noqa: SIM115 (closed by `_end`)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                env=_environment(),
            )
        except OSError as error:
            if self._stderr is not None:
                self._stderr.close()
            raise TargetError(f"{NEEDED}, and it does not start ({error.strerror}): {NODE_REMEDY}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._close = weakref.finalize(self, _end, self._process, self._stderr, self._selector)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def tell(self, command: Command) -> None:
        """Send a command that gets no response. Raises `TargetError` if the process has ended."""
        if not self._close.alive:
            raise TargetError("the Node driver has been closed")
        line = encode(command) + b"\n"
        try:
            while line:
                line = line[os.write(self._stdin, line) :]
        except OSError:
            raise self._gone() from None

    def ask(self, command: Command) -> Response:
        """Send a command and wait for the response.

        Raises `TargetError` if the process has ended or is stuck. A response may still have an `error`.
        """
        self.tell(command)
        return self.hear(decode)

    def hear(self, decoded: Callable[[bytes], R]) -> R:
        """Wait for the response to a command that was sent. Raises `TargetError` as `ask` does."""
        parts: list[bytes] = []
        while not (parts and parts[-1].endswith(b"\n")):
            if not self._selector.select(STIMULUS_TIMEOUT_S):
                self.close()
                raise TargetError(
                    f"the SDK has not come back from a stimulus for {STIMULUS_TIMEOUT_S} s of real time, and was "
                    "ended: look for a loop without an end, or for promises that resolve each other for ever"
                )
            part = os.read(self._stdout, 1 << 16)
            if not part:
                raise self._gone()
            parts.append(part)
        line = b"".join(parts)
        try:
            return decoded(line)
        except msgspec.DecodeError as error:
            self.close()
            raise TargetError(f"the SDK's output cannot be read ({error}): {line[:80]!r}") from None

    def close(self) -> None:
        """Kill the process and wait until it has ended. May be called twice."""
        self._close()

    def _gone(self) -> TargetError:
        """How the process ended, in one line."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STIMULUS_TIMEOUT_S)
        said = ""
        if self._stderr is not None:
            self._stderr.seek(0)
            said = self._stderr.read().decode(errors="replace").strip()
        status = self._process.returncode
        self.close()
        return TargetError(_death(status, said))


def _death(status: int | None, said: str) -> str:
    """What to say of a process that ended by itself. `said` is what it wrote to stderr."""
    if "heap out of memory" in said:
        full = f"the SDK has filled the {HEAP_MB} MB of heap of its Node process, which has ended"
        return f"{full}: look for something that grows without a bound"
    if status is not None and status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    else:
        how = f"ended with exit code {status}"
    last = f" ({said.splitlines()[-1]})" if said else ""
    return (
        f"the Node process of the SDK {how}{last}: run again; if that does not help, see to the machine's memory"
    )


def _environment() -> dict[str, str]:
    """The environment of the process: no options of the user's for Node, and always the same time zone."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
    return {**ours, "TZ": "UTC"}


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes] | None, selector: selectors.BaseSelector) -> None:
    selector.close()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
    process.kill()
    process.wait()
    if stderr is not None:
        stderr.close()
