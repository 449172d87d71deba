"""The messages between this process and the Node process, one JSON value per line (see driver/loop.mjs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from model.terms import CallId, Millis, RequestId, Runtime, TabState, TimerId
from properties.targets.server import BootAnswer

# -- commands, tagged by `do` -------------------------------------------------------------------------------


def _tag(name: str) -> str:
    return name.removesuffix("Command").lower()


class Command(msgspec.Struct, tag_field="do", tag=_tag, frozen=True):
    """A command to the driver."""


class LoadCommand(Command, frozen=True):
    """Compile a bundle, and boot a first instance with its clock at `epoch` ms."""

    glue: str
    bundle: str
    epoch: Millis
    runtime: Runtime
    boot: Sequence[BootAnswer]
    packages: Mapping[str, str]
    """The folders of the packages that the glue evaluates besides the bundle, by name."""
    credential: str | None
    """The credential in the device's store; None if the glue has no store."""
    dom: str | None
    """The folder of jsdom, for a page."""
    coverage: bool
    """Note which ranges of the bundle run in traces."""


class BeginCommand(Command, frozen=True):
    """Switch to a fresh instance. The response has its outputs since it was evaluated."""


class RestartCommand(Command, frozen=True):
    """End the SDK's process, start a new one on the same device, and load the SDK, as call `call` of the app. The
    response has its outputs since it was evaluated."""

    at: Millis
    call: CallId


class FireCommand(Command, frozen=True):
    """Run the callback of a timer."""

    at: Millis
    timer: TimerId


class CallCommand(Command, frozen=True):
    """Call an operation of the SDK, by the name that the glue gives it."""

    at: Millis
    call: CallId
    operation: str
    arguments: Mapping[str, object]


class AnswerCommand(Command, frozen=True):
    """Answer a request."""

    at: Millis
    request: RequestId
    status: int
    headers: Mapping[str, str]
    body: str


class LostCommand(Command, tag="answer", frozen=True):
    """Let a request fail on the network."""

    at: Millis
    request: RequestId
    lost: bool = True


class LockCommand(Command, frozen=True):
    """Lock or unlock the keychain."""

    at: Millis
    locked: bool


class ConnectCommand(Command, frozen=True):
    """Take the network away, or give it back."""

    at: Millis
    online: bool


class TurnCommand(Command, frozen=True):
    """Turn to the page's tab, or away from it."""

    at: Millis
    state: TabState


class HearCommand(Command, frozen=True):
    """Let another tab post a message on a channel."""

    at: Millis
    name: str
    data: Mapping[str, object]


class HoldCommand(Command, frozen=True):
    """Let another tab take the locks of the page, or give them back."""

    at: Millis
    held: bool


class DisconnectCommand(Command, frozen=True):
    """Close the channels of the page."""

    at: Millis


class CoverageCommand(Command, frozen=True):
    """Ask which ranges of the bundle have run in traces that have ended since this was last asked."""


class EndCommand(Command, frozen=True):
    """End the trace. The driver boots the next instance and sends no response."""


class BatchCommand(Command, frozen=True):
    """Several commands that have a response each. The response has a list of theirs."""

    commands: Sequence[Command]


# -- responses ----------------------------------------------------------------------------------------------


class TimerMessage(msgspec.Struct, array_like=True, tag="timer", frozen=True):
    """A timer was set."""

    timer: TimerId
    due: Millis
    cause: CallId | None


class ClearMessage(msgspec.Struct, array_like=True, tag="clear", frozen=True):
    """A live timer was cleared."""

    timer: TimerId


class RequestMessage(msgspec.Struct, array_like=True, tag="request", frozen=True):
    """A request was sent. Header names are in lower case; `body` is its text, if any;
    `credentials` is what `fetch` was told of them."""

    request: RequestId
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str | None
    credentials: str
    cause: CallId | None


class SignOutMessage(msgspec.Struct, array_like=True, tag="signed_out", frozen=True):
    """The session was dropped."""

    cause: CallId | None


class SignInMessage(msgspec.Struct, array_like=True, tag="signed_in", frozen=True):
    """The client holds a session that it had dropped, or another one than before. The glue of an SDK with several
    sessions names it."""

    cause: CallId | None
    session: str | None


class ActiveMessage(msgspec.Struct, array_like=True, tag="active", frozen=True):
    """The session's last active token changed to `raw` from `before`."""

    raw: str
    before: str | None


class SettledMessage(msgspec.Struct, array_like=True, tag="settled", frozen=True):
    """A call of the app settled: with a value, with null, or with the name of an error."""

    call: CallId
    value: str | None
    error: str | None


class StoredMessage(msgspec.Struct, array_like=True, tag="stored", frozen=True):
    """The token that a page stores for the app's own server changed to `raw`; None if it was removed."""

    raw: str | None


class ThrewMessage(msgspec.Struct, array_like=True, tag="threw", frozen=True):
    """An uncaught error or unhandled rejection of the SDK."""

    message: str


class RanMessage(msgspec.Struct, array_like=True, tag="ran", frozen=True):
    """A range of the bundle has run, from the UTF-16 code unit `start` to that before `end`."""

    start: int
    end: int


Message: TypeAlias = (
    TimerMessage
    | ClearMessage
    | RequestMessage
    | SignOutMessage
    | SignInMessage
    | ActiveMessage
    | SettledMessage
    | StoredMessage
    | ThrewMessage
    | RanMessage
)


class Response(msgspec.Struct, frozen=True):
    """The response to a command: the SDK's messages in order, or the error of the driver."""

    out: list[Message] = []
    error: str | None = None


class BatchResponse(msgspec.Struct, frozen=True):
    """The response to a batch: the SDK's messages after each command, or the error of the first that failed."""

    out: list[list[Message]] = []
    error: str | None = None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Response).decode
decode_batch = msgspec.json.Decoder(BatchResponse).decode
