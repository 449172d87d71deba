"""A build of any SDK as a target: a bundle in a Node process, with a glue module and a fake server.

This module translates between stimuli and outputs (`model.io`) and the driver's messages (`protocol.py`). What is
specific to one SDK is a parameter: its glue (see driver/instance.mjs for its exports), its server (server.py),
and the paths of its bundle and packages. An operation is called by its verb, with its fields as arguments.

`Math.random` always returns 0 here, so that the jitter of retries is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from msgspec import to_builtins

from model.io import (
    Called,
    CallSettled,
    ChannelClosed,
    ClockChanged,
    ConnectionChanged,
    LockChanged,
    Output,
    Replied,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    Stimulus,
    TabChanged,
    TimerCleared,
    TimerDue,
    TimerSet,
    TokenAnnounced,
    TokenHeard,
    TokenShown,
    TurnsChanged,
    Uncaught,
)
from model.operations import NULL_ERROR
from model.requests import Endpoint, Outcome
from model.sdk import Policy, Sdk
from model.step import first_token
from model.terms import CallId, Millis, RequestId, Runtime, Timings, Token, TokenId
from properties.system.target import Exchange, TargetError
from properties.targets import protocol
from properties.targets.dom import DOM
from properties.targets.model import ModelTarget
from properties.targets.node import Driver
from properties.targets.server import FakeServer, HttpRequest
from properties.targets.verification import Verification

Range: TypeAlias = tuple[int, int]
"""A part of a bundle, from the UTF-16 code unit with the first number to that before the one with the second."""


def no_packages() -> Mapping[str, Path]:
    """No packages: the SDK is one bundle."""
    return {}


COUNTED_TRACES = 200
"""The traces after which a process that counts coverage is replaced: V8 keeps what it has counted of each
instance that has ended, 1.3 MB for a large bundle."""


class NodeTarget:
    """One build of an SDK in a Node process. Each trace runs on a freshly evaluated instance."""

    def __init__(
        self,
        name: str,
        sdk: Sdk,
        glue: Path,
        server: FakeServer,
        find_bundle: Callable[[Runtime], Path],
        find_packages: Callable[[], Mapping[str, Path]] = no_packages,
        policy: Policy | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`find_bundle` returns the path of the build for a runtime, `find_packages` the folders of other
        packages to evaluate, by name. Both may download, and may raise `TargetError`. `say` gets lines about
        other downloads. `policy` is the one that describes the build, if any does.
        """
        self.name, self.sdk = name, sdk
        self.threw: list[str] = []
        """The messages of uncaught errors and unhandled rejections of the SDK in this trace."""
        self._glue, self._server, self._policy = glue.resolve(), server, policy
        self._find_bundle, self._find_packages = cache(find_bundle), cache(find_packages)
        self._find_dom, self._say = cache(lambda: DOM.fetch(say)), say
        self._covered, self._counted = False, 0
        self._driver: Driver | None = None
        self._loaded: tuple[Runtime, Token] | None = None
        self._skew: Millis = 0
        self._asked: dict[RequestId, HttpRequest] = {}
        self._known: dict[tuple[Endpoint, TokenId], HttpRequest] = {}  # one request of each kind in any trace
        self._awaiting: set[CallId] = set()  # pending calls that should settle with a token
        self._verification = Verification(server)

    def timings(self, runtime: Runtime) -> Timings:
        """The timings of the newest release."""
        return self.sdk.timings(runtime)

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Find the build, start Node, load the build and sign in. Raises `TargetError`."""
        if self._loaded is None or self._loaded[0] is not runtime:
            self._load(runtime, first_token(self.sdk, runtime))

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """Start a fresh instance, signed in with `token` at instant 0. Raises `TargetError`."""
        self._begin(runtime, token)
        return self._outputs(self._ask(protocol.BeginCommand()), 0)

    def _begin(self, runtime: Runtime, token: Token) -> None:
        self.threw.clear()
        self._skew = 0
        self._asked.clear()
        self._awaiting.clear()
        self._server.begin()
        if self._driver is None or self._loaded != (runtime, token):
            self._load(runtime, token)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Deliver one stimulus to the SDK, and wait until it is idle. Raises `TargetError`."""
        command = self._command(stimulus, at)
        return self._outputs(self._ask(command), at) if command else ()

    def play(
        self, runtime: Runtime, token: Token, expected: Sequence[Exchange]
    ) -> list[tuple[Output, ...]] | None:
        """A whole trace at once, sign-in to end, with one message to the driver: the outputs after each stimulus.

        What it answers to a request, it has to know before it hears of it: `expected` says which there are. None
        if it does not know, or if the build has no such request or timer. Raises `TargetError` as `finish` does.
        """
        self._begin(runtime, token)
        commands: list[protocol.Command | None] = []
        skews: list[Millis] = []
        for one in expected:
            command = self._command(one.stimulus, one.at) if one.stimulus else protocol.BeginCommand()
            commands.append(command)
            skews.append(self._skew)
            for sent in (output for output in one.outputs if isinstance(output, RequestSent)):
                if (like := self._known.get((sent.endpoint, sent.token_id))) is None:
                    return None
                self._asked[sent.request] = like
        answered = dict(self._asked)
        try:
            heard = iter(self._batch([command for command in commands if command]))
            outputs: list[tuple[Output, ...]] = []
            for command, one, self._skew in zip(commands, expected, skews, strict=True):
                outputs.append(self._outputs(next(heard), one.at) if command else ())
        except TargetError:
            return None  # one step at a time, it says when
        finally:
            self._verify()
        known = self._server.endpoint_of
        same = all(known(self._asked[number]) == known(like) for number, like in answered.items())
        return outputs if same else None

    def finish(self) -> None:
        """End the trace. The driver boots the next instance in the background.

        Once enough tokens were handed out, verifies them with PyJWT. Raises `TargetError` if PyJWT disagrees with
        the symbolic tokens: then this harness is wrong, not the SDK.
        """
        if self._driver is not None:
            try:
                self._driver.tell(protocol.EndCommand())
            except TargetError:
                self._stop()
                raise
        self._verify()

    def _verify(self) -> None:
        if self._verification.due:
            self._verification.judge()

    def close(self) -> None:
        """End the Node process, and verify the remaining tokens. May be called twice; `start` starts a new
        process.

        Raises `TargetError` as `finish` does.
        """
        self._stop()
        self._verification.judge()

    def described_by(self) -> ModelTarget | None:
        """The model under its policy."""
        return ModelTarget(self.sdk, self._policy) if self._policy else None

    def bundle(self, runtime: Runtime) -> Path:
        """The path of the build for a runtime. Raises `TargetError`."""
        return self._find_bundle(runtime).resolve()

    def replace_bundle(self, bundle: Path) -> None:
        """Run the bundle in this file from now on, in place of the build's own."""
        self._stop()
        self._find_bundle = cache(lambda runtime: bundle)

    def count_coverage(self) -> None:
        """Note from now on which ranges of the bundle run, for `coverage`."""
        self._stop()
        self._covered = True

    def coverage(self) -> list[Range]:
        """The ranges of the bundle that have run since this was last called, in traces that have ended, but for
        what runs while the SDK loads. Raises `TargetError`."""
        found = self._ask(protocol.CoverageCommand())
        self._counted += 1
        if self._counted % COUNTED_TRACES == 0:
            self._stop()
        return [(one.start, one.end) for one in found if isinstance(one, protocol.RanMessage)]

    def _stop(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None
            self._loaded = None

    def _load(self, runtime: Runtime, token: Token) -> None:
        bundle = self.bundle(runtime)
        packages = {name: folder.resolve() for name, folder in self._find_packages().items()}
        dom = self._find_dom().resolve() if runtime.is_page else None
        self._stop()
        readable = [self._glue.parent, bundle, *packages.values(), *([dom] if dom else [])]
        self._driver = Driver(readable, page=dom is not None, inspected=self._covered)
        load = protocol.LoadCommand(
            self._glue.as_uri(),
            str(bundle),
            self._server.epoch * 1000,
            runtime,
            self._server.boot(token),
            {name: str(folder) for name, folder in packages.items()},
            self._server.credential(),
            str(dom) if dom else None,
            self._covered,
        )
        try:
            self._ask(load)
        except TargetError:
            self._stop()
            raise
        self._loaded = (runtime, token)

    def _ask(self, command: protocol.Command) -> list[protocol.Message]:
        if self._driver is None:
            raise TargetError("the Node driver is not running: start comes first")
        try:
            done = self._driver.ask(command)
        except TargetError:
            self._stop()
            raise
        if done.error is not None:
            raise TargetError(done.error)
        return done.out

    def _batch(self, commands: Sequence[protocol.Command]) -> list[list[protocol.Message]]:
        """The messages after each command of a trace, which ends with them."""
        assert self._driver is not None
        try:
            self._driver.tell(protocol.BatchCommand(commands))
            self._driver.tell(protocol.EndCommand())
            done = self._driver.hear(protocol.decode_batch)
        except TargetError:
            self._stop()
            raise
        if done.error is not None:
            raise TargetError(done.error)
        return done.out

    def _command(self, stimulus: Stimulus, at: Millis) -> protocol.Command | None:
        """The command for a stimulus, if the driver needs one. Raises `TargetError`."""
        match stimulus:
            case ClockChanged(skew):  # no event for the SDK: it reads the clock
                self._skew = skew
                return None
            case TimerDue(timer):
                return protocol.FireCommand(at, timer)
            case Replied(request) if request not in self._asked:
                raise TargetError(f"request {request} is not in flight")
            case Replied(request, Outcome.LOST):
                return protocol.LostCommand(at, request)
            case Replied(request, outcome, token, others):
                reply = self._server.reply(outcome, token, self._asked[request], others)
                return protocol.AnswerCommand(at, request, reply.status, reply.headers, reply.body)
            case LockChanged(locked):
                return protocol.LockCommand(at, locked)
            case ConnectionChanged(online):
                return protocol.ConnectCommand(at, online)
            case TabChanged(state):
                return protocol.TurnCommand(at, state)
            case TokenHeard(token):
                told = self._server.told(token)
                return protocol.HearCommand(at, *told) if told else None
            case TurnsChanged(held):
                return protocol.HoldCommand(at, held)
            case ChannelClosed():
                return protocol.DisconnectCommand(at)
            case Started(call):
                return protocol.RestartCommand(at, call)
            case Called(call, operation):
                if operation.gives_token:
                    self._awaiting.add(call)
                arguments = to_builtins(operation)
                del arguments["event"]  # the tag of its class
                return protocol.CallCommand(at, call, operation.verb, arguments)

    def _outputs(self, messages: Iterable[protocol.Message], at: Millis) -> tuple[Output, ...]:
        outputs: list[Output] = []
        for message in messages:
            match message:
                case protocol.TimerMessage(timer, due, cause):
                    outputs.append(TimerSet(timer, due, cause))
                case protocol.ClearMessage(timer):
                    outputs.append(TimerCleared(timer))
                case protocol.RequestMessage():
                    outputs.append(self._request_sent(message))
                case protocol.SignOutMessage(cause):
                    outputs.append(SignedOut(cause))
                case protocol.SignInMessage(cause, session):
                    outputs.append(SignedIn(cause, self._server.session(session)))
                case protocol.ActiveMessage(raw, before):
                    outputs.append(TokenAnnounced(self._minted(raw), self._minted(before) if before else None))
                case protocol.SettledMessage():
                    outputs.append(self._settled(message, at))
                case protocol.StoredMessage(raw):
                    outputs.append(TokenShown(self._minted(raw) if raw else None))
                case protocol.ThrewMessage(text):
                    self.threw.append(text)
                    outputs.append(Uncaught())
        return tuple(outputs)

    def _request_sent(self, message: protocol.RequestMessage) -> RequestSent:
        said = (message.query, message.headers, message.body, message.credentials)
        request = HttpRequest(message.method, message.path, *said)
        credential = self._server.carries(request)
        known = self._server.endpoint_of(request)
        if known is None:
            raise TargetError(
                f"the SDK sends {message.method} {message.path}, which the fake server does not know"
            )
        endpoint, token_id = known
        self._asked[message.request] = self._known[known] = request
        details, tab = self._server.details(request), self._server.tab(request)
        return RequestSent(message.request, endpoint, token_id, message.cause, credential, details, tab)

    def _settled(self, message: protocol.SettledMessage, at: Millis) -> CallSettled:
        if message.error is not None or message.call not in self._awaiting:
            return CallSettled(message.call, None, message.error)
        if message.value is None:
            return CallSettled(message.call, None, NULL_ERROR)
        token = self._minted(message.value)
        self._verification.add(token, at - self._skew)
        return CallSettled(message.call, token, None)

    def _minted(self, raw: str) -> Token:
        token = self._server.recognise(raw)
        if token is None:
            raise TargetError("the SDK has a token that the server never minted")
        return token
