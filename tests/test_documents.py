"""Whatever comes as a document, `replay` and `explain` end with a verdict or with one line."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from properties.cli.main import main
from properties.run import schema
from properties.run.counterexample import digest
from tests.schemas import values
from tests.support import Tried, sessionproof
from tests.test_hostile_text import HOSTILE, defect

DOCUMENTS = 500
SCHEMA = schema.schema()
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    name: values(part, SCHEMA["$defs"]) for name, part in SCHEMA["properties"].items()
}
WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, -1, 99, 10**18, -(10**300), 10**999, 1.5, 1e308, float("nan"), float("inf")),
        *("", "model", "path:/", "path:\0", "path:" + "x" * 5000, "calm", [], {}, [[]], ["calm"], {"event": 7}),
        *HOSTILE,
    ]
).map(copy.deepcopy)  # a later mistake may change what an earlier one has put there
"""A value of another type, or beyond what is meant, for any place."""
FORMS = ("timeline", "json", "markdown", "html", "pytest")

Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The place of every value within a value, and its own."""
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in pairs:
        yield from places(one, (*at, key))


@st.composite
def edited(draw: st.DrawFn) -> dict[str, Any]:
    """A document of a bare trace or of a counterexample, with up to three mistakes. Its digest may fit the rest,
    so that nothing but the mistakes is wrong."""
    whole = draw(st.sampled_from([defect().trace.document(), defect().document()]))
    document: dict[str, Any] = json.loads(msgspec.json.encode(whole))
    for _ in range(draw(st.integers(0, 3))):
        field = draw(st.sampled_from(sorted(FIELDS)))
        if field not in document or draw(st.booleans()):
            document[field] = draw(FIELDS[field])
            continue
        *way, last = draw(st.sampled_from([one for one in places(document) if one[:1] == (field,)]))
        within: Any = document
        for key in way:
            within = within[key]
        if draw(st.booleans()):
            within[last] = draw(WRONG)
        else:
            del within[last]
    if draw(st.booleans()) and "digest" in document:
        document["digest"] = digest(document)
    return document


def nested(depth: int) -> bytes:
    """A document that is right but for one field more."""
    whole: bytes = msgspec.json.encode(defect().document())
    return whole[:-1] + b',"more":' + b"[" * depth + b"]" * depth + b"}"


def written(document: dict[str, Any]) -> bytes:
    """The document as JSON, or as close to it as Python's writer gets: NaN is no JSON."""
    return json.dumps(document).encode()


PARTS = (
    "target: model",
    "target:",
    "assume: calm",
    "assume: starvation",
    "freeze 8h",
    "advance 1s",
    "answer 1 401",
)
BROKEN = (
    "advance -1s",
    "answer 9" + "9" * 99 + " lost",
    "getToken(",
    "explode",
    '"',
    "->",
    "x: y",
    "runtime: browser",
)
texts = st.lists(st.sampled_from((*PARTS, *BROKEN)) | st.text(max_size=9), max_size=9)

files = st.one_of(
    texts.map(lambda parts: ";".join(parts).encode()),
    edited().map(written),
    st.tuples(edited().map(written), st.integers(0, 2000)).map(lambda pair: pair[0][: -pair[1]]),
    st.tuples(edited().map(written), st.binary(max_size=9)).map(lambda pair: pair[0].replace(b"a", pair[1], 1)),
    st.integers(1, 100_000).map(nested),
    st.binary(max_size=99),
)


def judge(path: Path, done: Any) -> None:
    """A verdict, or exit code 2 and one line; never a traceback."""
    assert done.exit_code in (0, 1, 2)
    assert "Traceback" not in done.stderr, (path.read_bytes(), done.stderr)
    if done.exit_code == 2:
        assert len(done.stderr.splitlines() + done.stdout.splitlines()) == 1, done.output


def test_whatever_is_in_a_document_there_is_a_verdict_or_one_line(tmp_path: Path, tried: Tried) -> None:
    path, runner = tmp_path / "trace.json", CliRunner()
    ends: Counter[tuple[str, int]] = Counter()

    @settings(max_examples=DOCUMENTS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(files, st.sampled_from(FORMS))
    def each(raw: bytes, form: str) -> None:
        path.write_bytes(raw)
        for command, *words in (("replay",), ("explain", f"--format={form}")):
            done = runner.invoke(main, [command, str(path), *words])
            judge(path, done)
            ends[command, done.exit_code] += 1

    each()
    assert ends.total() >= 2 * DOCUMENTS
    assert {("replay", 1), ("replay", 2), ("explain", 0), ("explain", 2)} <= set(ends), ends
    tried("documents", ends.total() // 2)


DAMAGED = {
    "nested": nested(50_000),
    "cut": nested(1)[:300],
    "not-utf-8": b'{"format": "\xff"}',
    "a number without end": b'{"format": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("command", ["replay", "explain"])
@pytest.mark.parametrize("name", DAMAGED)
def test_the_program_says_the_same(tmp_path: Path, command: str, name: str) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(DAMAGED[name])
    done = sessionproof(command, str(path))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"sessionproof: {path}: not a")


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    for name in ("target", "assume", "events"):
        document = defect().trace.document()
        del document[name]
        path.write_bytes(written(document))
        done = CliRunner().invoke(main, ["replay", str(path)])
        assert done.exit_code == 2
        assert f"{path}: no {name} is named; a trace is, for example, 'target: model; " in done.stderr
