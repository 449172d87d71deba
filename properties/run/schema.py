"""The JSON Schema of a counterexample's document, derived from the values that it holds.

`counterexample.schema.json` is its text: `python -m properties.run.schema` writes it anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from model.assumptions.catalogue import ASSUMPTIONS
from model.clerk.state import Client
from model.terms import Runtime
from model.world.events import EVENTS
from model.world.state import World
from properties.run.counterexample import FACTS, Found, Need, Opinion
from properties.system.trace import FORMAT, VERSION

FILE = Path(__file__).parent / "counterexample.schema.json"


def schema() -> dict[str, Any]:
    """A schema (draft 2020-12) for every version of the document; from version 2 on it has what was seen."""
    kinds = [World, Client, Found, Need, Opinion, Runtime, *EVENTS, *FACTS.values()]
    (world, client, found, need, opinion, runtime, *others), definitions = msgspec.json.schema_components(
        kinds, ref_template="#/$defs/{name}"
    )
    tagged = list(zip([*EVENTS, *FACTS.values()], others, strict=True))
    for kind, _ in tagged:
        definition = definitions[kind.__name__]
        tag = "event" if kind in EVENTS else "fact"
        definition["properties"] = {tag: {"const": kind.__name__}, **definition["properties"]}
        definition["required"] = [tag, *definition.get("required", [])]
    events = [reference for kind, reference in tagged if kind in EVENTS]
    facts = [reference for kind, reference in tagged if kind not in EVENTS]
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
            "events": {"type": "array", "items": {"oneOf": events}},
            "digest": text,
            "found": found,
            "start": world,
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["facts", "world"],
                    "properties": {"facts": {"type": "array", "items": {"oneOf": facts}}, "world": world},
                },
            },
            "model": {"anyOf": [opinion, {"type": "null"}]},
            "necessary": {"type": "array", "items": need},
            "clients": {"type": "array", "items": client},
        },
        "$defs": definitions,
    }


def text() -> str:
    """The schema as it stands in its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
