"""A generic rendering of a struct's fields as names and texts, for the state of any SDK's client or server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from model.terms import Millis, Token, TokenId
from properties.system.fact_kind import Rows
from properties.system.wording import listed, token_state


def fields(value: Any, now: Millis) -> Rows:
    """The non-empty fields of a struct, as pairs of name and text. `now` is the instant for the age of tokens."""
    pairs = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return tuple((name.replace("_", " "), _text(one, now)) for name, one in pairs if not _empty(one))


def _empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, tuple | frozenset) and not value)


def _text(value: Any, now: Millis) -> str:
    match value:
        case Token():
            return token_state(value, now)
        case TokenId():
            return str(value) or "session token"
        case True:
            return "yes"
        case None:
            return "none"
        case frozenset():
            return listed(sorted(_text(one, now) for one in value))
        case tuple():
            return listed(_text(one, now) for one in value)
        case Struct() if (name := getattr(value, "name", None)) is not None:
            return str(name)
        case Struct():
            return _joined(fields(value, now))
        case _:
            return str(value)


def _joined(rows: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {text}" if text != "yes" else name for name, text in rows)
