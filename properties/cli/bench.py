"""`make bench`: how fast the engine searches, beside how fast it could.

Everything is measured side by side in one run, and only the ratios mean anything on another machine. The limit
for a real SDK is the same traces without us: the very commands that the search sent, in a file, read by the same
Node driver as fast as it can boot and step the bundle, with nobody waiting for anybody.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from hypothesis import settings
from rich.console import Console
from rich.table import Table

from model.assumptions.catalogue import ASSUMPTIONS as ASSUMPTION_NAMES
from model.assumptions.sets import Assumptions
from model.clerk.policy import CLERK_JS_6_7_4, CLERK_JS_6_40_0, FIX_QUIET_BACKGROUND, Policy
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Proved
from properties.prove.app import App
from properties.prove.prove import Limits, prove
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.targets import node
from properties.targets.clerk.target import clerk_js_target
from properties.targets.model import ModelTarget

TRACES = 1000
DRAWN_STEPS = 30  # and a few healthy events at the end of each trace
RELEASE = "6.40.0"
HEADLINE = "background-never-destroys-valid-session"
ROOT = Path(__file__).parents[2]
ASSUMPTIONS = Assumptions(("starvation", "stale-after-expiry"))
EVERYTHING = Assumptions(tuple(name for name in ASSUMPTION_NAMES if name != "calm"))


def measure(target: Target) -> tuple[int, int, float]:
    """Traces, steps and seconds of one search in which nothing is violated."""
    profile = settings(
        max_examples=TRACES, stateful_step_count=DRAWN_STEPS, derandomize=True, database=None, deadline=None
    )
    cell = Cell(target.name, Runtime.HEADLESS, ASSUMPTIONS)
    found = search(target, cell, [INVARIANTS[HEADLINE]], profile)
    (verdict,) = found.verdicts.values()
    if not isinstance(verdict, Held):
        raise TargetError(f"{target.name} was to hold, and the verdict is: {verdict}")
    return verdict.traces, verdict.steps, found.seconds


@contextmanager
def recorded(log: BinaryIO) -> Iterator[None]:
    """Write every command that any driver is told to `log`, one a line."""
    tell = node.Driver.tell

    def tell_and_write(driver: node.Driver, command: node.Command) -> None:
        log.write(msgspec.json.encode(command) + b"\n")
        tell(driver, command)

    node.Driver.tell = tell_and_write  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        node.Driver.tell = tell  # type: ignore[method-assign]


def bare_loop(commands: bytes, *flags: str) -> float:
    """Seconds that a driver takes for `commands`, which lie ready in a file. `flags` are for Node."""
    with tempfile.TemporaryFile() as log:
        log.write(commands)
        log.seek(0)
        began = time.perf_counter()
        subprocess.run(
            [node.node_executable(), *flags, str(node.LOOP)],
            stdin=log,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began


CELLS = (
    "starvation",
    "starvation,stale-after-expiry",
    "starvation,revocation",
    "revocation",
    "outage",
    "calm",
)
"""Cells in which nothing is violated."""


def check(processes: int) -> float:
    """Seconds that pytest takes for the same cells in so many processes of pytest-xdist; 0 is pytest alone."""
    words = ["-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-profile=ci", f"-n{processes}"]
    words += [
        f"--target=clerk-js@{RELEASE}",
        f"--invariant={HEADLINE}",
        *(f"--assume={names}" for names in CELLS),
    ]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pytest", str(ROOT / "properties"), f"--rootdir={ROOT}", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return time.perf_counter() - began


def rate_of(policy: Policy, assumptions: Assumptions, app: App) -> str:
    """How large the graph of a proof is, and how fast it was gone through. Raises `TargetError` if it is none."""
    proved = prove(policy, Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]], app, Limits(seconds=600))
    (verdict,) = proved.verdicts.values()
    if not isinstance(verdict, Proved):
        raise TargetError(f"the model was to be proved, and the verdict is: {verdict}")
    rate = verdict.steps / proved.seconds
    return f"{verdict.states:,} states and {verdict.steps:,} steps, {rate:,.0f} steps/s"


def proof() -> float:
    """Seconds from command to verdict, for one cell that holds."""
    words = ["prove", f"--policy={CLERK_JS_6_7_4.name}", f"--assume={ASSUMPTIONS}", f"--invariant={HEADLINE}"]
    return _seconds([sys.executable, "-c", "from properties.cli.main import main; main()", *words])


def proof_by_spin() -> float:
    """Seconds that SPIN takes for the same: it generates a verifier, which is compiled and run to its end."""
    cell = ("-DGUARD", "-DSTARVATION", "-DEXPIRED", str(ROOT / "tests" / "spin" / "session.pml"))
    return _seconds(
        ["spin", "-a", *cell], ["gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c"], ["./pan", "-m1000000"]
    )


def _seconds(*commands: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for command in commands:
            subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    console = Console(width=max(Console().width, 120))
    table = Table(title=f"{TRACES} traces, assuming {ASSUMPTIONS}", title_justify="left", box=None)
    for heading in ("what", "traces/s", "steps/s", "steps a trace", "share of the limit"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    def add(what: str, traces: int, steps: int, seconds: float, share: str = "") -> None:
        rates = (f"{traces / seconds:,.0f}", f"{steps / seconds:,.0f}", f"{steps / traces:.0f}")
        table.add_row(what, *rates, share)

    console.print("measuring the model ...", style="dim")
    add("the model, through the machine", *measure(ModelTarget(CLERK_JS_6_40_0)))

    target = clerk_js_target(RELEASE, console.print)
    with tempfile.TemporaryFile() as log:
        with recorded(log):
            target.prepare()
            start_up = log.tell()
            console.print(f"measuring {target.name} ...", style="dim")
            traces, steps, seconds = measure(target)
            target.close()
        log.seek(0)
        commands = log.read()
    console.print("measuring the bare loop ...", style="dim")
    plain = bare_loop(commands) - bare_loop(commands[:start_up])
    tuned = bare_loop(commands, *node.FLAGS) - bare_loop(commands[:start_up], *node.FLAGS)
    add(f"{target.name}, through the machine", traces, steps, seconds, f"{plain / seconds:.2f}")
    add("the same traces, bare loop in Node", traces, steps, plain, "1")
    add("the same traces, bare loop in Node as tuned as our driver", traces, steps, tuned, f"{plain / tuned:.2f}")
    console.print(table)

    console.print("measuring proofs ...", style="dim")
    console.print(f"a proof with the clock: {rate_of(CLERK_JS_6_7_4, ASSUMPTIONS, App(templates=True))}")
    console.print(f"a proof without it: {rate_of(FIX_QUIET_BACKGROUND, EVERYTHING, App(organizations=True))}")
    if missing := [name for name in ("spin", "gcc") if not shutil.which(name)]:
        console.print(f"NOT MEASURED: the same beside SPIN. Install {' and '.join(missing)}")
    else:
        ours, its = proof(), proof_by_spin()
        console.print(f"from command to verdict: {ours:.1f} s, SPIN {its:.1f} s; {its / ours:.0f} times as long")

    console.print(f"measuring {len(CELLS)} cells of {RELEASE} with one process and with two ...", style="dim")
    one, two = check(0), check(2)
    console.print(f"-n 0: {one:.1f} s, -n 2: {two:.1f} s; two are {one / two:.2f} times as fast as one")


if __name__ == "__main__":
    try:
        main()
    except TargetError as error:
        sys.exit(f"bench: {error}")
