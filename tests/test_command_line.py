"""What a user types, and what comes back: output, exit code, and nothing left running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Answer, Freeze
from properties.system.trace import Trace
from properties.targets.clerk.builds import fetch_build
from properties.targets.node_target import NodeTarget
from tests.support import (
    HEADLINE,
    HOUR,
    ROOT,
    SEED_CAUSE,
    assuming,
    check,
    command,
    complaint,
    ready,
    sessionproof,
)

SEED_TRACE = Trace(
    "model@CLERK_JS_6_7_1",
    Runtime.HEADLESS,
    assuming("starvation", "stale-after-expiry"),
    (Freeze(8 * HOUR), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION)),
    HEADLINE,
)
SEED = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-after-expiry")
FIXED = ("--target=model@CLERK_JS_6_7_4", "--assume=starvation,stale-after-expiry")


@pytest.mark.parametrize(
    ("word", "words"),
    [
        (
            "--target=keycloak@1",
            "unknown target 'keycloak@1' (known forms: model, model@POLICY, clerk-js@VERSION",
        ),
        ("--target=model@CLERK_JS_9", "unknown policy 'CLERK_JS_9' (known: CLERK_JS_6_0_0, "),
        ("--target=clerk-js@latest", "'latest' is not an exact version"),
        ("--target=expo@latest", "'latest' is not an exact version of @clerk/expo"),
        ("--target=path:nowhere.js", "there is no file nowhere.js"),
        ("--assume=starvation,tuesdays", "unknown assumption 'tuesdays' (known: calm, starvation, "),
        ("--invariant=all-is-well", f"unknown invariant 'all-is-well' (known: {HEADLINE}, "),
        ("--runtime=toaster", "unknown runtime 'toaster' (known: headless, browser-like, browser, frame)"),
        ("--expectations=nowhere.toml", "nowhere.toml: No such file or directory"),
    ],
)
def test_a_name_we_do_not_know_gets_one_line_and_exit_code_2(word: str, words: str) -> None:
    assert words in complaint(check(word))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("module.exports = {}", "the bundle exports no Clerk"),
        ("throw new Error('half a build')", "half a build"),
    ],
)
def test_a_bundle_that_is_no_sdk_gets_one_line_and_exit_code_2(tmp_path: Path, text: str, words: str) -> None:
    bundle = tmp_path / "bundle.js"
    bundle.write_text(text)
    if shutil.which("node") is None:
        pytest.skip("NOT CHECKED: bundles that are no SDK. Node 18 or newer is needed")
    assert words in complaint(check(f"--target=path:{bundle}"))


@pytest.mark.slow
def test_without_node_a_real_build_gets_one_line_and_the_model_still_works(tmp_path: Path) -> None:
    no_node = {"PATH": str(tmp_path)}
    bundle = tmp_path / "bundle.js"
    bundle.touch()
    line = complaint(check(f"--target=path:{bundle}", **no_node))
    assert "Node 18 or newer is needed" in line
    assert "the model targets work without it" in line
    assert check(*FIXED, f"--invariant={HEADLINE}", **no_node).returncode == 0


def test_a_violation_exits_1_with_the_table_the_timeline_and_the_trace() -> None:
    done = check(*SEED, "-q", f"--invariant={HEADLINE}")
    assert done.returncode == 1
    assert re.search(
        r"model@CLERK_JS_6_7_1 +VIOLATED +background-never-destroys-valid-session +3 events", done.stdout
    )
    assert "signs the user out, in the background, while the session is valid" in done.stdout
    assert "Traceback" not in done.stdout
    (path,) = re.findall(r"replay  sessionproof replay (\S+)", done.stdout)
    replayed = sessionproof("replay", path)
    assert replayed.returncode == 1
    assert replayed.stdout.partition("events")[0] in done.stdout


def test_no_violation_exits_0_and_says_how_often_a_timer_was_late() -> None:
    done = check(*FIXED, "-q", f"--invariant={HEADLINE}")
    assert done.returncode == 0
    late = re.search(rf"held +{HEADLINE} +(\d+) traces, \d+ steps, a late timer in (\d+)", done.stdout)
    assert late
    assert int(late[1]) >= 300
    assert int(late[2]) > 50


def expectations(folder: Path, target: str) -> str:
    """The option that names a file in which the seed's defect is known on `target`."""
    path = folder / "expectations.toml"
    path.write_text(
        f'[[finding]]\ntargets = ["{target}"]\nassume = "starvation,stale-after-expiry"\n'
        f'invariants = ["{HEADLINE}"]\ncause = {[*SEED_CAUSE]}\n'
        'reason = "no guard yet"\nlink = "https://example.org/1"\n'
    )
    return f"--expectations={path}"


