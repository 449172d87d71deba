"""The Node process behind a real SDK, and the lines that are spoken with it (driver/loop.mjs has the protocol).

It belongs here: finding Node, starting and ending the process, encoding and decoding. No SDK does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import selectors
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import IO, TypeAlias

import msgspec

from model.terms import CallId, Millis, RequestId, Runtime, TimerId
from properties.system.target import TargetError

NEEDED = "Node 18 or newer is needed for real SDK builds"
REMEDY = "install it from your package manager or nodejs.org; the model targets work without it"

OLDEST_MAJOR = 18

PATIENCE = 30
"""Seconds of real time after which an SDK that has not come back from a stimulus counts as stuck."""

LOOP = Path(__file__).parent / "driver" / "loop.mjs"

FLAGS = ("--expose-gc", "--min-semi-space-size=32", "--max-semi-space-size=32")
"""Room for the instances between two collections that the driver asks for: a third less time for each boot."""

# -- commands, tagged by `do` -------------------------------------------------------------------------------


class Command(msgspec.Struct, tag_field="do", tag=str.lower, frozen=True):
    """What the driver is told."""


class BootAnswer(msgspec.Struct, frozen=True):
    """The answer to a request that an SDK sends while it loads."""

    status: int
    body: str


class Load(Command, frozen=True):
    """Compile a bundle, and boot a first instance of it, with its clock at `epoch` ms."""

    glue: str
    bundle: str
    epoch: Millis
    runtime: Runtime
    boot: dict[str, BootAnswer]
    packages: dict[str, str]
    """Folders of packages that the glue puts around the bundle, by name."""
    credential: str | None
    """What the device's store holds, for a glue that has one."""
    dom: str | None
    """The folder of the jsdom that a page is made with."""


class Begin(Command, frozen=True):
    """A fresh instance, please: its outputs since it was evaluated."""


class Restart(Command, frozen=True):
    """The process of the SDK ends, and another begins on the same device: its outputs since it was evaluated."""

    at: Millis
    boot: dict[str, BootAnswer]


class Fire(Command, frozen=True):
    """The callback of a timer runs."""

    at: Millis
    timer: TimerId


class Ask(Command, frozen=True):
    """The app asks for a token."""

    at: Millis
    call: CallId
    template: str | None
    skip_cache: bool
    organization: str | None = None


class Answer(Command, frozen=True):
    """A request is answered."""

    at: Millis
    request: RequestId
    status: int
    body: str
    authorization: str | None
    """The header of that name."""


class Lock(Command, frozen=True):
    """The device keeps its credential back, or no longer does."""

    at: Millis
    locked: bool


class Touch(Command, frozen=True):
    """The app touches the session."""

    at: Millis
    call: CallId


class Connect(Command, frozen=True):
    """The device has lost the network, or has it back."""

    at: Millis
    online: bool


class Switch(Command, frozen=True):
    """The app makes another organization the active one; None is the personal workspace."""

    at: Millis
    call: CallId
    organization: str | None


class Lost(Command, tag="answer", frozen=True):
    """A request fails on the network."""

    at: Millis
    request: RequestId
    lost: bool = True


class End(Command, frozen=True):
    """The trace is over; the driver boots the next instance and does not reply."""


# -- replies ------------------------------------------------------------------------------------------------


class Timer(msgspec.Struct, array_like=True, tag="timer", frozen=True):
    """A timer was set."""

    timer: TimerId
    due: Millis
    cause: CallId | None


class Clear(msgspec.Struct, array_like=True, tag="clear", frozen=True):
    """A live timer was cleared."""

    timer: TimerId


class Request(msgspec.Struct, array_like=True, tag="request", frozen=True):
    """A request was sent; `form` is its body, decoded, `authorization` the header of that name, if it had one."""

    request: RequestId
    method: str
    path: str
    form: dict[str, str]
    cause: CallId | None
    authorization: str | None


class SignOut(msgspec.Struct, array_like=True, tag="signed_out", frozen=True):
    """The session was dropped."""

    cause: CallId | None


class SignIn(msgspec.Struct, array_like=True, tag="signed_in", frozen=True):
    """The session was taken up again."""

    cause: CallId | None


class Active(msgspec.Struct, array_like=True, tag="active", frozen=True):
    """The session's last active token is another one, raw; and which it was before."""

    raw: str
    before: str | None


