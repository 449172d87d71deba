"""The formal model as a target: what a release is meant to do."""

from __future__ import annotations

from model.client import Client
from model.policy import Policy
from model.session import sign_in, step
from model.terms import Millis, Output, Runtime, Stimulus, Token


class ModelTarget:
    """The model's client under one policy, behind the interface that real SDKs stand behind."""

    def __init__(self, policy: Policy) -> None:
        self.name = f"model@{policy.name}"
        self.policy = policy
        self.client: Client | None = None
        """What it remembers now; None before the first start."""

    def prepare(self) -> None:
        """Nothing to fetch, nothing to start."""

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client of this policy, signed in with `token`."""
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
