"""The canonical form of a client: two clients with the same form have the same future.

Timers and requests are named in an order that names do not decide (`timers`, `requests`). Every field is kept,
unless a comment here says why no rule can tell its values apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from model.clerk.session import NOBODY
from model.clerk.state import Call, Client, Entry, Flight, Holder
from model.form import Form
from model.terms import RequestId, TimerId


def canonical(client: Client, form: Form) -> Client:
    """The client in canonical form."""
    holders = places(client)
    flights = [of_flight(flight, form, holders) for flight in client.flights]
    return replace(
        client,
        holders=tuple(of_holder(client.holders[holder], form) for holder in holders if holder != NOBODY),
        listed=tuple(holders[holder] for holder in client.listed),
        cache=tuple(of_entry(entry, form, holders) for entry in sorted(client.cache, key=_slot_order)),
        flights=tuple(sorted(flights, key=_number)) if len(flights) > 1 else tuple(flights),
        calls=tuple(of_call(call, form, holders) for call in client.calls),
        resends=tuple((form.timer(timer), of_flight(flight, form, holders)) for timer, flight in client.resends),
        next_request=form.known_requests + 1,
        next_timer=form.known_timers + 1,
        loading=tuple(map(form.call, client.loading)),
        chosen=None if client.chosen is None else holders[client.chosen],
        dropped=form.token(client.dropped) if _may_come_back(client, form) else None,
    )


def _may_come_back(client: Client, form: Form) -> bool:
    """May the app's Session object get a last active token, having none now? Only a switch signs in again."""
    current = client.current
    return form.switches or (current is not None and client.holders[current].token is None)


def of_holder(holder: Holder, form: Form) -> Holder:
    return replace(holder, token=form.token(holder.token))


def of_entry(entry: Entry, form: Form, holders: Mapping[int, int]) -> Entry:
    return replace(
        entry,
        holder=holders[entry.holder],
        token=form.token(entry.token),
        request=form.request(entry.request),
        eviction=form.timer(entry.eviction),
        refresh=form.timer(entry.refresh),
        cause=form.call(entry.cause),
        baseline=form.token(entry.baseline) if form.baseline else None,  # compared with one made from older data
        asks=entry.asks if form.switches else entry.token_id,  # without a switch a slot's own token is requested
    )


def of_flight(flight: Flight, form: Form, holders: Mapping[int, int]) -> Flight:
    return replace(
        flight,
        request=form.request(flight.request),
        holder=holders[flight.holder],
        cause=form.call(flight.cause),
        parent=of_flight(flight.parent, form, holders) if flight.parent else None,
        tries=form.count(flight.tries),
        asks=flight.asks if form.switches else flight.token_id,
    )


def of_call(call: Call, form: Form, holders: Mapping[int, int]) -> Call:
    return replace(
        call,
        call=form.call(call.call),
        holder=holders[call.holder],
        waits_for=form.request(call.waits_for),
        retry=form.timer(call.retry),
        failures=form.count(call.failures),
    )


def _number(flight: Flight) -> RequestId:
    return flight.request


def timers(client: Client) -> list[TimerId]:
    """The timers that are set, in the order of what they belong to: entries, calls, recoveries."""
    found: list[TimerId | None] = []
    for entry in sorted(client.cache, key=_slot_order):
        found += [entry.eviction, entry.refresh]
    found += [call.retry for call in client.calls]
    found += [timer for timer, _ in client.resends]
    return [timer for timer in found if timer is not None]


def requests(client: Client, form: Form) -> list[RequestId]:
    """The requests that the client knows of, sorted by what they are for. They are answered in any order, so the
    order in which they were sent makes no difference."""
    flights = _flights(client)
    waited_for = [entry.request for entry in client.cache if entry.request is not None]
    numbers = {*(flight.request for flight in flights), *waited_for}
    if len(numbers) < 2:
        return [*numbers]
    by_purpose = {flight.request: _purpose(flight, form) for flight in flights}
    return sorted(numbers, key=lambda number: (by_purpose.get(number, ()), number))


def _purpose(flight: Flight, form: Form) -> tuple[Any, ...]:
    return (
        flight.purpose,
        str(flight.token_id),
        str(flight.asks or flight.token_id),
        flight.holder,
        form.count(flight.tries),
        form.call(flight.cause) or 0,
        _purpose(flight.parent, form) if flight.parent else (),
    )


def awaited(client: Client) -> set[TimerId]:
    """The timers that a call waits for: to be tried again, or for a recovery of its own to be sent again."""
    tries = {call.retry for call in client.calls if call.retry is not None}
    return tries | {timer for timer, flight in client.resends if flight.cause is not None}


def _flights(client: Client) -> list[Flight]:
    flights = [*client.flights, *(flight for _, flight in client.resends)]
    return flights + [flight.parent for flight in flights if flight.parent]


def places(client: Client) -> dict[int, int]:
    """The new index of each Session object that is kept: those that something refers to, those of the newest
    client payload, and the one that the app has."""
    users: list[Any] = [*_flights(client), *client.cache, *client.calls]
    in_use = {*client.listed, *(user.holder for user in users), NOBODY}
    in_use |= {client.current} if client.current is not None else set()
    return {holder: place for place, holder in enumerate(sorted(in_use), NOBODY)}


def _slot_order(entry: Entry) -> tuple[Any, ...]:
    return str(entry.token_id), entry.replaced, entry.eviction or 0, entry.refresh or 0
