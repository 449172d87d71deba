"""`make bench`: the speed of the engines, compared with an upper limit.

Everything is measured in one run; only the ratios are comparable across machines. The limit for a real SDK is the
same Node driver reading the recorded commands of the search from a file, without a round trip for each command.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import msgspec
from rich.console import Console
from rich.table import Table

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.clerk.policy import CLERK_JS_6_7_4, CLERK_JS_6_40_0, FIX_QUIET_BACKGROUND, Policy
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken
from model.step import App
from model.terms import Operation, Runtime
from properties.cli.common import profile
from properties.cli.gate import pytest_environment, pytest_words
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Proved
from properties.prove.prove import Limits, prove
from properties.run.known import CHECKOUT
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.targets import node
from properties.targets.model import ModelTarget
from properties.targets.names import make_target
from properties.targets.protocol import Command

TRACES = 1000
RELEASE = "6.40.0"
HEADLINE = "background-never-destroys-valid-session"
BENCH_ASSUMPTIONS = Assumptions(("starvation", "stale-after-expiry"))
ALL_ASSUMPTIONS = Assumptions(tuple(name for name in ASSUMPTIONS if name != "calm"))


def measure(target: Target) -> tuple[int, int, float]:
    """The traces, steps and seconds of one search without a violation. Raises `TargetError`."""
    cell = Cell(target.name, Runtime.HEADLESS, BENCH_ASSUMPTIONS)
    found = search(target, cell, [INVARIANTS[HEADLINE]], profile(TRACES))
    (verdict,) = found.verdicts.values()
    if not isinstance(verdict, Held):
        raise TargetError(f"{target.name} was to hold, and the verdict is: {verdict}")
    return verdict.traces, verdict.steps, found.seconds


@contextmanager
def recorded(log: BinaryIO) -> Iterator[None]:
    """Write every command to any driver to `log`, one per line."""
    tell = node.Driver.tell

    def tell_and_write(driver: node.Driver, command: Command) -> None:
        log.write(msgspec.json.encode(command) + b"\n")
        tell(driver, command)

    node.Driver.tell = tell_and_write  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        node.Driver.tell = tell  # type: ignore[method-assign]


def bare_loop(commands: bytes, *flags: str) -> float:
    """The seconds that a driver takes for `commands` from a file. `flags` are for Node."""
    with tempfile.TemporaryFile() as log:
        log.write(commands)
        log.seek(0)
        return _seconds([node.node_executable(), *flags, str(node.LOOP)], stdin=log)


CELLS = (
    "starvation",
    "starvation,stale-after-expiry",
    "starvation,revocation",
    "revocation",
    "outage",
    "calm",
)
"""The assumptions of cells without a violation."""


def check(processes: int) -> float:
    """The seconds that pytest takes for `CELLS` with so many processes of pytest-xdist; 0 is pytest alone."""
    words = ["-q", "--no-header", "--hypothesis-profile=ci", f"-n{processes}"]
    words += [
        f"--target=clerk-js@{RELEASE}",
        f"--invariant={HEADLINE}",
        *(f"--assume={names}" for names in CELLS),
    ]
    command = [sys.executable, "-m", "pytest", *pytest_words(*words)]
    return _seconds(command, env=pytest_environment(), stderr=subprocess.DEVNULL)


def rate_of(policy: Policy, assumptions: Assumptions, operations: tuple[Operation, ...]) -> str:
    """The size of the graph of a proof, and its speed. Raises `TargetError` if the invariant is not proved."""
    app = App((*CLERK.proved_operations, *operations), calls=1)
    model, limits = ModelTarget(CLERK, policy), Limits(seconds=600)
    proved = prove(model, Runtime.HEADLESS, assumptions, [INVARIANTS[HEADLINE]], app, limits)
    (verdict,) = proved.verdicts.values()
    if not isinstance(verdict, Proved):
        raise TargetError(f"the model was to be proved, and the verdict is: {verdict}")
    rate = verdict.steps / proved.seconds
    return f"{verdict.states:,} states and {verdict.steps:,} steps, {rate:,.0f} steps/s"


def proof() -> float:
    """The seconds from command to verdict, for one cell that is proved."""
    words = [
        "prove",
        f"--policy={CLERK_JS_6_7_4.name}",
        f"--assume={BENCH_ASSUMPTIONS}",
        f"--invariant={HEADLINE}",
    ]
    return _seconds([sys.executable, "-c", "from properties.cli.main import main; main()", *words])


def proof_by_spin() -> float:
    """The seconds that SPIN takes for the same: generate, compile and run the verifier."""
    cell = ("-DGUARD", "-DSTARVATION", "-DEXPIRED", str(CHECKOUT / "tests" / "spin" / "session.pml"))
    return _seconds(
        ["spin", "-a", *cell], ["gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c"], ["./pan", "-m1000000"]
    )


def _seconds(*commands: list[str], **given: Any) -> float:
    """The seconds that these commands take, one after the other. `given` is for `subprocess.run`."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for command in commands:
            subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True, **given)
        return time.perf_counter() - began


def main() -> None:
    """Run all measurements and print them."""
    console = Console(width=max(Console().width, 120))
    table = Table(title=f"{TRACES} traces, assuming {BENCH_ASSUMPTIONS}", title_justify="left", box=None)
    for heading in ("what", "traces/s", "steps/s", "steps a trace", "share of the limit"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    def add(what: str, traces: int, steps: int, seconds: float, share: str = "") -> None:
        rates = (f"{traces / seconds:,.0f}", f"{steps / seconds:,.0f}", f"{steps / traces:.0f}")
        table.add_row(what, *rates, share)

    console.print("measuring the model ...", style="dim")
    add("the model, through the machine", *measure(ModelTarget(CLERK, CLERK_JS_6_40_0)))

    target = make_target(f"clerk-js@{RELEASE}", console.print)
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
    timed = rate_of(CLERK_JS_6_7_4, BENCH_ASSUMPTIONS, (GetToken("api"),))
    console.print(f"a proof with the clock: {timed}")
    untimed = rate_of(FIX_QUIET_BACKGROUND, ALL_ASSUMPTIONS, (GetToken(organization="org_b"),))
    console.print(f"a proof without it: {untimed}")
    if missing := [name for name in ("spin", "gcc") if not shutil.which(name)]:
        console.print(f"NOT MEASURED: the comparison with SPIN. Install {' and '.join(missing)}")
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
