"""Bisection: between which two releases does a verdict change? A binary search over the versions on npm.

It finds one change between two ends with different verdicts. There may be more changes in between: only judging
every release finds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hypothesis import settings
from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.terms import Runtime
from properties.invariants.invariant import Invariant
from properties.invariants.verdict import Cell, Held, Verdict, Violated
from properties.prove.prove import Limits, prove
from properties.run.reference import model_of
from properties.run.shrink import violates
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.system.trace import Trace
from properties.targets.adapter import Adapter, Say
from properties.targets.model import ModelTarget
from properties.targets.names import make_target

SUGGESTION_LIMITS = Limits(depth=8, seconds=600, states=200)
"""The limits of the proof that suggests a trace to replay."""


class ReleaseVerdict(Struct, frozen=True):
    """The verdict on one release."""

    version: str
    verdict: Verdict

    @property
    def violated(self) -> bool:
        """Is the invariant violated on this release?"""
        return isinstance(self.verdict, Violated)


def replayed(traces: Iterable[Trace], target: Target, invariant: Invariant) -> Violated | None:
    """The first of these traces that violates the invariant on the target, whatever it was found on. Raises
    `TargetError`."""
    for trace in traces:
        if found := violates(replace(trace, target=target.name), target, invariant):
            found.trace.save()
            return Violated(found.trace, found.played, 1, len(found.played), replayed=True)
    return None


class Bisection:
    """Judges releases of an SDK, each once. `tell` gets each verdict; `say` gets lines about downloads."""

    def __init__(
        self,
        sdk: Adapter,
        invariant: Invariant,
        runtime: Runtime,
        assumptions: Assumptions,
        profile: settings,
        tell: Callable[[ReleaseVerdict], None],
        say: Say,
    ) -> None:
        self._sdk, self._say, self._invariant = sdk, say, invariant
        self._runtime, self._assumptions, self._profile, self._tell = runtime, assumptions, profile, tell
        self._asked: set[str] = set()
        self.verdicts: dict[str, ReleaseVerdict] = {}
        self.traces: list[Trace] = []

    def judge(self, version: str) -> ReleaseVerdict:
        """Judge one release: replay the traces that violate other releases or the model, then search.

        Raises `TargetError`.
        """
        if version in self.verdicts:
            return self.verdicts[version]
        target = make_target(self._sdk.release(version), self._say)
        try:
            target.prepare(self._runtime)
            self._suggest_a_trace(target)
            verdict = replayed(self.traces, target, self._invariant) or self._searched(target)
        finally:
            target.close()
        found = self.verdicts[version] = ReleaseVerdict(version, verdict)
        self._tell(found)
        return found

    def _suggest_a_trace(self, target: Target) -> None:
        """Let the exhaustive engine suggest a violating trace, once for each policy."""
        sdk = target.sdk
        if self._runtime not in sdk.runtimes:
            return
        oldest = next(iter(sdk.policies.values()))  # the closest policy to a release that is older still
        model = model_of(target) or ModelTarget(sdk, oldest)
        if model.name in self._asked:
            return
        self._asked.add(model.name)
        found = prove(model, self._runtime, self._assumptions, [self._invariant], limits=SUGGESTION_LIMITS)
        verdict = found.verdicts[self._invariant.id]
        if isinstance(verdict, Violated):
            self.traces.append(verdict.trace)

    def _searched(self, target: Target) -> Verdict:
        cell = Cell(target.name, self._runtime, self._assumptions)
        verdict = search(target, cell, [self._invariant], self._profile).verdicts[self._invariant.id]
        if isinstance(verdict, Violated):
            self.traces.append(verdict.trace)
        return verdict

    def find_change(self, versions: Sequence[str]) -> tuple[ReleaseVerdict, ReleaseVerdict]:
        """Two adjacent releases of `versions`, in order, with different verdicts.

        Raises `TargetError`, also when the verdicts of the first and the last are the same.
        """
        low, high = 0, len(versions) - 1
        first, last = self.judge(versions[low]), self.judge(versions[high])
        if first.violated == last.violated:
            both = "violated" if first.violated else "not violated"
            raise TargetError(f"{both} on {first.version} and on {last.version}: nothing to find between them")
        while high - low > 1:
            middle = (low + high) // 2
            if self.judge(versions[middle]).violated == first.violated:
                low = middle
            else:
                high = middle
        return self.judge(versions[low]), self.judge(versions[high])


def evidence(verdict: Verdict) -> str:
    """The verdict and its evidence, in one line."""
    match verdict:
        case Violated(trace):
            return f"VIOLATED  {trace}"
        case Held(traces, steps):
            return f"held      {traces} traces, {steps} steps"
        case _:
            return str(verdict)