class Settled(msgspec.Struct, array_like=True, tag="settled", frozen=True):
    """A call of the app ended, with a raw token or with the name of an error; a touch may end with neither."""

    call: CallId
    raw: str | None
    error: str | None


class Cookie(msgspec.Struct, array_like=True, tag="cookie", frozen=True):
    """The cookie that carries the session holds this now, raw, or nothing."""

    raw: str | None


class Threw(msgspec.Struct, array_like=True, tag="threw", frozen=True):
    """The SDK threw, or rejected, where nobody catches it."""

    message: str


class Storm(msgspec.Struct, array_like=True, tag="storm", frozen=True):
    """One stimulus set off so many requests that the driver stopped answering them."""

    count: int


Put: TypeAlias = Timer | Clear | Request | SignOut | SignIn | Active | Settled | Cookie | Threw | Storm


class Reply(msgspec.Struct, frozen=True):
    """What came of a command."""

    out: list[Put] = []
    error: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reply).decode

# -- the process --------------------------------------------------------------------------------------------


@functools.cache
def node_executable() -> str:
    """The path of a Node that is new enough. Raises `TargetError`."""
    path = shutil.which("node")
    if path is None:
        raise TargetError(f"{NEEDED}, and there is no `node` on the PATH: {REMEDY}")
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(f"{NEEDED}, and `node --version` fails ({type(error).__name__}): {REMEDY}") from None
    version = said.stdout.strip()
    found = re.fullmatch(r"v(\d+)\..*", version)
    if found is None or int(found[1]) < OLDEST_MAJOR:
        raise TargetError(f"{NEEDED}, and this is {version or 'unknown'}: {REMEDY}")
    return path


class Driver:
    """A running driver. It ends when closed, when collected, or when this process ends, however it does."""

    def __init__(self) -> None:
        """Start the process. Raises `TargetError`."""
        command = [node_executable(), *FLAGS, str(LOOP)]
        # A file, not a pipe: nobody has to read it, and it cannot fill up. For debugging, ours.
        debug = bool(os.environ.get("SESSIONPROOF_DRIVER_DEBUG"))
        self._stderr = None if debug else tempfile.TemporaryFile()  # noqa: SIM115 (closed by `_end`)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
            )
        except OSError as error:
            if self._stderr is not None:
                self._stderr.close()
            raise TargetError(f"{NEEDED}, and it does not start ({error.strerror}): {REMEDY}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._close = weakref.finalize(self, _end, self._process, self._stderr, self._selector)

    @property
    def pid(self) -> int:
        """The process, for those who want to know whether it still runs."""
        return self._process.pid

    def tell(self, command: Command) -> None:
        """Send a command that gets no reply. Raises `TargetError` when the process is gone."""
        if not self._close.alive:
            raise TargetError("the Node driver has been closed")
        line = _encode(command) + b"\n"
        try:
            while line:
                line = line[os.write(self._stdin, line) :]
        except OSError:
            raise self._gone() from None

    def ask(self, command: Command) -> Reply:
        """Send a command and wait for what comes of it.

        Raises `TargetError` when the process is gone or stuck; a reply may still carry an error of its own.
        """
        self.tell(command)
        parts: list[bytes] = []
        while not (parts and parts[-1].endswith(b"\n")):
            if not self._selector.select(PATIENCE):
                self.close()
                raise TargetError(f"the SDK has not come back from a stimulus for {PATIENCE} s, and was ended")
            part = os.read(self._stdout, 1 << 16)
            if not part:
                raise self._gone()
            parts.append(part)
        line = b"".join(parts)
        try:
            return _decode(line)
        except msgspec.DecodeError:
            self.close()
            raise TargetError(f"the Node driver says what is no reply: {line[:80]!r}") from None

    def close(self) -> None:
        """End the process and wait for its end. May be called twice."""
        self._close()

    def _gone(self) -> TargetError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        status = self._process.returncode
        said: list[str] = []
        if self._stderr is not None:
            self._stderr.seek(0)
            said = self._stderr.read().decode(errors="replace").strip().splitlines()
        self.close()
        last_words = f": {said[-1]}" if said else ""
        return TargetError(f"the Node driver ended unexpectedly (exit status {status}){last_words}")


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
