"""A trace: the events of one run, on one target, under assumptions; it prints, saves and replays itself.

Saved as a JSON document with a version. What is found is on disk, whole, before anything else is done with it;
`properties/run/counterexample.py` says what may stand beside a trace in its document.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.terms import Millis, Runtime
from model.world.events import (
    EVENTS,
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    GetToken,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    SwitchOrganization,
    Touch,
    UnlockKeychain,
)

FORMAT = "sessionproof-trace"
VERSION = 3
FOLDER = Path(".sessionproof")
"""Where traces go, below the folder the run was started in."""


class BadTrace(Exception):
    """A file is not a trace that we can read. The message is one line: what is wrong, and what to do."""


class Trace(Struct, frozen=True):
    """What happened, in order, and what it was found to break (nothing yet: `invariant` is None)."""

    target: str
    runtime: Runtime
    assumptions: Assumptions
    events: tuple[Event, ...]
    invariant: str | None = None
    why: str | None = None

    def __str__(self) -> str:
        return " -> ".join(brief(event) for event in self.events) or "(nothing happened)"

    @property
    def path(self) -> Path:
        """Where this trace is saved: one place for a target, assumptions and invariant."""
        words = (self.target, str(self.runtime), str(self.assumptions), self.invariant or "interrupted")
        return FOLDER / (re.sub(r"[^A-Za-z0-9.,@-]+", "_", "--".join(words)) + ".json")

    def document(self) -> dict[str, Any]:
        """The trace in plain values, as the JSON document has them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "target": self.target,
            "runtime": self.runtime,
            "assume": list(self.assumptions.names),
            "invariant": self.invariant,
            "why": self.why,
            "events": [{"event": type(event).__name__, **asdict(event)} for event in self.events],
        }

    def save(self) -> Path:
        """Write the trace, whole or not at all, and return where it is."""
        return write(self.path, self.document())


def write(path: Path, document: dict[str, Any]) -> Path:
    """Write a document, whole or not at all, and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".json.new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    draft.replace(path)
    return path


def load(path: Path) -> Trace:
    """Read a saved trace, of this version or an older one. Raises `BadTrace`."""
    return decode(read(path), path)


def read(path: Path) -> dict[str, Any]:
    """The document in a file, if it is one of ours. Raises `BadTrace`."""
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise BadTrace(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadTrace(f"{path}: not a whole JSON document ({error})") from error
    if document.get("format") != FORMAT:
        raise BadTrace(f"{path}: not a {FORMAT}")
    version = document.get("version")
    if version not in range(1, VERSION + 1):
        raise BadTrace(f"{path}: a {FORMAT} of version {version}, and this program reads 1 to {VERSION}")
    return document


def decode(document: dict[str, Any], path: Path) -> Trace:
    """The trace in a document; `path` is for the message. Raises `BadTrace`."""
    try:
        unknown = [name for name in document["assume"] if name not in ASSUMPTIONS]
        if unknown:
            raise BadTrace(f"{path}: unknown assumption '{unknown[0]}' (known: {', '.join(ASSUMPTIONS)})")
        return Trace(
            target=document["target"],
            runtime=Runtime(document["runtime"]),
            assumptions=Assumptions(tuple(document["assume"])),
            events=tuple(_event(entry) for entry in document["events"]),
            invariant=document["invariant"],
            why=document["why"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadTrace(f"{path}: damaged, or edited by hand ({error!r})") from error


def _event(entry: dict[str, Any]) -> Event:
    fields = dict(entry)
    name = fields.pop("event")
    kind = next((kind for kind in EVENTS if kind.__name__ == name), None)
    if kind is None:
        raise ValueError(f"unknown event {name}")
    event: Event = msgspec.convert(fields, kind)
    return event


def brief(event: Event) -> str:
    """The event as one word and its arguments: the one-line form of a trace."""
    match event:
        case Advance(ms):
            return f"advance({duration(ms)})"
        case Freeze(ms, kind):
            return f"freeze({duration(ms)})" if kind is FreezeKind.STARVED else f"sleep({duration(ms)})"
        case GetToken(template, skip_cache, organization):
            arguments = [f"template={template}"] if template else []
            arguments += [f"organization={organization or 'personal'}"] if organization is not None else []
            return f"getToken({', '.join(arguments + ['skipCache'] * skip_cache)})"
        case Answer(request, outcome):
            return f"answer({request}, {outcome})"
        case Revoke():
            return "revoke()"
        case SetClock(skew):
            return f"setClock({ahead(skew)})"
        case LockKeychain():
            return "lock()"
        case UnlockKeychain():
            return "unlock()"
        case Touch():
            return "touch()"
        case GoOffline():
            return "goOffline()"
        case GoOnline():
            return "goOnline()"
        case RestartApp():
            return "restart()"
        case SwitchOrganization(organization):
            return f"switch({organization or 'personal'})"


def ahead(skew: Millis) -> str:
    """How a clock stands to the server's, when it is `skew` ms ahead of that."""
    if skew == 0:
        return "right"
    return f"{duration(abs(skew))} {'ahead' if skew > 0 else 'behind'}"


def duration(ms: Millis) -> str:
    """`ms` milliseconds as a person says them, exactly."""
    sign, ms = ("-" if ms < 0 else ""), abs(ms)
    if ms < 60_000:
        whole, rest = divmod(ms, 1000)
        return f"{sign}{whole}{f'.{rest:03}'.rstrip('0') if rest else ''} s"
    units = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1))
    parts = []
    for unit, size in units:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count} {unit}")
    return sign + " ".join(parts)
