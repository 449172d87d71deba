"""The gate of a team: what is known passes, what is new or gone fails; on a build that is really broken."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from model.terms import Runtime
from model.world.events import Advance
from properties.invariants.catalogue import DEFAULT_INVARIANTS
from properties.invariants.verdict import Cell
from properties.run import known as expectations
from properties.run.known import UNEXPLAINED, Finding
from properties.system.trace import load
from properties.targets.clerk.builds import fetch_build
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, ROOT, assuming, check, model, ready, sessionproof

BUNDLE = Path("packages/sdk/dist/clerk.native.js")
GATE = (
    f"--target=path:{BUNDLE}",
    "--assume=starvation,stale-after-expiry",
    "--assume=outage,rotated-credential",
    f"--invariant={HEADLINE}",
    "--hypothesis-profile=glance",
)


@pytest.fixture
def sample(builds: dict[str, NodeTarget]) -> Path:
    """A repository of somebody's, in the test's own folder, with the bundle of 6.40.0 as what it has built."""
    ready(builds["6.40.0"])
    BUNDLE.parent.mkdir(parents=True)
    shutil.copy(fetch_build("6.40.0", lambda line: None), BUNDLE)
    return BUNDLE


def gate() -> subprocess.CompletedProcess[str]:
    return sessionproof("baseline", *GATE)


def accept() -> None:
    done = sessionproof("baseline", "--update", *GATE)
    assert done.returncode == 0, done.stdout + done.stderr


def cut_the_guard(bundle: Path) -> None:
    """Undo the fix of #8303 in a built bundle: the comparison with `exp` becomes `false`."""
    text, cuts = re.subn(r"(\w)&&(\w)&&Date\.now\(\)/1e3>\2\?", "false?", bundle.read_text())
    assert cuts == 1
    bundle.write_text(text)


def test_the_gate_from_baseline_to_regression_to_fix(sample: Path) -> None:
    accept()
    known = expectations.load(Path("sessionproof.toml"))
    assert [finding.assume for finding in known] == ["outage,rotated-credential"]
    assert gate().returncode == 0

    whole = sample.read_text()
    cut_the_guard(sample)
    broken = gate()
    assert broken.returncode == 1
    assert f"{HEADLINE} is violated on path:{BUNDLE}, assuming starvation,stale-after-expiry" in broken.stdout
    assert "freeze(1 min 1 s) -> answer(1, unauthorized) -> answer(2, no-session)" in broken.stdout
    assert list(Path(".sessionproof").glob("*stale-after-expiry*.md"))

    accept()
    assert len(expectations.load(Path("sessionproof.toml"))) == 2

    sample.write_text(whole)
    fixed = gate()
    assert fixed.returncode == 1
    line = expectations.load(Path("sessionproof.toml"))[1].line
    assert f"sessionproof.toml:{line}  assuming starvation,stale-after-expiry: {HEADLINE}" in fixed.stdout


# -- the file -----------------------------------------------------------------------------------------------

CELL = Cell("clerk-js@6.7.4", Runtime.HEADLESS, assuming("calm"))


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
    assert Finding((pattern,), "calm", (HEADLINE,)).covers(CELL, HEADLINE) is covered


COMMENTED = f"""\
# why we live with these
[[finding]]
targets = ["clerk-js@6.7.4"] # until the next release
assume = "calm"
invariants = ["{HEADLINE}"]
reason = "we know"

[[finding]]
targets = ["clerk-js@6.7.4"]
assume = "outage"
invariants = ["{HEADLINE}"]
reason = "the other team knows"
"""


def test_an_update_keeps_comments_and_what_did_not_run() -> None:
    path = Path("known.toml")
    path.write_text(COMMENTED)
    new = Cell("model", Runtime.BROWSER_LIKE, assuming("calm"))
    changes = expectations.update(
        path, [(CELL, HEADLINE), (new, HEADLINE)], {(CELL, HEADLINE): "a.json", (new, HEADLINE): "b.json"}
    )
    assert changes == [f"+ model, assuming calm: {HEADLINE}"]
    text = path.read_text()
    assert "# why we live with these" in text
    assert "# until the next release" in text
    first, second, third = expectations.load(path)
    assert (first.reason, second.reason, third.reason) == ("we know", "the other team knows", UNEXPLAINED)
    assert third.covers(new, HEADLINE)
    assert third.trace == "b.json"


def test_an_update_takes_out_what_no_longer_happens_and_nothing_else() -> None:
    path = Path("known.toml")
    path.write_text(COMMENTED)
    assert expectations.update(path, [(CELL, HEADLINE)], {}) == [f"- line 2: calm: {HEADLINE}: gone"]
    assert [finding.assume for finding in expectations.load(path)] == ["outage"]
    assert expectations.update(path, [(CELL, HEADLINE)], {}) == []


def test_an_update_of_nothing_known_leaves_a_file_that_loads() -> None:
    path = Path("known.toml")
    path.write_text(COMMENTED.partition('[[finding]]\ntargets = ["clerk-js@6.7.4"]\nassume = "outage"')[0])
    expectations.update(path, [(CELL, HEADLINE)], {})
    assert expectations.load(path) == ()


FINDING = f'targets = ["model"]\nassume = "calm"\ninvariants = ["{HEADLINE}"]\n'


