"""The reference client: a second client that an invariant compares the target with.

It is a client of the model, under a policy of its own, and gets the same stimuli as the target. When the two
diverge, the step says so (`Step.diverged`), which is what the invariant reads.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from model.io import Output, Stimulus
from model.sdk import Policy, Sdk
from model.terms import Millis, Runtime
from properties.invariants.invariant import Invariant
from properties.run.lockstep import LockStep
from properties.system.target import Target, TargetError
from properties.targets.model import ModelTarget, as_model

ROLES = ("the client", "the reference client")


def model_of(target: Target) -> ModelTarget | None:
    """The model that describes a target; None for a build without a policy. Raises `TargetError`."""
    return as_model(target.described_by())


def model_like(target: Target, runtime: Runtime) -> ModelTarget | None:
    """The model that describes a build on a runtime, under the build's name; None for a model, and where there is
    none. Raises `TargetError`."""
    if as_model(target) or runtime not in target.sdk.runtimes:
        return None
    if model := model_of(target):
        model.name = target.name
    return model


def with_reference(target: Target, invariants: Iterable[Invariant]) -> Target:
    """The target in lock step with a reference client, if one of the invariants needs one; else the target
    itself.

    Raises `TargetError` if no policy describes the target.
    """
    change = next((one.reference for one in invariants if one.reference), None)
    if change is None or isinstance(target, LockStep):
        return target
    reference = model_of(target)
    if reference is None:
        raise TargetError(f"no policy describes {target.name}: there is no client to compare it with")
    reference.policy = change(reference.policy)
    return LockStep(target, reference, ROLES)


def reference_policy(policy: Policy, invariants: Iterable[Invariant]) -> Policy | None:
    """The policy of the reference client, if one of the invariants needs one; else None."""
    return next((one.reference(policy) for one in invariants if one.reference), None)


class ModelPair(ModelTarget):
    """A client of the model and its reference client. They start in the same state, and until they diverge their
    states are equal, so one state represents both."""

    def __init__(self, sdk: Sdk, policy: Policy, reference: Policy) -> None:
        super().__init__(sdk, policy)
        self.reference = reference
        self.diverged: str | None = None

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of both. Once they have diverged, only the target's."""
        before = replace(self.client, policy=self.reference)
        twin, its_outputs = self.sdk.step(before, stimulus, at)
        outputs = super().feed(stimulus, at)
        if (outputs, replace(self.client, policy=self.reference)) != (its_outputs, twin):
            self.diverged = self.diverged or f"after {stimulus} the two are no longer the same"
        return outputs
