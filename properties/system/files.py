"""Reading and writing of files: a file is written whole or not at all, and what fails is told in one line."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from properties.system.failures import Failure


class NotWritten(Failure):
    """A file cannot be written."""


def write(path: Path, content: str | bytes) -> Path:
    """Write a file atomically, and make its folder. Returns its path. Raises `NotWritten`."""
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    draft = path.parent / f".new-{uuid.uuid4().hex}"  # of its own: two processes may write the same file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(data)
            draft.replace(path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
    except (FileExistsError, NotADirectoryError):
        raise NotWritten(f"{path} cannot be written: {path.parent} is no folder") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise NotWritten(f"{path} cannot be written: {why}") from None
    return path


def read_text(path: Path) -> str:
    """The text of a file. Raises `OSError`, and `Failure` if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{path}: not a text in UTF-8, at byte {error.start}") from None
