"""The cache of downloads: folders, each with the hash of its content, which is checked when it is used."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from properties.system.target import TargetError

SEAL = ".sha256"
"""The file in a folder that has the hash of the others."""


def digest(folder: Path) -> str:
    """The hash of the names and contents of the files in a folder."""
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL):
        content = path.read_bytes()
        sha.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()


def is_whole(folder: Path) -> bool:
    """Is a folder as it was downloaded?"""
    try:
        return (folder / SEAL).read_text() == digest(folder)
    except (OSError, UnicodeDecodeError):
        return False


def cached(home: Path, what: str, size: str, fill: Callable[[Path], None], say: Callable[[str], None]) -> Path:
    """The folder `home`, if it is as it was downloaded; else it is replaced by an empty one that `fill` fills.
    `say` gets a line before that, with the `size` of the download.

    Raises `TargetError`: what `fill` raises, or that the folder cannot be written.
    """
    if is_whole(home):
        return home
    why = f", because the copy in {home} is not what was downloaded" if home.is_dir() else ""
    say(f"downloading {what} ({size}, once){why}")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as scratch:
            build = Path(scratch) / "build"
            build.mkdir()
            fill(build)
            (build / SEAL).write_text(digest(build))
            _replace(home, build, Path(scratch) / "old")
    except OSError as error:
        raise TargetError(f"{what} cannot be kept in {home.parent}: {error.strerror}") from None
    return home


def _replace(home: Path, build: Path, old: Path) -> None:
    """Move a finished folder into place. If another process was faster, its folder stays."""
    if is_whole(home):
        return
    with contextlib.suppress(FileNotFoundError):
        home.rename(old)
    try:
        build.rename(home)
    except OSError:
        if not is_whole(home):
            raise
