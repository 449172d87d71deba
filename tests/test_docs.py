"""README and docs say what is there: links, commands, options, names, sentences and traces."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from model.assumptions.catalogue import ASSUMPTIONS
from properties.cli.main import main
from properties.cli.traces import read_document
from properties.invariants.catalogue import INVARIANTS
from properties.plugin import options
from properties.run.explain import replay
from properties.system.event_kinds import EVENT_KINDS
from properties.system.trace import BadTrace, decode, document_in
from properties.targets.names import UnknownName, adapters, built_in, make_target, model_named, policies
from tests.support import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
REFERENCE = ROOT / "docs" / "reference.md"
TOY = "tests.toy.adapter:TOY_ADAPTER"
WIDTH = 120

FRONTS = ("sessionproof", "pytest", "make")
TRACES = ("trace", "trace_words")
"""The arguments that name a trace."""
FOREIGN = {"--hypothesis-profile", "--junitxml", "-n", "--help"}
"""Options that are not ours, but of pytest, its plugins, and click."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documentation's example of another SDK, beside the built-in one."""
    monkeypatch.setenv("SESSIONPROOF_SDK", TOY)


# -- what a page has ----------------------------------------------------------------------------------------


def fenced(page: Path) -> Iterator[str]:
    """The lines within fences."""
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside:
            yield line


def inline(page: Path) -> Iterator[str]:
    """What stands between backticks, outside of fences."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    yield from (one.replace("\n", " ") for one in re.findall(r"`([^`]+)`", outside))


def commands(page: Path) -> Iterator[list[str]]:
    """Every command, in fences and between backticks, without its prompt and the environment before it."""
    whole = "\n".join(fenced(page)).replace("\\\n", "")
    for line in (*whole.splitlines(), *inline(page)):
        if not re.match(rf"(\$ )?(\w+=\S+ )*({'|'.join(FRONTS)}) ", line):
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while "=" in words[0]:
            words = words[1:]
        yield words


def rows(page: Path) -> dict[str, str]:
    """The second cell of every row of a table, by the name in the first."""
    found = re.findall(r"^\| `([^`]+)` \| (.*?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def anchors(page: Path) -> set[str]:
    """The headings, as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}


# -- options ------------------------------------------------------------------------------------------------


class Recorder:
    """Stands for pytest's parser, and keeps the options that it is told of."""

    def __init__(self) -> None:
        self.options: dict[str, dict[str, Any]] = {}

    def getgroup(self, *_: str) -> Recorder:
        """Every group is this one."""
        return self

    def addoption(self, name: str, **details: Any) -> None:
        """An option of ours."""
        self.options[name] = details


def pytest_options() -> dict[str, dict[str, Any]]:
    """The options that our plugin adds to pytest."""
    recorder = Recorder()
    options.pytest_addoption(recorder)  # type: ignore[arg-type]
    return recorder.options


def every_option() -> set[str]:
    """Every option of every front."""
    ours = {name for one in main.commands.values() for parameter in one.params for name in parameter.opts}
    return ours | set(pytest_options()) | FOREIGN


def check_pytest(words: list[str]) -> None:
    """The options of a command line of pytest exist, and what they name does."""
    waiting = ""
    for word in words:
        option, equals, value = word.partition("=")
        if word.startswith("-"):
            assert option in pytest_options() or option in FOREIGN, word
            check_value(option, value)
            takes = pytest_options().get(option, {}).get("action") != "store_true"
            waiting = option if takes and not equals else ""
        else:
            check_value(waiting, word)
            waiting = ""
    assert not waiting, f"{waiting} lacks a value"


def check_value(option: str, value: str) -> None:
    """A name that is the value of an option is a known one."""
    match option:
        case "--target" if value:
            assert make_target(value, lambda line: None).name
        case "--assume" if value:
            assert set(value.split(",")) <= set(ASSUMPTIONS), value
        case "--invariant" if value:
            assert value in INVARIANTS, value
        case "--policy" if value:
            assert value in policies(), value


