"""Between which releases does a verdict change? A binary search over the versions that npm has.

It finds one change between two ends that differ; whether there are others in between, only a look at every
release tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import settings
from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.clerk.policy import SINCE, policy_of
from model.clerk.transition import MODELLED
from model.terms import Runtime
from properties.invariants.catalogue import Invariant
from properties.invariants.verdict import Cell, Held, Verdict, Violated
from properties.prove.prove import Limits, prove
from properties.run.shrink import violates
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.system.trace import Trace

SUGGESTING = Limits(depth=8, seconds=600, states=200)
"""How far the prover may look for a trace worth trying."""


class Look(Struct, frozen=True):
    """What was seen of one release."""

    version: str
    verdict: Verdict

    @property
    def violated(self) -> bool:
        """Whether the invariant breaks there."""
        return isinstance(self.verdict, Violated)


class Bisection:
    """Judges releases, each once. `target_of` makes the target of a version."""

    def __init__(
        self,
        target_of: Callable[[str], Target],
        invariant: Invariant,
        runtime: Runtime,
        assumptions: Assumptions,
        profile: settings,
        tell: Callable[[Look], None],
    ) -> None:
        self._target_of, self._invariant = target_of, invariant
        self._runtime, self._assumptions, self._profile, self._tell = runtime, assumptions, profile, tell
        self._asked: set[str] = set()
        self.looks: dict[str, Look] = {}
        self.traces: list[Trace] = []

    def look(self, version: str) -> Look:
        """Judge one release: by what broke another one, or should break it by its model, or else by a search.

        Raises `TargetError`.
        """
        if version in self.looks:
            return self.looks[version]
        target = self._target_of(version)
        try:
            target.prepare(self._runtime)
            self._ask_the_model(version)
            verdict = self._replayed(target) or self._searched(target)
        finally:
            target.close()
        look = self.looks[version] = Look(version, verdict)
        self._tell(look)
        return look

    def _ask_the_model(self, version: str) -> None:
        """Let the prover suggest a trace that should break this release, once for each policy."""
        if self._runtime not in MODELLED:
            return
        policy = policy_of(version) or next(iter(SINCE.values()))  # the oldest may know of what is older
        if policy.name in self._asked:
            return
        self._asked.add(policy.name)
        found = prove(policy, self._runtime, self._assumptions, [self._invariant], limits=SUGGESTING)
        verdict = found.verdicts[self._invariant.id]
        if isinstance(verdict, Violated):
            self.traces.append(verdict.trace)

    def _replayed(self, target: Target) -> Verdict | None:
        for trace in self.traces:
            if found := violates(replace(trace, target=target.name), target, self._invariant):
                found.trace.save()
                return Violated(found.trace, found.played, 1, len(found.played))
        return None

    def _searched(self, target: Target) -> Verdict:
        cell = Cell(target.name, self._runtime, self._assumptions)
        verdict = search(target, cell, [self._invariant], self._profile).verdicts[self._invariant.id]
        if isinstance(verdict, Violated):
            self.traces.append(verdict.trace)
        return verdict

    def change(self, versions: Sequence[str]) -> tuple[Look, Look]:
        """Two releases next to each other among `versions`, in order, of which the verdicts differ.

        Raises `TargetError`, also when the verdicts of the first and the last are the same.
        """
        low, high = 0, len(versions) - 1
        first, last = self.look(versions[low]), self.look(versions[high])
        if first.violated == last.violated:
            both = "violated" if first.violated else "not violated"
            raise TargetError(f"{both} on {first.version} and on {last.version}: nothing to find between them")
        while high - low > 1:
            middle = (low + high) // 2
            if self.look(versions[middle]).violated == first.violated:
                low = middle
            else:
                high = middle
        return self.look(versions[low]), self.look(versions[high])


def evidence(verdict: Verdict) -> str:
    """What the verdict rests on, in a few words."""
    match verdict:
        case Violated(trace):
            return f"VIOLATED  {trace}"
        case Held(traces, steps):
            return f"held      {traces} traces, {steps} steps"
        case _:
            return str(verdict)
