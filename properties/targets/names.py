"""How the command line names a target."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeAlias

from model.clerk.policy import POLICIES, PROPOSED, Policy
from properties.system.target import Target
from properties.targets.clerk.expo import ExpoTarget
from properties.targets.clerk.target import bundle_target, clerk_js_target
from properties.targets.model import ModelTarget

Say: TypeAlias = Callable[[str], None]

FORMS = "model, model@POLICY, clerk-js@VERSION, expo@VERSION or path:FILE"


class UnknownName(ValueError):
    """A name on the command line is not one of ours. The message names it and the valid choices."""


def make_target(spec: str, say: Say) -> Target:
    """The target that `spec` names, not yet prepared. `say` is told of downloads.

    Raises `UnknownName`; `prepare()` raises `TargetError` later.
    """
    kind, at, rest = spec.partition("@")
    if kind == "model":
        name = rest if at else next(reversed(POLICIES))
        return ModelTarget(policy(name))
    if kind == "clerk-js" and rest:
        return clerk_js_target(rest, say)
    if kind == "expo" and rest:
        return ExpoTarget(rest, say)
    if spec.startswith("path:") and spec != "path:":
        return bundle_target(Path(spec.removeprefix("path:")), say)
    raise UnknownName(f"unknown target '{spec}' (known forms: {FORMS})")


def one_of(kind: str, name: str, known: Collection[str]) -> str:
    """The name, if it is a known one. Raises `UnknownName`."""
    if name not in known:
        raise UnknownName(f"unknown {kind} '{name}' (known: {', '.join(known)})")
    return name


def policy(name: str) -> Policy:
    """The policy of a release, or a proposed one. Raises `UnknownName`."""
    known = POLICIES | PROPOSED
    return known[one_of("policy", name, known)]
