"""The matrix of proofs: every policy under every set of assumptions, proved in parallel."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from model.app import App
from model.assumptions.sets import Assumptions, everything
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Findings, Violated
from properties.prove.prove import KnownBy, Limits, prove
from properties.prove.runs import Asked, Choice
from properties.run.shrink import violates
from properties.system.processes import run_all
from properties.system.target import Target
from properties.targets.names import adapter_of, built_in, make_target, model_named, policies

EVERY_POLICY: tuple[str, ...] = tuple(policies())

ALL = everything(built_in().sdk, Runtime.HEADLESS).names
"""All assumptions that say something where there is no page: a page has no model."""

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("starvation", "stale-after-expiry"),
    ("starvation", "stale-on-arrival"),
    ("starvation", "stale-for-good"),
    ALL,
)
"""Combinations of assumptions besides the single ones: those that interact, and all of them."""

EVERY_ASSUMPTION: tuple[tuple[str, ...], ...] = (("calm",), *((name,) for name in ALL), *TOGETHER)


class Task(Struct, frozen=True):
    """One cell to prove, as plain values that can be sent to another process."""

    policy: str
    assumptions: tuple[str, ...]
    runtime: Runtime
    invariants: tuple[str, ...]
    app: App | None
    limits: Limits

    @property
    def alike(self) -> Task:
        """The same for all tasks that differ only in the policy."""
        return replace(self, policy="")

    def run(self, tell: Callable[[str], None] = lambda line: None) -> Findings:
        """Run the proof, or find the same for what another policy was found to do, if all that was asked of that
        one has the same answers here. Raises `UnknownName`."""
        began = time.perf_counter()
        model, shared = model_named(self.policy), shared_by(self.alike)
        for choices, found in shared.findings:
            if all(choice.of(model.policy) for choice in choices):
                return _also_of(model.name, found, time.perf_counter() - began)
        judged = [INVARIANTS[name] for name in self.invariants]
        asked: list[tuple[Choice, bool]] = []
        if not any(one.reference for one in judged):  # the reference client's policy is made from the whole one
            model.policy = Asked(model.policy, asked)
        assumptions = Assumptions(self.assumptions)
        found = prove(model, self.runtime, assumptions, judged, self.app, self.limits, tell, shared.known)
        if asked:
            shared.findings.append(([choice for choice, _ in asked if choice.name != "name"], found))
        return found


@dataclass(slots=True)
class _Shared:
    """What this process knows from tasks that differ only in the policy: the runs, and the findings, each with
    the choices that it hangs on."""

    known: KnownBy = field(default_factory=dict)
    findings: list[tuple[Sequence[Choice], Findings]] = field(default_factory=list)


@lru_cache(maxsize=1)
def shared_by(_alike: Task) -> _Shared:
    """What these tasks share. What others shared is forgotten."""
    return _Shared()


def _also_of(name: str, found: Findings, seconds: float) -> Findings:
    """The findings of a model that does all that another was found to do. The traces are saved."""
    verdicts = {
        invariant: replace(verdict, trace=replace(verdict.trace, target=name))
        if isinstance(verdict, Violated)
        else verdict
        for invariant, verdict in found.verdicts.items()
    }
    return _saved(replace(found, cell=replace(found.cell, target=name), verdicts=verdicts, seconds=seconds))


def _saved(found: Findings) -> Findings:
    """The findings, with their traces saved."""
    for verdict in found.verdicts.values():
        if isinstance(verdict, Violated):
            verdict.trace.save()
    return found


def prove_all(tasks: Sequence[Task], workers: int, tell: Callable[[Findings], None]) -> list[Findings]:
    """The findings of every task, in order. `tell` gets them as they come. Raises `Failure` if a worker process
    dies."""

    def told(found: Findings) -> None:
        tell(_saved(found))  # again: a worker does not tell which traces it could not save

    return run_all(tasks, workers, told, lambda task: task.alike)


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
