"""A counterexample: a trace that violates an invariant, with everything that reports say about it.

Every rendering is made from this one value. It is saved in the trace's own document (version 4), next to the
fields of the trace: the facts and states of each step, the model's verdict, and which parts of the trace are
necessary. A document without these fields (version 1, or an interrupted search) loads as a bare trace that can be
replayed. So does a document that was edited, and one of version 2 or 3, which has other names for facts.

Nothing here runs a target: `properties/run/explain.py` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from model.sdk import Client, Sdk
from model.step import Step
from model.terms import Token
from model.world.facts import Fact
from model.world.state import System
from properties.system import fact_kinds, registry
from properties.system.trace import VERSION, BadTrace, Trace, decode, read, write


class Found(Struct, frozen=True):
    """How a counterexample was found: the versions of the software, and the seed of the search, if it had one."""

    versions: dict[str, str]
    seed: int | None = None


class Opinion(Struct, frozen=True):
    """What the model of the same release does on the same events: `violated` or not, and `says` in words."""

    target: str
    violated: bool
    says: str


class Need(Struct, frozen=True):
    """What varying one parameter of one event shows: the values that keep the violation, and those that remove
    it.

    `event` counts from 1. Durations are ranges such as "12.001 s to 29 d". `tried` is the number of values run.
    """

    event: int
    parameter: str
    stays: tuple[str, ...]
    goes: tuple[str, ...]
    tried: int


class Counterexample(Struct, frozen=True):
    """A violating trace, its steps, and what else is known about it. `clients` has the model's client at sign-in
    and after each step; it is empty if no model behaves the same."""

    trace: Trace
    played: tuple[Step, ...]
    found: Found
    opinion: Opinion | None = None
    needs: tuple[Need, ...] = ()
    clients: tuple[Client, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts of the trace, in order."""
        return fact_kinds.facts_of(self.played)

    def save(self, path: Path | None = None) -> Path:
        """Write the document to `path`; by default it replaces the bare trace. Returns the path."""
        return write(path or self.trace.path, self.document())

    def document(self) -> dict[str, Any]:
        """The counterexample as plain values, for its JSON document."""
        document = {
            **self.trace.document(),
            "found": to_builtins(self.found),
            "start": to_builtins(self.played[0].start),
            "steps": [
                {
                    "facts": list(map(fact_kinds.encoded, step.facts)),
                    **to_builtins(step.end),
                    "diverged": step.diverged,
                }
                for step in self.played
            ],
            "model": to_builtins(self.opinion),
            "necessary": to_builtins(self.needs),
            "clients": to_builtins(self.clients),
        }
        return {**document, "digest": digest(document)}


def load(path: Path) -> Counterexample | Trace:
    """The counterexample in a file, or the bare trace if the document has no more. Raises `BadTrace`."""
    return recorded(read(path), path)


def recorded(document: dict[str, Any], path: object) -> Counterexample | Trace:
    """The same of a document; `path` is for the error message. Raises `BadTrace`."""
    trace = decode(document, path)
    if document["version"] != VERSION or document.get("digest") != digest(document):
        return trace
    try:
        steps = _steps(trace, document)
        needs = msgspec.convert(document["necessary"], tuple[Need, ...])
        if not all(1 <= need.event <= len(steps) for need in needs):
            raise ValueError("an event that is necessary is not in the trace")
        clients = document["clients"]
        if clients and len(clients) != len(steps) + 1:
            raise ValueError("there is not one client for each step")
        return Counterexample(
            trace,
            steps,
            msgspec.convert(document["found"], Found),
            msgspec.convert(document["model"], Opinion | None),
            needs,
            _clients(clients, registry.sdks_of(trace.target)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadTrace(f"{path}: damaged, or edited by hand ({error!r}): its events may still replay") from error


class _Played(Struct, frozen=True):
    """The fields of a step in a document, besides its facts."""

    diverged: str | None


def _steps(trace: Trace, document: dict[str, Any]) -> tuple[Step, ...]:
    own = registry.sdks_of(trace.target)
    system, steps = _system(document["start"], own), []
    for event, entry in zip(trace.events, document["steps"], strict=True):
        facts = tuple(fact_kinds.decoded(fact, own) for fact in entry["facts"])
        step = Step(system, event, facts, _system(entry, own), msgspec.convert(entry, _Played).diverged)
        steps.append(step)
        system = step.end
    return tuple(steps)


def _system(entry: Any, of: Sequence[Sdk]) -> System:
    fields = {"world": entry["world"], "monitor": entry["monitor"]}
    return msgspec.convert(fields, System, dec_hook=registry.decoder(of))


def _clients(states: Any, of: Sequence[Sdk]) -> tuple[Client, ...]:
    """The model's clients; empty if they were written by a model with other fields."""
    for sdk in of:
        kind, decode = client_type(sdk), registry.decoder([sdk])
        with contextlib.suppress(msgspec.ValidationError):
            return tuple(msgspec.convert(state, kind, dec_hook=decode) for state in states)
    return ()


def client_type(sdk: Sdk) -> type[Any]:
    """The class of the SDK's clients."""
    policy = next(iter(sdk.policies.values()))
    token = Token(1, sdk.server.session_token, 0, policy.timings.lifetime)
    return type(sdk.start(policy, sdk.runtimes[0], token)[0])


def digest(document: dict[str, Any]) -> str:
    """A fingerprint of the document, but for its own field: who edits one need not make it consistent."""
    content = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


@cache
def versions() -> dict[str, str]:
    """The versions of the software that is running."""
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
