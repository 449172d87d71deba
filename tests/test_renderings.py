"""A counterexample as a screen, as a bug report and as a test: what a person is given."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from model.clerk.terms import GetToken
from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Freeze
from properties.render.files import FORMATS, SUFFIXES, reproduction, save
from properties.render.markdown import report
from properties.render.regression import regression
from properties.render.tables import plain
from properties.render.timeline import timeline
from properties.render.view import LANES, view
from properties.run.counterexample import Counterexample
from properties.run.explain import explain, replay
from properties.system.trace import Trace, decode, document_in
from tests.support import HEADLINE, HOUR, ROOT, assuming, model, sessionproof

# ruff: noqa: E501 - a screen is wider than our lines
SCREEN = """\
background-never-destroys-valid-session is violated on model@CLERK_JS_6_7_1, assuming starvation,stale-after-expiry
A headless runtime never drops a session that is valid on the server because of something a background timer began.

   time     OS    timer    SDK   network  server   app     what happened
0:00:00     ●       ┊       ┊       │       │       ┊      freezes the event loop for 8 h: timers do not run
8:00:00     │       ●───────▶       │       │       │      set at 0:00:00 fires 7 h 59 min 17 s late
8:00:00     │       │       ●───────────────▶       │      asks for a token, in the background (request 1); its last session token has expired
8:00:00     │       │       ◀───────────────●       │      answers request 1: 401, though the session is valid
8:00:00     │       │       ●───────────────▶       │      asks which sessions there are, in the background (request 2); its last session token has expired
8:00:00     │       │       ◀───────────────●       │      answers request 2: no session, though the session is valid
8:00:00     │       │       ✖       │       │       │      signs the user out, in the background, while the session is valid

cause   The timer set at sign-in fired 7 h 59 min 17 s late, because the event loop was frozen for 8 h; the SDK asked for a token in the background (request 1),
        7 h 59 min after its last session token had expired; the answer was 401, although the session is valid; the SDK asked which sessions there are in the
        background (request 2); the answer was no session, although the session is valid; and so the SDK signed the user out, whose session the server still
        holds valid.
why     the user is signed out by the background, while the server still holds the session valid
needs   freeze(8 h): any length from 1 min 1 ms on will do, none up to 1 min
        freeze(8 h): a device asleep would not do
        answer(1, unauthorized): a token, 500, 429, a gateway's page, no answer, 429 with Retry-After, a firewall's 403, 403, 404 or a token of another session
        would not do
        answer(2, no-session): 500 or a firewall's 403 would do as well; the session, 429, a gateway's page, no answer, 429 with Retry-After or 401 would not do
events  freeze(8 h) -> answer(1, unauthorized) -> answer(2, no-session)
replay  sessionproof replay """


@pytest.fixture(scope="module")
def seed() -> Counterexample:
    """The defect of #8303, on the model of the release that has it."""
    target = model("6.7.1")
    events = (Freeze(8 * HOUR), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    trace = Trace(target.name, Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"), events, HEADLINE)
    found = replay(trace, target)
    assert found is not None
    return explain(found, target)


# -- the screen ---------------------------------------------------------------------------------------------


def test_a_counterexample_fits_a_screen_and_says_everything(seed: Counterexample) -> None:
    assert plain(timeline(view(seed)), width=160) == f"{SCREEN}{seed.trace.path}\n"


def test_colours_come_only_when_asked_for(seed: Counterexample) -> None:
    assert "\x1b[" not in plain(timeline(view(seed)))
    assert "\x1b[" in plain(timeline(view(seed)), color=True)


def test_a_narrow_terminal_gets_names_for_lanes_and_keeps_the_lines_to_copy_whole(seed: Counterexample) -> None:
    lines = plain(timeline(view(seed)), width=60).splitlines()
    assert "0:00:00 OS freezes" in " ".join(" ".join(lines).split())
    assert f"replay  sessionproof replay {seed.trace.path}" in lines
    assert all(len(line) <= 60 for line in lines if not line.startswith(("replay", "events")))


def test_every_moment_names_the_moment_that_led_to_it(seed: Counterexample) -> None:
    moments = view(seed).moments
    assert [moment.cause for moment in moments] == [None, None, 1, 2, 3, 4, 5]
    assert [moment.fatal for moment in moments] == [False] * 6 + [True]
    assert {moment.lane for moment in moments} | {str(m.to) for m in moments if m.to} <= set(LANES)


def test_the_state_of_the_world_and_of_the_client_is_told_after_every_step(seed: Counterexample) -> None:
    stages = view(seed).steps
    assert [stage.event for stage in stages] == ["signed in", *map(str, str(seed.trace).split(" -> "))]
    assert dict(stages[0].world)["user"] == "signed in"
    assert dict(stages[-1].world)["user"] == "signed out"
    assert dict(stages[-1].world)["session on the server"] == "valid"
    assert dict(stages[1].client or ())["refreshing"] == "session token"


# -- the bug report -----------------------------------------------------------------------------------------


def test_the_report_has_what_a_maintainer_asks_for(seed: Counterexample) -> None:
    text = report(seed, reproduction(seed))
    headings = re.findall(r"^##? (.*)$", text, re.MULTILINE)
    assert headings == [
        "The user is signed out by the background, while the server still holds the session valid"
        " (model@CLERK_JS_6_7_1, headless)",
        "Summary",
        "Environment",
        "Steps",
        "What is necessary",
        "How to reproduce",
    ]
    assert "npm i @clerk/clerk-js@6.7.1 @sinonjs/fake-timers" in text


def test_the_report_has_the_trace_to_replay_and_explains_its_terms(seed: Counterexample) -> None:
    text = report(seed)
    *_, trace = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert decode(document_in(trace.encode(), "here"), "here") == replace(seed.trace, why=None, cause=())
    terms = re.findall(r"^- \*(.*?)\*: .+$", text, re.MULTILINE)
    assert terms == [
        "assuming starvation",
        "assuming stale-after-expiry",
        "in the background",
        "request 1, call 1",
    ]


def test_the_diagram_has_a_line_for_each_moment_and_nothing_that_mermaid_would_trip_over(
    seed: Counterexample,
) -> None:
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", report(seed), re.DOTALL)
    statements = [line.strip() for line in diagram.splitlines()]
    told = [line for line in statements if "->>" in line or line.startswith("Note over")]
    assert len(told) == len(view(seed).moments)
    assert not [line for line in told if ";" in line or "#" in line]
    assert diagram.count("rect ") == diagram.count("end\n") == 1


def test_no_table_of_the_report_is_broken_by_a_bar_in_a_value(seed: Counterexample) -> None:
    odd = replace(seed, trace=replace(seed.trace, target="path:a|b.js"))
    assert "| target | path:a\\|b.js |" in report(odd)


# -- the test -----------------------------------------------------------------------------------------------


def test_the_pytest_test_fails_while_the_defect_is_there_and_passes_when_it_is_gone(seed: Counterexample) -> None:
    source = regression(seed)
    assert _outcome(source) == 1
    assert _outcome(source.replace("CLERK_JS_6_7_1", "CLERK_JS_6_7_4")) == 0


def _outcome(source: str) -> int:
    path = Path("test_it.py")
    path.write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, f"--rootdir={ROOT}", str(path.resolve())], cwd=ROOT, capture_output=True, check=False
    )
    return done.returncode


