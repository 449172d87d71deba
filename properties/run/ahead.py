"""Playing ahead: a trace is played on the model of a build first, and then on the build all at once.

A step on a build waits for the build: some 30 round trips for a trace. A model needs none, and the build mostly
does what its model does. So the model says what the build is going to be fed; the build is fed that in one
message; and then the trace is judged by what the build has put out, step by step, as ever. As soon as a step
feeds it anything else, the build starts again, catches up, and is played one step at a time from there.

So the traces, and what is judged of them, are the same as without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.io import Output, Stimulus
from model.terms import Millis, Runtime, Token
from properties.run.reference import model_like
from properties.system.target import Exchange, Target, TargetError
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget


class Rehearsal:
    """A model that notes what it is fed, and what it puts out."""

    def __init__(self, model: ModelTarget) -> None:
        self.name, self.sdk, self.exchanges = model.name, model.sdk, list[Exchange]()
        self.token: Token | None = None
        self._model = model
        self.timings, self.prepare, self.described_by = model.timings, model.prepare, model.described_by
        self.finish, self.close = model.finish, model.close

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """As the model does."""
        self.token = token
        return self._noted(None, 0, self._model.start(runtime, token))

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """As the model does."""
        return self._noted(stimulus, at, self._model.feed(stimulus, at))

    def _noted(self, stimulus: Stimulus | None, at: Millis, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        self.exchanges.append(Exchange(stimulus, at, outputs))
        return outputs


class Ahead:
    """A build that has been played ahead: while it is fed the same, it puts out what it did then."""

    def __init__(self, build: Target, fed: Sequence[Exchange], outputs: Sequence[tuple[Output, ...]]) -> None:
        self.name, self.sdk = build.name, build.sdk
        self._build, self._fed, self._outputs = build, fed, outputs
        self._began: tuple[Runtime, Token] | None = None
        self._place: int | None = 0
        self.timings, self.prepare, self.described_by = build.timings, build.prepare, build.described_by
        self.close = build.close

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """What it put out then."""
        self._began, self._place = (runtime, token), 1
        return self._outputs[0]

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """What it put out then, or puts out now. Raises `TargetError`."""
        if self._place is not None:
            place, self._place = self._place, self._place + 1
            if place < len(self._fed) and (self._fed[place].stimulus, self._fed[place].at) == (stimulus, at):
                return self._outputs[place]
            self._place = None
            assert self._began, "start comes first"
            self._build.start(*self._began)
            for one in self._fed[1:place]:
                assert one.stimulus is not None
                self._build.feed(one.stimulus, one.at)
        return self._build.feed(stimulus, at)

    def finish(self) -> None:
        """End the trace, if it has not ended. Raises `TargetError`."""
        if self._place is None:
            self._build.finish()


def ahead(target: Target, runtime: Runtime) -> Callable[[Callable[[Target], None]], Target]:
    """A function that plays a trace ahead, where a model describes the target: it gets a function that plays the
    trace on a target, and returns the target to judge it on. Raises `TargetError`."""
    model = model_like(target, runtime) if isinstance(target, NodeTarget) else None

    def played(play: Callable[[Target], None]) -> Target:
        if model is None or not isinstance(target, NodeTarget):
            return target
        rehearsal = Rehearsal(model)
        try:
            play(rehearsal)
        except TargetError:  # the model does not come to rest
            return target
        assert rehearsal.token is not None
        outputs = target.play(runtime, rehearsal.token, rehearsal.exchanges)
        return target if outputs is None else Ahead(target, rehearsal.exchanges, outputs)

    return played
