"""Every command is killed at random instants, in three ways: nothing that it started outlives it by 5 s."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from properties.cli.main import main
from tests.support import HEADLINE, ROOT, Tried, exit_codes, needs_builds

GONE_WITHIN = 5.0
"""Seconds in which every process has to end after the kill; more where other programs have the processors."""

KILLS = 6
"""Kills of each command with each signal."""

SIGNALS = {signal.SIGKILL: None, signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
"""Each signal, and its column in the table of exit codes."""

LONG_TRACE = "target: clerk-js@6.7.4\nassume: calm\n" + "advance 1 s\n" * 500_000

RUNS = {
    "check": ("check", "--hypothesis-profile=thorough", "-n2"),
    "gate": ("gate", "--file=known.toml", "--target=model", "--hypothesis-profile=thorough", "-n2"),
    "baseline": ("baseline", "--update", "--target=clerk-js@6.7.4", "--hypothesis-profile=thorough"),
    "prove": ("prove", "--operation=all", "--calls=2", "--assume=outage"),
    "matrix": ("matrix", "--workers=2"),
    "condition": ("condition", "--calls=2", "--steps=100000"),
    "conform": ("conform", "--traces=100000"),
    "tour": ("tour", "--pairs", "--assume=outage"),
    "bisect": (
        *("bisect", f"--invariant={HEADLINE}", "--assume=calm", "--traces=100000"),
        *("--from=6.7.1", "--to=6.7.4"),
    ),
    "replay": ("replay", "long.txt"),
    "explain": ("explain", "long.txt"),
    "campaign": ("campaign", "--traces=1000000", "--workers=2", "--target=clerk-js@6.7.4"),
    "sensitivity": ("sensitivity", "--traces=10", "--mutants=1000", "--workers=2"),
    "advise": ("advise", "--clerk-js=6.7.1"),
    "releases": ("releases",),
}
"""A run of each command that takes longer than it is left alone."""

AT_ONCE = {"advise", "releases"}
"""Commands that are killed while they start: one is soon done, and the other writes into the checkout."""

WHILE_IT_STARTS = 0.25
"""Seconds of work in which a command has not begun."""


def processes_with(mark: str) -> Iterator[Path]:
    """The folders in /proc of the processes that have a mark in their environment: a run, and all that it
    started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                yield folder
        except OSError:  # it has just ended, or is another user's
            continue


def seconds_of_work(mark: str) -> float:
    """The processor time that these processes have taken so far."""
    ticks = 0
    for folder in processes_with(mark):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds. Returns whether it did in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="NOT CHECKED: what a killed command leaves. There is no /proc"
)
@pytest.mark.parametrize("kill", range(KILLS))
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("name", RUNS)
def test_nothing_outlives_a_killed_command(name: str, number: signal.Signals, kill: int, tried: Tried) -> None:
    tried("kills", 1)
    needs_builds()
    Path("known.toml").touch()
    Path("long.txt").write_text(LONG_TRACE)
    longest = WHILE_IT_STARTS if name in AT_ONCE else 6.0
    work = random.Random(f"{name} {number} {kill}").uniform(min(0.1, longest), longest)
    mark = uuid.uuid4().hex
    command = [sys.executable, "-P", "-c", "from sessionproof import main; main()", *RUNS[name]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MARK_OF_A_TEST": mark}
    with Path("stderr").open("w") as errors:
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        assert poll(lambda: seconds_of_work(mark) >= work or run.poll() is not None, 300)
        assert run.poll() is None, f"it ended by itself within {work:.1f} s of work: {Path('stderr').read_text()}"
        run.send_signal(number)
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        gone = poll(lambda: run.poll() is not None and not list(processes_with(mark)), GONE_WITHIN * crowd)
        left = [(folder / "cmdline").read_bytes() for folder in processes_with(mark)]
        assert gone, f"left after {work:.1f} s of work and a kill: {left}, exit code {run.poll()}"
        column = SIGNALS[number]
        ends = [
            -number,
            *([int(exit_codes()[name][column])] if column else []),
        ]  # the former before our code runs
        assert run.returncode in ends, Path("stderr").read_text()
    finally:
        for folder in processes_with(mark):
            os.kill(int(folder.name), signal.SIGKILL)
        run.wait()


def test_two_hundred_kills_are_tried() -> None:
    assert set(RUNS) == set(main.commands)
    assert KILLS * len(SIGNALS) * len(RUNS) >= 200
