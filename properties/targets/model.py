"""The model as a target."""

from __future__ import annotations

from model.io import Output, Stimulus
from model.sdk import Client, Policy, Sdk
from model.terms import Millis, Runtime, Timings, Token
from model.world.events import Event
from properties.system.target import Target, TargetError


class ModelTarget:
    """The model's client under one policy, with the same interface as a real SDK."""

    loses_credential_by: tuple[Event, ...] = ()
    """The events that can cost it the device's credential, if it handles that itself. Then it has state besides
    that of the model's client."""

    def __init__(self, sdk: Sdk, policy: Policy) -> None:
        self.name = f"model@{policy.name}"
        self.sdk = sdk
        self.policy = policy
        self.client: Client = None
        """The current state of the client; None before the first start."""

    def timings(self, runtime: Runtime) -> Timings:
        """The timings of its policy."""
        return self.policy.timings

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Nothing to prepare. Raises `TargetError` for a runtime that is not modelled."""
        if runtime not in self.sdk.runtimes:
            raise TargetError(
                f"the model does not describe the runtime {runtime}: name real builds "
                "(conform compares two of them with --against)"
            )

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client of this policy, signed in with `token`. Raises `TargetError` as `prepare` does."""
        self.prepare(runtime)
        self.client, outputs = self.sdk.start(self.policy, runtime, token)
        return outputs

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model at `at` ms."""
        assert self.client is not None, "start comes first"
        self.client, outputs = self.sdk.step(self.client, stimulus, at)
        return outputs

    def finish(self) -> None:
        """Nothing to check."""

    def close(self) -> None:
        """Nothing to release."""

    def described_by(self) -> ModelTarget | None:
        """Another client of the same policy."""
        return ModelTarget(self.sdk, self.policy)


def as_model(target: Target | None) -> ModelTarget | None:
    """The target, if it is a model's client; None if it is a build."""
    return target if isinstance(target, ModelTarget) else None
