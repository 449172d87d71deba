"""The formal model as a target: what a release is meant to do."""

from __future__ import annotations

from model.clerk.policy import Policy
from model.clerk.state import Client
from model.clerk.transition import MODELLED, sign_in, step
from model.terms import Millis, Output, Runtime, Stimulus, Token
from properties.system.target import TargetError


class ModelTarget:
    """The model's client under one policy, behind the interface that real SDKs stand behind."""

    def __init__(self, policy: Policy) -> None:
        self.name = f"model@{policy.name}"
        self.policy = policy
        self.client: Client | None = None
        """What it remembers now; None before the first start."""

    def prepare(self, runtime: Runtime = Runtime.HEADLESS) -> None:
        """Nothing to fetch, nothing to start. Raises `TargetError` for a runtime that is not modelled."""
        if runtime not in MODELLED:
            raise TargetError(
                f"the model does not describe the runtime {runtime}: name real builds, such as clerk-js@6.40.0 "
                "(conform compares two of them with --against)"
            )

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client of this policy, signed in with `token`. Raises `TargetError` as `prepare` does."""
        self.prepare(runtime)
        self.client, outputs = sign_in(self.policy, runtime, token)
        return outputs

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model at `at` ms."""
        assert self.client is not None, "start comes first"
        self.client, outputs = step(self.client, stimulus, at)
        return outputs

    def finish(self) -> None:
        """A value needs no tidying."""

    def close(self) -> None:
        """Nor does it hold anything."""
