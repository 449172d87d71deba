"""`make bench`: how well and how fast the engines search, compared with another tool and with an upper limit.

Everything is measured in one run; only the ratios are comparable across machines. The limit for a real SDK is the
same Node driver reading the recorded commands of the search from a file, without waiting for anybody.

    python -m properties.cli.bench --finding NAME --seeds 3
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from model.app import App
from model.assumptions.sets import Assumptions
from model.operations import Operation
from model.terms import Runtime
from properties.cli import power
from properties.cli.common import profile
from properties.cli.gate import pytest_environment, pytest_words
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Proved
from properties.prove.matrix import ALL
from properties.prove.prove import Limits, prove
from properties.run.known import CHECKOUT
from properties.search.search import search
from properties.system.failures import Failure
from properties.system.target import Target, TargetError
from properties.system.trace import Trace
from properties.targets import node
from properties.targets.adapter import Adapter, Benchmark
from properties.targets.names import built_in, make_target, model_named
from properties.targets.protocol import Command

TRACES = 1000


def measure(target: Target, bench: Benchmark) -> tuple[int, int, float]:
    """The traces, steps and seconds of one search without a violation. Raises `TargetError`."""
    cell = Cell(target.name, Runtime.HEADLESS, bench.assumptions)
    found = search(target, cell, [INVARIANTS[bench.invariant]], profile(TRACES))
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


def bare_loop(commands: bytes, *flags: str) -> Spent:
    """What a driver spends on `commands` from a file. `flags` are for Node."""
    with tempfile.TemporaryFile() as log:
        log.write(commands)
        log.seek(0)
        began = now()
        _seconds([node.node_executable(), *flags, str(node.LOOP)], stdin=log)
        return now() - began


def check(bench: Benchmark, processes: int) -> float:
    """The seconds that pytest takes for its cells with so many processes of pytest-xdist; 0 is pytest alone."""
    words = ["-q", "--no-header", "--hypothesis-profile=ci", f"-n{processes}"]
    words += [
        f"--target={bench.build}",
        f"--invariant={bench.invariant}",
        *(f"--assume={names}" for names in bench.cells),
    ]
    command = [sys.executable, "-m", "pytest", *pytest_words(*words)]
    return _seconds(command, env=pytest_environment(), stderr=subprocess.DEVNULL)


def rate_of(bench: Benchmark, policy: str, assumptions: Assumptions, operations: tuple[Operation, ...]) -> str:
    """The size of the graph of a proof, and its speed. Raises `TargetError` if the invariant is not proved."""
    model, limits = model_named(policy), Limits(seconds=600)
    app = App((*model.sdk.proved_operations, *operations), calls=1)
    proved = prove(model, Runtime.HEADLESS, assumptions, [INVARIANTS[bench.invariant]], app, limits)
    (verdict,) = proved.verdicts.values()
    if not isinstance(verdict, Proved):
        raise TargetError(f"the model was to be proved, and the verdict is: {verdict}")
    rate = verdict.steps / proved.seconds
    return f"{verdict.states:,} states and {verdict.steps:,} steps, {rate:,.0f} steps/s"


def proof(bench: Benchmark) -> float:
    """The seconds from command to verdict, for one cell that is proved."""
    policy, _ = bench.timed
    words = ["prove", f"--policy={policy}", f"--assume={bench.assumptions}", f"--invariant={bench.invariant}"]
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


class Spent(Struct, frozen=True):
    """Seconds of real time, of CPU in this process, and of CPU in those that it started and that have ended."""

    real: float
    here: float
    node: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.real - other.real, self.here - other.here, self.node - other.node)


def now() -> Spent:
    """What was spent until now."""
    times = os.times()
    node_cpu = times.children_user + times.children_system
    return Spent(time.perf_counter(), time.process_time(), node_cpu)


def searches(bench: Benchmark, adapter: Adapter, console: Console) -> Table:
    """How fast the random engine plays traces, beside another tool and a loop without either."""
    table = Table(title=f"{TRACES} traces, assuming {bench.assumptions}", title_justify="left", box=None)
    cpu = ("ms of CPU a trace: here", "in Node")
    for heading in ("what", "traces/s", "steps/s", "steps a trace", *cpu):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    def add(what: str, traces: int, steps: int, seconds: float, spent: Spent) -> None:
        rates = (f"{traces / seconds:,.0f}", f"{steps / seconds:,.0f}", f"{steps / traces:.0f}")
        table.add_row(what, *rates, *(f"{1000 * used / traces:.1f}" for used in (spent.here, spent.node)))

    target = make_target(bench.build, console.print)
    model = target.described_by()
    assert model, f"no policy describes {bench.build}"
    console.print("measuring the model ...", style="dim")
    began = now()
    add("the model", *measure(model, bench), now() - began)
    with tempfile.TemporaryFile() as log:
        with recorded(log):
            target.prepare()
            start_up = log.tell()
            console.print(f"measuring {target.name} ...", style="dim")
            began = now()
            traces, steps, seconds = measure(target, bench)
            target.close()
        add(target.name, traces, steps, seconds, now() - began)
        log.seek(0)
        commands = log.read()
    console.print("measuring the bare loop ...", style="dim")
    for what, flags in (("bare loop in Node", ()), ("bare loop in Node, as tuned as our driver", node.FLAGS)):
        loop = bare_loop(commands, *flags) - bare_loop(commands[:start_up], *flags)
        add(f"the same traces, {what}", traces, steps, loop.real, loop)
    console.print("measuring the other tool ...", style="dim")
    searched = Trace(bench.build, Runtime.HEADLESS, bench.assumptions, (), bench.invariant)
    began = now()
    for other in adapter.compared(searched, [1], TRACES, power.STEPS, console.print):
        # It warms up with another search, which is not in its seconds.
        add("the other tool", other.traces, other.steps, other.shrunk, Spent(0, 0, (now() - began).node / 2))
        ratio = (steps / seconds) / (other.steps / other.shrunk)
        table.caption = f"ours to the other tool: {ratio:.2f} of its steps/s"
    return table


def proofs(bench: Benchmark, console: Console) -> None:
    """How fast the prover is."""
    console.print("measuring proofs ...", style="dim")
    policy, operations = bench.timed
    console.print(f"a proof with the clock: {rate_of(bench, policy, bench.assumptions, operations)}")
    policy, operations = bench.untimed
    console.print(f"a proof without it: {rate_of(bench, policy, Assumptions(ALL), operations)}")
    if missing := [name for name in ("spin", "gcc") if not shutil.which(name)]:
        console.print(f"NOT MEASURED: the comparison with SPIN. Install {' and '.join(missing)}")
    else:
        ours, its = proof(bench), proof_by_spin()
        console.print(f"from command to verdict: {ours:.1f} s, SPIN {its:.1f} s; {its / ours:.0f} times as long")


def powers(adapter: Adapter, paths: list[Path], seeds: int, traces: int, console: Console) -> Table:
    """What is found of what is known. A finding is printed when it is measured, and all of them at the end."""
    table = Table(
        title=f"{seeds} seeds, up to {traces} traces of {power.STEPS} steps", title_justify="left", box=None
    )
    for heading in power.HEADINGS:
        table.add_column(heading, justify="left" if heading == power.HEADINGS[0] else "right", overflow="fold")
    for place, path in enumerate(paths, 1):
        console.print(f"{path.stem} ({place} of {len(paths)}) ...", style="dim")
        cells = [*power.row(power.measured(adapter, path, seeds, traces, console.print))]
        console.print(
            "  ".join(f"{name}: {cell}" for name, cell in zip(power.HEADINGS[1:], cells[1:], strict=True))
        )
        table.add_row(*cells)
    return table


def machine() -> str:
    """What this is measured on, and when."""
    models = (line.partition(": ")[2] for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name"))
    name = next(models, platform.processor() or platform.machine())
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {name}{load}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


PARTS = ("power", "searches", "proofs", "processes")


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS, help="repeatable")
@click.option("--finding", "names", multiple=True, metavar="NAME", help="only its power; repeatable")
@click.option("--seeds", type=click.IntRange(min=1), default=10, show_default=True, help="of its power")
@click.option("--traces", type=click.IntRange(min=1), default=TRACES, show_default=True, help="for each seed")
def main(parts: tuple[str, ...], names: tuple[str, ...], seeds: int, traces: int) -> None:
    """Measure how well (power) and how fast the engines search."""
    console = Console(width=max(Console().width, 190))
    console.print(machine())
    adapter, tables = built_in(), []
    if names or "power" in parts:
        tables.append(powers(adapter, power.findings(adapter, names), seeds, traces, console))
    if (bench := adapter.benchmark) and not names:
        if "searches" in parts:
            tables.append(searches(bench, adapter, console))
        if "proofs" in parts:
            proofs(bench, console)
        if "processes" in parts:
            console.print(f"measuring {len(bench.cells)} cells with one process and with two ...", style="dim")
            one, two = check(bench, 0), check(bench, 2)
            console.print(f"-n 0: {one:.1f} s, -n 2: {two:.1f} s; two are {one / two:.2f} times as fast as one")
    for table in tables:
        console.print(table)
    console.print(machine())


if __name__ == "__main__":
    try:
        main()
    except Failure as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(2)
