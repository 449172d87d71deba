"""The canonical form of a client: `Form`, the renaming that makes it, and the form of a plain client.

`canonical`, `timers` and `requests` go by the types of fields: whatever is a `TimerId`, `RequestId`, `CallId` or
`Token` is renamed, in structs and tuples too, and everything else is kept. That is sound for every client whose
fields `next_timer` and `next_request` have the ids that it gives out next. Ids and tokens in another
container are refused. A client with a form of its own has fewer states: it can sort what has no
order, and leave out what no rule reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import replace

from model.terms import CallId, RequestId, TimerId, Token

S = TypeVar("S", bound=Struct)


class Form(Protocol):
    """The renaming of one canonical form: what becomes of the names and instants in a client.

    Timers, requests and calls get new names; a reference to one that is gone becomes None.
    """

    switches: bool
    """May another token become the session's own? If not, what is remembered for that case only can be left
    out."""
    baseline: bool
    """May a token be older than one that came before it? If not, what is remembered to compare them can be left
    out."""

    @property
    def known_requests(self) -> int:
        """How many requests have a name. The number after it is free."""

    @property
    def known_timers(self) -> int:
        """How many timers have a name. The number after it is free."""

    def timer(self, timer: TimerId | None) -> TimerId | None:
        """The canonical name of a timer; None if it is gone."""

    def request(self, request: RequestId | None) -> RequestId | None:
        """The canonical name of a request; None if it is gone."""

    def call(self, call: CallId | None) -> CallId | None:
        """The canonical name of a call; None if it has ended."""

    def token(self, token: Token | None) -> Token | None:
        """A token without its number."""

    def count(self, count: int) -> int:
        """A number of tries; one number for all, where a proof leaves tries out."""


def canonical(client: S, form: Form) -> S:
    """The client in canonical form."""
    renamed: S = _changed(client, type(client), lambda kind, value: getattr(form, kind)(value))
    return replace(renamed, next_timer=form.known_timers + 1, next_request=form.known_requests + 1)


def timers(client: Struct) -> Sequence[TimerId]:
    """The timers that a client's fields refer to, in the order of the fields."""
    return _named(client, "timer")


def requests(client: Struct, form: Form) -> Sequence[RequestId]:
    """The requests that a client's fields refer to, in the order of the fields."""
    return _named(client, "request")


def with_tokens(client: S, change: Callable[[Token], Token]) -> S:
    """A client with every token in its fields changed."""

    def changed(kind: str, value: Any) -> Any:
        return change(value) if kind == "token" and value is not None else value

    result: S = _changed(client, type(client), changed)
    return result


def _named(client: Struct, wanted: str) -> list[int]:
    found: dict[int, None] = {}

    def note(kind: str, value: Any) -> Any:
        if kind == wanted and value is not None:
            found[value] = None
        return value

    _changed(client, type(client), note)
    return [*found]


def _changed(value: Any, kind: Any, change: Callable[[str, Any], Any]) -> Any:
    """`value`, which has the type `kind`, with `change` applied to every id and token in it. `change` gets the
    name of the method of `Form` for what it is, and the value."""
    if get_origin(kind) in (Union, UnionType):  # X | None
        kind = get_args(kind)[0]
    if _is_named(kind):
        return change("token" if kind is Token else get_args(kind)[1], value)
    if isinstance(value, Struct):
        fields = _fields(type(value))
        return replace(value, **{name: _changed(getattr(value, name), of, change) for name, of in fields.items()})
    if isinstance(value, tuple):
        parts = get_args(kind)
        kinds = parts[:1] * len(value) if Ellipsis in parts else parts
        return tuple(_changed(one, of, change) for one, of in zip(value, kinds, strict=True))
    if any(map(_is_named, get_args(kind))):
        raise TypeError(f"a field is a {kind}: ids and tokens are renamed in structs and tuples only")
    return value


def _is_named(kind: Any) -> bool:
    return kind is Token or get_origin(kind) is Annotated


@cache
def _fields(kind: type[Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: hints[name] for name in kind.__struct_fields__ if name not in ("next_timer", "next_request")}
