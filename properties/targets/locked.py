"""Packages of npm that a lock file of ours pins, each with its hash, installed into our own cache. npm runs no
scripts of theirs.

To pin newer versions, regenerate the file: `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs
from msgspec import Struct

from properties.system.target import TargetError
from properties.targets.cache import cached
from properties.targets.npm import NO_NETWORK, run_npm

FILES = ("package.json", "package-lock.json")


class Locked(Struct, frozen=True):
    """What to install: its name, the folder of the lock file, its size, and what works without it."""

    name: str
    folder: Path
    size: str
    remedy: str

    @property
    def home(self) -> Path:
        """The cache folder, which depends on the content of the lock file."""
        pinned = b"".join((self.folder / name).read_bytes() for name in FILES)
        version = hashlib.sha256(pinned).hexdigest()[:12]
        return platformdirs.user_cache_path("sessionproof") / self.folder.name / version

    def fetch(self, say: Callable[[str], None]) -> Path:
        """The folder in which Node finds it, from the cache or else from npm. `say` gets a line before that.

        Raises `TargetError`: no npm, no network, a full disk.
        """
        return cached(self.home, self.name, self.size, self._install, say)

    def _install(self, folder: Path) -> None:
        """Install exactly what the lock file says, with hashes checked. Raises `TargetError`."""
        for name in FILES:
            shutil.copy(self.folder / name, folder)
        words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
        done = run_npm(words, folder, f"download {self.name}", self.remedy)
        if done.returncode != 0:
            said = re.findall(r"^npm (?:error|ERR!) (.*)$", done.stderr, re.MULTILINE)
            why = (said or [f"exit status {done.returncode}"])[0].removeprefix("code ")
            no_network = "cannot be downloaded, there is no network"
            fails = no_network if why in NO_NETWORK else "cannot be installed by npm"
            raise TargetError(f"{self.name} {fails} ({why}): {self.remedy}")
