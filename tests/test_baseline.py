"""The file of known findings: what it may say, and what an update changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from model.terms import Runtime
from model.world.events import Advance
from properties.invariants.verdict import Cell, Violated
from properties.run import known as expectations
from properties.run.baseline import update
from properties.run.known import UNEXPLAINED, Claim, Finding
from properties.system.trace import Trace
from tests.support import HEADLINE, assuming, check

CELL = Cell("clerk-js@6.7.4", Runtime.HEADLESS, assuming("calm"))
ELSEWHERE = Cell("model", Runtime.BROWSER_LIKE, assuming("calm"))
SURVIVES = "valid-session-survives"
LATE, IN_FLIGHT = ("a late answer", "signed out"), ("expired in flight", "signed out")


def violated(cell: Cell, invariant: str, *cause: str) -> Violated:
    trace = Trace(cell.target, cell.runtime, cell.assumptions, (Advance(1),), invariant, "why", cause)
    return Violated(trace, (), 1, 1, replayed=True)


def updated(path: Path, seen: Mapping[Claim, tuple[Violated, ...]]) -> list[str]:
    return update(path, seen, lambda trace: f"{trace.invariant}.json")


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("clerk-js@6.7.4", True),
        ("clerk-js@6.7.*", True),
        ("clerk-js@6.7.1..6.40.0", True),
        ("clerk-js@6.7.4..6.7.4", True),
        ("clerk-js@6.10.0..6.40.0", False),
        ("model@*", False),
    ],
)
def test_a_finding_may_cover_a_range_of_releases(pattern: str, covered: bool) -> None:
    assert Finding((pattern,), "calm", (HEADLINE,), LATE).covers(CELL, HEADLINE) is covered


def test_a_finding_is_every_violation_with_all_its_marks() -> None:
    finding = Finding((CELL.target,), "calm", (HEADLINE,), LATE)
    assert finding.has(violated(CELL, HEADLINE, *LATE).trace)
    assert finding.has(violated(CELL, HEADLINE, "a restart", *reversed(LATE)).trace)
    assert not finding.has(violated(CELL, HEADLINE, *IN_FLIGHT).trace)


# -- updates ------------------------------------------------------------------------------------------------

COMMENTED = f"""\
# why we live with these
[[finding]]
targets   = ["clerk-js@6.7.4"] # until the next release
assume = 'calm'
invariants = ["{HEADLINE}"]
cause = {[*LATE]}
reason = "we know"


