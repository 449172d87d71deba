"""Traces on disk, and as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.clerk.terms import GetToken, SwitchOrganization, Touch
from model.requests import Ending, Outcome
from model.terms import Runtime
from model.world.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    UnlockKeychain,
)
from properties.system.event_kinds import brief, event_types
from properties.system.trace import VERSION, BadTrace, Trace, load
from properties.system.wording import duration
from tests.support import DAY, HOUR, assuming

TRACE = Trace(
    "clerk-js@6.7.1",
    Runtime.HEADLESS,
    assuming("starvation", "stale-after-expiry"),
    (Freeze(8 * HOUR), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION)),
    "background-never-destroys-valid-session",
    "the user is signed out",
)


def events() -> st.SearchStrategy[Event]:
    return st.one_of(*map(st.from_type, event_types().values()))


@given(st.lists(events()))
def test_every_event_comes_back_from_disk_as_it_was(some: list[Event]) -> None:
    trace = Trace("model", Runtime.BROWSER_LIKE, assuming("calm"), tuple(some))
    assert load(trace.save()) == trace


def test_a_trace_prints_as_one_line() -> None:
    assert str(TRACE) == "freeze(8 h) -> answer(1, unauthorized) -> answer(2, no-session)"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Advance(43_000), "advance(43 s)"),
        (Freeze(61_001, FreezeKind.ASLEEP), "sleep(1 min 1 s 1 ms)"),
        (GetToken("api", skip_cache=True), "getToken(template=api, skipCache)"),
        (GetToken(organization="org_b"), "getToken(organization=org_b)"),
        (Revoke(), "revoke()"),
        (SetClock(-3_600_000), "setClock(1 h behind)"),
        (SetClock(0), "setClock(right)"),
        (LockKeychain(), "lock()"),
        (UnlockKeychain(), "unlock()"),
        (Touch(), "touch()"),
        (SwitchOrganization(None), "setActive(personal)"),
        (RestartApp(), "restart()"),
    ],
)
def test_each_event_has_a_short_form(event: Event, text: str) -> None:
    assert brief(event) == text


@pytest.mark.parametrize(
    "event",
    [Advance(1), Freeze(2), GetToken("api"), Answer(1, Outcome.LOST), Revoke(), SetClock(1), LockKeychain()],
)
def test_the_repr_of_an_event_is_code(event: Event) -> None:
    assert Ending.REVOKED  # repr names it
    assert eval(repr(event)) == event


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1, "0.001 s"),
        (1_500, "1.5 s"),
        (60_000, "1 min"),
        (60_001, "1 min 1 ms"),
        (8 * HOUR, "8 h"),
        (31 * DAY, "31 d"),
    ],
)
def test_durations_read_as_a_person_says_them(ms: int, text: str) -> None:
    assert duration(ms) == text


def damage(path: Path, **changes: object) -> Path:
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": 99}, "version"),
        ({"format": "diary"}, "sessionproof-trace"),
        ({"assume": ["tuesday"]}, "unknown assumption 'tuesday'"),
        ({"events": [{"event": "Explode"}]}, "Explode"),
        ({"events": [{"event": "Advance", "ms": "soon"}]}, "Expected `int`"),
        ({"events": None}, "not a trace"),
        ({"runtime": "toaster"}, "toaster"),
        ({"version": "4"}, "version"),
        ({"target": 7}, "Expected `str`"),
        ({"why": ["because"]}, "Expected `str | null`"),
        ({"assume": "calm"}, "Expected `array`"),
        ({"assume": [["calm"]]}, "Expected `str`"),
        ({"events": ["Advance"]}, "Expected `object`"),
        ({"events": [{"event": ["Advance"]}]}, "unknown event"),
        ({"events": [{"event": "GetToken", "template": 1}]}, "Expected `str | null`"),
    ],
)
def test_a_damaged_trace_gets_one_line_that_says_what_is_wrong(
    changes: dict[str, object], complaint: str
) -> None:
    path = damage(TRACE.save(), **changes)
    with pytest.raises(BadTrace, match=complaint) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_the_events_of_every_version_load(version: int) -> None:
    """Among them those that were an app's calls before there were operations."""
    calls = ({"event": "GetToken", "template": "api", "skip_cache": True}, {"event": "Touch"})
    switch = {"event": "SwitchOrganization", "organization": "org_b"}
    path = damage(TRACE.save(), version=version, events=[*calls, switch])
    assert load(path).events == (GetToken("api", skip_cache=True), Touch(), SwitchOrganization("org_b"))


def test_a_truncated_or_missing_trace_gets_one_line() -> None:
    path = TRACE.save()
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(BadTrace, match="not a whole JSON document"):
        load(path)
    with pytest.raises(BadTrace, match="No such file"):
        load(Path("nowhere.json"))
