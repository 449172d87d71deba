"""Values that a JSON Schema allows, as a Hypothesis strategy: for the keywords that our schemas use."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=8),
    "integer": st.integers(0, 100_000) | st.integers(),
    "boolean": st.booleans(),
    "null": st.none(),
}


def values(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that `schema` allows; `definitions` has what its references name."""

    def of(part: dict[str, Any]) -> st.SearchStrategy[Any]:
        match part:
            case {"$ref": str(place)}:
                return st.deferred(lambda: of(definitions[place.rpartition("/")[2]]))
            case {"const": value}:
                return st.just(value)
            case {"enum": names}:
                return st.sampled_from(names)
            case {"anyOf": parts} | {"oneOf": parts}:
                return st.one_of(*map(of, parts))
            case {"type": [*kinds]}:
                return st.one_of(*(PLAIN[kind] for kind in kinds))
            case {"type": "object", "properties": fields}:
                needed = part.get("required", ())
                optional = {name: of(one) for name, one in fields.items() if name not in needed}
                return st.fixed_dictionaries({name: of(fields[name]) for name in needed}, optional=optional)
            case {"type": "object", "additionalProperties": dict(one)}:
                return st.dictionaries(PLAIN["string"], of(one), max_size=2)
            case {"type": "array", "prefixItems": [*ones]}:
                return st.tuples(*map(of, ones)).map(list)
            case {"type": "array", "items": dict(one)}:
                return st.lists(of(one), max_size=3)
            case {"type": str(kind)}:
                return PLAIN[kind]
        raise AssertionError(f"a keyword that is new here: {part}")

    return of(schema)
