"""What @clerk/expo keeps of a client in an app with its resource cache, and when.

Whenever @clerk/clerk-js tells its listeners of a client, Expo keeps that in three stores: the settings, the
client, and the token of the session that was active last (createClerkInstance.ts). While the keychain is locked,
its secure store rejects, and nobody catches that (resource-cache/resource-cache.ts processQueue).
"""

from __future__ import annotations

from collections.abc import Container

from msgspec import Struct

from model.clerk.loading import PARTS
from model.clerk.state import Client, Flight, Holder, Purpose
from model.io import CallSettled, Output, Replied
from model.requests import Outcome
from model.terms import CallId, Session


class Resource(Struct, frozen=True):
    """A Client resource of the SDK (Client.ts): its Session objects by their index, and which session was active
    last."""

    listed: tuple[int, ...] = ()
    active: Session | None = None
    of_nobody: bool = False
    """Is it the one that Expo starts with when it has none? No answer has changed it."""

    def differs(self, other: Resource) -> bool:
        """Do listeners get to see the other one instead (memoizeStateListenerCallback.ts)? What is compared is
        whose it is, and how many sessions it has; on our server it is never updated later."""
        return (self.of_nobody, len(self.listed)) != (other.of_nobody, len(other.listed))


class Kept(Struct, frozen=True):
    """A Client resource as it is kept: its Session objects themselves."""

    holders: tuple[Holder, ...] = ()
    active: Session | None = None
    of_nobody: bool = True


def kept(client: Client, resource: Resource) -> Kept:
    """What is kept of a Client resource."""
    holders = tuple(client.holders[place] for place in resource.listed)
    return Kept(holders, resource.active, resource.of_nobody)


def stores(what: Kept) -> int:
    """In how many stores it is kept. The token is neither kept nor removed if the session that was active last
    has none."""
    tokens = {holder.session: holder.token for holder in what.holders}
    return 2 if what.active is not None and tokens.get(what.active) is None else 3


def brings_client(flight: Flight, reply: Replied) -> bool:
    """Does the answer have a client payload?"""
    if flight.purpose in (Purpose.FETCH, Purpose.REFRESH, Purpose.ENVIRONMENT):
        return False
    return reply.token is not None or reply.outcome is Outcome.NO_SESSION


def told(
    client: Client, flight: Flight, reply: Replied, outputs: tuple[Output, ...], switches: Container[CallId]
) -> int:
    """How often the SDK tells its listeners because of an answer to `flight`, which has made it this client.
    `switches` are the calls that end with setActive.

    clerk.ts updateClient tells them of each client payload, setActive and signOut when they end, also the
    setActive that drops a session after a 401; the listener of SessionTokenResolved of each new session token.
    """
    ended = [one.call for one in outputs if isinstance(one, CallSettled) and one.error is None]
    switched = sum(call in switches for call in ended)
    brought = brings_client(flight, reply)
    match flight.purpose:
        case purpose if purpose in PARTS:
            return len(ended)
        case Purpose.FETCH | Purpose.REFRESH:
            return int(flight.announces and reply.token is not None) + switched
        case Purpose.SIGN_OUT:
            return brought + len(ended)
        case Purpose.RECOVERY:
            signs_out = brought or reply.outcome in (Outcome.BROKEN, Outcome.BLOCKED)
            return brought + switched + (signs_out and not client.has_session)
        case _:
            return brought + switched
