"""Traces as a person writes them: what is printed can be read, and what is read can be printed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.clerk.terms import PERSONAL, GetToken, SwitchOrganization
from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, Freeze, FreezeKind, GoOnline, SetClock
from properties.cli.main import main
from properties.system.event_kinds import brief, parsed
from properties.system.trace import BadTrace, Trace, decode, document_in
from properties.targets.names import built_in
from tests.support import HEADLINE, HOUR, SECOND
from tests.test_hostile_text import HOSTILE, defect
from tests.test_trace import events

TARGETS = st.one_of(
    st.sampled_from(["model", "model@CLERK_JS_6_7_1", "path:C:\\Users\\ada\\a b.js"]),
    st.text(),
    *map(st.just, HOSTILE),
)


@given(events())
def test_every_event_is_read_as_it_was_printed(event: Event) -> None:
    assert parsed(brief(event)) == event


@given(
    TARGETS,
    st.sampled_from(Runtime),
    st.lists(st.sampled_from(sorted(ASSUMPTIONS)), unique=True),
    st.lists(events()),
    st.none() | st.text() | st.just(HEADLINE),
)
def test_every_trace_is_read_as_it_was_printed(
    target: str, runtime: Runtime, assumed: list[str], some: list[Event], invariant: str | None
) -> None:
    trace = Trace(target, runtime, Assumptions(tuple(assumed)), tuple(some), invariant)
    assert decode(document_in(trace.text.encode(), "here"), "here") == trace


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("advance 43s", Advance(43 * SECOND)),
        ("advance(1.5 h)", Advance(90 * 60 * SECOND)),
        ("advance 1min 1ms", Advance(60_001)),
        ("sleep 8h", Freeze(8 * HOUR, FreezeKind.ASLEEP)),
        ("answer 1 401", Answer(1, Outcome.UNAUTHORIZED)),
        ("answer 2, no-session", Answer(2, Outcome.NO_SESSION)),
        ("setClock 1h behind", SetClock(-HOUR)),
        ("goOnline", GoOnline()),
        ("getToken", GetToken()),
        ("getToken skipCache template=api", GetToken("api", skip_cache=True)),
        ('getToken(template="a, b; c")', GetToken("a, b; c")),
        ("getToken(organization=personal)", GetToken(organization=PERSONAL)),
        ('getToken(organization="personal")', GetToken(organization="personal")),
        ("setActive personal", SwitchOrganization(None)),
    ],
)
def test_an_event_may_be_written_as_it_is_spoken(text: str, event: Event) -> None:
    assert parsed(text) == event


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("explode 3", r"'explode 3' is no event \(known: advance\(8 h\), freeze\(8 h\), .*getToken\("),
        ("freeze 8 hours", r"'freeze 8 hours' is no event like freeze\(8 h\)"),
        ("freeze 0.1 ms", "is no event like freeze"),
        ("answer 1 402", "no outcome, such as granted, session, "),
        ("answer", "no request, such as 1"),
        ("goOnline(now)", "'now' is none of its arguments"),
        ("getToken(tmplate=api)", r"like getToken\(template=api, organization=org_b, skipCache\): 'tmplate=api'"),
        ("", "is no event"),
    ],
)
def test_what_is_no_event_gets_one_line_with_an_example(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parsed(text)


# -- replay and explain -------------------------------------------------------------------------------------

STORY = """\
# The timer is late by hours, and the credential has gone stale.
target: model@CLERK_JS_6_7_1
assume: starvation, stale-after-expiry

freeze 8h      # overnight
answer 1 401
answer 2 no-session
"""
EVENTS = "freeze 8h; answer 1 401; answer 2 no-session"
WHERE = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-after-expiry")
SIGNED_OUT = "signs the user out, in the background, while the session is valid"


def play(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["replay", *words], input=typed)


def again(done: Result) -> list[str]:
    """The arguments of the command that the last line names."""
    *_, line = done.stdout.splitlines()
    assert line.startswith("replay  sessionproof replay ")
    return shlex.split(line)[3:]


def test_a_trace_comes_from_a_file_from_standard_input_or_as_it_is_typed(tmp_path: Path) -> None:
    path = tmp_path / "my trace.txt"
    path.write_text(STORY)
    for done in (play(str(path)), play("-", typed=STORY), play(EVENTS, *WHERE), play(STORY)):
        assert done.exit_code == 1, done.output
        assert SIGNED_OUT in done.stdout
        assert play(*again(done)).stdout.partition("replay")[0] == done.stdout.partition("replay")[0]


def test_a_known_finding_is_played_by_its_name_and_on_any_target() -> None:
    done = play("starved-refresh-6.7.1", "--target=model@CLERK_JS_6_7_1")
    assert done.exit_code == 1
    assert again(done) == ["starved-refresh-6.7.1", "--target=model@CLERK_JS_6_7_1"]
    fixed = play("starved-refresh-6.7.1", "--target=model@CLERK_JS_6_7_4")
    assert fixed.exit_code == 0
    assert "event 2, answer(1, unauthorized), cannot happen here (no request 1 is in flight)" in fixed.stdout


def test_what_is_given_beside_a_trace_replaces_its_own() -> None:
    path = defect().save()
    assert play(str(path)).exit_code == 1
    assert play(str(path), "--invariant=foreground-recovers").exit_code == 0
    calm = play(str(path), "--assume=calm")
    assert "event 1, freeze(8 h), cannot happen here (it is not allowed assuming calm)" in calm.stdout


def test_explain_takes_events_too() -> None:
    done = CliRunner().invoke(main, ["explain", EVENTS, *WHERE, f"--invariant={HEADLINE}", "--format=json"])
    assert done.exit_code == 0
    found = decode(document_in(done.stdout.encode(), "here"), "here")
    assert replace(found, why=None) == replace(defect().trace, why=None)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([EVENTS], "no target is named; a trace is, for example, 'target: model; assume: "),
        ([EVENTS, WHERE[0]], "no assume is named"),
        (["freeze 8h; explode", *WHERE], "'explode' is no event (known: advance(8 h), "),
        (["tarket: model; freeze 8h"], "unknown line 'tarket:' (known: target, runtime, assume, invariant)"),
        ([EVENTS, *WHERE, "--invariant=peace"], "unknown invariant 'peace'"),
        ([EVENTS, WHERE[0], "--assume=tuesdays"], "unknown assumption 'tuesdays'"),
        (["no-such-finding-1.0.0"], "there is no file no-such-finding-1.0.0, and no known finding has that name"),
        (["/"], "/: Is a directory"),
        (["\0"], "there is no file"),
    ],
)
def test_what_is_missing_or_wrong_gets_one_line(words: list[str], complaint: str) -> None:
    done = play(*words)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert complaint in line


@pytest.mark.parametrize("path", sorted(built_in().corpus.glob("*.json")), ids=lambda path: path.stem)
def test_the_known_findings_are_the_same_as_text(path: Path) -> None:
    trace = decode(document_in(path.read_bytes(), path), path)
    for encoding in ("utf-8", "utf-8-sig"):  # an editor may put a byte order mark in front
        assert decode(document_in(trace.text.encode(encoding), path), path) == replace(trace, why=None)


def test_a_text_that_is_no_utf_8_gets_one_line() -> None:
    with pytest.raises(BadTrace, match=r"^here: not a whole JSON document"):
        document_in(b"freeze \xff", "here")
