"""A trace: the events of one run on one target under assumptions. It can be printed, saved and replayed.

A trace is saved as a versioned JSON document. Every violation is saved, atomically, before anything else is done
with it. `properties/run/counterexample.py` adds further fields to the document. A person writes a trace as text
(`Trace.text`), which is read as a document, too.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.notation import quoted, split, unquoted
from model.terms import Runtime
from model.world.events import Event
from properties.system import files
from properties.system.event_kinds import brief, decoded, encoded, parsed
from properties.system.failures import Failure
from properties.system.registry import sdks_of

FORMAT = "sessionproof-trace"
VERSION = 4
"""Versions 1 to 3 have the same events, but other names for facts."""
NEEDED = ("target", "assume", "events")
"""The fields without which there is no trace. The others have defaults."""
EXAMPLE = "target: model; assume: starvation; advance 30 s; freeze 8 h"
"""A trace as text, for messages."""
HEADERS = ("target", "runtime", "assume", "invariant")
"""What a trace as text has beside its events."""
SEPARATOR = r"#[^\n]*|->|;|\n"
"""What stands between the parts of a trace as text. A comment ends with its line."""
LONG_NUMBER = re.compile(rb"[0-9]{1000}")
"""More digits than any number of a trace has. Python neither reads nor prints a number of thousands of digits."""
LONGEST_NAME = 180
"""Characters of a file name without its ending. Most file systems allow 255 bytes; renderings add to the name."""
DIGITS = 12
"""Hexadecimal digits by which the file names of two texts differ that look alike."""

FOLDER = Path(".sessionproof")
"""Where traces are saved, relative to the working directory."""


class BadTrace(Failure):
    """A file is not a readable trace."""


class Trace(Struct, frozen=True):
    """The events of a run, and the invariant that they violate, with the reason; both None if none is known.

    `cause` has the kinds of facts that led to the violation (`properties/invariants/identity.py`); empty if none
    is known.
    """

    target: str
    runtime: Runtime
    assumptions: Assumptions
    events: tuple[Event, ...]
    invariant: str | None = None
    why: str | None = None
    cause: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " -> ".join(brief(event) for event in self.events) or "(nothing happened)"

    @property
    def text(self) -> str:
        """The trace as a person writes it: a line for each of target, runtime, assumptions and invariant, then
        one for each event. The reason is left out: a replay says it."""
        lines = [f"target: {quoted(self.target)}", f"runtime: {self.runtime}"]
        lines += [f"assume: {', '.join(self.assumptions.names)}"]
        if self.invariant is not None:
            lines.append(f"invariant: {quoted(self.invariant)}")
        return "\n".join([*lines, *map(brief, self.events)]) + "\n"

    @property
    def command(self) -> str:
        """The shell command that replays the trace and needs no file."""
        return f"sessionproof replay {shlex.quote('; '.join(self.text.splitlines()))}"

    @property
    def path(self) -> Path:
        """Where this trace is saved: one file for each target, runtime, assumptions, invariant and cause."""
        words = (self.target, str(self.runtime), str(self.assumptions), self.invariant or "interrupted")
        return FOLDER / f"{_file_name('--'.join(words), *sorted(self.cause))}.json"

    def document(self) -> dict[str, Any]:
        """The trace as plain values, for its JSON document."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "target": self.target,
            "runtime": self.runtime,
            "assume": list(self.assumptions.names),
            "invariant": self.invariant,
            "why": self.why,
            **({"cause": list(self.cause)} if self.cause else {}),
            "events": list(map(encoded, self.events)),
        }

    def save(self) -> Path:
        """Write the trace atomically. Returns its path. If it cannot be written, it is added to `unsaved`: the
        search goes on, and `print_unsaved` ends it."""
        try:
            write(self.path, self.document())
            unsaved.pop(self.path, None)
        except files.NotWritten as error:
            unsaved[self.path] = (self, str(error))
        return self.path


unsaved: dict[Path, tuple[Trace, str]] = {}
"""The traces that could not be saved, each with the reason."""


def print_unsaved(tell: Callable[[str], object]) -> None:
    """Print the documents of the traces that could not be saved, a line for each. Raises `NotWritten` if there
    are any."""
    lost = dict(unsaved)
    unsaved.clear()
    for trace, _ in lost.values():
        tell(msgspec.json.encode(trace.document()).decode())
    if lost:
        why = next(iter(lost.values()))[1]
        raise files.NotWritten(f"{why}; traces that are not saved: {len(lost)}, printed above as JSON")


