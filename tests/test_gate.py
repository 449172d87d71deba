"""The gate of a team: what is known passes, what is new or gone fails; on a build that is really broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from properties.cli.main import main
from properties.invariants.catalogue import DEFAULT_INVARIANTS
from properties.run import known as expectations
from properties.run.known import Finding
from properties.targets.clerk.builds import fetch_build
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, ROOT, SEED_CAUSE, check, ready, sessionproof

BUNDLE = Path("packages/sdk/dist/clerk.native.js")
GATE = (
    f"--target=path:{BUNDLE}",
    "--assume=starvation,stale-after-expiry",
    "--assume=outage,rotated-credential",
    f"--invariant={HEADLINE}",
    "--hypothesis-profile=glance",
)

BESIDE_THE_MAIN_JOB = (
    *("several-sessions", "banned-user", "session-gone"),
    *("revocation,several-sessions", "banned-user,several-sessions", "session-gone,several-sessions"),
)
"""Gated here: with these, the main job would take longer than 90 s."""


@pytest.fixture
def sample(builds: dict[str, NodeTarget]) -> Path:
    """A repository of somebody's, in the test's own folder, with the bundle of 6.40.0 as what it has built."""
    ready(builds["6.40.0"])
    BUNDLE.parent.mkdir(parents=True)
    shutil.copy(fetch_build("6.40.0", lambda line: None), BUNDLE)
    return BUNDLE


def gate() -> subprocess.CompletedProcess[str]:
    return sessionproof("gate", *GATE, "-n0")


def accept() -> None:
    done = sessionproof("baseline", "--update", *GATE, "-n0")
    assert done.returncode == 0, done.stdout + done.stderr


def cut_the_guard(bundle: Path) -> None:
    """Undo the fix of #8303 in a built bundle: the comparison with `exp` becomes `false`."""
    text, cuts = re.subn(r"(\w)&&(\w)&&Date\.now\(\)/1e3>\2\?", "false?", bundle.read_text())
    assert cuts == 1
    bundle.write_text(text)


@pytest.mark.slow
def test_the_gate_from_baseline_to_regression_to_fix(sample: Path) -> None:
    accept()
    known = expectations.load(Path("sessionproof.toml"))
    assert {finding.assume for finding in known} == {"outage,rotated-credential"}
    assert gate().returncode == 0

    whole = sample.read_text()
    cut_the_guard(sample)
    broken = gate()
    assert broken.returncode == 1
    assert f"{HEADLINE} is violated on path:{BUNDLE}, assuming starvation,stale-after-expiry" in broken.stdout
    assert "freeze(1 min 1 s) -> answer(1, unauthorized) -> answer(2, no-session)" in broken.stdout
    assert list(Path(".sessionproof").glob("*stale-after-expiry*.md"))

    accept()
    assert len(expectations.load(Path("sessionproof.toml"))) == len(known) + 1

    sample.write_text(whole)
    fixed = gate()
    assert fixed.returncode == 1
    line = expectations.load(Path("sessionproof.toml"))[-1].line
    assert f"sessionproof.toml:{line}  assuming starvation,stale-after-expiry: {HEADLINE}" in fixed.stdout


def test_a_gate_of_a_build_that_violates_nothing() -> None:
    """The baseline says that nothing is known; without the file, the gate would not run at all."""
    words = ("--target=model", "--assume=calm", f"--invariant={HEADLINE}", "--hypothesis-profile=glance")
    first = sessionproof("baseline", "--update", *words, "-n0")
    assert first.returncode == 0, first.stdout + first.stderr
    assert expectations.load(Path("sessionproof.toml")) == ()
    again = sessionproof("gate", *words, "-n0")
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("assumed", BESIDE_THE_MAIN_JOB)
def test_the_list_has_what_breaks_where_sessions_come_and_go(assumed: str) -> None:
    done = sessionproof("check", f"--assume={assumed}", "-n2")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["glance", "fast"])
