"""Canonical forms forget nothing by accident: whatever anybody adds to a state keeps states apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from model import form
from model.clerk.sdk import CLERK
from model.clerk.server import Server
from model.clerk.state import Call, Client, Entry, Flight
from model.clerk.terms import GetToken, SwitchOrganization
from model.requests import Outcome
from model.terms import Runtime, TimerId, Token
from model.world.events import Advance, Answer, Event
from model.world.monitor import CallRecord, Monitor
from model.world.state import PendingCall, Request, System, Timer, World
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Proved
from properties.prove.canonical import Naming, state_of
from properties.prove.prove import prove
from properties.prove.state import Configuration, Memory, split_instants, tokens_in
from properties.prove.successors import Problem
from properties.prove.untimed import Product
from properties.run.run import Run
from properties.targets.model import ModelTarget
from tests.support import HEADLINE, SECOND, assuming, model
from tests.support import app as calling

STORY: tuple[Event, ...] = (
    *(GetToken(skip_cache=True), Answer(1, Outcome.GRANTED)),
    *(SwitchOrganization("org_b"), Answer(2, Outcome.SESSION)),
    *(GetToken("api"), Answer(3, Outcome.BROKEN), Advance(10 * SECOND)),
    *(GetToken(skip_cache=True), Advance(SECOND), GetToken("greeting"), Answer(5, Outcome.UNAUTHORIZED)),
)
"""Leads to a state that has something of every kind: a 401 is looked into, and a call waits for that."""

KINDS: tuple[type[Struct], ...] = (
    *(System, World, Timer, Request, PendingCall, Server, Token),
    *(Monitor, CallRecord),
    *(Client, Entry, Flight, Call),
)
"""What a state is made of."""

MUCH, LITTLE = Memory(), Memory(history=False, age=False, baseline=False, waits=False, switches=False)


def test_a_token_that_only_what_is_left_out_has_does_not_count() -> None:
    """Here the app was given a token that nobody holds any more. A form that numbered it, too, was not that of a
    state of the graph, in which it is gone: a tour of `several-sessions` lost its way after a few events."""
    target = model("6.40.0")
    run = Run(target, Runtime.HEADLESS, assuming("several-sessions"), ())
    for event in (GetToken(), Advance(43 * SECOND), Answer(1, Outcome.GRANTED)):
        run.play(event)
    memory = replace(MUCH, given=False)
    without = replace(run.system, monitor=replace(run.system.monitor, given=()))
    assert run.system.monitor.given
    assert state_of(CLERK, (run.system, target.client), memory) == state_of(
        CLERK, (without, target.client), memory
    )


def busy() -> Configuration:
    """A system and a client in the middle of things."""
    target = model("6.40.0")
    run = Run(target, Runtime.HEADLESS, assuming("calm"), ())
    for event in STORY:
        run.play(event)
    return run.system, target.client


def parts(value: Any) -> Iterator[Any]:
    """A value and everything in it."""
    yield value
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from parts(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from parts(one)


def with_more(value: Any, wider: type[Struct], more: int) -> Any:
    """The same value where everything of one kind has one more field. `wider` is that kind with the field."""
    if isinstance(value, tuple):
        return tuple(with_more(one, wider, more) for one in value)
    if not isinstance(value, Struct):
        return value
    fields = {name: with_more(getattr(value, name), wider, more) for name in value.__struct_fields__}
    return wider(**fields, more=more) if type(value) is wider.__base__ else type(value)(**fields)


def widened(kind: type[Struct], more: int) -> Configuration:
    """The busy state where everything of one kind has one more field."""
    wider = WIDER[kind]
    return with_more(busy(), wider, more)  # type: ignore[no-any-return]


WIDER = {
    kind: msgspec.defstruct(f"Wider{kind.__name__}", [("more", int, 0)], bases=(kind,), frozen=True)
    for kind in KINDS
}


def test_the_busy_state_has_something_of_every_kind() -> None:
    assert set(map(type, parts(busy()))) >= set(KINDS)


def test_every_token_in_a_state_is_found() -> None:
    assert tokens_in(busy()) == {one for one in parts(busy()) if isinstance(one, Token)}


@pytest.mark.parametrize("memory", [MUCH, LITTLE], ids=["much", "little"])
@pytest.mark.parametrize("kind", KINDS)
def test_states_that_differ_in_a_new_field_are_not_merged(kind: type[Struct], memory: Memory) -> None:
    shapes = [split_instants(state_of(CLERK, widened(kind, more), memory))[0] for more in (1, 1, 2)]
    assert shapes[0] == shapes[1]
    assert shapes[0] != shapes[2]


@pytest.mark.parametrize("memory", [MUCH, LITTLE], ids=["much", "little"])
@pytest.mark.parametrize("kind", KINDS)
def test_nor_are_they_where_time_is_left_out(kind: type[Struct], memory: Memory) -> None:
    problem = Problem(model("6.40.0"), Runtime.HEADLESS, assuming("calm"), calling(), memory)
    tables = Product(problem, most_timers=99, invariants=())
    numbers = [tables.number(*widened(kind, more)) for more in (1, 1, 2)]
    assert numbers[0] == numbers[1]
    assert numbers[0] != numbers[2]


# -- the form that follows from the types of fields -----------------------------------------------------------

PLAIN = replace(CLERK, canonical=form.canonical, timers=form.timers, requests=form.requests)
"""The same SDK without a form of its own."""


def test_it_finds_every_timer_and_request_of_a_client() -> None:
    system, client = busy()
    naming = Naming(MUCH)
    naming.call_names = {call.call: call.call for call in system.world.calls}
    assert {*form.timers(client)} == {*CLERK.timers(client)} == {timer.timer for timer in system.world.timers}
    assert {*form.requests(client, naming)} == {*CLERK.requests(client, naming)}
    assert len(form.requests(client, naming)) > 1


class Keeper(Struct, frozen=True):
    """A client whose timers the form would overlook."""

    set: frozenset[TimerId] = frozenset({1})


def test_ids_in_a_container_that_it_does_not_read_are_refused() -> None:
    with pytest.raises(TypeError, match="in structs and tuples only"):
        form.timers(Keeper())


def test_a_proof_by_it_has_the_same_verdict_and_more_states() -> None:
    assumptions, judged = assuming("starvation", "stale-after-expiry"), [INVARIANTS[HEADLINE]]
    states = []
    for sdk in (CLERK, PLAIN):
        target = ModelTarget(sdk, CLERK.policies["CLERK_JS_6_7_4"])
        found = prove(target, Runtime.HEADLESS, assumptions, judged).verdicts[HEADLINE]
        assert isinstance(found, Proved)
        states.append(found.states)
    assert states[0] < states[1]
