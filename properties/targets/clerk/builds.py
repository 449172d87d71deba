"""Clerk's npm packages that are run here, and the files of each that are cached."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from properties.system.target import TargetError
from properties.targets.npm import Package, fetch_package, scripts_of

BUNDLES = ("clerk.native.js", "clerk.headless.js")
"""The bundle that React Native resolves in @clerk/clerk-js: the first since 6.0, the second before."""

PAGE_BUNDLES = ("clerk.no-rhc.js",)
"""The bundle for a page: the only browser build in a single file that loads nothing else."""


def _bundles_of(names: Collection[str]) -> dict[str, str]:
    return {f"dist/{name}": name for name in (*BUNDLES, *PAGE_BUNDLES) if f"dist/{name}" in names}


CLERK_JS = Package("@clerk/clerk-js", "6.7.4", "3.5 MB", _bundles_of, f"has none of {', '.join(BUNDLES)}")
EXPO = Package("@clerk/expo", "4.6.6", "1 MB", scripts_of, "has no modules")
CLERK_REACT = Package("@clerk/react", "6.5.0", "1 MB", scripts_of, "has no modules")
SHARED = Package("@clerk/shared", "4.7.0", "1 MB", scripts_of, "has no modules")

INSTALLED = {one.short: one for one in (EXPO, CLERK_JS)}
"""What an app installs, by its name in a target. One may wrap those that follow."""


def fetch_build(version: str, say: Callable[[str], None], bundles: tuple[str, ...] = BUNDLES) -> Path:
    """The first of `bundles` that a version of @clerk/clerk-js has. `say` gets a line before a download.

    Raises `TargetError` as `fetch_package` does, and if the version has none of them.
    """
    home = fetch_package(CLERK_JS, version, say)
    for name in bundles:
        if (home / name).is_file():
            return home / name
    raise TargetError(f"{CLERK_JS.name}@{version} has none of {', '.join(bundles)}: choose a newer version")