def test_a_gate_finds_nothing_new_in_what_a_baseline_has_searched(profile: str) -> None:
    """Whatever the baseline's own profile, it has searched what a gate without a profile does. That finds a cause
    here that no trace of a glance has."""
    words = ("--target=model@CLERK_JS_6_40_0", "--assume=starvation,stale-for-good", "-n0")
    accepted = sessionproof("baseline", "--update", *words, "--hypothesis-profile=glance")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    again = sessionproof("gate", *words, f"--hypothesis-profile={profile}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "as expected: nothing else is violated" in again.stdout


def test_a_baseline_that_is_not_written_is_the_work_of_the_gate() -> None:
    done = sessionproof("baseline", "--target=model")
    assert done.returncode == 2
    assert "--update writes sessionproof.toml; to compare with it, run `sessionproof gate`" in done.stderr


@pytest.mark.slow
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

    first = sessionproof("baseline", "--update", *words, "-n0")
    assert first.returncode == 1, first.stdout + first.stderr
    assert re.search(r"VACUOUS .*a late timer", first.stdout)
    assert "sessionproof.toml stays as it is: no verdict is evidence" in first.stdout
    assert not Path("sessionproof.toml").exists()

    known = (
        f'[[finding]]\ntargets = ["toy@quiet.cjs"]\nassume = "starvation"\ninvariants = ["{HEADLINE}"]\n'
        'cause = ["x"]\n'
    )
    Path("sessionproof.toml").write_text(known)
    for command in (["gate"], ["baseline", "--update"]):
        again = sessionproof(*command, *words, "-n0")
        assert again.returncode == 1, again.stdout + again.stderr
        assert "no longer happen" not in again.stdout
        assert Path("sessionproof.toml").read_text() == known


# -- elsewhere in a pipeline --------------------------------------------------------------------------------


def test_a_trace_beside_the_file_is_found_from_any_folder() -> None:
    beside = Path("sub", "traces", "found.json")
    beside.parent.mkdir(parents=True)
    beside.touch()
    here = Finding(("model",), "calm", (HEADLINE,), ("x",), trace="traces/found.json")
    assert [one.trace for one in expectations.located(Path("sub/known.toml"), (here,))] == [str(beside)]


@pytest.mark.slow
def test_the_summary_of_a_job_has_the_table_and_the_report(tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    case = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-after-expiry", f"--invariant={HEADLINE}")
    done = check(*case, GITHUB_STEP_SUMMARY=str(page))
    assert done.returncode == 1
    text = page.read_text()
    assert f"| model@CLERK_JS_6_7_1 | starvation,stale-after-expiry | {HEADLINE} | **VIOLATED** |" in text
    assert "sequenceDiagram" in text


@pytest.mark.slow
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


# -- fast, and for machines ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fast_gate_takes_a_glance_where_releases_do_not_differ() -> None:
    Path("sessionproof.toml").touch()
    sets = ("calm", "starvation,stale-after-expiry")
    words = (*(f"--assume={one}" for one in sets), f"--invariant={HEADLINE}", "-n0", "-v")
    done = sessionproof("gate", "--target=model", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    glance, whole = (int(traces) for traces in re.findall(r"held +\S+ +(\d+) traces", done.stdout))
    assert 100 <= glance < 200
    assert 300 <= whole < 400


def test_a_green_gate_says_little() -> None:
    Path("sessionproof.toml").touch()
    done = sessionproof("gate", "--target=model", "--assume=calm", f"--invariant={HEADLINE}", "-n0")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.strip(". ") and "100%" not in line]
    assert re.fullmatch(r"as expected: nothing is violated, in 1 cells and \d+ traces", line)


def test_a_named_target_replaces_those_of_the_main_job(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def recorded(words: list[str]) -> int:
        commands.append(words)
        return 0

    monkeypatch.setattr("properties.cli.gate.pytest.main", recorded)
    monkeypatch.setattr(os, "environ", {**os.environ})  # the command prepares the one that pytest runs in
    for words in ([], ["--target=model"], ["--target", "model"]):
        CliRunner().invoke(main, ["check", *words])
    default, *named = ([word for word in command if word.startswith("--target=m")] for command in commands)
    assert len(default) == 3
    assert named == [["--target=model"], []]


@pytest.mark.slow
def test_sarif_has_what_is_new_what_is_known_and_what_is_gone() -> None:
    gone = ("a timer", "offline")
    entries = [
        f'[[finding]]\ntargets = ["model@CLERK_JS_6_7_1"]\nassume = "*"\ninvariants = ["{HEADLINE}"]\n'
        f"cause = {[*cause]}\n"
        for cause in (SEED_CAUSE, gone)
    ]
    Path("known.toml").write_text("".join(entries))
    case = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-on-arrival", f"--invariant={HEADLINE}")
    done = check(*case, "--expectations=known.toml", "--sarif=out.sarif", "-q")
    assert done.returncode == 1, done.stdout + done.stderr
    (run,) = json.loads(Path("out.sarif").read_text())["runs"]
    told = sorted(
        (one["level"], "suppressions" in one, one["locations"][0]["physicalLocation"]["region"]["startLine"])
        for one in run["results"]
    )
    assert told == [("error", False, 1), ("error", False, 6), ("note", True, 1)]
    assert run["tool"]["driver"]["rules"][0]["id"] == HEADLINE


@pytest.mark.slow
def test_each_cell_is_searched_by_one_worker() -> None:
    """Also where the name of one invariant ends like another's."""
    case = ("--target=model", "--assume=calm", "--assume=restart", "--hypothesis-profile=glance", "-n2", "-q")
    done = check(*case)
    searched = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("searching ")]
    assert sorted(searched) == [
        f"searching model@CLERK_JS_6_40_0, assuming {name}" for name in ("calm", "restart")
    ]
