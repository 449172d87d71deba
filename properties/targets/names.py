"""The names of targets and policies on the command line, for all SDKs in `properties/system/registry.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from model.assumptions.catalogue import ASSUMPTIONS
from model.assumptions.sets import Assumptions
from model.sdk import Policy
from model.terms import Runtime
from properties.system.registry import (
    BUILT_IN,
    MODEL_KIND,
    UnknownName,
    available_adapters,
    import_strings,
    imported,
    owner,
    policies_of,
)
from properties.system.target import Target
from properties.targets.adapter import Adapter, Say
from properties.targets.model import ModelTarget

__all__ = ["UnknownName"]

MODELS = (MODEL_KIND, f"{MODEL_KIND}@POLICY")


# -- adapters -----------------------------------------------------------------------------------------------


def built_in() -> Adapter:
    """The built-in adapter, which `sessionproof check` uses."""
    adapter: Adapter = imported(BUILT_IN)
    return adapter


def adapters() -> tuple[Adapter, ...]:
    """Every adapter, the built-in one first. Raises `UnknownName` if one cannot be imported."""
    return tuple(map(imported, import_strings()))


def adapter_of(spec: str) -> Adapter | None:
    """The adapter of the SDK that the target `spec` belongs to; None if no SDK knows the name."""
    found: Adapter | None = owner(spec)
    return found


def judged_on(spec: str) -> tuple[str, ...]:
    """The ids of the invariants that are judged on the target `spec` beside those of every target."""
    adapter = adapter_of(spec)
    return adapter.judged(spec) if adapter else ()


def adapter_named(name: str) -> Adapter:
    """The adapter of an SDK by its name. Raises `UnknownName`."""
    known = {one.name: one for one in adapters()}
    return known[one_of("SDK", name, known)]


# -- names --------------------------------------------------------------------------------------------------


def build_forms() -> str:
    """The forms of the specs of builds, for help texts."""
    return _joined([form for one in available_adapters() for form in one.forms])


def forms() -> str:
    """The forms of the specs of all targets, for help texts."""
    return _joined([*MODELS, *(form for one in available_adapters() for form in one.forms)])


def _joined(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def policies() -> dict[str, Policy]:
    """Every policy by name, the released ones of each SDK first."""
    return {name: policy for one in available_adapters() for name, policy in policies_of(one.sdk).items()}


def model_named(policy_name: str) -> ModelTarget:
    """The model under a policy. Raises `UnknownName`."""
    chosen = policy(policy_name)
    spec = f"{MODEL_KIND}@{policy_name}"
    return (adapter_of(spec) or built_in()).model(spec, chosen)


def newest() -> str:
    """The name of the policy of the newest release, the default of the commands."""
    return [*built_in().sdk.policies][-1]


def policy(name: str) -> Policy:
    """The policy with this name, released or proposed. Raises `UnknownName`."""
    adapters()
    known = policies()
    return known[one_of("policy", name, known)]


def make_target(spec: str, say: Say) -> Target:
    """The target that `spec` names, not yet prepared. If there is no such release, it is the nearest one, and its
    `name` says so. `say` gets lines about that and about downloads.

    Raises `UnknownName`; `prepare()` raises `TargetError` later.
    """
    kind, at, rest = spec.partition("@")
    if kind == MODEL_KIND:
        return model_named(rest if at else newest())
    made = (one.target(one.existing(spec, say), say) for one in adapters())
    target = next((one for one in made if one is not None), None)
    if target is None:
        raise UnknownName(f"unknown target '{spec}' (known forms: {forms()})")
    return target


def assumed(names: Iterable[str], runtime: Runtime) -> Assumptions:
    """The assumptions with these names. Raises `UnknownName`, also for one that is about other runtimes."""
    for name in (named := tuple(names)):
        about = ASSUMPTIONS[one_of("assumption", name, ASSUMPTIONS)].runtimes
        if runtime not in about:
            others = " or ".join(f"--runtime {one}" for one in about)
            raise UnknownName(f"'{name}' says nothing on the runtime {runtime}: add {others}")
    return Assumptions(named)


def one_of(kind: str, name: str, known: Collection[str]) -> str:
    """`name`, if it is in `known`. Raises `UnknownName`; `kind` is for the message."""
    if name not in known:
        raise UnknownName(f"unknown {kind} '{name}' (known: {', '.join(known)})")
    return name
