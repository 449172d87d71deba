"""The JSON Schema of a counterexample's document, derived from its Python types.

`counterexample.schema.json` is generated: `python -m properties.run.schema` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from model.assumptions.catalogue import ASSUMPTIONS
from model.operations import Load, Operation
from model.sdk import Server
from model.terms import Runtime, TokenId
from model.world.monitor import Monitor
from model.world.state import System, World
from properties.run.counterexample import Found, Need, Opinion, client_type
from properties.system.event_kinds import EVENT_KINDS
from properties.system.fact_kinds import FACT_KINDS
from properties.system.registry import sdks
from properties.system.trace import FORMAT, VERSION

SCHEMA_FILE = Path(__file__).parent / "counterexample.schema.json"


def _own() -> dict[type[Any], list[type[Any]]]:
    """The types that each SDK defines for itself, by the common type that they stand in for; `Load` is every
    SDK's."""
    return {
        Server: [type(sdk.server) for sdk in sdks()],
        TokenId: [type(sdk.server.session_token) for sdk in sdks()],
        Operation: list(dict.fromkeys([*(type(one) for sdk in sdks() for one in sdk.operations), Load])),
    }


def _clients() -> list[type[Any]]:
    return [client_type(sdk) for sdk in sdks()]


def schema() -> dict[str, Any]:
    """A schema (draft 2020-12) for every version of the document. Version 2 added the steps."""
    events = [kind for kind in EVENT_KINDS if kind is not Operation] + _own()[Operation]
    facts = list(FACT_KINDS)
    own = [kind for kinds in _own().values() for kind in kinds]
    base = [World, Monitor, System, Found, Need, Opinion, Runtime]
    kinds = list(dict.fromkeys([*base, *_clients(), *own, *events, *facts]))
    components, definitions = msgspec.json.schema_components(
        kinds, schema_hook=lambda kind: {"$own": kind.__name__}, ref_template="#/$defs/{name}"
    )
    where = dict(zip(kinds, components, strict=True))
    choices = {kind.__name__: {"anyOf": [where[one] for one in ones]} for kind, ones in _own().items()}
    for kind in (*events, *facts):
        name = where[kind]["$ref"].rpartition("/")[2]  # longer, where two SDKs have a class of that name
        _tagged(definitions[name], "event" if kind in events else "fact", kind.__name__)
    document = _document(where, [where[kind] for kind in events], [where[kind] for kind in facts])
    return {**document, "$defs": _resolved(definitions, choices)}


def _tagged(definition: dict[str, Any], tag: str, name: str) -> None:
    """Add the tag that JSON has for an event or a fact: the name of its class."""
    definition["properties"] = {**definition["properties"], tag: {"const": name}}
    definition["required"] = [tag, *(one for one in definition.get("required", []) if one != tag)]


def _resolved(value: Any, choices: dict[str, Any]) -> Any:
    """`value`, with each common type replaced by a choice among the SDKs' own types."""
    if isinstance(value, list):
        return [_resolved(one, choices) for one in value]
    if not isinstance(value, dict):
        return value
    if "$own" in value:
        return {**{key: one for key, one in value.items() if key != "$own"}, **choices[value["$own"]]}
    return {key: _resolved(one, choices) for key, one in value.items()}


def _document(where: dict[type[Any], Any], events: list[Any], facts: list[Any]) -> dict[str, Any]:
    world, monitor, runtime = where[World], where[Monitor], where[Runtime]
    text = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A trace, and what is known of it as a counterexample",
        "type": "object",
        "required": ["format", "version", "target", "runtime", "assume", "invariant", "why", "events"],
        "properties": {
            "format": {"const": FORMAT},
            "version": {"enum": list(range(1, VERSION + 1))},
            "target": text,
            "runtime": runtime,
            "assume": {"type": "array", "items": {"enum": list(ASSUMPTIONS)}},
            "invariant": {"type": ["string", "null"]},
            "why": {"type": ["string", "null"]},
            "cause": {"type": "array", "items": text},
            "events": {"type": "array", "items": {"oneOf": events}},
            "digest": text,
            "found": where[Found],
            "start": where[System],
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["facts", "world", "monitor"],
                    "properties": {
                        "facts": {"type": "array", "items": {"oneOf": facts}},
                        "world": world,
                        "monitor": monitor,
                        "diverged": {"type": ["string", "null"]},
                    },
                },
            },
            "model": {"anyOf": [where[Opinion], {"type": "null"}]},
            "necessary": {"type": "array", "items": where[Need]},
            "clients": {"type": "array", "items": {"anyOf": [where[kind] for kind in _clients()]}},
        },
    }


def text() -> str:
    """The schema as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(text())
