"""Real releases of @clerk/expo as targets: @clerk/clerk-js with what Expo puts around it on a phone.

It belongs here: what Expo adds, which is the device's credential. Its store holds a client JWT; Expo's code reads
it before each request, sends it as the `Authorization` header, and saves the one that an answer brings. That code
is the release's own, evaluated beside the native bundle of the @clerk/clerk-js release that it was published
with; see driver/expo.mjs for what stands in for the phone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from model.terms import (
    Answered,
    CallSettled,
    KeychainTurned,
    Millis,
    Outcome,
    Output,
    RequestId,
    RequestSent,
    Runtime,
    Started,
    Stimulus,
    TimerDue,
    Token,
)
from properties.system.target import TargetError
from properties.targets.clerk import server as fapi
from properties.targets.clerk.builds import CLERK_JS, Package, fetch_build, fetch_package, lowest, scripts_of
from properties.targets.clerk.target import DRIVER, ClerkJsTarget
from properties.targets.model import ModelTarget

EXPO = Package("@clerk/expo", "4.6.6", "1 MB", scripts_of, "has no modules")
SHARED = Package("@clerk/shared", "4.7.0", "1 MB", scripts_of, "has no modules")

RENEWS = (Outcome.GRANTED, Outcome.STALE_TOKEN, Outcome.SESSION)
"""The answers with which the server renews the device's credential."""


KEYCHAIN_ERROR = "ERR_KEY_CHAIN"
"""What a keychain that is locked throws, among the names of errors."""


class ExpoModel(ModelTarget):
    """The model of @clerk/clerk-js with what Expo adds, for comparison with a build: its two callbacks.

    A request carries what the store holds; the network layer sends a lost one again as it was. A store that
    refuses to be read is emptied, there and then (token-cache/index.ts getToken). What an answer brings is saved
    before anybody sees the answer, and where it cannot be saved the request fails (createClerkInstance.ts, and
    clerk-js's fapiClient.ts runAfterResponseCallbacks).
    """

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client, on a device that holds a credential and is not locked."""
        self._locked, self._holds = False, True
        self._carried: dict[RequestId, bool] = {}
        return super().start(runtime, token)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model at `at` ms."""
        assert self.client is not None, "start comes first"
        lost = None
        match stimulus:
            case KeychainTurned(locked):
                self._locked = locked
            case TimerDue(timer):
                resends = dict(self.client.resends)
                lost = resends[timer].request if timer in resends else None
            case Answered(request, outcome) if outcome in RENEWS and self._locked:
                # The network layer fails after the reply, as it does at one that it cannot read.
                outputs = super().feed(Answered(request, Outcome.GATEWAY_PAGE), at)
                return tuple(self._sent(_failed(output)) for output in outputs)
            case Answered(_, outcome) if outcome in RENEWS:
                self._holds = True
            case Started() if not self._holds:
                stimulus = Started(None)  # a stranger's question has a stranger's answer
        return tuple(self._sent(output, lost) for output in super().feed(stimulus, at))

    def _sent(self, output: Output, lost: RequestId | None = None) -> Output:
        """A request with what it carries: what a `lost` one carried, or else what the store holds."""
        if not isinstance(output, RequestSent):
            return output
        if lost is None:
            self._holds = self._holds and not self._locked
        carried = self._holds if lost is None else self._carried[lost]
        self._carried[output.request] = carried
        return replace(output, credential=carried)


def _failed(output: Output) -> Output:
    """The end of a call, if it is one, with the error of the keychain."""
    ended = isinstance(output, CallSettled) and output.error
    return replace(output, error=KEYCHAIN_ERROR) if ended else output


class ExpoTarget(ClerkJsTarget):
    """One release of @clerk/expo. `credentials` are those that the requests of this trace carried, in order: an
    empty one where there was none."""

    glue = (DRIVER / "expo.mjs").as_uri()
    model = ExpoModel

    def __init__(self, version: str, say: Callable[[str], None]) -> None:
        """`say` is told of downloads."""
        super().__init__(f"expo@{version}", lambda runtime: fetch_build(self.release, say), say)
        self.credentials: list[str] = []
        self._version = version
        self._given = 1

    @property
    def release(self) -> str:
        """The version of @clerk/clerk-js that this release of Expo was published with. Raises `TargetError`."""
        return self._published_with(CLERK_JS.name)

    def packages(self) -> dict[str, Path]:
        """Expo itself, and what it shares with Clerk's other SDKs. Raises `TargetError`."""
        shared = fetch_package(SHARED, self._published_with(SHARED.name), self._say)
        return {EXPO.name: self._home(), SHARED.name: shared}

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh instance on a device that holds the first credential. Raises `TargetError`."""
        self.credentials.clear()
        self._given = 1
        return super().start(runtime, token)

    def credential(self) -> str:
        """The device's first."""
        return fapi.client_jwt(1)

    def renewed(self, outcome: Outcome) -> str | None:
        """A new one with every answer that is not a refusal."""
        if outcome not in RENEWS:
            return None
        self._given += 1
        return fapi.client_jwt(self._given)

    def carried(self, authorization: str | None) -> bool:
        """Is there a credential in this header? Whichever the server gave the device it goes on taking, unless an
        assumption says that it does not. Raises `TargetError` at one that it never gave."""
        known = {"", *(fapi.client_jwt(number) for number in range(1, self._given + 1))}
        if authorization is None or authorization not in known:
            raise TargetError("@clerk/expo sends an Authorization header that is no credential of the device")
        self.credentials.append(authorization)
        return authorization != ""

    def _home(self) -> Path:
        return fetch_package(EXPO, self._version, self._say)

    def _published_with(self, package: str) -> str:
        """The lowest version of a dependency that this release asks for."""
        try:
            return lowest(json.loads((self._home() / "package.json").read_text())["dependencies"][package])
        except (OSError, ValueError, KeyError):
            raise TargetError(f"@clerk/expo@{self._version} names no {package} it depends on") from None
