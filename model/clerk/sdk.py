"""@clerk/clerk-js behind the boundary (`model/sdk.py`)."""

from __future__ import annotations

from model.clerk import canonical, parts, transition
from model.clerk.policy import POLICIES, PROPOSED
from model.clerk.server import Server
from model.clerk.state import Client, Purpose
from model.clerk.terms import OPERATIONS, PAGE_TIMINGS
from model.sdk import Sdk
from model.terms import PAGES, Runtime

PHASES: dict[str, str] = {
    "held": "a token is cached",
    "refreshing": "a token is cached, and a refresh in flight",
    "late": "no token is cached, a refresh is in flight",
    "none": "no token is cached",
    "fetching": "a call waits for a request",
    "retrying": "a call waits to try again",
    "asking": "a 401 is looked into: which sessions are there?",
    "out": "the user is signed out",
    "loading": "load() waits for an answer",
    "unloaded": "load() has failed",
}
"""The phases of a client, in the order of the diagram, with their meanings."""


def phase(client: Client) -> str:
    """What a client is doing: a key of `PHASES`. Where several fit, the first of those below."""
    purposes = {flight.purpose for flight in client.flights}
    held = any(entry.token and not entry.replaced for entry in client.cache)
    if not client.loaded:
        return "loading" if client.loading else "unloaded"
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


CLERK = Sdk(
    "clerk",
    OPERATIONS,
    POLICIES,
    transition.start,
    transition.step,
    proposed=PROPOSED,
    server=Server(),
    runtimes=(Runtime.HEADLESS, Runtime.BROWSER_LIKE),
    provable=2,
    timings_on=dict.fromkeys(PAGES, PAGE_TIMINGS),
    rules=tuple(
        f"model.clerk.{name}" for name in ("transition", "loading", "session", "sign_in_out", "cache", "network")
    ),
    canonical=canonical.canonical,
    timers=canonical.timers,
    requests=canonical.requests,
    awaited=canonical.awaited,
    parts=parts,
    phases=PHASES,
    phase=phase,
)
