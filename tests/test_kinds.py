"""Every kind of event and of fact has a row, and what its row says is all that a report goes by."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec import Struct

from model.clerk.terms import PERSONAL, SESSION_TOKEN, GetToken, SwitchOrganization, TokenId, Touch
from model.notation import flag
from model.operations import Operation
from model.requests import Endpoint, Outcome
from model.terms import Token
from model.world.events import Advance, Answer, Event, Freeze, FreezeKind, GoOffline, GoOnline
from model.world.facts import (
    Answered,
    CallStarted,
    Fact,
    Origin,
    Restarted,
    Sent,
    SessionDropped,
    Settled,
    Shown,
    TimerFired,
)
from properties.system import event_kinds, fact_kinds
from properties.system.event_kinds import EVENT_KINDS, brief, named, without_row
from properties.system.fact_kinds import FACT_KINDS, tell
from tests.support import HOUR, SECOND


class Eclipse(Struct, frozen=True):
    """A kind that nobody has written a row for."""

    at: int


UNIONS = pytest.mark.parametrize(
    ("union", "rows"), [(Event, EVENT_KINDS), (Fact, FACT_KINDS)], ids=["events", "facts"]
)


@UNIONS
def test_every_kind_has_a_row_and_every_row_a_kind(union: Any, rows: dict[type[Any], Any]) -> None:
    assert without_row(get_args(union), rows) == []
    assert set(rows) == set(get_args(union))


@UNIONS
def test_a_kind_without_a_row_is_noticed(union: Any, rows: dict[type[Any], Any]) -> None:
    assert without_row((*get_args(union), Eclipse), rows) == ["Eclipse"]


# -- events -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "short", "noun"),
    [
        (Advance(43_000), "advance(43 s)", "43 s that pass"),
        (Freeze(HOUR, FreezeKind.ASLEEP), "sleep(1 h)", "the freeze of 1 h"),
        (Answer(2, Outcome.LOST), "answer(2, lost)", "the answer to request 2, no answer"),
        (GoOffline(), "goOffline()", "goOffline()"),
        (GoOnline(), "goOnline()", "goOnline()"),
        (Touch(), "touch()", "touch()"),
        (GetToken("api"), "getToken(template=api)", "getToken(template=api)"),
        (GetToken(organization=PERSONAL), "getToken(organization=personal)", "getToken(organization=personal)"),
        (SwitchOrganization("org_b"), "setActive(org_b)", "setActive(org_b)"),
    ],
)
def test_an_event_has_a_short_form_and_a_name(event: Event, short: str, noun: str) -> None:
    assert (brief(event), named(event)) == (short, noun)


class Refresh(Struct, Operation, frozen=True):
    """An operation of an SDK that nobody has heard of."""

    force: bool = False

    verb = "refresh"
    parameters = (flag("force", "force"),)

    def __str__(self) -> str:
        return Operation.__str__(self)


def test_an_operation_says_itself_how_it_is_written() -> None:
    assert brief(Refresh(force=True)) == "refresh(force)"
    assert tell(CallStarted(0, 1, Refresh(force=True))) == ("app", "calls refresh with force (call 1)")


# -- facts --------------------------------------------------------------------------------------------------

T2 = Token(2, TokenId(organization="org_b"), 0, 60)


@pytest.mark.parametrize(
    ("fact", "who", "what"),
    [
        (
            CallStarted(0, 1, GetToken("api", skip_cache=True)),
            "app",
            "calls getToken for template 'api', skipping the cache (call 1)",
        ),
        (CallStarted(0, 2, Touch()), "app", "calls touch (call 2)"),
        (TimerFired(HOUR, 1, 0, 0), "timer", "set at 0:00:00 fires on time"),
        (
            Sent(0, 1, Endpoint.MINT, T2.token_id, Origin.BACKGROUND, 0),
            "SDK",
            "asks for a token of org_b, in the background (request 1)",
        ),
        (
            Sent(0, 2, Endpoint.INTROSPECT, SESSION_TOKEN, Origin.FOREGROUND, SECOND),
            "SDK",
            "asks which sessions there are, in the foreground (request 2); its last session token has expired",
        ),
        (
            Sent(0, 3, Endpoint.MUTATE, T2.token_id, Origin.FOREGROUND, 0, unauthenticated=True),
            "SDK",
            "updates the session for org_b, without the device's credential, in the foreground (request 3)",
        ),
        (
            Answered(SECOND, 1, Endpoint.MINT, Outcome.GRANTED, T2, 0, Origin.BACKGROUND, True, 0),
            "server",
            "answers request 1 after 1 s: a token (T2)",
        ),
        (
            Answered(0, 1, Endpoint.MINT, Outcome.LOST, None, 0, Origin.BACKGROUND, False, 0),
            "network",
            "answers request 1: nothing: the connection is lost",
        ),
        (
            SessionDropped(0, Origin.BACKGROUND, valid=True),
            "SDK",
            "signs the user out, in the background, while the session is valid",
        ),
        (Settled(0, 1, 0, T2.token_id, T2, None, True, False), "SDK", "settles call 1 with T2 of org_b"),
        (
            Settled(0, 1, 0, SESSION_TOKEN, None, "api-500", True, False),
            "SDK",
            "settles call 1 with the error 'api-500'",
        ),
        (Settled(0, 1, 0, SESSION_TOKEN, None, None, True, False), "SDK", "settles call 1"),
        (Shown(0, T2, due=True), "SDK", "shows T2 to the app's own server"),
        (
            Shown(0, None, due=True),
            "SDK",
            "shows the app's own server no token, while the session is valid",
        ),
        (Shown(0, None, due=False), "SDK", "shows the app's own server no token"),
        (
            Restarted(0, 2, (1,), (2, 3)),
            "OS",
            "kills the app, and it starts again: it loads (call 2); with it end request 2, request 3, call 1",
        ),
    ],
)
def test_a_fact_is_told_by_who_does_it(fact: Fact, who: str, what: str) -> None:
    assert tell(fact) == (who, what)


def test_a_fact_and_an_event_come_back_from_their_plain_values() -> None:
    facts: tuple[Fact, ...] = (
        CallStarted(0, 1, SwitchOrganization("org_b")),
        Shown(0, T2, due=True),
        Sent(0, 1, Endpoint.MINT, T2.token_id, Origin.BACKGROUND, 0),
    )
    assert tuple(map(fact_kinds.decoded, map(fact_kinds.encoded, facts))) == facts
    events: tuple[Event, ...] = (GetToken("api"), Freeze(HOUR, FreezeKind.ASLEEP), GoOffline())
    assert tuple(map(event_kinds.decoded, map(event_kinds.encoded, events))) == events