# somebody else's
[[finding]]
targets = [
    "clerk-js@6.7.4",
]
assume = "outage"
invariants = ["{HEADLINE}"]
cause = {[*LATE]}
reason = "the other team knows"
"""
"""With a format of its own."""


@pytest.fixture
def path() -> Path:
    path = Path("known.toml")
    path.write_text(COMMENTED)
    return path


def test_an_update_adds_lines_and_leaves_the_others_as_they_are(path: Path) -> None:
    known, new = violated(CELL, HEADLINE, *LATE), violated(ELSEWHERE, HEADLINE, *LATE)
    assert updated(path, {(CELL, HEADLINE): (known,), (ELSEWHERE, HEADLINE): (new,)}) == [
        f"+ model, assuming calm: {HEADLINE}"
    ]
    assert path.read_text().startswith(f"{COMMENTED}\n[[finding]]\n")
    *_, added = expectations.load(path)
    assert added.covers(ELSEWHERE, HEADLINE)
    assert (added.cause, added.reason, added.trace) == (LATE, UNEXPLAINED, f"{HEADLINE}.json")


def test_another_cause_in_a_known_cell_is_another_finding(path: Path) -> None:
    both = (violated(CELL, HEADLINE, *LATE), violated(CELL, HEADLINE, *IN_FLIGHT))
    assert updated(path, {(CELL, HEADLINE): both}) == [f"+ clerk-js@6.7.4, assuming calm: {HEADLINE}"]
    assert [one.cause for one in expectations.load(path)] == [LATE, LATE, IN_FLIGHT]
    assert updated(path, {(CELL, HEADLINE): both}) == []


def test_a_finding_that_its_trace_does_not_show_any_more_gets_another_trace(path: Path) -> None:
    """The search has met it. A gate that draws other traces might not, and would say that it is gone."""
    met = replace(violated(CELL, HEADLINE, *LATE), replayed=False)
    assert updated(path, {(CELL, HEADLINE): (met,)}) == [f"+ clerk-js@6.7.4, assuming calm: {HEADLINE}"]
    assert path.read_text().startswith(COMMENTED)
    *_, added = expectations.load(path)
    assert (added.cause, added.reason, added.trace) == (LATE, "we know", f"{HEADLINE}.json")


def test_what_the_same_events_violate_by_the_same_cause_is_one_finding(path: Path) -> None:
    names = (HEADLINE, SURVIVES)
    updated(path, {(ELSEWHERE, name): (violated(ELSEWHERE, name, *LATE),) for name in names})
    *_, added = expectations.load(path)
    assert added.invariants == names


def test_an_update_takes_out_what_no_longer_happens_and_nothing_else(path: Path) -> None:
    assert updated(path, {(CELL, HEADLINE): ()}) == [f"- line 2: calm: {HEADLINE}: gone"]
    assert path.read_text() == COMMENTED[: COMMENTED.index("[[")] + COMMENTED[COMMENTED.index("# somebody") :]
    assert updated(path, {(CELL, HEADLINE): ()}) == []


def test_a_finding_that_turned_into_another_is_replaced(path: Path) -> None:
    changes = updated(path, {(CELL, HEADLINE): (violated(CELL, HEADLINE, *IN_FLIGHT),)})
    assert changes == [
        f"- line 2: calm: {HEADLINE}: gone",
        f"+ clerk-js@6.7.4, assuming calm: {HEADLINE}",
    ]
    assert [(one.assume, one.cause) for one in expectations.load(path)] == [("outage", LATE), ("calm", IN_FLIGHT)]


def test_an_update_of_nothing_known_leaves_a_file_that_loads(path: Path) -> None:
    path.write_text(COMMENTED.partition("\n\n")[0])
    updated(path, {(CELL, HEADLINE): ()})
    assert path.read_text() == "# why we live with these\n"
    assert expectations.load(path) == ()


def test_an_inline_list_is_not_updated(path: Path) -> None:
    fields = f'targets = ["clerk-js@6.7.4"], assume = "calm", invariants = ["{HEADLINE}"], cause = ["x"]'
    text = f"finding = [{{{fields}}}]\n"
    path.write_text(text)
    with pytest.raises(expectations.BadExpectations, match="write \\[\\[finding\\]\\] above each"):
        updated(path, {(CELL, HEADLINE): ()})
    assert path.read_text() == text


# -- what a file may say ------------------------------------------------------------------------------------

FINDING = f'targets = ["model"]\nassume = "calm"\ninvariants = ["{HEADLINE}"]\ncause = ["x"]\n'


@pytest.mark.parametrize(
    "text",
    [
        f"[[finding]]  # since the spring\n{FINDING}",
        f'  [[ "finding" ]]\n{FINDING}',
        f'finding = [{{targets = ["model"], assume = "calm", invariants = ["{HEADLINE}"], cause = ["x"]}}]\n',
        f"# nothing above\r\n[[finding]]\r\n{FINDING}",
    ],
)
def test_any_valid_toml_is_read(text: str) -> None:
    path = Path("known.toml")
    path.write_text(text)
    (finding,) = expectations.load(path)
    assert finding.covers(Cell("model", Runtime.HEADLESS, assuming("calm")), HEADLINE)


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (f"# one\n[[finding]]\n{FINDING}why = 3\n", 2, "`why`"),
        ("[[finding]]\nassume = 3\n", 1, "not a finding"),
        (f"[[finding]]\n{FINDING.replace('cause', '# cause')}", 1, "`sessionproof baseline --update` writes it"),
        ("[[finding]]\n" + FINDING.replace('["x"]', "[]"), 1, "`$.cause`"),
        (FINDING.replace(HEADLINE, "all-is-well"), None, "unknown key"),
        (f"[[finding]]\n{FINDING}\n[[finding]]\n{FINDING.replace(HEADLINE, 'all-is-well')}", 7, "all-is-well"),
        (f"[[finding]]\n{FINDING.replace('calm', 'outage,rain')}", 1, "unknown assumption 'rain'"),
        (f"[[finding]]\n{FINDING}runtime = 'toaster'\n", 1, "unknown runtime 'toaster'"),
        (f"[[finding]]\n{FINDING}trace = 'gone.json'\n", 1, "there is no trace gone.json"),
        (f"[[findings]]\n{FINDING}", None, "unknown key 'findings'"),
        (f"[finding]\n{FINDING}", None, "write [[finding]]"),
    ],
)
def test_what_a_finding_cannot_say_is_refused_by_its_line(text: str, line: int | None, complaint: str) -> None:
    """Read as if it were not there, such a finding would leave the gate to something else than was written."""
    Path("known.toml").write_text(text)
    done = check("--target=model", "--assume=calm", f"--invariant={HEADLINE}", "--expectations=known.toml")
    assert done.returncode == 2, done.stdout + done.stderr
    (said,) = [one for one in (done.stdout + done.stderr).splitlines() if "known.toml" in one]
    assert (f"known.toml:{line}: " if line else "known.toml: ") in said
    assert complaint in said
