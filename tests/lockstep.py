"""Two targets as one: each stimulus goes to both, and what a user or a server could see must be the same."""

from __future__ import annotations

from model.terms import (
    CallSettled,
    Millis,
    Output,
    RequestSent,
    Runtime,
    SignedOut,
    Stimulus,
    TimerCleared,
    TimerDue,
    TimerSet,
    Token,
)
from properties.target import Target


class Disagreement(Exception):
    """The two targets did something different. The message shows both."""


class LockStep:
    """`leader` as the world sees it, with `follower` doing the same things."""

    def __init__(self, leader: Target, follower: Target) -> None:
        self.name = f"{leader.name}={follower.name}"
        self.leader, self.follower = leader, follower
        self._timers: dict[Target, dict[int, Millis]] = {}

    def prepare(self) -> None:
        self.leader.prepare()
        self.follower.prepare()

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        self._timers = {self.leader: {}, self.follower: {}}
        return self._same("start", self.leader.start(runtime, token), self.follower.start(runtime, token))

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        twin = stimulus
        if isinstance(stimulus, TimerDue):
            # The timers of the two are paired by their deadline: ids are each one's own affair.
            length = len(self._timers[self.follower])
            due = self._timers[self.leader].pop(stimulus.timer)
            twin = TimerDue(min(timer for timer, when in self._timers[self.follower].items() if when == due))
            del self._timers[self.follower][twin.timer]
            assert len(self._timers[self.follower]) == length - 1
        return self._same(f"{stimulus} at {at}", self.leader.feed(stimulus, at), self.follower.feed(twin, at))

    def _same(self, what: str, led: tuple[Output, ...], followed: tuple[Output, ...]) -> tuple[Output, ...]:
        ours, theirs = self._seen(self.leader, led), self._seen(self.follower, followed)
        if ours != theirs:
            raise Disagreement(f"{what}\n  {self.leader.name}: {ours}\n  {self.follower.name}: {theirs}")
        return led

    def _seen(self, target: Target, outputs: tuple[Output, ...]) -> tuple[list[str], list[Millis]]:
        """What could be seen: requests, sign-outs, settled calls; and when the next timers are due."""
        live, seen = self._timers[target], []
        for output in outputs:
            match output:
                case TimerSet(timer, due, _):
                    live[timer] = due
                case TimerCleared(timer):
                    live.pop(timer, None)
                case RequestSent(request, endpoint, template, _):
                    seen.append(f"request {request}: {endpoint} {template}")
                case SignedOut():
                    seen.append("signed out")
                case CallSettled(call, token, error):
                    seen.append(f"call {call}: {token or error}")
        return sorted(seen), sorted(live.values())

    def finish(self) -> None:
        self.leader.finish()
        self.follower.finish()

    def close(self) -> None:
        self.leader.close()
        self.follower.close()
