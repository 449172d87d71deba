"""Conformance: does the model tell the truth about a build?

Both go through the same trace in lock step. After every stimulus, what a user or a server could have seen of the
two is compared, and when their next timers are due. A difference is one more thing to search for: it is shrunk,
saved and told like the violation of an invariant.
"""

from __future__ import annotations

from msgspec import Struct

from model.terms import (
    SESSION_TOKEN,
    CallSettled,
    CookieChanged,
    KeychainTurned,
    Millis,
    Output,
    RequestSent,
    Runtime,
    SignedIn,
    SignedOut,
    Started,
    Stimulus,
    TimerCleared,
    TimerDue,
    TimerId,
    TimerSet,
    Token,
    TokenAnnounced,
)
from properties.invariants.catalogue import Invariant
from properties.system.step import Step
from properties.system.target import Target
from properties.system.wording import BARE, clock

CONFORMS = "build-conforms-to-model"


class Seen(Struct, frozen=True):
    """What one target did after a stimulus, and when (ms) its timers are due from then on."""

    did: tuple[str, ...]
    due: tuple[Millis, ...]

    def __str__(self) -> str:
        timers = ", ".join(clock(due) for due in self.due)
        return f"{'; '.join(self.did) or 'does nothing'}; {f'timers due at {timers}' if timers else 'no timers'}"


class Difference(Struct, frozen=True):
    """Where the two parted, and what they are called: after a stimulus (None: the sign-in) at an instant in
    ms."""

    stimulus: Stimulus | None
    at: Millis
    build: Seen
    model: Seen
    called: tuple[str, str]

    def __str__(self) -> str:
        one, other = self.called
        return f"at {clock(self.at)} {one} {self.build}; {other} {self.model}"


class LockStep:
    """A build as the world sees it, with the model doing the same things until it does another."""

    def __init__(
        self, build: Target, model: Target, called: tuple[str, str] = ("the build", "the model")
    ) -> None:
        self.name, self.called = build.name, called
        self.build, self.model = build, model
        self.difference: Difference | None = None
        self._timers: dict[str, dict[TimerId, Millis]] = {}
        self._locked = False

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Make both ready. Raises `TargetError`."""
        self.model.prepare(runtime)
        self.build.prepare(runtime)

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """Sign both in. Raises `TargetError`."""
        self.difference, self._timers, self._locked = None, {"build": {}, "model": {}}, False
        return self._compared(None, 0, self.build.start(runtime, token), self.model.start(runtime, token))

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Hand the stimulus to both. Raises `TargetError`."""
        if self.difference:  # from here on it is another story
            return self.build.feed(stimulus, at)
        if isinstance(stimulus, KeychainTurned):
            self._locked = stimulus.locked
        if isinstance(stimulus, Started):  # timers end with their process
            self._timers = {"build": {}, "model": {}}
        twin = self._twin(stimulus)
        return self._compared(stimulus, at, self.build.feed(stimulus, at), self.model.feed(twin, at))

    def finish(self) -> None:
        """End the trace for both. Raises `TargetError`."""
        self.build.finish()
        self.model.finish()

    def close(self) -> None:
        """Release both. Raises `TargetError`."""
        self.build.close()
        self.model.close()

    def _twin(self, stimulus: Stimulus) -> Stimulus:
        """The same stimulus for the model. Timers are paired by when they are due, and by the order in which they
        were set if that is the same: ids are their own affair."""
        if not isinstance(stimulus, TimerDue):
            return stimulus
        build, model = self._timers["build"], self._timers["model"]
        due = build[stimulus.timer]
        place = sorted(timer for timer, when in build.items() if when == due).index(stimulus.timer)
        twin = sorted(timer for timer, when in model.items() if when == due)[place]
        del build[stimulus.timer], model[twin]
        return TimerDue(twin)

    def _compared(
        self, stimulus: Stimulus | None, at: Millis, built: tuple[Output, ...], modelled: tuple[Output, ...]
    ) -> tuple[Output, ...]:
        build, model = self._seen("build", built), self._seen("model", modelled)
        if build != model:
            self.difference = Difference(stimulus, at, build, model, self.called)
        return built

    def _seen(self, who: str, outputs: tuple[Output, ...]) -> Seen:
        live, did = self._timers[who], []
        for output in outputs:
            match output:
                case TimerSet(timer, due, _):
                    live[timer] = due
                case TimerCleared(timer):
                    live.pop(timer, None)
                case RequestSent(request, endpoint, token_id, _, credential):
                    what = f"{endpoint}{f' ({token_id})' if token_id != SESSION_TOKEN else ''}"
                    bare = self._locked if credential is None else not credential  # as the world has it
                    did.append(f"sends request {request} for {what}{f', {BARE}' * bare}")
                case SignedOut():
                    did.append("signs the user out")
                case TokenAnnounced(token):
                    did.append(f"has {token} as its last active token")
                case SignedIn():
                    did.append("holds the session again")
                case CookieChanged(token):
                    did.append(f"has {token or 'nothing'} in its cookie")
                case CallSettled(call, token, error):
                    did.append(f"ends call {call} with {token or error or 'success'}")
        return Seen(tuple(sorted(did)), tuple(sorted(live.values())))


def conforms(pair: LockStep) -> Invariant:
    """The invariant that the two of a pair agree."""

    def check(step: Step) -> str | None:
        return str(pair.difference) if pair.difference else None

    sentence = "After every stimulus, the build has done what its model does, and its timers are due as there."
    return Invariant(CONFORMS, sentence, check, frozenset(Runtime))
