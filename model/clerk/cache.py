"""The token cache: what the client keeps of tokens, and the timers it sets for them.

Places are in clerk/javascript, packages/clerk-js/src/core: tokenCache.ts, and tokenFreshness.ts.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.clerk.state import Entry, Flight, Turn
from model.terms import Millis, Seconds, TimerCleared, TimerSet, Token, TokenId

REFRESH_LEAD: Seconds = 15 + 2
"""tokenCache.ts: the background refresh threshold, and the lead before it."""

READ_CUTOFF: Seconds = 5
"""tokenCache.ts get: a read that finds this much left, or less, drops the entry and counts as a miss."""
REARM_DELAY: Millis = 5_000
"""Of a proposed fix, in no release: how long a refresh that came to nothing waits before it is tried again."""


def drop(turn: Turn, entry: Entry | None) -> Turn:
    """Forget an entry and its timers (tokenCache.ts, the deletion that get, set and eviction share)."""
    if entry is None:
        return turn
    timers = [timer for timer in (entry.eviction, entry.refresh) if timer is not None]
    return swap(turn.put(*(TimerCleared(timer) for timer in timers)), entry, None)


def swap(turn: Turn, entry: Entry, other: Entry | None) -> Turn:
    """Put `other` in the place of an entry, or nothing."""
    place = turn.client.cache.index(entry)
    return turn.but(
        cache=(*turn.client.cache[:place], *[other] * (other is not None), *turn.client.cache[place + 1 :])
    )


def spend(turn: Turn, entry: Entry, spent: Entry) -> Turn:
    """A timer of an entry has run. One that was replaced lived on for its timers only: it ends with the last."""
    over = spent.replaced and spent.eviction is None and spent.refresh is None
    return swap(turn, entry, None if over else spent)


def vacate(turn: Turn, token_id: TokenId) -> Turn:
    """Whatever is in a slot goes, with its timers; before #8098 they went on (tokenCache.ts setInternal)."""
    entry = turn.client.entry(token_id)
    if entry and not turn.client.policy.clear_replaced_timers and entry.token:
        return swap(turn, entry, replace(entry, replaced=True))
    return drop(turn, entry)


def keep(turn: Turn, slot: Entry | Flight, token: Token) -> Turn:
    """Put a token into a slot, if that has held no fresher one, and arm both timers."""
    token = fresher(turn, freshest(turn, slot.token_id), token)
    entry = Entry(slot.token_id, slot.holder, token, asks=slot.asks, announces=slot.announces)
    return arm(vacate(turn, slot.token_id), entry)


def fresher(turn: Turn, known: Token | None, token: Token) -> Token:
    """Which of the two to keep (tokenFreshness.ts, by `oiat`; what came later, where that says nothing)."""
    keep = turn.client.policy.keep_freshest and known is not None and token.behind and not known.behind
    return known if keep and known is not None else token


def freshest(turn: Turn, token_id: TokenId) -> Token | None:
    """The freshest token that a slot has held since it was last empty (tokenCache.ts `baseline`)."""
    entry = turn.client.entry(token_id)
    return (entry.token or entry.baseline) if entry else None


def arm(turn: Turn, entry: Entry) -> Turn:
    """Add an entry with its timers, up to two; none that has expired.

    tokenCache.ts setInternal: no refresh timer when 17 s or less remain.
    """
    token = entry.token
    assert token is not None, "only a token has timers"
    begins = turn.at // 1000 if turn.client.policy.timers_by_expiry else token.issued
    remaining = token.expires - begins
    if remaining <= 0:
        return turn
    eviction = turn.client.next_timer
    entry, timers = replace(entry, eviction=eviction), [TimerSet(eviction, turn.at + remaining * 1000, None)]
    if remaining > REFRESH_LEAD:
        entry = replace(entry, refresh=eviction + 1)
        timers.append(TimerSet(eviction + 1, turn.at + (remaining - REFRESH_LEAD) * 1000, None))
    turn = turn.but(cache=(*turn.client.cache, entry), next_timer=eviction + len(timers)).put(*timers)
    return rearm(turn, entry)


def rearm(turn: Turn, entry: Entry | None) -> Turn:
    """A proposed fix, in no release: an entry without a refresh timer gets one, unless it is a miss by then."""
    if not turn.client.policy.rearm_refresh or entry is None or entry.token is None or entry.refresh is not None:
        return turn
    if entry.replaced or entry.token.expires - turn.at // 1000 <= READ_CUTOFF:
        return turn
    timer = turn.client.next_timer
    turn = swap(turn, entry, replace(entry, refresh=timer)).but(next_timer=timer + 1)
    return turn.put(TimerSet(timer, turn.at + REARM_DELAY, None))
