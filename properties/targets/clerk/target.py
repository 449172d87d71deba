"""Real builds of @clerk/clerk-js as targets.

It belongs here: the translation between symbols (`model.terms`) and what crosses the boundary to the SDK.
The server's payloads are in fapi.py, the process and its lines in node.py, the downloads in builds.py.

What the SDK draws at random (the jitter of its network layer's retries) is always 0 here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from model.terms import (
    SESSION_TOKEN,
    Answered,
    CallSettled,
    ClockChanged,
    CookieChanged,
    Endpoint,
    KeychainTurned,
    Millis,
    NetworkTurned,
    Outcome,
    Output,
    RequestId,
    RequestSent,
    Runtime,
    Seconds,
    SignedIn,
    SignedOut,
    Started,
    Stimulus,
    SwitchAsked,
    TimerCleared,
    TimerDue,
    TimerSet,
    Token,
    TokenAnnounced,
    TokenAsked,
    TouchAsked,
)
from properties.system.target import TargetError
from properties.targets import node
from properties.targets.clerk import server as fapi
from properties.targets.clerk.builds import BUNDLES, PAGE_BUNDLES, fetch_build
from properties.targets.clerk.dom import fetch_dom
from properties.targets.model import ModelTarget

DRIVER = Path(__file__).parent / "driver"
GLUE = (DRIVER / "clerk_js.mjs").as_uri()

VERIFY_AT_ONCE = 200
"""Tokens handed out that PyJWT judges together: to freeze the clock costs more than to verify fifty."""

_verified: set[tuple[Token, Seconds]] = set()
"""The tokens that PyJWT has judged as their symbols do, each with the second at which it did."""


class ClerkJsTarget:
    """One build of @clerk/clerk-js in a Node process. Each trace runs on an instance evaluated afresh.

    What an SDK puts around it is a subclass's part: its `glue`, its `packages`, and what it does with the
    device's credential. A browser keeps that in a cookie, out of everybody's sight.
    """

    glue = GLUE
    model: type[ModelTarget] = ModelTarget
    """What it is compared with, under a policy."""

    def __init__(self, name: str, find_bundle: Callable[[Runtime], Path], say: Callable[[str], None]) -> None:
        """`find_bundle` says where the build for a runtime is; it may download it, and may raise `TargetError`.
        `say` is told of other downloads."""
        self.name = name
        self.threw: list[str] = []
        """What the SDK threw in this trace where nobody catches it, such as a background promise rejected."""
        self._find_bundle = cache(find_bundle)
        self._say = say
        self._driver: node.Driver | None = None
        self._loaded: tuple[Runtime, Token] | None = None
        self._skew: Millis = 0
        self._asked: dict[RequestId, Endpoint] = {}
        self._unverified: dict[tuple[Token, Seconds], Millis] = {}

    @property
    def release(self) -> str | None:
        """The version of @clerk/clerk-js, if this is a release. Raises `TargetError`."""
        return self.name.removeprefix("clerk-js@") if self.name.startswith("clerk-js@") else None

    def packages(self) -> dict[str, Path]:
        """What else is evaluated, by name. Raises `TargetError`."""
        return {}

    def credential(self) -> str | None:
        """What the device's store holds at the beginning of a trace, if it has one."""
        return None

    def renewed(self, outcome: Outcome) -> str | None:
        """The credential that the server gives the device with an answer, if it gives one."""
        return None

    def carried(self, authorization: str | None) -> bool | None:
        """Does this header carry the device's credential? None if that goes another way. Raises `TargetError`."""
        return None

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Find the build, start Node, load the build and sign in. Raises `TargetError`."""
        if self._loaded is None or self._loaded[0] is not runtime:
            self._load(runtime, FIRST_TOKEN)

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh instance, loaded and signed in with `token` at instant 0. Raises `TargetError`."""
        self.threw.clear()
        self._skew = 0
        self._asked.clear()
        if self._driver is None or self._loaded != (runtime, token):
            self._load(runtime, token)
        return self._outputs(node.Begin(), 0)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Hand one stimulus to the SDK, until it can do no more. Raises `TargetError`."""
        match stimulus:
            case ClockChanged(skew):
                self._skew = skew
                return ()
            case TimerDue(timer):
                return self._outputs(node.Fire(at, timer), at)
            case TokenAsked(call, token_id, skip_cache):
                return self._outputs(node.Ask(at, call, token_id.template, skip_cache, token_id.organization), at)
            case Answered(request, Outcome.LOST):
                return self._outputs(node.Lost(at, request), at)
            case Answered(request, outcome, token):
                status, body = fapi.render(outcome, token, self._asked.get(request, Endpoint.TOKENS))
                return self._outputs(node.Answer(at, request, status, body, self.renewed(outcome)), at)
            case KeychainTurned(locked):
                return self._outputs(node.Lock(at, locked), at)
            case TouchAsked(call):
                return self._outputs(node.Touch(at, call), at)
            case NetworkTurned(online):
                return self._outputs(node.Connect(at, online), at)
            case Started(token):
                return self._outputs(node.Restart(at, self._boot(token)), at)
            case SwitchAsked(call, organization):
                return self._outputs(node.Switch(at, call, organization), at)

    def finish(self) -> None:
        """End the trace; the driver boots the next instance meanwhile.

        Every so many traces, let PyJWT judge the tokens that were handed out. Raises `TargetError` when it
        disagrees with the symbols: then this harness is wrong, not the SDK.
        """
        if self._driver is not None:
            try:
                self._driver.tell(node.End())
            except TargetError:
                self._stop()
                raise
        if len(self._unverified) >= VERIFY_AT_ONCE:
            self._verify()

    def close(self) -> None:
        """End the Node process, and let PyJWT judge the rest. May be called twice; `start` begins anew.

        Raises `TargetError` as `finish` does.
        """
        self._stop()
        self._verify()

    def _verify(self) -> None:
        handed = [(token, at) for (token, _), at in self._unverified.items()]
        self._unverified.clear()
        for (token, at), refused in zip(handed, fapi.verify(handed), strict=True):
            if (refused is None) != (token.issued * 1000 <= at < token.expires * 1000):
                said = refused or "valid"
                raise TargetError(f"PyJWT says {said} of {token!r} at {at} ms: the harness is wrong")
            _verified.add((token, at // 1000))

    def _stop(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None
            self._loaded = None

    def _load(self, runtime: Runtime, token: Token) -> None:
        bundle = self._find_bundle(runtime).resolve()
        dom = str(fetch_dom(self._say)) if runtime is Runtime.BROWSER else None
        if self._driver is None:
            self._driver = node.Driver()
        packages = {name: str(folder.resolve()) for name, folder in self.packages().items()}
        load = node.Load(
            self.glue,
            str(bundle),
            fapi.EPOCH * 1000,
            runtime,
            self._boot(token),
            packages,
            self.credential(),
            dom,
        )
        try:
            self._ask(load)
        except TargetError:
            self._stop()
            raise
        self._loaded = (runtime, token)

    def _boot(self, token: Token | None) -> dict[str, node.BootAnswer]:
        """What the SDK is told while it loads; a stranger's answers, where its device has lost the credential."""
        answers = fapi.boot_answers(token)
        if self.credential() is not None:
            answers |= {f"{asks}, bare": answer for asks, answer in fapi.boot_answers(None).items()}
        return {asks: node.BootAnswer(*answer) for asks, answer in answers.items()}

    def _ask(self, command: node.Command) -> list[node.Put]:
        if self._driver is None:
            raise TargetError("the Node driver is not running: start comes first")
        try:
            reply = self._driver.ask(command)
        except TargetError:
            self._stop()
            raise
        if reply.error is not None:
            raise TargetError(reply.error)
        return reply.out

    def _outputs(self, command: node.Command, at: Millis) -> tuple[Output, ...]:
        outputs: list[Output] = []
        for put in self._ask(command):
            match put:
                case node.Timer(timer, due, cause):
                    outputs.append(TimerSet(timer, due, cause))
                case node.Clear(timer):
                    outputs.append(TimerCleared(timer))
                case node.Request():
                    sent = _request_sent(put, self.carried(put.authorization))
                    self._asked[sent.request] = sent.endpoint
                    outputs.append(sent)
                case node.SignOut(cause):
                    outputs.append(SignedOut(cause))
                case node.SignIn(cause):
                    outputs.append(SignedIn(cause))
                case node.Active(raw, before):
                    outputs.append(TokenAnnounced(_minted(raw), _minted(before) if before else None))
                case node.Settled(call, None, error):
                    outputs.append(CallSettled(call, None, error))
                case node.Settled(call, str(raw)):
                    token = _minted(raw)
                    at_server = at - self._skew
                    if (token, at_server // 1000) not in _verified:
                        self._unverified[token, at_server // 1000] = at_server
                    outputs.append(CallSettled(call, token, None))
                case node.Cookie(raw):
                    outputs.append(CookieChanged(_minted(raw) if raw else None))
                case node.Threw(message):
                    self.threw.append(message)
                case node.Storm(count):
                    raise TargetError(f"one stimulus set off {count} requests at one instant ({at} ms)")
        return tuple(outputs)


FIRST_TOKEN = Token(1, SESSION_TOKEN, 0, 60)
"""What `prepare` signs in with: the token that a world begins with."""


def _minted(raw: str) -> Token:
    token = fapi.recognise(raw)
    if token is None:
        raise TargetError("the SDK has a token that the server never minted")
    return token


def _request_sent(put: node.Request, credential: bool | None) -> RequestSent:
    known = fapi.endpoint_of(put.method, put.path, put.form)
    if known is None:
        raise TargetError(f"the SDK sends {put.method} {put.path}, which the fake server does not know")
    endpoint, token_id = known
    return RequestSent(put.request, endpoint, token_id, put.cause, credential)


def clerk_js_target(version: str, say: Callable[[str], None]) -> ClerkJsTarget:
    """The build of a release, downloaded when it is first needed; `say` is told of that."""
    return ClerkJsTarget(f"clerk-js@{version}", lambda runtime: fetch_build(version, say, _bundles(runtime)), say)


def _bundles(runtime: Runtime) -> tuple[str, ...]:
    return PAGE_BUNDLES if runtime is Runtime.BROWSER else BUNDLES


def bundle_target(path: Path, say: Callable[[str], None] = lambda line: None) -> ClerkJsTarget:
    """A build in a file, such as a branch's own `dist/clerk.native.js`."""
    return ClerkJsTarget(f"path:{path}", partial(_existing, path), say)


def _existing(path: Path, runtime: Runtime) -> Path:
    if path.is_dir():
        raise TargetError(f"{path} is a directory: name the bundle in it, such as dist/clerk.native.js")
    if not path.is_file():
        raise TargetError(f"there is no file {path}")
    if runtime is Runtime.BROWSER and path.name in BUNDLES:
        raise TargetError(f"{path} is React Native's bundle: on a page name the browser's, {PAGE_BUNDLES[0]}")
    return path
