"""Builds of @clerk/clerk-js as targets: what they add to `NodeTarget`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken, SwitchOrganization, Touch
from model.terms import Operation, Runtime
from properties.system.target import TargetError
from properties.targets.clerk.builds import BUNDLES, PAGE_BUNDLES, fetch_build
from properties.targets.clerk.server import ClerkServer
from properties.targets.model import ModelTarget
from properties.targets.node_target import Invocation, NodeTarget

DRIVER = Path(__file__).parent / "driver"


def call_of(operation: Operation) -> Invocation:
    """The invocation of an operation, as driver/clerk_js.mjs defines it. Raises `TargetError` for an unknown
    operation."""
    match operation:
        case GetToken(template, skip_cache, organization):
            which = {"template": template, "organizationId": organization}
            return Invocation(operation.verb, {**which, "skipCache": skip_cache}, gives_token=True)
        case Touch():
            return Invocation(operation.verb)
        case SwitchOrganization(organization):
            return Invocation(operation.verb, {"organization": organization})
        case _:
            raise TargetError(f"@clerk/clerk-js has no operation {operation}")


class ClerkJsTarget(NodeTarget):
    """One build of @clerk/clerk-js. `release` is its version; None for a build that is no release."""

    def __init__(
        self,
        name: str,
        release: str | None,
        find_bundle: Callable[[Runtime], Path],
        say: Callable[[str], None],
    ) -> None:
        """`find_bundle` and `say` are as in `NodeTarget`."""
        super().__init__(name, CLERK, DRIVER / "clerk_js.mjs", ClerkServer(), call_of, find_bundle, say=say)
        self.release = release

    def described_by(self) -> ModelTarget | None:
        """The model of this release."""
        policy = policy_of(self.release or "")
        return ModelTarget(CLERK, policy) if policy else None


def clerk_js_target(version: str, say: Callable[[str], None]) -> ClerkJsTarget:
    """The build of a release, downloaded when it is first needed. `say` gets a line about that."""

    def find_bundle(runtime: Runtime) -> Path:
        return fetch_build(version, say, PAGE_BUNDLES if runtime is Runtime.BROWSER else BUNDLES)

    return ClerkJsTarget(f"clerk-js@{version}", version, find_bundle, say)


def bundle_target(path: Path, say: Callable[[str], None] = lambda line: None) -> ClerkJsTarget:
    """A build in a file, such as a branch's own `dist/clerk.native.js`."""
    return ClerkJsTarget(f"path:{path}", None, partial(_existing, path), say)


def _existing(path: Path, runtime: Runtime) -> Path:
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long
        raise TargetError(f"{path}: {error.strerror}") from None
    if is_folder:
        raise TargetError(f"{path} is a directory: name the bundle in it, such as dist/clerk.native.js")
    if not is_file:
        raise TargetError(f"there is no file {path}")
    if runtime is Runtime.BROWSER and path.name in BUNDLES:
        raise TargetError(f"{path} is React Native's bundle: on a page name the browser's, {PAGE_BUNDLES[0]}")
    return path
