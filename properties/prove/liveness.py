"""Liveness: from every state, in a healthy world, some call eventually ends with the session's token.

An invariant reads one step, so it cannot express this. Here the world is healthy from some state on: the device
is unlocked and online, every request is answered honestly and at once, and the app makes a call whenever none is
pending, or is started again if its client has not loaded. These steps form a subgraph of the closed graph. The
state recovers if every fair path through the subgraph reaches a call that ends with a token, or a sign-out. A
counterexample is a deadlock, or a fair cycle. A cycle is fair only if the timers that its calls wait for fire in
it: a retry timer cannot stay set forever.

The graph consists of hulls and over-approximates the reachable states. If it recovers, so does the model. If it
does not, the model may still recover.
"""

from __future__ import annotations

from collections.abc import Iterable

from model.operations import Operation
from model.step import Span
from model.terms import TimerId
from model.world.events import Advance, Answer, Deliver, Event, Freeze, GoOnline, StartApp, UnlockKeychain
from model.world.facts import Fact, Settled, TimerFired
from model.world.state import World
from properties.prove.graph import Graph
from properties.prove.successors import Known, Problem, successors_by
from properties.prove.zone import Instant, Zone
from properties.system.event_kinds import brief


def path_without_recovery(problem: Problem, graph: Graph, known: Known | None = None) -> tuple[str, ...]:
    """The events that lead to a state of a closed graph from which the foreground may not recover, followed by
    those of the fair cycle there, if it is no deadlock. Empty if every state recovers."""
    import networkx as nx  # noqa: PLC0415 (a fifth of the time in which every other command starts)

    sdk = problem.model.sdk
    healthy: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    for number, state in enumerate(graph.states):
        Instant.zone = Zone(state.bounds)
        if not state.world.signed_in and (state.world.loaded or not state.world.valid):
            continue
        ends = True
        option = healthy_option(state.world, sdk.operations[0])
        awaited = set(sdk.awaited(state.client))
        for one in successors_by(option, problem, state.configuration, state.bounds, known):
            after = graph.hulls[one.state.configuration]
            if isinstance(option, Span) and not one.step.facts and after == number:
                continue  # a self-loop of passing time alone: more time may pass, so this is no deadlock
            ends = False
            if not any(isinstance(fact, Settled) and fact.token for fact in one.step.facts):
                healthy.add_edge(number, after, event=one.step.event, ran=_fired_timers(one.step.facts) & awaited)
        if ends:
            return _in_short(event for _, event in graph.path(number, sdk.operations[0])[:-1])
    for component in nx.strongly_connected_components(healthy):
        edges = [edge for _, after, edge in healthy.edges(component, data=True) if after in component]
        waits = all(sdk.awaited(graph.states[number].client) for number in component)
        if edges and (not waits or any(edge["ran"] for edge in edges)):
            way_there = [event for _, event in graph.path(min(component), sdk.operations[0])[:-1]]
            return (*_in_short(way_there), "again and again", *_in_short(edge["event"] for edge in edges))
    return ()


def healthy_option(world: World, ask: Operation) -> Event | Span:
    """The next event of a healthy world. `ask` is the call for the session's token."""
    if world.locked:
        return UnlockKeychain()
    if world.offline:
        return GoOnline()
    if world.requests:
        first = world.requests[0]
        return Deliver(first.request) if first.reply else Answer(first.request, world.honest_answer(first))
    if world.calls:
        return Span(None, 0)  # as long as it may be
    return ask if world.loaded else StartApp()


def _in_short(events: Iterable[Event]) -> tuple[str, ...]:
    """The short forms of events of a graph, without durations."""
    return tuple(
        type(event).__name__.lower() if isinstance(event, Advance | Freeze) else brief(event) for event in events
    )


def _fired_timers(facts: Iterable[Fact]) -> set[TimerId]:
    return {fact.timer for fact in facts if isinstance(fact, TimerFired)}
