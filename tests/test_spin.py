"""An independent check: a model written by hand for SPIN comes to the same verdicts, with traces as short."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from model.clerk.policy import CLERK_JS_6_7_1, CLERK_JS_6_7_4, CLERK_JS_6_40_0, FIX_QUIET_BACKGROUND, Policy
from model.clerk.sdk import CLERK
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Proved, Violated
from properties.prove.prove import prove
from properties.targets.model import ModelTarget
from tests.support import HEADLINE, assuming, debian

pytestmark = pytest.mark.slow

MODEL = Path(__file__).with_name("spin") / "session.pml"

Cell = tuple[Policy, tuple[str, ...], tuple[str, ...]]

CELLS: list[Cell] = [
    (CLERK_JS_6_7_1, ("starvation", "stale-after-expiry"), ("STARVATION", "EXPIRED")),
    (CLERK_JS_6_7_1, ("stale-on-arrival",), ("ON_ARRIVAL",)),
    (CLERK_JS_6_7_4, ("starvation", "stale-after-expiry"), ("GUARD", "STARVATION", "EXPIRED")),
    (CLERK_JS_6_7_4, ("starvation", "stale-on-arrival"), ("GUARD", "STARVATION", "ON_ARRIVAL")),
    (CLERK_JS_6_40_0, ("stale-for-good",), ("GUARD", "LATE", "FOR_GOOD")),
    (CLERK_JS_6_40_0, ("rotated-credential",), ("GUARD", "LATE", "ROTATED")),
    (FIX_QUIET_BACKGROUND, ("rotated-credential",), ("QUIET", "LATE", "ROTATED")),
]
"""A policy, what the world may do, and what both are called in the model for SPIN."""


@pytest.fixture(scope="module")
def spin() -> str:
    """SPIN, installed where that is possible, and a C compiler for what it generates."""
    return debian("spin", "an independent model of the client, by SPIN", "gcc")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0].name}-{','.join(cell[1])}")
def test_spin_comes_to_the_same_verdict_with_a_trace_as_short(spin: str, tmp_path: Path, cell: Cell) -> None:
    policy, assumptions, flags = cell
    model = ModelTarget(CLERK, policy)
    found = prove(model, Runtime.HEADLESS, assuming(*assumptions), [INVARIANTS[HEADLINE]])
    ours = found.verdicts[HEADLINE]
    match ours:
        case Proved():
            assert not breaks(spin, tmp_path, *flags)
        case Violated(trace=trace):
            shortest = len(trace.events)
            assert breaks(spin, tmp_path, *flags, f"LIMIT={shortest}")
            assert not breaks(spin, tmp_path, *flags, f"LIMIT={shortest - 1}")
        case _:
            pytest.fail(f"neither proved nor violated: {ours}")


def breaks(spin: str, folder: Path, *flags: str) -> bool:
    """Does SPIN find a way to the assertion? It generates a verifier, which is compiled and run to its end."""
    words = [
        [spin, "-a", *(f"-D{flag}" for flag in flags), str(MODEL)],
        ["gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c"],
        ["./pan", "-m1000000"],
    ]
    for command in words:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "max search depth too small" not in done.stdout
    (errors,) = re.findall(r"errors: (\d+)", done.stdout)
    return int(errors) > 0
