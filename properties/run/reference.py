"""Another client beside a target, for an invariant that compares the two.

The other one is of the model, under a policy of its own; it hears what the target hears. Where they part, the
step says so (`Step.parted`), and the invariant has something to judge.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from model.clerk.policy import Policy, policy_of
from model.clerk.transition import step
from model.terms import Millis, Output, Stimulus
from properties.invariants.catalogue import Invariant
from properties.run.lockstep import LockStep
from properties.system.target import Target, TargetError
from properties.targets.clerk.target import ClerkJsTarget
from properties.targets.model import ModelTarget

CALLED = ("the client", "the one beside it")


def model_of(target: Target) -> ModelTarget | None:
    """The model of what a target is meant to do; None for a build that no policy describes."""
    if isinstance(target, ModelTarget):
        return ModelTarget(target.policy)
    if not isinstance(target, ClerkJsTarget):
        return None
    policy = policy_of(target.release or "")
    return target.model(policy) if policy else None


def accompanied(target: Target, invariants: Iterable[Invariant]) -> Target:
    """The target, with another client beside it if one of the invariants asks for that.

    Raises `TargetError` where no policy says what that would do.
    """
    other = next((one.beside for one in invariants if one.beside), None)
    if other is None or isinstance(target, LockStep):
        return target
    model = model_of(target)
    if model is None:
        raise TargetError(f"no policy describes {target.name}: there is no client to compare it with")
    model.policy = other(model.policy)
    return LockStep(target, model, CALLED)


def policy_beside(policy: Policy, invariants: Iterable[Invariant]) -> Policy | None:
    """The policy of the client beside a model's, if one of the invariants asks for one."""
    return next((one.beside(policy) for one in invariants if one.beside), None)


class Twins(ModelTarget):
    """A model's client, and beside it one of another policy. They begin in the same state, and are in the same
    one for as long as they do the same: so one state stands for both."""

    def __init__(self, policy: Policy, other: Policy) -> None:
        super().__init__(policy)
        self.other = other
        self.parted: str | None = None

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of both. From where they part on, it is the first one's."""
        assert self.client is not None, "start comes first"
        twin, its_outputs = step(replace(self.client, policy=self.other), stimulus, at)
        outputs = super().feed(stimulus, at)
        if (outputs, replace(self.client, policy=self.other)) != (its_outputs, twin):
            self.parted = self.parted or f"after {stimulus} the two are no longer the same"
        return outputs
