"""What a run tells of itself: branches of the model, every trace that was generated, faults nobody used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import HEADLINE, check, complaint, explore, model

GLANCE = ("--target=model", "-q", "--hypothesis-profile=glance")
CASE = (*GLANCE, "--assume=calm")


@pytest.mark.slow
def test_the_branches_of_the_model_that_a_run_took_are_counted() -> None:
    calm = check(*CASE, "--model-coverage").stdout
    wild = check(*GLANCE, "--assume=starvation,stale-after-expiry", "--model-coverage").stdout
    assert _taken(calm) < _taken(wild)
    assert 5 < _transitions(calm)[0] <= _transitions(calm)[1]
    assert _transitions(calm)[1] < _transitions(wild)[0] < _transitions(wild)[1]


def _transitions(text: str) -> tuple[int, int]:
    ((taken, there_are),) = re.findall(r"([\d,]+) of ([\d,]+) transitions", text)
    return int(taken.replace(",", "")), int(there_are.replace(",", ""))


@pytest.mark.slow
def test_a_graph_that_does_not_close_has_no_share() -> None:
    text = check(
        "--target=model@CLERK_JS_6_3_2", "--assume=outage", "-q", f"--invariant={HEADLINE}", "--model-coverage"
    ).stdout
    assert "the graph of CLERK_JS_6_3_2 under outage does not close, since the number of timers" in text


def _taken(text: str) -> int:
    (line,) = [line for line in text.splitlines() if line.startswith("  model/clerk/session.py: ")]
    return int(line.split()[1])


def test_branches_are_counted_in_one_process_only() -> None:
    assert "leave out -n" in complaint(check(*CASE, "--model-coverage", "-n2"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_every_trace_can_be_written_down_for_tyche(workers: tuple[str, ...]) -> None:
    check(*CASE, "--observe=seen", f"--invariant={HEADLINE}", *workers)
    (path,) = Path("seen").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    tried = [line for line in lines if line["type"] == "test_case"]
    assert len(tried) >= 100
    assert {"passed"} <= {line["status"] for line in tried}
    assert all("advance(" in line["representation"] for line in tried if line["status"] == "passed")


def test_a_folder_that_cannot_be_written_gets_one_line() -> None:
    Path("seen").write_text("a file")
    assert "seen: File exists" in complaint(check(*CASE, "--observe=seen"))


@pytest.mark.slow
def test_a_fault_that_was_allowed_and_never_used_is_named() -> None:
    """Under the guard no background request is ever sent with a stale token."""
    judging = ["foreground-recovers"]  # which holds, so that no search ends early
    guarded = explore(model("6.7.4"), "starvation", "stale-after-expiry", judging=judging)
    assert "unauthorized for mint" in guarded.unused
    assert explore(model("6.7.1"), "starvation", "stale-for-good", judging=judging).unused == ()
