"""One row for each kind of event: its short form, and the noun phrase that reports use for it.

To add a kind of event, see CONTRIBUTING.md. All operations share one row, because each operation's class has its
own short form (`model.operations.Operation`). In JSON an event is its fields, and the name of its class as
`event`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, to_builtins

from model.notation import NUMBER, Notation, Parameter, ShortForm, choice
from model.operations import Operation
from model.requests import Ending, Outcome
from model.sdk import Sdk
from model.terms import TabState
from model.world.events import (
    Advance,
    Answer,
    CloseChannel,
    Deliver,
    Event,
    FreeLock,
    Freeze,
    FreezeKind,
    GoOffline,
    GoOnline,
    HearTab,
    HoldLock,
    LockKeychain,
    Lose,
    RestartApp,
    Revoke,
    RevokeOther,
    Serve,
    SetClock,
    StartApp,
    TurnTo,
    UnlockKeychain,
)
from properties.system.registry import operations
from properties.system.wording import SAYS, SHORT, ahead, duration, milliseconds, skew

E = TypeVar("E")


class EventKind(Struct, Generic[E], frozen=True):
    """How one kind of event is written."""

    kind: type[E]
    forms: tuple[ShortForm, ...] = ()
    """Its short forms, as in the one-line form of a trace: one, or one for each value of a field."""
    noun: Callable[[E], str] | None = None
    """The noun phrase for it in a sentence; None if that is its short form."""


LENGTH = Notation(duration, milliseconds, ("8 h", "30 s"))
AHEAD = Notation(ahead, skew, ("1 h behind", "5 min ahead", "right"))
OUTCOME = choice(Outcome, **{word: outcome for outcome, word in SAYS.items()})
REQUEST = Parameter("request", NUMBER)
ENDING = Parameter("ending", choice(Ending), default=Ending.REVOKED)

EVENT_KINDS: dict[type[Any], EventKind[Any]] = {
    row.kind: row
    for row in (
        EventKind(
            Advance,
            (ShortForm("advance", (Parameter("ms", LENGTH),)),),
            noun=lambda event: f"{duration(event.ms)} that pass",
        ),
        EventKind(
            Freeze,
            (
                ShortForm("freeze", (Parameter("ms", LENGTH),), {"kind": FreezeKind.STARVED}),
                ShortForm("sleep", (Parameter("ms", LENGTH),), {"kind": FreezeKind.ASLEEP}),
            ),
            noun=lambda event: f"the freeze of {duration(event.ms)}",
        ),
        EventKind(
            Answer,
            (ShortForm("answer", (REQUEST, Parameter("outcome", OUTCOME))),),
            noun=lambda event: f"the answer to request {event.request}, {SHORT[event.outcome]}",
        ),
        EventKind(
            Serve,
            (ShortForm("serve", (REQUEST, Parameter("outcome", OUTCOME))),),
            noun=lambda event: f"what the server does with request {event.request}: {SHORT[event.outcome]}",
        ),
        EventKind(
            Deliver,
            (ShortForm("deliver", (REQUEST,)),),
            noun=lambda event: f"the reply to request {event.request}, which arrives",
        ),
        EventKind(
            Lose,
            (ShortForm("lose", (REQUEST,)),),
            noun=lambda event: f"the reply to request {event.request}, which is lost",
        ),
        EventKind(Revoke, (ShortForm("revoke", (ENDING,)),)),
        EventKind(RevokeOther, (ShortForm("revokeOther", (Parameter("session", NUMBER), ENDING)),)),
        EventKind(SetClock, (ShortForm("setClock", (Parameter("skew", AHEAD),)),)),
        EventKind(LockKeychain, (ShortForm("lock"),)),
        EventKind(UnlockKeychain, (ShortForm("unlock"),)),
        EventKind(GoOffline, (ShortForm("goOffline"),)),
        EventKind(GoOnline, (ShortForm("goOnline"),)),
        EventKind(
            TurnTo,
            tuple(
                ShortForm(word, (), {"state": state})
                for word, state in (
                    ("focusTab", TabState.FOCUSED),
                    ("showTab", TabState.VISIBLE),
                    ("hideTab", TabState.HIDDEN),
                )
            ),
        ),
        EventKind(HearTab, (ShortForm("hearTab", (Parameter("outcome", OUTCOME, default=Outcome.GRANTED),)),)),
        EventKind(HoldLock, (ShortForm("holdLock"),)),
        EventKind(FreeLock, (ShortForm("freeLock"),)),
        EventKind(CloseChannel, (ShortForm("closeChannel"),)),
        EventKind(StartApp, (ShortForm("start"),)),
        EventKind(RestartApp, (ShortForm("restart"),)),
        EventKind(Operation),
    )
}
"""The rows by class of event. All operations share one: each of their classes has its own form."""


def without_row(kinds: Iterable[type[Any]], rows: Iterable[type[Any]]) -> list[str]:
    """The names of the kinds that have no row."""
    rows = set(rows)
    return [kind.__name__ for kind in kinds if kind not in rows]


def _row(event: Event) -> EventKind[Any]:
    return EVENT_KINDS[Operation if isinstance(event, Operation) else type(event)]


def brief(event: Event) -> str:
    """The event as one word and its arguments."""
    forms = (event.short_form(),) if isinstance(event, Operation) else _row(event).forms
    return next(form for form in forms if form.fits(event)).write(event)


def word(event: Event) -> str:
    """The event without its arguments: `freeze`."""
    return brief(event).partition("(")[0]


def named(event: Event) -> str:
    """The noun phrase for the event in a sentence."""
    noun = _row(event).noun
    return noun(event) if noun else brief(event)


def parsed(text: str, of: Sequence[Sdk] | None = None) -> Event:
    """The inverse of `brief`, with the operations of these SDKs, or of all SDKs. `freeze 8h` will do, too. Raises
    `ValueError`."""
    known = {form.word: (form, row.kind) for row in EVENT_KINDS.values() for form in row.forms}
    known |= {kind.verb: (kind.short_form(), kind) for kind in operations(of).values()}
    called = re.fullmatch(r"(\w+)\s*(?:\((.*)\)|(.*))", text, re.DOTALL)
    if called is None or called[1] not in known:
        examples = ", ".join(form.example for form, _ in known.values())
        raise ValueError(f"'{text}' is no event (known: {examples})")
    form, kind = known[called[1]]
    try:
        event: Event = form.read(kind, called[2] or called[3] or "")
    except ValueError as error:
        raise ValueError(f"'{text}' is no event like {form.example}: {error}") from None
    return event


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
