"""Builds of @clerk/clerk-js as targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from model.clerk.policy import policy_of
from model.clerk.sdk import CLERK
from model.terms import Runtime
from properties.system.target import TargetError
from properties.targets.clerk.builds import BUNDLES, PAGE_BUNDLES, fetch_build
from properties.targets.clerk.server import ClerkServer
from properties.targets.node_target import NodeTarget

DRIVER = Path(__file__).parent / "driver"
GLUE = DRIVER / "clerk_js.mjs"


def clerk_js_target(version: str, say: Callable[[str], None]) -> NodeTarget:
    """The build of a release, downloaded when it is first needed. `say` gets a line about that."""

    def find_bundle(runtime: Runtime) -> Path:
        return fetch_build(version, say, PAGE_BUNDLES if runtime.is_page else BUNDLES)

    name, policy = f"clerk-js@{version}", policy_of(version)
    return NodeTarget(name, CLERK, GLUE, ClerkServer(), find_bundle, policy=policy, say=say)


def bundle_target(path: Path, say: Callable[[str], None] = lambda line: None) -> NodeTarget:
    """A build in a file, such as a branch's own `dist/clerk.native.js`."""
    return NodeTarget(f"path:{path}", CLERK, GLUE, ClerkServer(), partial(_existing, path), say=say)


def _existing(path: Path, runtime: Runtime) -> Path:
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long
        raise TargetError(f"{path}: {error.strerror}") from None
    if is_folder:
        raise TargetError(f"{path} is a directory: name the bundle in it, such as dist/clerk.native.js")
    if not is_file:
        raise TargetError(f"there is no file {path}")
    if runtime.is_page and path.name in BUNDLES:
        raise TargetError(f"{path} is React Native's bundle: on a page name the browser's, {PAGE_BUNDLES[0]}")
    return path
