"""The short form of a value: one word and its parameters, as in `answer(1, unauthorized)`.

A `ShortForm` writes it and reads it, so that the two are inverse. Every kind of event and every operation of an
SDK has one (`properties/system/event_kinds.py`, `Operation.parameters`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

from msgspec import Struct

V = TypeVar("V")
E = TypeVar("E", bound=StrEnum)

ALWAYS: Any = object()
"""The default of a parameter that is always written."""
QUOTED = r'"(?:[^"\\]|\\.)*"'
"""A text in quotes, as in JSON."""
PLAIN = re.compile(r"[\w.@/:+-]+", re.ASCII)
"""A text that needs no quotes."""


class Notation(Struct, Generic[V], frozen=True):
    """How one kind of value is written, and read back. `read` raises `ValueError`."""

    write: Callable[[V], str]
    read: Callable[[str], V]
    examples: tuple[str, ...]


NUMBER: Notation[int] = Notation(str, int, ("1",))


def choice(kind: type[E], **others: E) -> Notation[E]:
    """The members of an enumeration; `others` are further words that are read."""
    return Notation(str, lambda word: others.get(word) or kind(word), tuple(map(str, kind)))


def text(example: str, **words: str | None) -> Notation[str | None]:
    """Texts, in quotes where they need them. Each of `words` stands for a value of its own."""
    meant = {value: word for word, value in words.items()}
    return Notation(
        lambda value: meant[value] if value in meant else quoted(str(value), words),
        lambda written: words[written] if written in words else unquoted(written),
        (example,),
    )


def quoted(value: str, reserved: Mapping[str, object] | None = None) -> str:
    """The text, in quotes unless it is plain and not `reserved`."""
    return value if PLAIN.fullmatch(value) and value not in (reserved or ()) else json.dumps(value)


def unquoted(written: str) -> str:
    """The inverse of `quoted`. Raises `ValueError`."""
    if PLAIN.fullmatch(written):
        return written
    if not re.fullmatch(QUOTED, written):
        raise ValueError(f"{written} needs quotes")
    return str(json.loads(written))


def split(whole: str, separator: str) -> list[str]:
    """The parts of a text between separators, which a regular expression names. Quotes protect a separator; parts
    that are blank are left out."""
    parts = [""]
    for piece in re.findall(rf"{QUOTED}|{separator}|.", whole, re.DOTALL):
        if re.fullmatch(separator, piece):
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts if part.strip()]


class Parameter(Struct, frozen=True):
    """How one field is written: its value, after `label=` if there is a label. The `default` is left out."""

    field: str
    notation: Notation[Any]
    label: str = ""
    default: Any = ALWAYS

    @property
    def prefix(self) -> str:
        """What stands before the value."""
        return f"{self.label}=" if self.label else ""

    def read(self, written: str) -> Any:
        """The value. Raises `ValueError`."""
        if not written.startswith(self.prefix):
            raise ValueError(f"no {self.label}")
        return self.notation.read(written.removeprefix(self.prefix))


def flag(field: str, word: str) -> Parameter:
    """A field that is true if the word is there."""
    return Parameter(field, Notation(lambda _: word, {word: True}.__getitem__, (word,)), default=False)


class ShortForm(Struct, frozen=True):
    """The short form of the values of a class whose `fixed` fields are these."""

    word: str
    parameters: tuple[Parameter, ...] = ()
    fixed: Mapping[str, Any] = {}

    @property
    def example(self) -> str:
        """A value in short form, with every argument."""
        return f"{self.word}({', '.join(one.prefix + one.notation.examples[0] for one in self.parameters)})"

    def fits(self, value: object) -> bool:
        """Does the value have this form?"""
        return all(getattr(value, field) == fixed for field, fixed in self.fixed.items())

    def arguments(self, value: object) -> tuple[str, ...]:
        """What stands between the parentheses."""
        pairs = ((one, getattr(value, one.field)) for one in self.parameters)
        return tuple(one.prefix + one.notation.write(is_) for one, is_ in pairs if is_ != one.default)

    def write(self, value: object) -> str:
        """The value in short form."""
        return f"{self.word}({', '.join(self.arguments(value))})"

    def read(self, kind: Callable[..., V], arguments: str) -> V:
        """The value of class `kind`, with what stands between the parentheses. Raises `ValueError`.

        Commas may be missing, and the order does not matter where kinds of values differ.
        """
        if len(self.parameters) > 1:
            apart = split(arguments, "," if len(split(arguments, ",")) > 1 else r"\s+")
        else:
            apart = [arguments.strip()] if arguments.strip() else []
        fields = dict(self.fixed)
        for one in self.parameters:
            for written in apart:
                try:
                    fields[one.field] = one.read(written)
                except (ValueError, KeyError):
                    continue
                apart.remove(written)
                break
            else:
                if one.default is ALWAYS:
                    raise ValueError(f"no {one.field}, such as {', '.join(one.notation.examples)}")
                fields[one.field] = one.default
        if apart:
            raise ValueError(f"'{apart[0]}' is none of its arguments")
        return kind(**fields)