def check_command(words: list[str]) -> None:
    """A command line of ours parses, and what it names exists. Nothing is run."""
    front, *rest = words
    if front == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"make {rest[0]}"
    elif front == "pytest":
        named = rest[1:] if rest[0] == "--pyargs" else rest
        assert named[0] == "properties"
        check_pytest(named[1:])
    else:
        name, *arguments = rest
        if not arguments:
            assert name in main.commands, name
            return
        context = main.commands[name].make_context(name, list(arguments))
        check_pytest([str(one) for one in context.params.get("pytest_arguments", ())])
        for parameter in context.command.params:
            value = context.params.get(parameter.name or "")
            values = value if isinstance(value, tuple) else (value,)
            for one in filter(None, values):
                check_value(parameter.opts[0], str(one))
                if parameter.name in TRACES:
                    read_document(str(one))
                if isinstance(one, Path) and one.is_relative_to("properties"):
                    assert (ROOT / one).exists(), one


# -- tests --------------------------------------------------------------------------------------------------


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_every_command_parses(page: Path) -> None:
    for words in commands(page):
        try:
            check_command(words)
        except (click.ClickException, UnknownName, BadTrace, AssertionError, KeyError) as error:
            pytest.fail(f"{page.name}: {shlex.join(words)}: {error!r}")


@each_page
def test_every_option_that_is_named_exists(page: Path) -> None:
    named = {one.split()[0].partition("=")[0] for one in inline(page) if one.startswith("--")}
    assert named <= every_option(), named - every_option()


@each_page
def test_every_trace_that_is_named_is_in_the_corpus(page: Path) -> None:
    named = {one for one in inline(page) if re.fullmatch(r"[a-z0-9-]+-\d+\.\d+\.\d+", one)}
    known = {path.stem for path in built_in().corpus.glob("*.json")}
    assert named <= known, named - known


def test_the_readme_names_every_trace_of_the_corpus() -> None:
    assert {path.stem for path in built_in().corpus.glob("*.json")} <= set(inline(PAGES[0]))


@each_page
def test_a_line_is_no_longer_than_a_terminal(page: Path) -> None:
    """A row of a table cannot be wrapped."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if len(line) > WIDTH and not line.startswith("|")]


def test_the_reference_has_every_invariant_in_the_words_of_the_catalogue() -> None:
    said = rows(REFERENCE)
    assert {name: said.get(name) for name in INVARIANTS} == {one.id: one.sentence for one in INVARIANTS.values()}


def test_the_reference_has_every_assumption_in_the_words_of_the_catalogue() -> None:
    said = rows(REFERENCE)
    meant = {one.name: one.meaning for one in ASSUMPTIONS.values()}
    assert {name: said.get(name) for name in ASSUMPTIONS} == meant


def test_the_reference_has_every_command_and_every_pytest_option() -> None:
    said = rows(REFERENCE)
    assert set(main.commands) <= set(said)
    assert set(pytest_options()) <= {name.split()[0] for name in said}


def test_the_reference_says_how_every_event_is_written() -> None:
    words = {form.word for row in EVENT_KINDS.values() for form in row.forms}
    words |= {one.verb for one in built_in().sdk.operations}
    assert words <= {re.split(r"\W", one)[0] for one in inline(REFERENCE)}


def test_the_example_of_a_trace_as_text_is_one() -> None:
    (text,) = re.findall(r"^```\n(# .*?)^```$", REFERENCE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    trace = decode(document_in(text.encode(), REFERENCE), REFERENCE)
    assert replay(trace, model_named("CLERK_JS_6_40_0"))


def test_the_example_of_another_sdk_is_one() -> None:
    assert [one.name for one in adapters()] == ["clerk", "toy"]


@pytest.mark.parametrize(
    "line",
    [
        "sessionproof prove --switches",
        "sessionproof prove --calls 9",
        "sessionproof bisect --invariant valid-session-survives",
        "sessionproof baseline --update --goal model",
        "sessionproof prove --policy CLERK_JS_9_9_9",
        "sessionproof replay nothing-1.0.0",
        "sessionproof replay 'advance 43'",
        "pytest properties --assume tuesdays",
        "pytest properties --target",
        "make coffee",
    ],
)
def test_a_command_that_is_wrong_is_noticed(line: str) -> None:
    with pytest.raises((click.ClickException, UnknownName, BadTrace, AssertionError, KeyError)):
        check_command(shlex.split(line))