def test_the_test_of_a_long_trace_imports_what_it_uses_and_no_more() -> None:
    target = model("6.40.0")
    events = (Advance(43_000), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.BROKEN))
    trace = Trace(target.name, Runtime.HEADLESS, assuming("outage", "rotated-credential"), events, HEADLINE)
    found = replay(trace, target)
    assert found is not None
    source = regression(explain(found, target))
    assert "from model.world.events import Advance, Answer\n" in source
    compile(source, "test", "exec")


# -- the files ----------------------------------------------------------------------------------------------


def test_every_rendering_goes_to_a_file_of_its_own(seed: Counterexample, tmp_path: Path) -> None:
    paths = save(seed, tmp_path)
    assert len({path.name for path in paths}) == len(FORMATS)
    assert [path.name.endswith(ending) for path, ending in zip(paths, SUFFIXES.values(), strict=True)]
    assert all(path.stat().st_size > 100 for path in paths)


@pytest.mark.parametrize(
    ("target", "without"), [("path:dist/clerk.native.js", set()), ("expo@4.6.6", {"repro", "vitest"})]
)
def test_a_build_in_a_file_gets_every_rendering_and_a_phone_no_script(
    seed: Counterexample, tmp_path: Path, target: str, without: set[str]
) -> None:
    own = replace(seed, trace=replace(seed.trace, target=target))
    assert {form for form, render in FORMATS.items() if render(own) is None} == without
    assert len(save(own, tmp_path)) == len(FORMATS) - len(without)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_explain_prints_each_format(seed: Counterexample, form: str) -> None:
    done = sessionproof("explain", str(seed.save()), f"--format={form}")
    assert done.returncode == 0
    assert done.stdout == FORMATS[form](seed)


def test_explain_plays_a_bare_trace_first_and_writes_everything_into_a_folder(seed: Counterexample) -> None:
    done = sessionproof("explain", str(seed.trace.save()), "--to", "reports")
    assert done.returncode == 0
    assert sorted(done.stdout.split()) == sorted(map(str, Path("reports").iterdir()))


def test_explain_has_nothing_to_say_of_a_trace_that_breaks_nothing(seed: Counterexample) -> None:
    done = sessionproof("explain", str(seed.trace.save()), "--target=model@CLERK_JS_6_7_4")
    assert done.returncode == 2
    assert "not violated on model@CLERK_JS_6_7_4: event 2" in done.stdout


def test_a_question_of_the_app_s_is_an_arrow_from_its_lane() -> None:
    target = model("6.7.4")
    events = (Freeze(8 * HOUR), GetToken(), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    assumed = assuming("starvation", "stale-for-good")
    trace = Trace(target.name, Runtime.HEADLESS, assumed, events, "valid-session-survives")
    found = replay(trace, target)
    assert found is not None
    asked = [moment for moment in view(explain(found, target)).moments if moment.kind == "asked"]
    assert [(moment.lane, moment.to) for moment in asked] == [("app", "SDK")]