@pytest.mark.parametrize(
    "text",
    [
        f"[[finding]]  # since the spring\n{FINDING}",
        f'  [[ "finding" ]]\n{FINDING}',
        f'finding = [{{targets = ["model"], assume = "calm", invariants = ["{HEADLINE}"]}}]\n',
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
        (FINDING.replace(HEADLINE, "all-is-well"), None, "unknown key"),
        (f"[[finding]]\n{FINDING}\n[[finding]]\n{FINDING.replace(HEADLINE, 'all-is-well')}", 6, "all-is-well"),
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


def test_a_gate_of_a_build_that_violates_nothing() -> None:
    """The baseline says that nothing is known; without the file, the gate would not run at all."""
    words = ("--target=model", "--assume=calm", f"--invariant={HEADLINE}", "--hypothesis-profile=glance")
    first = sessionproof("baseline", "--update", *words)
    assert first.returncode == 0, first.stdout + first.stderr
    assert expectations.load(Path("sessionproof.toml")) == ()
    again = sessionproof("baseline", *words)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_run_that_is_no_evidence_is_not_accepted_and_takes_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that sets no timer: nothing fires late, so nothing was tried. What is known there is
    neither seen again nor gone."""
    monkeypatch.setenv("SESSIONPROOF_SDK", "tests.toy.adapter:TOY_ADAPTER")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    timers, none = "setTimeout(", "(() => 0)("
    text = (ROOT / "tests" / "toy" / "bundle.cjs").read_text()
    assert timers in text
    Path("quiet.cjs").write_text(text.replace(timers, none))
    words = (
        "--target=toy@quiet.cjs",
        "--assume=starvation",
        f"--invariant={HEADLINE}",
        "--hypothesis-profile=glance",
    )

    first = sessionproof("baseline", "--update", *words)
    assert first.returncode == 1, first.stdout + first.stderr
    assert re.search(r"VACUOUS .*a late timer", first.stdout)
    assert "sessionproof.toml stays as it is: no verdict is evidence" in first.stdout
    assert not Path("sessionproof.toml").exists()

    known = f'[[finding]]\ntargets = ["toy@quiet.cjs"]\nassume = "starvation"\ninvariants = ["{HEADLINE}"]\n'
    Path("sessionproof.toml").write_text(known)
    for update in ([], ["--update"]):
        again = sessionproof("baseline", *update, *words)
        assert again.returncode == 1, again.stdout + again.stderr
        assert "no longer happen" not in again.stdout
        assert Path("sessionproof.toml").read_text() == known


# -- elsewhere in a pipeline --------------------------------------------------------------------------------


@pytest.mark.parametrize(("release", "happens"), [("6.40.0", True), ("6.7.4", False)])
def test_a_known_finding_is_replayed_before_anything_is_searched(release: str, happens: bool) -> None:
    """What 6.40.0 does where the device's clock is wrong. 6.7.4 never did."""
    target, name = model(release), "token-handed-out-is-valid"
    cell = Cell(target.name, Runtime.HEADLESS, assuming("clock-skew"))
    known = Finding(
        (target.name,), "clock-skew", (name,), trace="properties/targets/clerk/corpus/clock-behind-6.40.0.json"
    )
    (known,) = expectations.located(Path("known.toml"), (known,))  # in the checkout
    again = expectations.replays(cell, (name, HEADLINE), (known,), target)
    assert list(again) == [name] * happens
    assert all(verdict.replayed and verdict.trace.path.exists() for verdict in again.values())


def test_a_trace_beside_the_file_is_found_from_any_folder() -> None:
    beside = Path("sub", "traces", "found.json")
    beside.parent.mkdir(parents=True)
    beside.touch()
    here = Finding(("model",), "calm", (HEADLINE,), trace="traces/found.json")
    assert [one.trace for one in expectations.located(Path("sub/known.toml"), (here,))] == [str(beside)]


def test_of_two_known_traces_the_shorter_one_is_told() -> None:
    target, name = model("6.40.0"), "token-handed-out-is-valid"
    short = load(ROOT / "properties" / "targets" / "clerk" / "corpus" / "another-organization-6.40.0.json")
    traces = (replace(short, events=(Advance(1000), *short.events), invariant="longer").save(), short.save())
    known = tuple(Finding((target.name,), "calm", (name,), trace=str(trace)) for trace in traces)
    again = expectations.replays(Cell(target.name, Runtime.HEADLESS, assuming("calm")), (name,), known, target)
    assert again[name].trace.events == short.events


def test_the_summary_of_a_job_has_the_table_and_the_report(tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    case = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-after-expiry", f"--invariant={HEADLINE}")
    done = check(*case, GITHUB_STEP_SUMMARY=str(page))
    assert done.returncode == 1
    text = page.read_text()
    assert f"| model@CLERK_JS_6_7_1 | starvation,stale-after-expiry | {HEADLINE} | **VIOLATED** |" in text
    assert "sequenceDiagram" in text


def test_junit_xml_has_a_case_for_each_cell_and_invariant(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    check("--target=model", "--assume=calm", f"--junitxml={path}", "-q")
    assert path.read_text().count("<testcase ") == len(DEFAULT_INVARIANTS)


@pytest.mark.slow
def test_two_workers_find_what_one_finds_and_print_one_table() -> None:
    case = (
        "--hypothesis-profile=glance",
        "--target=model@CLERK_JS_6_7_1",
        "--assume=calm",
        "--assume=starvation,stale-for-good",
    )
    alone, shared = check(*case, "-q", "--tb=no"), check(*case, "-q", "--tb=no", "-n2")
    assert "VIOLATED" in alone.stdout
    assert alone.returncode == shared.returncode
    assert _without_seconds(shared.stdout) == _without_seconds(alone.stdout)


def _without_seconds(text: str) -> list[str]:
    table = text.partition("target  ")[2]
    return [re.sub(r" +\d+\.\d$| +s$| in \d+\.\d+s.*", "", line) for line in table.splitlines()]
