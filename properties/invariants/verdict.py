"""What a search can conclude. Never "passed" for "stopped": each verdict says what it rests on."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.terms import Runtime
from model.world.facts import Fact
from properties.system.step import Step, facts_of
from properties.system.trace import Trace


class Held(Struct, frozen=True):
    """No trace tried broke the invariant."""

    traces: int
    steps: int

    def __str__(self) -> str:
        return "held"


class Violated(Struct, frozen=True):
    """A trace breaks the invariant, `played` step by step; `shortest` if there is none with fewer events, or else
    shrunk. `confirmed` says where a model's trace was tried on a build, and what came of it."""

    trace: Trace
    played: tuple[Step, ...]
    traces: int
    steps: int
    shortest: bool = False
    confirmed: str = ""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What was seen, in order."""
        return facts_of(self.played)

    def __str__(self) -> str:
        return "VIOLATED"


class Proved(Struct, frozen=True):
    """Nothing that the world and the model can do breaks the invariant, in traces of any length: the graph of all
    that they can reach has these `states` and `steps`, and is closed. What promises that something comes is
    proved only if it does from each of them (`recovers`)."""

    states: int
    steps: int
    recovers: bool = False

    def __str__(self) -> str:
        return "proved"


class HeldTo(Struct, frozen=True):
    """No trace of up to `depth` events breaks the invariant; of longer ones nothing is known. No proof."""

    depth: int
    states: int

    def __str__(self) -> str:
        return "not proved"


class MayStarve(Struct, frozen=True):
    """Nothing breaks the invariant, but what it promises may never come in a healthy world, after the events of
    this `story` to one of the `states`. No proof, and no violation: a hull holds more than can happen."""

    states: int
    story: tuple[str, ...]

    def __str__(self) -> str:
        return "not proved"


class Vacuous(Struct, frozen=True):
    """Nothing broke, but the run never reached what its assumptions are about: no evidence of anything. Of which
    there were so many `traces`, or whatever `unit` says."""

    traces: int
    steps: int
    never: tuple[str, ...]
    unit: str = "traces"

    def __str__(self) -> str:
        return "vacuous"


class NotApplicable(Struct, frozen=True):
    """The invariant says nothing about this runtime: it is a matter of others."""

    runtimes: tuple[Runtime, ...] = (Runtime.HEADLESS,)
    traces: int = 0
    steps: int = 0

    def __str__(self) -> str:
        return "says nothing here"


Verdict: TypeAlias = Held | Proved | HeldTo | MayStarve | Violated | Vacuous | NotApplicable


class Cell(Struct, frozen=True):
    """Where to search: one target, one runtime, one set of assumptions."""

    target: str
    runtime: Runtime
    assumptions: Assumptions


class Findings(Struct, frozen=True):
    """What a search of a cell concluded. `reached` counts traces by what they came across."""

    cell: Cell
    verdicts: dict[str, Verdict]
    traces: int
    reached: dict[str, int]
    seconds: float

    @property
    def unused(self) -> tuple[str, ...]:
        """The faults that the assumptions allow and no trace has used."""
        here = [fault for fault in self.cell.assumptions.faults if self.cell.runtime in fault.runtimes]
        return tuple(fault.name for fault in here if not self.reached.get(fault.name))
