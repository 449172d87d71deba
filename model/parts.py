"""A client taken apart: `Parts`, which an SDK may provide (`model/sdk.py`).

A client is a core and parts. A proof can follow each part on its own (properties/prove/modular.py) if a rule
reads no more of others than this: what is in a slot, which one part fills at most, and the objects that parts
share. The client numbers these, and a part uses one of them at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from model.form import Form
from model.terms import RequestId, TimerId, TokenId

OWN = -2
"""In place of the number of a shared object that the core has not got."""


class SlotUnknown(Exception):
    """What happens depends on what is in a slot, and that was left out."""

    def __init__(self, slot: TokenId) -> None:
        super().__init__(f"what is in slot {slot}?")
        self.slot = slot


class Part(Protocol):
    """A part of a client: a frozen, hashable struct."""

    @property
    def slot(self) -> TokenId | None:
        """The slot that it fills, if it fills one."""

    @property
    def timers(self) -> Sequence[TimerId]:
        """Its timers."""

    @property
    def requests(self) -> Sequence[RequestId]:
        """Its requests."""

    @property
    def in_flight(self) -> RequestId | None:
        """Its request that is in flight, if one is."""

    @property
    def holder(self) -> int:
        """The number of its shared object; of one that the core has not got `OWN`, and then it is `own`."""

    @property
    def own(self) -> Any:
        """Its shared object, if the core has not got that; else None."""

    @property
    def seen(self) -> Self | None:
        """What a rule reads that finds it in a slot; None if that is all of it. It has an object of its `own` in
        place of the part's, and a rule that takes over more of the part than this takes over that too."""

    def named(self, form: Form, holders: Mapping[int, int], own: Any) -> Self:
        """The same part with other names, another number for its shared object, and another `own`."""


class Parts(Protocol):
    """How the client of an SDK is taken apart."""

    def split(self, client: Any, form: Form) -> tuple[Any, list[Any]]:
        """The core of a client, and its parts. Uses only `call` of the form."""

    def join(
        self,
        core: Any,
        parts: Sequence[Any],
        objects: Sequence[Any],
        known: frozenset[Any],
        unknown: frozenset[Any],
    ) -> Any:
        """A client of this core and these parts, with these shared objects. A rule that looks into a slot that is
        empty here and not `known` raises `SlotUnknown`. `unknown` is a set of which nothing is known, in place of
        one that parts keep together."""

    def shared(self, client: Any, form: Form) -> Sequence[Any]:
        """The shared objects of a client in canonical form, by their numbers."""

    def places(self, core: Any) -> Mapping[int, int]:
        """The numbers of a core's shared objects, and those that they have in its canonical form."""
