"""The versions of packages in a lock file of npm, pnpm or Yarn."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from properties.system.failures import Failure

NAMES = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock")


class BadLockFile(Failure):
    """A lock file cannot be used. The message is one line: what is wrong, and what to do."""


def installed(path: Path, packages: Collection[str]) -> dict[str, str]:
    """The versions of these packages, as far as the file has them. Raises `BadLockFile`, also if it has two
    versions of one package."""
    if path.name not in NAMES:
        raise BadLockFile(f"{path} is none of {', '.join(NAMES)}: name the releases with options instead")
    try:
        text = path.read_text(encoding="utf-8")
        found = {pair for pair in _packages(path.name, text) if pair[0] in packages}
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        raise BadLockFile(f"{path} is damaged, or no lock file: name the releases with options instead") from None
    versions = dict(sorted(found))
    for name in versions:
        if len(several := sorted(version for one, version in found if one == name)) > 1:
            short = name.rpartition("/")[2]
            raise BadLockFile(
                f"{path} has {name} {' and '.join(several)}: add --{short} and the one you ask about"
            )
    return versions


def _packages(name: str, text: str) -> Iterator[tuple[str, str]]:
    """The names and versions of all packages, as often as they are listed."""
    if name.endswith(".json"):
        yield from _npm(json.loads(text))
    elif name == "pnpm-lock.yaml":
        for key in yaml.safe_load(text)["packages"]:  # `/@scope/name/1.2.3_peer`, `@scope/name@1.2.3(peer)`, ...
            if found := re.match(r"/?((?:@[^/]+/)?[^@/]+)[@/](\d+\.\d+\.\d+[^(_]*)", key):
                yield found[1], found[2]
    elif "# yarn lockfile v1" in text:  # no YAML, and frozen
        yield from re.findall(r'^"?(@?[^@\s"]+)@.*:\n {2}version "(.+)"$', text, re.MULTILINE)
    else:
        for key, entry in yaml.safe_load(text).items():
            if found := re.match(r"(@?[^@]+)@npm:", key):
                yield found[1], str(entry["version"])


def _npm(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """`packages` by folder since npm 7; before, `dependencies` within dependencies."""
    for folder, entry in content.get("packages", {}).items():
        if "node_modules/" in folder and "version" in entry:  # a link to a workspace has none
            yield folder.rpartition("node_modules/")[2], entry["version"]
    if "packages" not in content:
        for name, entry in content["dependencies"].items():
            yield name, entry["version"]
            yield from _npm({"dependencies": entry.get("dependencies", {})})
