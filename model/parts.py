"""A client taken apart: `Parts`, which an SDK may provide (`model/sdk.py`).

A client is a core and parts. A proof can follow each part on its own (properties/prove/modular.py) if a rule
reads no more of others than this: what is in a slot, which one part fills at most, and the objects that parts
share. The client numbers these. A rule may also empty all slots.

A part may have calls of the app. What another part does may be caused by one of these: of that the client reads
only that it is pending, and the world may add to the call's record.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Protocol, Self

from model.form import Form
from model.terms import CallId, RequestId, TimerId, TokenId

OWN = -2
"""The number of the first shared object of a part that the core has not got. Others have those below."""

OF_ANOTHER: CallId = 0
"""In place of the number of a call that another part has."""

UNSEEN: CallId = -1_000_000_000
"""In place of the number of a call, or None, that is not seen."""


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
    def calls(self) -> Sequence[CallId]:
        """Its calls, in an order that their numbers do not decide."""

    @property
    def holders(self) -> Sequence[int]:
        """The numbers of its shared objects, each once. Those that the core has not got are `OWN` and below."""

    @property
    def own(self) -> tuple[Any, ...]:
        """Its shared objects that the core has not got, from `OWN` down."""

    @property
    def seen(self) -> Self | None:
        """What a rule reads that finds it in a slot; None if that is all of it. It has an object of its `own` in
        place of the part's. A rule may take this over into the same slot, with that object."""

    def became(self, seen: Self) -> Self:
        """The same part once what is seen of it has become this."""

    def looks_like(self, seen: Self) -> bool:
        """Is this what may have become of what was `seen` of a part?"""

    @property
    def emptied(self) -> Self | None:
        """What is left of it once all slots were emptied, with the same objects of its `own`; None if nothing."""

    def named(self, form: Form, holders: Mapping[int, int], own: tuple[Any, ...]) -> Self:
        """The same part with other names, other numbers for its shared objects, and others of its `own`."""


class Parts(Protocol):
    """How the client of an SDK is taken apart."""

    def split(self, client: Any, own: Container[CallId]) -> tuple[Any, list[Any]]:
        """The core of a client, and its parts. These calls of its `own` stay in the core, and so does what waits
        for the same."""

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

    def emptied(self, client: Any) -> bool:
        """Has a client that was put together emptied all slots since?"""

    def shared(self, client: Any, form: Form) -> Sequence[Any]:
        """The shared objects of a client in canonical form, by their numbers."""

    def places(self, core: Any) -> Mapping[int, int]:
        """The numbers of a core's shared objects, and those that they have in its canonical form."""
