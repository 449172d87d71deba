"""One row for each kind of event: its short form, and the noun phrase that reports use for it.

To add a kind of event, see CONTRIBUTING.md. All operations share one row, because each operation's class has its
own short form (`model.terms.Operation`). In JSON an event is its fields, and the name of its class as `event`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, to_builtins

from model.sdk import Sdk
from model.terms import Operation
from model.world.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    UnlockKeychain,
)
from properties.system.registry import operations
from properties.system.wording import SHORT, ahead, duration

E = TypeVar("E")


class EventKind(Struct, Generic[E], frozen=True):
    """How reports write one kind of event."""

    kind: type[E]
    short: Callable[[E], str]
    """One word and its arguments, as in the one-line form of a trace."""
    noun: Callable[[E], str] | None = None
    """The noun phrase for it in a sentence; None if that is its short form."""


_FREEZE_WORDS = {FreezeKind.STARVED: "freeze", FreezeKind.ASLEEP: "sleep"}

EVENT_KINDS: dict[type[Any], EventKind[Any]] = {
    row.kind: row
    for row in (
        EventKind(
            Advance,
            short=lambda event: f"advance({duration(event.ms)})",
            noun=lambda event: f"{duration(event.ms)} that pass",
        ),
        EventKind(
            Freeze,
            short=lambda event: f"{_FREEZE_WORDS[event.kind]}({duration(event.ms)})",
            noun=lambda event: f"the freeze of {duration(event.ms)}",
        ),
        EventKind(
            Answer,
            short=lambda event: f"answer({event.request}, {event.outcome})",
            noun=lambda event: f"the answer to request {event.request}, {SHORT[event.outcome]}",
        ),
        EventKind(Revoke, short=lambda _: "revoke()"),
        EventKind(SetClock, short=lambda event: f"setClock({ahead(event.skew)})"),
        EventKind(LockKeychain, short=lambda _: "lock()"),
        EventKind(UnlockKeychain, short=lambda _: "unlock()"),
        EventKind(GoOffline, short=lambda _: "goOffline()"),
        EventKind(GoOnline, short=lambda _: "goOnline()"),
        EventKind(RestartApp, short=lambda _: "restart()"),
        EventKind(Operation, short=str),
    )
}
"""The rows by class of event. All operations share one."""


def without_row(kinds: Iterable[type[Any]], rows: Iterable[type[Any]]) -> list[str]:
    """The names of the kinds that have no row."""
    rows = set(rows)
    return [kind.__name__ for kind in kinds if kind not in rows]


def _row(event: Event) -> EventKind[Any]:
    return EVENT_KINDS[Operation if isinstance(event, Operation) else type(event)]


def brief(event: Event) -> str:
    """The event as one word and its arguments."""
    return _row(event).short(event)


def named(event: Event) -> str:
    """The noun phrase for the event in a sentence."""
    row = _row(event)
    return (row.noun or row.short)(event)


# -- JSON ---------------------------------------------------------------------------------------------------


def event_types(of: Sequence[Sdk] | None = None) -> dict[str, type[Any]]:
    """Every class of event by its name in JSON, including the operations of these SDKs, or of all SDKs."""
    own = {kind.__name__: kind for kind in EVENT_KINDS if kind is not Operation}
    return own | operations(of)


def encoded(event: Event) -> dict[str, Any]:
    """The event as plain values."""
    return {"event": type(event).__name__, **to_builtins(event)}


def decoded(entry: dict[str, Any], of: Sequence[Sdk] | None = None) -> Event:
    """The event that `entry` encodes, with the operations of these SDKs, or of all SDKs. Raises `ValueError`."""
    name = entry.get("event")
    kind = event_types(of).get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown event {name}")
    event: Event = msgspec.convert(entry, kind)
    return event
