"""A counterexample: a trace that breaks an invariant, with everything a report says of it.

One value, from which every rendering is made, and one document. Version 3 of the trace's document holds it: a
trace as version 1 had it, and beside it what was seen, what a model says, and what of it is necessary. A document
without those (version 1, or a search that was interrupted) still loads, as the bare trace, to be replayed; so
does one whose events were edited after they were played, and one of version 2, which has other words for what was
seen: a template where there is a token id now.

Nothing here runs a target: `properties/run/explain.py` does.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from model.clerk.state import Client
from model.world import facts as fact_module
from model.world.facts import Fact
from model.world.state import World
from properties.system.step import Step, facts_of
from properties.system.trace import VERSION, BadTrace, Trace, decode, read, write

FACTS: dict[str, type[Fact]] = {kind.__name__: kind for kind in fact_module.Fact.__args__}


class Found(Struct, frozen=True):
    """Where a counterexample was found: what was running, and the seed of the search, if it had one."""

    versions: dict[str, str]
    seed: int | None = None


class Opinion(Struct, frozen=True):
    """What the formal model of the same release does with the same events."""

    target: str
    violated: bool
    says: str


class Need(Struct, frozen=True):
    """One thing about one event that was varied: the values with which the violation stays, and those without.

    `event` counts from 1. Lengths are ranges such as "17.001 s to 29 d". `tried` is how many values were run.
    """

    event: int
    parameter: str
    stays: tuple[str, ...]
    goes: tuple[str, ...]
    tried: int


class Counterexample(Struct, frozen=True):
    """A trace, what was seen of it, and what else is known. `clients` is the model's client after each step, with
    the one at sign-in first; empty when no model does the same."""

    trace: Trace
    played: tuple[Step, ...]
    found: Found
    opinion: Opinion | None = None
    needs: tuple[Need, ...] = ()
    clients: tuple[Client, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What was seen, in order."""
        return facts_of(self.played)

    def save(self, path: Path | None = None) -> Path:
        """Write the document, in the place of the bare trace unless told otherwise, and return where it is."""
        return write(path or self.trace.path, self.document())

    def document(self) -> dict[str, Any]:
        """The counterexample in plain values, as the JSON document has them."""
        return {
            **self.trace.document(),
            "digest": digest(self.trace),
            "found": to_builtins(self.found),
            "start": _plain(self.played[0].before),
            "steps": [
                {
                    "facts": [{"fact": type(fact).__name__, **_plain(fact)} for fact in step.facts],
                    "world": _plain(step.after),
                }
                for step in self.played
            ],
            "model": to_builtins(self.opinion),
            "necessary": to_builtins(self.needs),
            "clients": [_plain(client) for client in self.clients],
        }


def load(path: Path) -> Counterexample | Trace:
    """Read a counterexample, or the bare trace if the document has no more. Raises `BadTrace`."""
    document = read(path)
    trace = decode(document, path)
    if document["version"] != VERSION or document.get("digest") != digest(trace):
        return trace
    try:
        before = msgspec.convert(document["start"], World)
        played = []
        for event, entry in zip(trace.events, document["steps"], strict=True):
            step = Step(before, event, tuple(map(_fact, entry["facts"])), msgspec.convert(entry["world"], World))
            played.append(step)
            before = step.after
        return Counterexample(
            trace,
            tuple(played),
            msgspec.convert(document["found"], Found),
            msgspec.convert(document["model"], Opinion | None),
            msgspec.convert(document["necessary"], tuple[Need, ...]),
            _clients(document["clients"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadTrace(f"{path}: damaged, or edited by hand ({error!r}): its events may still replay") from error


def _clients(states: Any) -> tuple[Client, ...]:
    """The model's states; none, if the model had other fields when they were written."""
    try:
        return msgspec.convert(states, tuple[Client, ...])
    except msgspec.ValidationError:
        return ()


def digest(trace: Trace) -> str:
    """A fingerprint of what was played: of other events, what was seen then says nothing."""
    return hashlib.sha256(msgspec.json.encode(trace.document())).hexdigest()


def _fact(entry: dict[str, Any]) -> Fact:
    fields = dict(entry)
    fact: Fact = msgspec.convert(fields, FACTS[fields.pop("fact")])
    return fact


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)


@cache
def versions() -> dict[str, str]:
    """What is running here."""
    return {
        "sessionproof": _version("sessionproof"),
        "hypothesis": _version("hypothesis"),
        "python": platform.python_version(),
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "from its sources"
