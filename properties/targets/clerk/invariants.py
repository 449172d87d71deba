"""The invariants of Clerk's SDK alone. Importing this module registers them."""

from __future__ import annotations

from msgspec.structs import replace

from model import sdk
from model.clerk.policy import Policy
from model.step import Step
from model.terms import Runtime
from properties.invariants.breach import Breach
from properties.invariants.catalogue import invariant


def _without_guard(policy: sdk.Policy) -> sdk.Policy:
    assert isinstance(policy, Policy), f"{policy.name} is no policy of Clerk's"
    return replace(policy, guard_expired_refresh=False)


@invariant("guard-is-headless-only", Runtime.BROWSER_LIKE, default=False, reference=_without_guard)
def guard_is_headless_only(step: Step) -> Breach | None:
    """On a runtime that is not headless, a client with the guard of #8303 behaves exactly like one without it."""
    if step.diverged is None:
        return None
    return Breach(step.diverged, step.facts[-1] if step.facts else None)


OWN = ("guard-is-headless-only",)
