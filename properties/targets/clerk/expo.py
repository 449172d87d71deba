"""Releases of @clerk/expo as targets: @clerk/clerk-js as Expo wraps it on a phone.

This module has what Expo adds: the device's credential. The device's store holds a client JWT. Expo's code reads
it before each request, sends it as the `Authorization` header, and saves the new one of each answer. That code is
the release's own, evaluated together with the native bundle of a release of @clerk/clerk-js: the one that it was
published with, or another. See driver/expo.mjs for the fakes of the phone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from model.clerk.policy import Policy, policy_of
from model.clerk.sdk import CLERK
from model.requests import Endpoint, Outcome
from model.terms import Runtime, Token
from properties.system.target import TargetError
from properties.targets.clerk import server as fapi
from properties.targets.clerk.builds import CLERK_JS, CLERK_REACT, EXPO, SHARED, fetch_build
from properties.targets.clerk.expo_model import RENEWS, ExpoModel, MemoryModel
from properties.targets.clerk.expo_native import NativeModuleModel
from properties.targets.clerk.expo_start import CachedStartModel, Choices
from properties.targets.clerk.requests import touch_path
from properties.targets.clerk.server import ClerkServer
from properties.targets.clerk.target import DRIVER
from properties.targets.clerk.tokens import client_jwt
from properties.targets.locked import Locked
from properties.targets.node_target import NodeTarget
from properties.targets.npm import fetch_package, lowest, numbers
from properties.targets.server import BootAnswer, HttpReply, HttpRequest

ALWAYS = {
    **fapi.ALWAYS,
    **{"credentials": "omit", "authorization": ".*", "_is_native": "1"},
    **{"x-mobile": "1", "x-expo-sdk-version": r"[\w.-]+"},
}
"""The parameters of every request (createClerkInstance.ts); of the credential, `ExpoServer.carries` decides."""

REJECTING_CACHE, EARLY_SINGLETON, WITH_CACHE = "rejecting-cache", "early-singleton", "singleton-with-cache"
RESOURCE_CACHE, OWN_RESOURCE_CACHE, OWN_CACHES = "resource-cache", "own-resource-cache", "own-caches"
NATIVE_MODULE = "native-module"
SETUPS = (
    *(REJECTING_CACHE, EARLY_SINGLETON, WITH_CACHE),
    *(RESOURCE_CACHE, OWN_RESOURCE_CACHE, OWN_CACHES),
    NATIVE_MODULE,
)
"""How an app may set up Expo, each with a glue module of its own: driver/expo_SETUP.mjs."""

JUDGED = {
    **dict.fromkeys((RESOURCE_CACHE, OWN_RESOURCE_CACHE, OWN_CACHES), ("one-start-retry-at-a-time",)),
    NATIVE_MODULE: ("only-the-app-signs-out",),
}
"""The invariants that are judged in an app of a setup beside those of every target (invariants.py)."""

TAKES_THE_PROVIDERS_CACHE = "3.6.3"
"""The first release whose singleton uses the token cache of the provider, if it was made before (#8928)."""

RETRIES_ONCE, KEEPS_NOBODY_OUT = "3.7.7", "4.2.4"
"""The first releases that retry a start one at a time (#9173), and that keep no client of nobody (#9284)."""

LEAVES_WITHOUT_NETWORK = "6.31.1"
"""The first release of @clerk/clerk-js with which a sign-out without a network ends well. Seen on the builds."""

SYNCHRONISES, WAITS_FOR_LOAD, SYNCHRONISES_ANEW = "3.1.6", "3.2.8", "3.4.0"
"""The first releases that sign out of the native module, that wait for load() before they do (#8469), and whose
code for all that is another."""

REACT = Locked("React", DRIVER / "renderer", "5 MB on disk", "Expo's other setups need no React")
REACTS = ("react", "react-test-renderer", "scheduler", "@tanstack/query-core", "dequal")
"""React, a renderer, and what Clerk's packages require for it."""


def model_of(version: str, setup: str, policy: Policy, clerk_js: str | None = None) -> ExpoModel | None:
    """The model of a release of @clerk/expo in an app of this setup, around a @clerk/clerk-js of this policy;
    None if there is none. `clerk_js` is that one's version, if it is known."""
    release = numbers(version)
    match setup:
        case "":
            return ExpoModel(CLERK, policy)
        case "early-singleton" if release < numbers(TAKES_THE_PROVIDERS_CACHE):
            return MemoryModel(CLERK, policy)
        case "early-singleton" | "singleton-with-cache":
            return ExpoModel(CLERK, policy)
        case "resource-cache" | "own-resource-cache" if not policy.offline_in_react_native:
            choices = Choices(
                once=release >= numbers(RETRIES_ONCE),
                keeps_nobody=release < numbers(KEEPS_NOBODY_OUT),
                leaves=clerk_js is not None and numbers(clerk_js) >= numbers(LEAVES_WITHOUT_NETWORK),
                locked=setup == RESOURCE_CACHE,
            )
            return CachedStartModel(policy, choices)
        case "native-module" if numbers(SYNCHRONISES) <= release < numbers(SYNCHRONISES_ANEW):
            return NativeModuleModel(policy, early=release < numbers(WAITS_FOR_LOAD))
        case _:
            return None


class ExpoServer(ClerkServer):
    """The Frontend API for a device that stores its credential itself: a client JWT, which answers renew."""

    always = ALWAYS

    def __init__(self, *, stored: bool = True) -> None:
        """Without a `stored` credential, the device is given its first one while it loads for the first time: it
        is where the release puts it."""
        super().__init__()
        self.carried: list[str] = []
        """The credentials of the requests of this trace, in order; empty for a request without one."""
        self._stored, self._given = stored, 1

    def boot(self, token: Token) -> Sequence[BootAnswer]:
        """The answers to requests while the SDK loads for the first time. An app with the native module makes the
        session of that the active one then."""
        touched = fapi.render(Outcome.SESSION, token, Endpoint.MUTATE)
        touch = BootAnswer(f"POST {touch_path()}", touched.status, touched.body)
        answers = (*fapi.boot_answers(token), touch)
        if self._stored:
            return answers
        return [replace(one, headers={"authorization": client_jwt(1)}) for one in answers]

    def begin(self) -> None:
        """Reset to the device's first credential."""
        super().begin()
        self.carried.clear()
        self._given = 1

    def reply(
        self, outcome: Outcome, token: Token | None, request: HttpRequest, others: Sequence[Token] = ()
    ) -> HttpReply:
        """The reply, with a new credential if the outcome is in `RENEWS`."""
        reply = super().reply(outcome, token, request, others)
        if outcome not in RENEWS:
            return reply
        self._given += 1
        return replace(reply, headers={"authorization": client_jwt(self._given)})

    def credential(self) -> str | None:
        """What is in the device's store at first."""
        return client_jwt(1) if self._stored else None

    def carries(self, request: HttpRequest) -> bool | None:
        """The server accepts every credential that it gave the device. Raises `TargetError` for any other."""
        known = {"", *(client_jwt(number) for number in range(1, self._given + 1))}
        credential = request.headers.get("authorization")
        if credential is None or credential not in known:
            raise TargetError("@clerk/expo sends an Authorization header that is no credential of the device")
        self.carried.append(credential)
        return credential != ""


class ExpoTarget(NodeTarget):
    """One release of @clerk/expo around a build of @clerk/clerk-js."""

    def __init__(self, version: str, say: Callable[[str], None], clerk_js: str = "", setup: str = "") -> None:
        """`clerk_js` is that build's version; empty for the one that this release of Expo was published with.
        `setup` is one of `SETUPS`, or empty. `say` gets lines about downloads."""
        server = ExpoServer(stored=setup != EARLY_SINGLETON)
        glue = DRIVER / f"{'_'.join(filter(None, ('expo', setup)))}.mjs"
        inside = f"clerk-js@{clerk_js}" if clerk_js else ""
        name = "+".join(filter(None, (f"expo@{version}", inside, setup)))
        super().__init__(name, CLERK, glue, server, self._bundle, self._packages, say=say)
        self.credentials = server.carried
        """The credentials of the requests of this trace, in order; empty for a request without one."""
        self._version, self._clerk_js, self._setup = version, clerk_js, setup

    @cached_property
    def release(self) -> str:
        """The version of @clerk/clerk-js. Raises `TargetError`."""
        return self._clerk_js or self._published_with(CLERK_JS.name)

    def described_by(self) -> ExpoModel | None:
        """The model of that version, with what Expo adds in an app of this setup; None if there is none. Raises
        `TargetError`."""
        policy = policy_of(self.release)
        return model_of(self._version, self._setup, policy, self.release) if policy else None

    def _bundle(self, runtime: Runtime) -> Path:
        return fetch_build(self.release, self._say)

    def _packages(self) -> Mapping[str, Path]:
        """Expo itself, and @clerk/shared; in an app in which React runs, also that, and Clerk's package for it.
        Raises `TargetError`."""
        others = (SHARED, CLERK_REACT) if self._setup == NATIVE_MODULE else (SHARED,)
        found = {one.name: fetch_package(one, self._published_with(one.name), self._say) for one in others}
        if self._setup == NATIVE_MODULE:
            modules = REACT.fetch(self._say) / "node_modules"
            found |= {name: modules / name for name in REACTS}
        return {EXPO.name: self._home(), **found}

    def _home(self) -> Path:
        return fetch_package(EXPO, self._version, self._say)

    def _published_with(self, package: str) -> str:
        """The lowest version of a dependency that this release accepts. Raises `TargetError`."""
        try:
            return lowest(json.loads((self._home() / "package.json").read_text())["dependencies"][package])
        except (OSError, ValueError, KeyError):
            raise TargetError(f"@clerk/expo@{self._version} names no {package} it depends on") from None
