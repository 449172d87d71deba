"""The client as a diagram of states, drawn from the model's own graph: what a reader should have in mind.

Every transition of the closed graph is taken, and states are put together by what the client is doing. The README
shows it: `python -m properties.prove.diagram` writes it there anew.
"""

from __future__ import annotations

from pathlib import Path

from model.assumptions.sets import Assumptions
from model.clerk.policy import CLERK_JS_6_40_0, Policy
from model.clerk.state import Client, Purpose
from model.terms import Runtime
from model.world.events import Answer, Freeze
from model.world.facts import Fired, Sent
from properties.prove.app import App
from properties.prove.canonical import Memory
from properties.prove.prove import Limits, closure
from properties.prove.successors import transitions
from properties.system.step import Step
from properties.system.wording import SHORT

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "```mermaid\nstateDiagram-v2\n", "```\n"
ASSUMPTIONS = Assumptions(("starvation", "rotated-credential"))

DOINGS: dict[str, str] = {
    "held": "a token is cached",
    "refreshing": "a token is cached, and a refresh in flight",
    "late": "no token is cached, a refresh is in flight",
    "none": "no token is cached",
    "fetching": "a call waits for a request",
    "retrying": "a call waits to try again",
    "asking": "a 401 is looked into: which sessions are there?",
    "out": "the user is signed out",
}
"""What a client may be doing, by a name for the diagram."""


def doing(client: Client) -> str:
    """What the client is doing."""
    purposes = {flight.purpose for flight in client.flights}
    held = any(entry.token and not entry.replaced for entry in client.cache)
    if not client.signed_in:
        return "out"
    if Purpose.RECOVERY in purposes or client.resends:
        return "asking"
    if Purpose.FETCH in purposes:
        return "fetching"
    if client.calls:
        return "retrying"
    if Purpose.REFRESH in purposes:
        return "refreshing" if held else "late"
    return "held" if held else "none"


def why(step: Step) -> str:
    """What led from one to the next, in a word or two."""
    if isinstance(step.event, Answer):
        return SHORT[step.event.outcome]
    if any(isinstance(fact, Sent) for fact in step.facts) and any(isinstance(fact, Fired) for fact in step.facts):
        return "a late timer" if isinstance(step.event, Freeze) else "a timer"
    return {"Advance": "time", "Freeze": "a freeze"}.get(type(step.event).__name__, "getToken")


def diagram(policy: Policy, runtime: Runtime, assumptions: Assumptions) -> str:
    """The diagram, in Mermaid's language."""
    graph, memory = (
        closure(policy, runtime, assumptions, App(), Limits()),
        Memory.needed(assumptions, history=False),
    )
    assert graph.closed, "a graph that is cut off may lack a transition"
    edges: dict[tuple[str, str], set[str]] = {}
    for state in graph.states:
        before = doing(state.client)
        for step, after in transitions(state, assumptions, App(), memory):
            then = doing(after.client)
            if before not in ("out", then):
                edges.setdefault((before, then), set()).add(why(step))
    lines = [f'    state "{text}" as {name}' for name, text in DOINGS.items() if _drawn(name, edges)]
    lines.append(f"    [*] --> {doing(graph.states[0].client)}")
    order = list(DOINGS)
    for (before, then), reasons in sorted(
        edges.items(), key=lambda edge: [order.index(name) for name in edge[0]]
    ):
        lines.append(f"    {before} --> {then}: {', '.join(sorted(reasons))}")
    return BEGIN + "\n".join(lines) + "\n" + END


def _drawn(name: str, edges: dict[tuple[str, str], set[str]]) -> bool:
    return any(name in edge for edge in edges)


def text() -> str:
    """The diagram of the newest release."""
    return diagram(CLERK_JS_6_40_0, Runtime.HEADLESS, ASSUMPTIONS)


if __name__ == "__main__":
    page = README.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    README.write_text(before + text() + rest.partition(END)[2], encoding="utf-8")
