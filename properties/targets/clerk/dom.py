"""The DOM that a page is made with: jsdom, from npm, in a cache of our own.

Every package is pinned, with its hash, by `driver/dom/package-lock.json`; nothing of it is ever run by npm. To
pin newer ones, write that file anew with `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from properties.system.target import TargetError
from properties.targets.clerk.builds import NO_NETWORK, run_npm

PINNED = Path(__file__).parent / "driver" / "dom"
FILES = ("package.json", "package-lock.json")

REMEDY = "the other runtimes need no DOM"


def cache_folder() -> Path:
    """Where it is kept between runs; another lock file means another folder."""
    pinned = b"".join((PINNED / name).read_bytes() for name in FILES)
    return platformdirs.user_cache_path("sessionproof") / "dom" / hashlib.sha256(pinned).hexdigest()[:12]


def fetch_dom(say: Callable[[str], None]) -> Path:
    """The folder from which Node finds jsdom, from the cache or else from npm; `say` is told before a download.

    Raises `TargetError`: no npm, no network, no room.
    """
    home = cache_folder()
    if home.is_dir():
        return home
    npm = shutil.which("npm")
    if npm is None:
        raise TargetError(f"npm is needed to download jsdom, and there is none on the PATH: {REMEDY}")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as scratch:
            say("downloading jsdom (17 MB on disk, once)")
            for name in FILES:
                shutil.copy(PINNED / name, scratch)
            _install(npm, Path(scratch))
            _move_into_place(Path(scratch), home)
    except OSError as error:
        raise TargetError(f"jsdom cannot be kept in {home.parent}: {error.strerror}") from None
    return home


def _install(npm: str, folder: Path) -> None:
    """What the lock file says and nothing else, each package checked against its hash. Raises `TargetError`."""
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
    done = run_npm(npm, words, folder, "jsdom", REMEDY)
    if done.returncode != 0:
        said = re.findall(r"^npm (?:error|ERR!) (.*)$", done.stderr, re.MULTILINE)
        why = (said or [f"exit status {done.returncode}"])[0].removeprefix("code ")
        fails = "cannot be downloaded, there is no network" if why in NO_NETWORK else "cannot be installed by npm"
        raise TargetError(f"jsdom {fails} ({why}): {REMEDY}")


def _move_into_place(folder: Path, home: Path) -> None:
    """Publish in one step. If another process was faster, its copy is as good."""
    made = folder / "made"
    made.mkdir()
    for name in ("node_modules", *FILES):
        (folder / name).rename(made / name)
    try:
        made.rename(home)
    except OSError:
        if not home.is_dir():
            raise