def test_a_known_finding_is_told_and_does_not_fail(tmp_path: Path) -> None:
    known = expectations(tmp_path, "model@CLERK_JS_6_7_1")
    done = check(*SEED, known, "-q", f"--invariant={HEADLINE}")
    assert done.returncode == 0
    assert "VIOLATED, known" in done.stdout
    assert "no guard yet; https://example.org/1" in done.stdout


def test_a_known_finding_that_no_longer_happens_fails(tmp_path: Path) -> None:
    known = expectations(tmp_path, "model@CLERK_JS_6_7_4")
    done = check(*FIXED, known, "-q", f"--invariant={HEADLINE}")
    assert done.returncode == 1
    assert "held, though known to break" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("finding = 1", "'finding' is no list"),
        ("[[finding]]\ntargets = []", "missing required field `assume`"),
        ("[[finding", "not a list of findings"),
    ],
)
def test_a_damaged_file_of_findings_gets_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text(text)
    assert words in complaint(check(f"--expectations={path}"))


def test_replay_on_another_target_says_from_where_on_the_trace_cannot_happen() -> None:
    done = sessionproof("replay", str(SEED_TRACE.save()), "--target=model@CLERK_JS_6_7_4")
    assert done.returncode == 0
    assert "not violated on model@CLERK_JS_6_7_4: event 2" in done.stdout
    assert "cannot happen here (no request 1 is in flight)" in done.stdout


def test_replay_of_something_else_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("{}")
    assert "not a sessionproof-trace" in complaint(sessionproof("replay", str(path)))


def test_replay_of_an_unknown_invariant_gets_one_line() -> None:
    path = replace(SEED_TRACE, invariant="all-is-well").save()
    assert "unknown invariant 'all-is-well'" in complaint(sessionproof("replay", str(path)))


@pytest.mark.slow
def test_a_build_in_a_file_is_a_target(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.7.4"])
    bundle = fetch_build("6.7.4", lambda line: None)
    done = check(f"--target=path:{bundle}", "--assume=calm", f"--invariant={HEADLINE}", "-q")
    assert done.returncode == 0
    assert f"path:{bundle}" in done.stdout


def test_ctrl_c_in_mid_run_exits_130_and_leaves_no_process(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.7.4"])
    run = subprocess.Popen(
        command("--target=clerk-js@6.7.4", "--assume=calm", "--hypothesis-profile=thorough"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stderr is not None
        assert "searching clerk-js@6.7.4" in run.stderr.readline()
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        run.send_signal(signal.SIGINT)
        run.stderr.read()
    assert run.returncode == 130
    assert children, "the driver was running"
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


@pytest.mark.slow
def test_a_matrix_that_is_terminated_leaves_no_process() -> None:
    words = ["matrix", "--assume=outage", "--assume=locked-keychain", "--workers=2"]
    run = subprocess.Popen(
        [sys.executable, "-c", "from properties.cli.main import main; main()", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with run:
        assert run.stderr is not None
        assert "1 of 28 cells" in run.stderr.readline()
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        workers = [one for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
        run.terminate()
        run.stderr.read()
    assert run.returncode == 128 + signal.SIGTERM
    assert len(workers) == 2
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
