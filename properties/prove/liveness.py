"""What must come sooner or later: from every state, a call of getToken that ends with a token.

An invariant looks at one step and cannot say that. Here the world is healthy from some state on: the device is
unlocked and online, each request is answered truthfully and at once, and whenever no call is under way the app
makes one. Those steps are a part of a closed graph. It recovers if every way through that part comes to a call
that ends with a token, or to a sign-out. What is left to look for is a state in which nothing more can happen,
and states that lead round to each other; round and round for ever is fair only if what a call waits for happens
on the way: its timer for another try, say, may not stay set.

The graph is one of hulls and has more ways than there are. What recovers in it does recover; what does not, may.
"""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx

from model.assumptions.sets import Assumptions
from model.clerk.state import Client
from model.terms import TimerId
from model.world.events import Advance, Answer, Event, Freeze, GetToken, GoOnline, UnlockKeychain
from model.world.facts import Fact, Fired, Settled
from model.world.state import World
from properties.prove.canonical import Memory, State
from properties.prove.graph import Graph
from properties.prove.successors import Kind, ways_of
from properties.prove.zone import Instant, Zone
from properties.system.trace import brief


def starving(graph: Graph, assumptions: Assumptions, memory: Memory) -> tuple[str, ...]:
    """What leads to a state of a closed graph from which the foreground may not recover, and then round and round
    in a healthy world, if anything happens there at all; nothing, if it recovers from every state."""
    healthy: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    for number, state in enumerate(graph.states):
        if not state.world.signed_in:
            continue
        ends = True
        Instant.zone = Zone(state.bounds)
        kind = healthy_kind(state.world)
        for way in ways_of(kind, (state.world, state.client), state.bounds, assumptions, memory):
            after = graph.places[way.state.world, way.state.client]
            if kind is Advance and not way.step.facts and after == number:
                continue  # time that passes and changes nothing: there will be more of it
            ends = False
            if not any(isinstance(fact, Settled) and fact.token for fact in way.step.facts):
                healthy.add_edge(number, after, event=way.step.event, ran=_ran(way.step.facts) & awaited(state))
        if ends:
            return _story(event for _, event in graph.path(number, GetToken())[:-1])
    for component in nx.strongly_connected_components(healthy):
        inside = healthy.subgraph(component)
        edges = [edge for _, _, edge in inside.edges(data=True)]
        waits = all(awaited(graph.states[number]) for number in component)
        if edges and (not waits or any(edge["ran"] for edge in edges)):
            way_there = [event for _, event in graph.path(min(component), GetToken())[:-1]]
            return (*_story(way_there), "again and again", *_story(edge["event"] for edge in edges))
    return ()


def healthy_kind(world: World) -> Kind:
    """What happens next where the world is healthy."""
    if world.locked:
        return UnlockKeychain()
    if world.offline:
        return GoOnline()
    if world.requests:
        return Answer(world.requests[0].request, world.told(world.requests[0]))
    return Advance if world.calls else GetToken()


def awaited(state: State) -> set[TimerId]:
    """The timers that a call waits for: for another try, or for its question to be sent again."""
    client: Client = state.client
    tries = {call.retry for call in client.calls if call.retry is not None}
    return tries | {timer for timer, flight in client.resends if flight.cause is not None}


def _story(events: Iterable[Event]) -> tuple[str, ...]:
    """Events of a graph, in short: how long they last is not known."""
    return tuple(
        type(event).__name__.lower() if isinstance(event, Advance | Freeze) else brief(event) for event in events
    )


def _ran(facts: Iterable[Fact]) -> set[TimerId]:
    return {fact.timer for fact in facts if isinstance(fact, Fired)}
