"""What a system under test must offer: the contract between the engines and an SDK.

One world drives every target. A target is told of a stimulus and the instant it happens, and says what it
did in return. It owns no clock, no network and no timer queue: it reports each timer it sets and is told when
one is due. What belongs to one SDK (its paths, its payloads, the way it boots) stays in its adapter.
"""

from __future__ import annotations

from typing import Protocol

from model.terms import Millis, Output, Runtime, Stimulus, Token


class TargetError(Exception):
    """The target itself is broken (missing build, dead driver, unknown request): never a finding.

    The message is one line that says what is wrong and what to do.
    """


class Target(Protocol):
    """A client of the session server that can be started afresh for each trace."""

    @property
    def name(self) -> str:
        """How the command line spells this target, for example `clerk-js@6.7.4`."""

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Fetch and start whatever `runtime` needs, so that what is missing is said before a search begins.

        May be called more than once. Raises `TargetError`, also for a runtime that the target does not know.
        """

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """Forget everything; sign in at instant 0 with `token`, and say what that put in motion.

        Raises `TargetError` when the client does not start.
        """

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """Let `stimulus` happen at `at` ms of the device's clock; return everything the client did, in order.

        Returns when the client can do nothing more without a further stimulus. At `Started` the process ends and
        another begins: of the client nothing is left but what it keeps on its device. Raises `TargetError`.
        """

    def finish(self) -> None:
        """End of a trace: check what could only be checked whole; may prepare the next start meanwhile.

        Raises `TargetError` when the trace shows that the target or its fake server is broken.
        """

    def close(self) -> None:
        """Release every process and file. Safe to call twice; leaves nothing running.

        Raises `TargetError` as `finish` does, when a check was put off until now.
        """
