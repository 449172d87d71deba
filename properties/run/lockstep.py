"""Conformance: does the model agree with a build?

Both run the same trace in lock step. After every stimulus, their observable outputs and the instants at which
their timers are due are compared. A difference is searched for, shrunk, saved and reported like the violation of
an invariant.
"""

from __future__ import annotations

from msgspec import Struct

from model.io import (
    Called,
    CallSettled,
    LockChanged,
    Output,
    Replied,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    Stimulus,
    TimerCleared,
    TimerDue,
    TimerSet,
    TokenAnnounced,
    TokenShown,
    Uncaught,
)
from model.sdk import Sdk
from model.step import Step
from model.terms import CallId, Millis, RequestId, Runtime, TimerId, Timings, Token
from properties.invariants.breach import Breach
from properties.invariants.invariant import Invariant
from properties.system.target import Target
from properties.system.wording import WITHOUT_CREDENTIAL, clock

CONFORMS = "build-conforms-to-model"


class Seen(Struct, frozen=True):
    """What one target did after a stimulus, and the instants in ms at which its timers are due."""

    did: tuple[str, ...]
    due: tuple[Millis, ...]

    def __str__(self) -> str:
        timers = ", ".join(clock(due) for due in self.due)
        return f"{'; '.join(self.did) or 'does nothing'}; {f'timers due at {timers}' if timers else 'no timers'}"


class Difference(Struct, frozen=True):
    """The first difference between the two: after which stimulus (None: the sign-in), at which instant in ms, and
    what each did. `called` has their names in the message."""

    stimulus: Stimulus | None
    at: Millis
    build: Seen
    model: Seen
    called: tuple[str, str]

    def __str__(self) -> str:
        one, other = self.called
        return f"at {clock(self.at)} {one} {self.build}; {other} {self.model}"


class LockStep:
    """A target that runs a build and a model in lock step. The world sees the outputs of the build."""

    def __init__(
        self, build: Target, model: Target, called: tuple[str, str] = ("the build", "the model")
    ) -> None:
        self.name, self.called = build.name, called
        self.build, self.model = build, model
        self.difference: Difference | None = None
        self._timers: dict[str, dict[TimerId, Millis]] = {}
        self._pending: dict[str, set[CallId]] = {}
        self._locked = self._by_timer = False
        self._timed: set[RequestId] = set()  # sent by a timer, or because of what such a request was answered

    @property
    def sdk(self) -> Sdk:
        """The build's."""
        return self.build.sdk

    def timings(self, runtime: Runtime) -> Timings:
        """The build's."""
        return self.build.timings(runtime)

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Prepare both. Raises `TargetError`."""
        self.model.prepare(runtime)
        self.build.prepare(runtime)

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """Sign both in. Raises `TargetError`."""
        self.difference, self._locked = None, False
        self._forget()
        return self._compared(None, 0, self.build.start(runtime, token), self.model.start(runtime, token))

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Feed the stimulus to both. Raises `TargetError`."""
        if self.difference:  # the states differ: no further comparison makes sense
            return self.build.feed(stimulus, at)
        if isinstance(stimulus, LockChanged):
            self._locked = stimulus.locked
        if isinstance(stimulus, Started):  # timers and calls end with their process
            self._forget()
        if isinstance(stimulus, Called):
            for pending in self._pending.values():
                pending.add(stimulus.call)
        twin = self._twin(stimulus)
        return self._compared(stimulus, at, self.build.feed(stimulus, at), self.model.feed(twin, at))

    def finish(self) -> None:
        """End the trace for both. Raises `TargetError`."""
        self.build.finish()
        self.model.finish()

    def close(self) -> None:
        """Close both. Raises `TargetError`."""
        try:
            self.build.close()
        finally:
            self.model.close()

    def described_by(self) -> Target | None:
        """The model of the build."""
        return self.build.described_by()

    def _forget(self) -> None:
        self._timers, self._pending = {"build": {}, "model": {}}, {"build": set(), "model": set()}
        self._timed = set()

    def _because(self, who: str, cause: CallId | None) -> str:
        """The origin of an output, as the world sees it (`World.origin`). What follows from a timer is not
        compared: in a build it has the call in whose course the timer was set, in a model only one that waits for
        it."""
        if self._by_timer:
            return "by a timer"
        return f"because of call {cause}" if cause in self._pending[who] else "in the background"

    def _twin(self, stimulus: Stimulus) -> Stimulus:
        """The same stimulus for the model. Timer ids may differ, so timers are paired by their due instant, and
        then by the order in which they were set."""
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
        of_timer = isinstance(stimulus, Replied) and stimulus.request in self._timed
        self._by_timer = of_timer or isinstance(stimulus, TimerDue)
        if self._by_timer:
            self._timed.update(one.request for one in built if isinstance(one, RequestSent))
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
                case RequestSent(request, endpoint, token_id, cause, credential, details):
                    what = f"{endpoint}{f' ({token_id})' if str(token_id) else ''}"
                    bare = self._locked if credential is None else not credential  # then the world knows it
                    said = [*details, *([WITHOUT_CREDENTIAL] if bare else []), self._because(who, cause)]
                    did.append(f"sends request {request} for {', '.join([what, *said])}")
                case SignedOut(cause):
                    did.append(f"signs the user out, {self._because(who, cause)}")
                case TokenAnnounced(token):
                    did.append(f"has {token} as its last active token")
                case SignedIn(cause):
                    did.append(f"holds the session again, {self._because(who, cause)}")
                case TokenShown(token):
                    did.append(f"shows the app's own server {token or 'nothing'}")
                case Uncaught():
                    did.append("throws an error that nobody catches")
                case CallSettled(call, token, error):
                    self._pending[who].discard(call)
                    did.append(f"ends call {call} with {token or error or 'success'}")
        return Seen(tuple(sorted(did)), tuple(sorted(live.values())))


def conforms(pair: LockStep) -> Invariant:
    """The invariant that the two targets of a pair agree."""

    def check(step: Step) -> Breach | None:
        return Breach(str(pair.difference), step.facts[-1] if step.facts else None) if pair.difference else None

    sentence = "After every stimulus, the build has done what its model does, and its timers are due as there."
    return Invariant(CONFORMS, sentence, check, frozenset(Runtime))
