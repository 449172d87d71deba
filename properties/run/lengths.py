"""Durations worth trying: those that matter for an SDK's timings, and those at which something is due.

One definition serves the random search, the search for concrete numbers along a path of a proof, and shrinking.
"""

from __future__ import annotations

from functools import cache

from model.step import Span
from model.terms import Millis, Timings
from model.world.state import World

SECOND: Millis = 1000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND


def to_refresh(timings: Timings) -> Millis:
    """The time in ms from a fresh token to its refresh timer."""
    return (timings.lifetime - timings.lead) * SECOND


def outlives_token(timings: Timings) -> Millis:
    """A round duration in ms that outlives a fresh token."""
    return (timings.lifetime + 1) * SECOND


@cache
def menu(timings: Timings, freezes: bool) -> tuple[Millis, ...]:
    """Durations that matter for a token or a session, in ms. Shrinking prefers the first: the shortest freeze
    that outlives a token, or the time to the refresh timer."""
    short = (30 * SECOND, timings.lead * SECOND, 10 * SECOND, timings.cutoff * SECOND, SECOND)
    beyond_session = timings.session + DAY
    long = (5 * MINUTE, HOUR, 8 * HOUR, DAY, beyond_session)
    if freezes:
        first = (outlives_token(timings), *long, to_refresh(timings), *short)
        return tuple(dict.fromkeys(length for length in first if length > 0))
    steps = (timings.lead * SECOND, 30 * SECOND, 10 * SECOND, timings.cutoff * SECOND, SECOND)
    last = (outlives_token(timings), 5 * MINUTE, HOUR, beyond_session)
    return tuple(dict.fromkeys(length for length in (to_refresh(timings), *steps, *last) if length > 0))


def edges(world: World) -> set[Millis]:
    """The time in ms until each timer is due, until the token is not handed out any more, and until it expires;
    and 1 ms more than each."""
    due = {timer.due - world.now for timer in world.timers}
    due |= {(world.token.expires - left) * SECOND - world.now for left in (world.timings.cutoff, 0)}
    return due | {edge + 1 for edge in due}


def worth_trying(span: Span, world: World) -> list[Millis]:
    """The durations worth trying that fit into a span, those of `menu` first."""
    known = menu(world.timings, span.kind is not None)
    return [ms for ms in (*known, *sorted(edges(world) - set(known))) if 0 < ms <= span.longest]
