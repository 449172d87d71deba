"""Speculative execution: the model predicts the stimuli of a trace, and the build gets them in one message.

A step on a build costs a round trip to Node, a trace some 30. A model needs none, and the build mostly does what
its model does. If it put out just what the model did, the steps of the model are its steps. Else the trace is
judged step by step by what the build put out. At the first step whose stimulus is not the predicted one the build
starts again, gets the stimuli up to there, and goes on one step at a time.

Traces and verdicts are the same as without speculation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from model.io import (
    Called,
    CallSettled,
    Output,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    Stimulus,
    TimerSet,
)
from model.step import Step
from model.terms import CallId, Millis, Runtime, Token
from properties.run.reference import model_like
from properties.system.target import Exchange, Target, TargetError
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget


class Recorder:
    """A model that records what it is fed, and what it puts out."""

    def __init__(self, model: ModelTarget, build: Target) -> None:
        self.name, self.sdk, self.exchanges = model.name, model.sdk, list[Exchange]()
        self.token: Token | None = None
        self._model = model
        self.timings = build.timings  # the world is the build's
        self.prepare, self.described_by = model.prepare, model.described_by
        self.finish, self.close = model.finish, model.close

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """Start the model, and record what it puts out."""
        self.token = token
        return self._recorded(None, 0, self._model.start(runtime, token))

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Feed the model, and record the exchange."""
        return self._recorded(stimulus, at, self._model.feed(stimulus, at))

    def _recorded(self, stimulus: Stimulus | None, at: Millis, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        self.exchanges.append(Exchange(stimulus, at, outputs))
        return outputs


class Speculated:
    """A build that was fed the predicted stimuli. While they come true, it returns what the build put out."""

    def __init__(
        self,
        build: Target,
        fed: Sequence[Exchange],
        outputs: Sequence[tuple[Output, ...]],
        steps: Sequence[Step],
    ) -> None:
        """`steps`: those of the model."""
        self.name, self.sdk = build.name, build.sdk
        self._build, self._fed, self._outputs, self._steps = build, fed, outputs, steps
        self._began: tuple[Runtime, Token] | None = None
        self._next: int | None = 0  # the exchange that comes next; None after a wrong prediction
        self.timings, self.prepare, self.described_by = build.timings, build.prepare, build.described_by
        self.close = build.close

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """What the build put out at the start."""
        self._began, self._next = (runtime, token), 1
        return self._outputs[0]

    def foreseen(self) -> Sequence[Step] | None:
        """The steps of the trace if the build did just what the model does; else None. To be asked after `start`,
        by whoever feeds only what comes after these steps."""
        if not _alike(self._fed, self._outputs):
            return None
        self._next = len(self._fed)
        return self._steps

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """What the build put out in return for a stimulus that was predicted, or puts out now. Raises
        `TargetError`."""
        if self._next is not None:
            place, self._next = self._next, self._next + 1
            if place < len(self._fed) and (self._fed[place].stimulus, self._fed[place].at) == (stimulus, at):
                return self._outputs[place]
            self._next = None
            assert self._began, "start comes first"
            self._build.start(*self._began)
            for one in self._fed[1:place]:
                assert one.stimulus is not None
                self._build.feed(one.stimulus, one.at)
        return self._build.feed(stimulus, at)

    def finish(self) -> None:
        """End the trace, if it has not ended. Raises `TargetError`."""
        if self._next is None:
            self._build.finish()


Play: TypeAlias = Callable[[Target], Sequence[Step]]
"""Plays a trace on a target, and returns its steps."""


def speculating(target: Target, runtime: Runtime) -> Callable[[Play], Target]:
    """A function that speculates where a model describes the target: it gets a function that plays a trace, and
    returns the target to judge it on. Raises `TargetError`."""
    model = model_like(target, runtime) if isinstance(target, NodeTarget) else None

    def speculate(play: Play) -> Target:
        if model is None or not isinstance(target, NodeTarget):
            return target
        recorder = Recorder(model, target)
        try:
            steps = play(recorder)
        except TargetError:  # the model does not come to rest
            return target
        assert recorder.token is not None
        outputs = target.play(runtime, recorder.token, recorder.exchanges)
        return target if outputs is None else Speculated(target, recorder.exchanges, outputs, steps)

    return speculate


def _alike(predicted: Sequence[Exchange], outputs: Sequence[tuple[Output, ...]]) -> bool:
    """Did the build put out what was predicted, as far as the world can tell?"""
    pending: set[CallId] = set()
    for one, built in zip(predicted, outputs, strict=True):
        if isinstance(one.stimulus, Called | Started):
            pending.add(one.stimulus.call)
        if one.outputs != built and _causal(one.outputs, pending) != _causal(built, pending):
            return False
        pending -= _settled(built)
    return True


def _causal(outputs: tuple[Output, ...], pending: set[CallId]) -> list[Output]:
    """The outputs without causes that have settled: to the world, these are none (`World.origin`). That of
    a timer counts if its call is pending after these outputs: nothing reads it before."""
    open_now, open_after = pending.copy(), pending - _settled(outputs)

    def without(output: Output) -> Output:
        match output:
            case CallSettled(call):
                open_now.discard(call)
            case TimerSet(cause=cause) if cause not in open_after:
                return replace(output, cause=None)
            case RequestSent(cause=cause) | SignedOut(cause) | SignedIn(cause) if cause not in open_now:
                return replace(output, cause=None)
        return output

    return [*map(without, outputs)]


def _settled(outputs: tuple[Output, ...]) -> set[CallId]:
    return {output.call for output in outputs if isinstance(output, CallSettled)}
