"""The interface of a target: the contract between the engines and a client under test.

One world drives every target. A target gets a stimulus and the instant at which it happens, and returns the
client's outputs. It owns no clock, no network and no timer queue: it reports each timer that it sets, and gets a
stimulus when one is due. What is specific to one SDK (paths, payloads, how it boots) stays in its adapter.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from model import step as relation
from model.io import Output, Stimulus
from model.sdk import Sdk
from model.step import Endless, Step, initial
from model.terms import Millis, Runtime, Timings, Token
from model.world.events import Event
from model.world.state import System
from properties.system.failures import Failure


class TargetError(Failure):
    """The target itself is broken: a missing build, a dead driver, an unknown request. Never a finding."""


class Exchange(Struct, frozen=True):
    """What a client was fed at an instant in ms of the device's clock, and what it put out. The stimulus of a
    sign-in is None."""

    stimulus: Stimulus | None
    at: Millis
    outputs: tuple[Output, ...]


class Target(Protocol):
    """A client under test. It is started afresh for each trace."""

    @property
    def name(self) -> str:
        """The name of this target on the command line."""

    @property
    def sdk(self) -> Sdk:
        """The SDK of this client."""

    def timings(self, runtime: Runtime) -> Timings:
        """The numbers that the world uses for it: lifetimes, delays, patience."""

    def described_by(self) -> Target | None:
        """The model that describes this target; None if there is no policy for it. Raises `TargetError`."""

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Fetch and start what `runtime` needs, so that anything missing is reported before a search begins.

        May be called more than once. Raises `TargetError`, also for a runtime that the target does not support.
        """

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """Discard all state and sign in at instant 0 with `token`. Returns the outputs of the sign-in.

        Raises `TargetError` when the client does not start.
        """

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Deliver `stimulus` at `at` ms of the device's clock. Returns the client's outputs, in order.

        Returns when the client can do nothing more without another stimulus. `Started` ends the process and
        starts a new one: only what the client stored on the device remains. Raises `TargetError`.
        """

    def finish(self) -> None:
        """End the trace: run the checks that need the whole trace. May prepare the next start.

        Raises `TargetError` when the trace shows that the target or its fake server is broken.
        """

    def close(self) -> None:
        """Release every process and file. May be called twice.

        Raises `TargetError` as `finish` does, if a check was deferred until now.
        """


def started(target: Target, runtime: Runtime) -> System:
    """The initial system: a fresh client of the target, just signed in, in the initial world. Raises
    `TargetError`."""
    return initial(target.sdk, runtime, target.start, target.timings(runtime))


def stepped(system: System, event: Event, target: Target) -> Step:
    """The step of one event on a target, by `model.step.next`. Raises `TargetError` if it does not end."""
    try:
        return relation.next(system, event, target.feed)
    except Endless as error:
        raise TargetError(f"{target.name} does not come to rest: {error}") from None
