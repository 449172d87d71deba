"""The token cache: which tokens the client keeps, and which timers it sets for them.

Models tokenCache.ts and tokenFreshness.ts in clerk/javascript, packages/clerk-js/src/core.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk.state import Entry, Flight, Turn
from model.clerk.terms import TokenId
from model.io import TimerCleared, TimerSet
from model.terms import Millis, Token

REARM_DELAY: Millis = 5_000
"""Of a proposed fix, in no release (`rearm_refresh`): how long after a refresh that failed the next one is
tried."""


def drop(turn: Turn, entry: Entry | None) -> Turn:
    """Remove an entry and clear its timers (tokenCache.ts, the deletion that get, set and eviction share)."""
    if entry is None:
        return turn
    timers = [timer for timer in (entry.eviction, entry.refresh) if timer is not None]
    return swap(turn.put(*(TimerCleared(timer) for timer in timers)), entry, None)


def swap(turn: Turn, entry: Entry, other: Entry | None) -> Turn:
    """Replace an entry of the cache by `other`, or remove it if that is None."""
    cache = turn.client.cache
    place = cache.index(entry)
    return turn.but(cache=(*cache[:place], *([other] if other else []), *cache[place + 1 :]))


def spend(turn: Turn, entry: Entry, spent: Entry) -> Turn:
    """Replace an entry by `spent`, the same without its timer that ran: a callback in tokenCache.ts setInternal.
    A replaced entry is kept for its timers only: it is removed with the last of them."""
    over = spent.replaced and spent.eviction is None and spent.refresh is None
    return swap(turn, entry, None if over else spent)


def vacate(turn: Turn, token_id: TokenId) -> Turn:
    """Empty a slot and clear its timers (tokenCache.ts setInternal). Before #8098 those of a token stayed set."""
    entry = turn.client.entry(token_id)
    if entry and not turn.client.policy.clear_replaced_timers and entry.token:
        return swap(turn, entry, replace(entry, replaced=True))
    return drop(turn, entry)


def keep(turn: Turn, slot: Entry | Flight, token: Token) -> Turn:
    """Put a token, or a fresher one that the slot has held, into a slot, and arm its timers (tokenCache.ts
    setInternal). `slot` is the entry or the flight that names the slot."""
    token = fresher(turn, freshest(turn, slot.token_id), token)
    entry = Entry(slot.token_id, slot.holder, token, asks=slot.asks, announces=slot.announces, cause=slot.cause)
    return arm(vacate(turn, slot.token_id), entry)


def fresher(turn: Turn, known: Token | None, token: Token) -> Token:
    """Which of the two to keep: `token`, unless `known` has a newer `oiat` or, of the same `oiat`, a newer `iat`
    (tokenFreshness.ts)."""
    if known is None or not turn.client.policy.keep_freshest:
        return token
    return known if known.fresher_than(token) else token


def freshest(turn: Turn, token_id: TokenId) -> Token | None:
    """The freshest token that a slot has held since it was last empty, or None (tokenCache.ts `baseline`)."""
    entry = turn.client.entry(token_id)
    return (entry.token or entry.baseline) if entry else None


def arm(turn: Turn, entry: Entry) -> Turn:
    """Add an entry to the cache and set its timers (tokenCache.ts setInternal). An entry whose token has expired
    is not added. No refresh timer is set if 17 s or less remain."""
    token = entry.token
    assert token is not None, "only a token has timers"
    counted_from = turn.at // 1000 if turn.client.policy.timers_by_expiry else token.issued
    remaining = token.expires - counted_from
    if remaining <= 0:
        return turn
    eviction = turn.client.next_timer
    entry = replace(entry, eviction=eviction)
    timers = [TimerSet(eviction, turn.at + remaining * 1000, None)]  # no call waits for it
    lead = turn.client.policy.timings.lead
    if remaining > lead:
        entry = replace(entry, refresh=eviction + 1)
        timers.append(TimerSet(eviction + 1, turn.at + (remaining - lead) * 1000, None))
    turn = turn.but(cache=(*turn.client.cache, entry), next_timer=eviction + len(timers)).put(*timers)
    return rearm(turn, entry)


def unreadable(turn: Turn, token: Token) -> bool:
    """Is so little of this token's life left that a read drops it (tokenCache.ts get)?"""
    return token.expires - turn.at // 1000 <= turn.client.policy.timings.cutoff


def rearm(turn: Turn, entry: Entry | None) -> Turn:
    """A proposed fix, in no release (`rearm_refresh`): set a refresh timer for an entry without one, unless a
    read would drop the entry."""
    if not turn.client.policy.rearm_refresh or entry is None or entry.token is None or entry.refresh is not None:
        return turn
    if entry.replaced or unreadable(turn, entry.token):
        return turn
    timer = turn.client.next_timer
    turn = swap(turn, entry, replace(entry, refresh=timer)).but(next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + REARM_DELAY, None))
