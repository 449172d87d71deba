"""The verdicts that an engine can reach. Stopping early is never "passed": each verdict says what it rests on."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from model.assumptions.landmarks import Landmark
from model.assumptions.sets import Assumptions
from model.step import Step
from model.terms import Runtime
from model.world.facts import Fact
from properties.system.fact_kinds import facts_of
from properties.system.registry import sdks_of
from properties.system.trace import Trace


class _Verdict(Struct, frozen=True):
    word: ClassVar[str]

    def __str__(self) -> str:
        return self.word


class Held(_Verdict, frozen=True):
    """None of the traces tried violates the invariant."""

    traces: int
    steps: int

    word = "held"


class Violated(_Verdict, frozen=True):
    """`trace` violates the invariant; `played` has its steps.

    `shortest`: no trace with fewer events does. `replayed`: it is the trace of a known finding. Otherwise the
    trace was shrunk. `confirmed` says on which build a trace of the model was replayed, and whether it violated
    the invariant there. `accepted` is the reason why a known finding lists it; None if none does. `others` are
    violations of the same invariant by other causes.
    """

    trace: Trace
    played: tuple[Step, ...]
    traces: int
    steps: int
    shortest: bool = False
    confirmed: str = ""
    replayed: bool = False
    accepted: str | None = None
    others: tuple[Violated, ...] = ()

    @property
    def each(self) -> tuple[Violated, ...]:
        """This violation and the others."""
        return (replace(self, others=()), *self.others)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts of the trace, in order."""
        return facts_of(self.played)

    word = "VIOLATED"


class Proved(_Verdict, frozen=True):
    """No trace of any length violates the invariant: the graph of reachable states is closed, with so many
    `states` and `steps`. For an invariant with a liveness part, `recovers` means that every state recovers, too.
    """

    states: int
    steps: int
    recovers: bool = False

    word = "proved"


class HeldTo(_Verdict, frozen=True):
    """No trace of up to `depth` events violates the invariant. Nothing is known about longer ones: this is no
    proof."""

    depth: int
    states: int

    word = "not proved"


class MayStarve(_Verdict, frozen=True):
    """Nothing violates the safety part of the invariant, but after the events of `path` the foreground may never
    recover, even in a healthy world. Neither a proof nor a violation: hulls over-approximate what can happen."""

    states: int
    path: tuple[str, ...]

    word = "not proved"


class Vacuous(_Verdict, frozen=True):
    """Nothing violates the invariant, but the run never reached the landmarks in `never`, so it is no evidence.
    `traces` counts what was tried, in `unit`."""

    traces: int
    steps: int
    never: tuple[str, ...]
    unit: str = "traces"

    word = "vacuous"


class NotApplicable(_Verdict, frozen=True):
    """The invariant does not apply to this runtime; it applies to `runtimes`."""

    runtimes: tuple[Runtime, ...] = (Runtime.HEADLESS,)
    traces: int = 0
    steps: int = 0

    word = "says nothing here"


Verdict: TypeAlias = Held | Proved | HeldTo | MayStarve | Violated | Vacuous | NotApplicable


class Cell(Struct, frozen=True):
    """What one search covers: one target, one runtime, one set of assumptions."""

    target: str
    runtime: Runtime
    assumptions: Assumptions

    @property
    def faults(self) -> tuple[Landmark, ...]:
        """The faults that the assumptions allow and that are possible on this runtime with this server."""
        servers = [sdk.server for sdk in sdks_of(self.target)]
        return tuple(
            fault
            for fault in self.assumptions.faults
            if any(fault.possible(self.runtime, server) for server in servers)
        )


class Findings(Struct, frozen=True):
    """The verdicts of one search of a cell. `reached` counts traces by the landmarks that they reached. `met` has
    the first violation that the search met by each known cause, by invariant; these were not shrunk. `first` are
    the seconds to the first violation of all that counted, if there was one."""

    cell: Cell
    verdicts: dict[str, Verdict]
    traces: int
    reached: dict[str, int]
    seconds: float
    met: dict[str, tuple[Violated, ...]] = {}
    first: float | None = None

    @property
    def violations(self) -> tuple[Violated, ...]:
        """Every violation in this cell."""
        violated = (verdict for verdict in self.verdicts.values() if isinstance(verdict, Violated))
        return tuple(one for verdict in violated for one in verdict.each)

    @property
    def unused(self) -> tuple[str, ...]:
        """The faults that the assumptions allow and that no trace used."""
        return tuple(fault.name for fault in self.cell.faults if not self.reached.get(fault.name))