def _file_name(whole: str, *more: str) -> str:
    """A file name for a text: short, and a different one for each, and for what `more` there is to tell apart. A
    plain text of moderate length is its own."""
    plain = re.sub(r"[^A-Za-z0-9.,@-]+", "_", whole)
    if plain == whole and len(plain) <= LONGEST_NAME and not more:
        return plain
    digest = hashlib.sha256("\n".join((whole, *more)).encode()).hexdigest()[:DIGITS]
    return f"{plain[: LONGEST_NAME - DIGITS - 1]}-{digest}"


def write(path: Path, document: dict[str, Any]) -> Path:
    """Write a document atomically. Returns its path. Raises `NotWritten`."""
    return files.write(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def load(path: Path) -> Trace:
    """The trace in a file, of this version or an older one. Raises `BadTrace`."""
    return decode(read(path), path)


def read(path: Path) -> dict[str, Any]:
    """The document in a file. Raises `BadTrace`."""
    try:
        return document_in(path.read_bytes(), path)
    except OSError as error:
        raise BadTrace(f"{path}: {error.strerror}") from error


def document_in(raw: bytes, where: object, **given: str | None) -> dict[str, Any]:
    """The document that some bytes are, as JSON or as text, with what is `given` beside it in place of its own.
    `where` is for the error message. Raises `BadTrace`."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if LONG_NUMBER.search(raw):
        raise BadTrace(f"{where}: not a {FORMAT} (it has a number of a thousand digits)")
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "assume" in fields:
        fields["assume"] = _names(fields["assume"])
    try:
        if raw.lstrip().startswith(b"{"):
            return msgspec.json.decode(raw, type=dict[str, Any]) | fields
        return _from_text(raw.decode(), fields)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadTrace(f"{where}: not a whole JSON document ({error})") from error
    except ValueError as error:
        raise BadTrace(f"{where}: {error}") from error


def _from_text(text: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The document of a trace that is written as text. Raises `ValueError`."""
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    written: list[str] = []
    for part in split(text, SEPARATOR):
        if (line := re.fullmatch(r"(\w+):\s*(.*)", part, re.DOTALL)) is None:
            written.append(part)
        elif line[1] in HEADERS:
            value = unquoted(line[2]) if line[2].startswith('"') else line[2]
            document[line[1]] = _names(value) if line[1] == "assume" else value
        else:
            raise ValueError(f"unknown line '{line[1]}:' (known: {', '.join(HEADERS)})")
    document |= fields
    own = sdks_of(document["target"]) if "target" in document else None
    return document | {"events": [encoded(parsed(one, own)) for one in written]}


def _names(text: str) -> list[str]:
    return re.findall(r"[^,\s]+", text)


class _Fields(Struct, frozen=True):
    """The fields that every version has."""

    format: str
    version: int
    target: str
    assume: tuple[str, ...]
    events: tuple[dict[str, Any], ...]
    runtime: Runtime = Runtime.HEADLESS
    invariant: str | None = None
    why: str | None = None
    cause: tuple[str, ...] = ()


def decode(document: dict[str, Any], path: object) -> Trace:
    """The trace in a document; `path` is for the error message. Raises `BadTrace`."""
    if document.get("format") != FORMAT:
        raise BadTrace(f"{path}: not a {FORMAT}")
    if missing := [name for name in NEEDED if name not in document]:
        raise BadTrace(f"{path}: no {missing[0]} is named; a trace is, for example, '{EXAMPLE}'")
    try:
        fields = msgspec.convert(document, _Fields)
        if fields.version not in range(1, VERSION + 1):
            known = f"this program reads 1 to {VERSION}"
            raise BadTrace(f"{path}: a {FORMAT} of version {fields.version}, and {known}")
        unknown = [name for name in fields.assume if name not in ASSUMPTIONS]
        if unknown:
            raise BadTrace(f"{path}: unknown assumption '{unknown[0]}' (known: {', '.join(ASSUMPTIONS)})")
        own = sdks_of(fields.target)
        events = tuple(decoded(entry, own) for entry in fields.events)
        assumptions = Assumptions(fields.assume)
        violation = (fields.invariant, fields.why, fields.cause)
        return Trace(fields.target, fields.runtime, assumptions, events, *violation)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadTrace(f"{path}: not a trace ({error})") from error
