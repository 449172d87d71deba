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
from properties.targets.clerk.server import ClerkServer, PartitioningServer
from properties.targets.node_target import NodeTarget

DRIVER = Path(__file__).parent / "driver"
GLUE = DRIVER / "clerk_js.mjs"


PARTITIONED_COOKIES = "partitioned-cookies"
"""The setup of an app whose instance partitions cookies since the app was loaded first."""


def clerk_js_target(version: str, say: Callable[[str], None], setup: str = "") -> NodeTarget:
    """The build of a release, downloaded when it is first needed. `say` gets a line about that."""

    def find_bundle(runtime: Runtime) -> Path:
        return fetch_build(version, say, PAGE_BUNDLES if runtime.is_page else BUNDLES)

    name = f"clerk-js@{version}" + (f"+{setup}" if setup else "")
    server = PartitioningServer() if setup == PARTITIONED_COOKIES else ClerkServer()
    return NodeTarget(name, CLERK, GLUE, server, find_bundle, policy=policy_of(version), say=say)


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
