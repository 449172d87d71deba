"""The registry of SDKs. Each adapter is named by its import string, `module:ATTRIBUTE`, and imported when it is
first needed.

The registry has the built-in adapter, then those of installed packages (entry points of the group
`sessionproof.sdks`), then those that the environment variable SESSIONPROOF_SDK names, separated by commas.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from typing import Any

import msgspec

from model.operations import Load, Operation
from model.sdk import Policy, Sdk, Server
from model.terms import TokenId
from properties.system.failures import Failure

BUILT_IN = "properties.targets.clerk.adapter:CLERK_ADAPTER"
ENTRY_POINTS = "sessionproof.sdks"
VARIABLE = "SESSIONPROOF_SDK"
MODEL_KIND = "model"


class UnknownName(Failure):
    """A name on the command line is unknown. The message has the name and the valid choices."""


def import_strings() -> tuple[str, ...]:
    """The import strings of all adapters, the built-in one first."""
    named = (name.strip() for name in os.environ.get(VARIABLE, "").split(","))
    return tuple(dict.fromkeys((BUILT_IN, *_installed(), *filter(None, named))))


@cache
def _installed() -> tuple[str, ...]:
    return tuple(entry.value for entry in metadata.entry_points(group=ENTRY_POINTS))


@cache
def imported(place: str) -> Any:
    """The adapter that an import string names. Raises `UnknownName` if it cannot be imported."""
    module, colon, attribute = place.partition(":")
    if not (module and colon and attribute):
        raise UnknownName(f"the SDK '{place}' is not named as module:ATTRIBUTE (see {VARIABLE})")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing a third-party module may raise anything
        why = str(error).partition("\n")[0]
        raise UnknownName(f"the SDK '{place}' cannot be imported ({type(error).__name__}: {why})") from None


def available_adapters() -> Iterator[Any]:
    """The adapters that can be imported. The others are skipped, so that help texts never fail."""
    for place in import_strings():
        try:
            yield imported(place)
        except UnknownName:
            continue


def owner(spec: str) -> Any | None:
    """The adapter of the SDK that the target `spec` belongs to; None if no SDK knows the name."""
    kind, _, rest = spec.partition("@")
    if kind == MODEL_KIND:
        return next((one for one in available_adapters() if not rest or rest in policies_of(one.sdk)), None)
    return next((one for one in available_adapters() if _is_of(one, spec)), None)


def _is_of(adapter: Any, spec: str) -> bool:
    """Does this name have one of the adapter's forms, whether valid or not?"""
    try:
        return adapter.target(spec, lambda line: None) is not None
    except UnknownName:
        return True


def policies_of(sdk: Sdk) -> dict[str, Policy]:
    """Every policy of an SDK, released ones first."""
    return {**sdk.policies, **sdk.proposed}


def sdks() -> tuple[Sdk, ...]:
    """Every available SDK, the built-in one first."""
    return tuple(adapter.sdk for adapter in available_adapters())


def sdks_of(spec: str) -> tuple[Sdk, ...]:
    """The SDK that the target `spec` belongs to; all available SDKs if none knows the name."""
    adapter = owner(spec)
    return (adapter.sdk,) if adapter else sdks()


# -- documents ----------------------------------------------------------------------------------------------


def operations(of: Sequence[Sdk] | None = None) -> dict[str, type[Operation]]:
    """The classes of operation of these SDKs, or of all, by class name, which is what JSON documents use."""
    return {type(one).__name__: type(one) for sdk in of or sdks() for one in (*sdk.operations, Load())}


def decoder(of: Sequence[Sdk] | None = None) -> Callable[[type, Any], Any]:
    """The `dec_hook` of `msgspec.convert` for the types that each SDK defines for itself: operations, servers and
    token ids of these SDKs, or of all."""

    def decode(kind: type, value: Any) -> Any:
        if kind is Operation:
            return msgspec.convert(value, operations(of)[value["event"]])
        for sdk in of or sdks():
            own: dict[Any, type] = {Server: type(sdk.server), TokenId: type(sdk.server.session_token)}
            if kind in own:
                with contextlib.suppress(msgspec.ValidationError):
                    return msgspec.convert(value, own[kind])
        raise msgspec.ValidationError(f"{value!r} is not a {kind.__name__} of any available SDK")

    return decode
