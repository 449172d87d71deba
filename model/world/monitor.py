"""The monitor: the history that invariants need, beside the state of the world."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.terms import CallId, Millis, RequestId, TimerId, Token, TokenId


class CallRecord(Struct, frozen=True, cache_hash=True):
    """The history of a call under way."""

    call: CallId
    asked_at: Millis
    healthy: bool  # no fault since it was made, and none was under way then
    awake_since: Millis  # when it was made, or when the event loop last thawed
    told_ended: bool = False  # an honest answer refused one of its requests for the app's session: that has ended
    lied_to: bool = False  # one of its requests was not answered honestly, or not at all
    accepts: tuple[TokenId, ...] = ()  # if any session token will do: each that was the session's own since then

    def accepting(self, tokens: tuple[TokenId, ...]) -> CallRecord:
        """The record after a session's own tokens became `tokens`: a call that takes any token of that session
        accepts these, too."""
        if not self.accepts or self.accepts[0].session != tokens[0].session:
            return self
        return replace(self, accepts=tuple(dict.fromkeys((*self.accepts, *tokens))))


class Monitor(Struct, frozen=True, cache_hash=True):
    """The history that invariants need.

    Taint follows a fault. What a client sets or sends in return for a dishonest answer is tainted, and so is what
    it sets or sends when a tainted timer runs. A request loses its taint with its answer: an honest answer taints
    nothing.
    """

    calls: tuple[CallRecord, ...] = ()
    tainted_timers: tuple[TimerId, ...] = ()
    tainted_requests: tuple[RequestId, ...] = ()
    given: tuple[Token, ...] = ()  # the freshest token of each kind and session that a call has got
    newest: tuple[Token, ...] = ()  # of each kind that a request was for, in this process; but the session's own

    def call(self, number: CallId) -> CallRecord:
        """The record of a call under way."""
        return next(record for record in self.calls if record.call == number)

    def without(self, number: CallId) -> Monitor:
        """The history without that of a call, which has ended."""
        return replace(self, calls=tuple(record for record in self.calls if record.call != number))

    def fresher(self, token: Token) -> Token | None:
        """A token that a call got before and that is fresher than this one, of the same kind and session."""
        return next((one for one in self.given if one.comparable(token) and one.fresher_than(token)), None)

    def gave(self, token: Token) -> Monitor:
        """The history after a call got `token`, and had got none fresher."""
        others = tuple(one for one in self.given if not one.comparable(token))
        return replace(self, given=(*others, token))

    def fetched(self, token: Token) -> Monitor:
        """The history after an answer brought `token`, which is not the session's own."""
        known = next((one for one in self.newest if one.comparable(token)), None)
        if known and known.number > token.number:
            return self
        return replace(self, newest=(*(one for one in self.newest if one is not known), token))

    def each(self, but: Container[CallId] = (), **changes: Any) -> Monitor:
        """The same history with fields of every call changed, `but` of these."""
        if not self.calls:
            return self
        records = (one if one.call in but else replace(one, **changes) for one in self.calls)
        return replace(self, calls=tuple(records))

    def fault(self, but: Container[CallId] = ()) -> Monitor:
        """The history after a fault: no call under way is healthy any more, `but` these."""
        return self.each(but, healthy=False)

    def accepting(self, tokens: tuple[TokenId, ...]) -> Monitor:
        """The history after a session's own tokens became `tokens`."""
        if not any(record.accepts for record in self.calls):
            return self
        return replace(self, calls=tuple(record.accepting(tokens) for record in self.calls))
