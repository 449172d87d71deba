"""A trace from anybody's file: its target and reason stay text in every form, and its file has its own name."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace

from model.assumptions.catalogue import ASSUMPTIONS
from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Answer, Freeze
from properties.render.markdown import report
from properties.render.page import page
from properties.render.regression import regression
from properties.render.tables import plain
from properties.render.timeline import timeline
from properties.render.view import view
from properties.run.counterexample import Counterexample, Found
from properties.run.explain import explain, replay
from properties.system.target import TargetError
from properties.system.trace import Trace, load
from properties.targets.clerk.repro import commands, repro, vitest
from properties.targets.node import node_executable
from tests.support import HEADLINE, HOUR, Tried, assuming, model

HOSTILE = [
    '"; import os; os.system("true") #',
    '""" + 1/0 + """',
    "\u2028process.exit(7)\u2029//",
    "\nprocess.exit(7)\n",
    "*/ process.exit(7) /*",
    "<script>alert(1)</script>",
    "</details><img src=x onerror=alert(1)>",
    "[bold]x[/bold]",
    "[/bold]",
    "```\n# not a heading",
    "| a | b |",
    "path:C:\\Users\\ada\\dist\\clerk.native.js",
    'path:it\'s "quoted".js',
    "\\",
    "__STORY__",
    "a\\",
    '\\"""',
]

texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60))


@cache
def defect() -> Counterexample:
    """The defect of #8303 on the model."""
    target = model("6.7.1")
    events = (Freeze(8 * HOUR), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
    assumed = assuming("starvation", "stale-after-expiry")
    found = replay(Trace(target.name, Runtime.HEADLESS, assumed, events, HEADLINE), target)
    assert found is not None
    return explain(found, target)


def named(target: str, why: str) -> Counterexample:
    """The same, as it would be in a file that somebody wrote."""
    found = defect()
    return Counterexample(replace(found.trace, target=target, why=why), found.played, Found({}))


@given(texts, texts)
def test_the_pytest_is_one_function_and_names_the_target_as_it_is(target: str, why: str) -> None:
    tree = ast.parse(regression(named(target, why)))
    assert [type(node).__name__ for node in tree.body if not isinstance(node, ast.ImportFrom)] == [
        "Expr",
        "Assign",
        "FunctionDef",
    ]
    (assigned,) = [node for node in tree.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(assigned.value) == target


@pytest.mark.slow
@given(texts)
def test_the_script_keeps_a_reason_in_its_comment(why: str) -> None:
    usual = repro(defect().trace, "6.7.1").splitlines()
    script = repro(replace(defect().trace, why=why), "6.7.1")
    code = [line for line in script.splitlines() if not line.startswith("//")]
    assert code == [line for line in usual if not line.startswith("//")]
    assert not set(script) & set("\u2028\u2029\r\x0b\x0c\x85")


def test_the_script_does_what_it_did_whatever_the_reason(tmp_path: Path) -> None:
    """Node agrees: nothing of the reason is code."""
    try:
        node = node_executable()
    except TargetError as error:
        pytest.skip(f"NOT CHECKED: how Node reads a script. {error}")
    for number, why in enumerate(HOSTILE):
        hostile = replace(defect().trace, why=why, target=f"path:{why}")
        for text in (repro(hostile, None), vitest(hostile) or ""):
            path = tmp_path / f"{number}.mjs"
            path.write_text(text, encoding="utf-8")
            done = subprocess.run([node, "--check", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (why, done.stderr)


@pytest.mark.slow
@given(texts, texts)
@example("path:x", "__STORY__")
def test_the_unit_test_keeps_a_target_and_a_reason_in_its_comment(target: str, why: str) -> None:
    usual, test = (vitest(trace) or "" for trace in (defect().trace, named(target, why).trace))
    assert [line for line in test.splitlines() if not line.startswith("//")] == [
        line for line in usual.splitlines() if not line.startswith("//")
    ]


@given(texts)
def test_the_command_that_runs_the_script_has_one_argument(target: str) -> None:
    *_, run = commands(named(f"path:{target}", "").trace, None)
    assert len(shlex.split(run)) == 3
    assert len(run.splitlines()) == 1


@given(texts, texts)
def test_the_report_has_no_html_but_its_own(target: str, why: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(report(named(target, why), None))
    html = [one.content.strip() for one in tokens if one.type == "html_block"]
    html += [child.content for one in tokens for child in one.children or () if child.type == "html_inline"]
    assert not html
    headings = [tokens[at + 1].content for at, one in enumerate(tokens) if one.type == "heading_open"]
    assert headings[1:] == ["Summary", "Environment", "Steps", "How to reproduce"]


@given(texts, texts)
def test_the_page_ends_no_element_early(target: str, why: str) -> None:
    found = named(target, why)
    plain_view = {"title": view(found).title, "why": why, "events": "", "trace": target}
    assert page(plain_view).count("</script>") == page({"title": "", "why": "", "events": "", "trace": ""}).count(
        "</script>"
    )


@pytest.mark.slow
@given(texts, texts)
@example("path:[slug]/page.js", "[/bold]")
def test_the_terminal_shows_brackets_as_they_are(target: str, why: str) -> None:
    shown = plain(timeline(view(named("path:[slug]/" + target, why + "[/bold]"))), width=400)
    assert "path:[slug]/" in shown
    assert "[/bold]" in shown


# -- names of files -----------------------------------------------------------------------------------------

ALL = assuming(*(name for name in ASSUMPTIONS if name != "calm"))
DRAFT = re.compile(r"\.new-[0-9a-f]{32}")


def test_two_targets_never_share_a_file_and_no_name_is_too_long(tried: Tried) -> None:
    names: set[str] = set()

    @given(st.lists(texts, min_size=2, max_size=8, unique=True))
    @example(["path:a/b", "path:a_b"])
    @example(["path:" + "x" * 300, "path:" + "x" * 301])
    def several(targets: list[str]) -> None:
        names.update(targets)
        paths = [replace(defect().trace, target=target, assumptions=ALL).path for target in targets]
        assert len({str(path).lower() for path in paths}) == len(targets)
        for path in paths:
            assert path.parent == defect().trace.path.parent
            assert len(path.with_suffix(".repro.mjs").name.encode()) < 240

    several()
    assert len(names) >= 100
    tried("names", len(names))


@pytest.mark.slow
@given(texts)
@example(".new-")
def test_a_trace_of_any_target_is_saved_and_comes_back(target: str) -> None:
    trace = replace(defect().trace, target=target, assumptions=ALL)
    assert load(trace.save()) == trace
    assert not [path for path in trace.path.parent.iterdir() if DRAFT.fullmatch(path.name)]


def test_a_plain_name_is_read_as_it_is() -> None:
    """But for the digest of the cause: a cell may break an invariant in more than one way."""
    words = f"model@CLERK_JS_6_7_1--headless--starvation,stale-after-expiry--{defect().trace.invariant}"
    assert re.fullmatch(rf"{re.escape(words)}-[0-9a-f]+\.json", defect().trace.path.name)
