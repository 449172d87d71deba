"""The DOM of the browser runtime: jsdom, from npm, in our own cache.

`driver/dom/package-lock.json` pins every package with its hash, and npm runs no scripts of theirs. To pin newer
versions, regenerate the file with `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs

from properties.system.target import TargetError
from properties.targets.cache import cached
from properties.targets.npm import NO_NETWORK, run_npm

LOCK_FOLDER = Path(__file__).parent / "driver" / "dom"
FILES = ("package.json", "package-lock.json")

DOM_REMEDY = "the other runtimes need no DOM"


def cache_folder() -> Path:
    """The cache folder, which depends on the content of the lock file."""
    pinned = b"".join((LOCK_FOLDER / name).read_bytes() for name in FILES)
    return platformdirs.user_cache_path("sessionproof") / "dom" / hashlib.sha256(pinned).hexdigest()[:12]


def fetch_dom(say: Callable[[str], None]) -> Path:
    """The folder in which Node finds jsdom, from the cache or else from npm. `say` gets a line before a download.

    Raises `TargetError`: no npm, no network, a full disk.
    """
    return cached(cache_folder(), "jsdom", "17 MB on disk", _install, say)


def _install(folder: Path) -> None:
    """Install exactly what the lock file says, with hashes checked. Raises `TargetError`."""
    for name in FILES:
        shutil.copy(LOCK_FOLDER / name, folder)
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
    done = run_npm(words, folder, "download jsdom", DOM_REMEDY)
    if done.returncode != 0:
        said = re.findall(r"^npm (?:error|ERR!) (.*)$", done.stderr, re.MULTILINE)
        why = (said or [f"exit status {done.returncode}"])[0].removeprefix("code ")
        fails = "cannot be downloaded, there is no network" if why in NO_NETWORK else "cannot be installed by npm"
        raise TargetError(f"jsdom {fails} ({why}): {DOM_REMEDY}")
