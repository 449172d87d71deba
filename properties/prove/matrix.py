"""The matrix of proofs: every policy under every set of assumptions, proved in parallel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Findings, Violated
from properties.prove.prove import Limits, prove
from properties.run.shrink import violates
from properties.system.processes import run_all
from properties.system.target import Target
from properties.targets.names import adapter_of, make_target, model_named, policies

EVERY_POLICY: tuple[str, ...] = tuple(policies())

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("starvation", "stale-after-expiry"),
    ("starvation", "stale-on-arrival"),
    ("starvation", "stale-for-good"),
    tuple(name for name in ASSUMPTIONS if name != "calm"),
)
"""Combinations of assumptions besides the single ones: those that interact, and all of them."""

EVERY_ASSUMPTION: tuple[tuple[str, ...], ...] = (*((name,) for name in ASSUMPTIONS), *TOGETHER)


class Task(Struct, frozen=True):
    """One cell to prove, as plain values that can be sent to another process."""

    policy: str
    assumptions: tuple[str, ...]
    runtime: Runtime
    invariants: tuple[str, ...]
    app: App | None
    limits: Limits

    def run(self, tell: Callable[[str], None] = lambda line: None) -> Findings:
        """Run the proof. Raises `UnknownName`."""
        judged = [INVARIANTS[name] for name in self.invariants]
        found = Assumptions(self.assumptions)
        return prove(model_named(self.policy), self.runtime, found, judged, self.app, self.limits, tell)


def _saved_here(found: Findings) -> Findings:
    """The findings, with their traces saved again: a worker does not tell which ones it could not save."""
    for verdict in found.verdicts.values():
        if isinstance(verdict, Violated):
            verdict.trace.save()
    return found


def prove_all(tasks: Sequence[Task], workers: int, tell: Callable[[Findings], None]) -> list[Findings]:
    """The findings of every task, in order. `tell` gets them as they come. Raises `Failure` if a worker process
    dies."""
    return run_all(tasks, workers, lambda found: tell(_saved_here(found)))


def confirmed(findings: Sequence[Findings], say: Callable[[str], None]) -> list[Findings]:
    """The findings, with every counterexample of a released policy replayed on the build of that release.

    Raises `TargetError`.
    """
    with contextlib.ExitStack() as targets:
        builds: dict[str, Target] = {}
        for name in dict.fromkeys(found.cell.target for found in findings):
            adapter = adapter_of(name)
            if adapter and (build := adapter.build_of(name.removeprefix("model@"))):
                builds[name] = make_target(build, say)
                targets.callback(builds[name].close)
        return [_confirmed(found, builds.get(found.cell.target)) for found in findings]


def _confirmed(found: Findings, build: Target | None) -> Findings:
    verdicts = dict(found.verdicts)
    for name, verdict in found.verdicts.items():
        if isinstance(verdict, Violated) and build is not None:
            happens = violates(replace(verdict.trace, target=build.name), build, INVARIANTS[name])
            word = "confirmed on" if happens else "NOT CONFIRMED on"
            verdicts[name] = replace(verdict, confirmed=f"{word} {build.name}")
    return replace(found, verdicts=verdicts)
