"""The state diagram of the client, generated from the closed graph of the model.

States of the graph are grouped by the client's phase (`Sdk.phase`), and every transition between two phases is
drawn. `python -m properties.prove.diagram` writes the diagram into docs/model.md.
"""

from __future__ import annotations

from pathlib import Path

from model.assumptions.sets import Assumptions
from model.operations import Operation
from model.step import Step
from model.terms import Runtime
from model.world.events import Advance, Answer, Freeze, Serve
from model.world.facts import Sent, TimerFired
from properties.prove.prove import Limits, closure, problem
from properties.prove.successors import successors
from properties.system.registry import sdks
from properties.system.wording import SHORT
from properties.targets.model import ModelTarget

PAGE = Path(__file__).parents[2] / "docs" / "model.md"
BEGIN, END = "```mermaid\nstateDiagram-v2\n", "```\n"
DIAGRAM_ASSUMPTIONS = Assumptions(("starvation", "rotated-credential"))


def why(step: Step) -> str:
    """The label of a transition, in a word or two."""
    if isinstance(step.event, Answer | Serve):
        return SHORT[step.event.outcome]
    kinds = set(map(type, step.facts))
    if {Sent, TimerFired} <= kinds:
        return "a late timer" if isinstance(step.event, Freeze) else "a timer"
    match step.event:
        case Advance():
            return "time"
        case Freeze():
            return "a freeze"
        case Operation():
            return step.event.verb
        case _:
            return type(step.event).__name__


def diagram(model: ModelTarget, runtime: Runtime, assumptions: Assumptions) -> str:
    """The diagram as Mermaid source."""
    sdk, asked = model.sdk, problem(model, runtime, assumptions)
    graph = closure(asked, Limits())
    assert graph.closed, "a graph that is cut off may lack a transition"
    edges: dict[tuple[str, str], set[str]] = {}
    for state in graph.states:
        before = sdk.phase(state.client)
        for step, after in successors(asked, state):
            then = sdk.phase(after.client)
            if state.world.signed_in and before != then:
                edges.setdefault((before, then), set()).add(why(step))
    drawn = [name for name in sdk.phases if any(name in edge for edge in edges)]
    lines = [f'    state "{sdk.phases[name]}" as {name}' for name in drawn]
    lines.append(f"    [*] --> {sdk.phase(graph.states[0].client)}")
    for (before, then), reasons in sorted(edges.items(), key=lambda edge: [*map(drawn.index, edge[0])]):
        lines.append(f"    {before} --> {then}: {', '.join(sorted(reasons))}")
    return BEGIN + "\n".join(lines) + "\n" + END


def text() -> str:
    """The diagram of the newest release."""
    sdk = sdks()[0]
    *_, newest = sdk.policies.values()
    return diagram(ModelTarget(sdk, newest), Runtime.HEADLESS, DIAGRAM_ASSUMPTIONS)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + text() + rest.partition(END)[2], encoding="utf-8")
