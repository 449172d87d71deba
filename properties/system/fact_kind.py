"""The type of the rows in `fact_kinds.py`, and the dependencies that link facts.

A fact depends on earlier facts through *dependencies*: a timer that was set, a request that was sent, a call that
was made, a token that arrived, a condition of the world that holds. A row names the dependencies that its facts
need and those that they bring. From these, `properties/invariants/causes.py` derives the links.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct

from model.terms import Millis, Word
from model.world.facts import Fact, Frozen
from properties.system.wording import duration

F = TypeVar("F")

Rows: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of name and value, as the page and the reports list them."""


class DependencyKind(Word):
    """What can link two facts."""

    STIMULUS = "stimulus"  # what reached the client last: a call, an answer, a timer that fired
    TIMER = "timer"
    REQUEST = "request"
    CALL = "call"
    TOKEN = "token"
    CLOCK = "clock"  # the device's clock is not right
    KEYCHAIN = "keychain"  # the keychain is locked
    NETWORK = "network"  # the device is offline
    TAB = "tab"  # the user has turned to the tab, or away from it
    TURNS = "turns"  # another tab holds the lock by which the app's tabs take turns
    CHANNEL = "channel"  # the channel between the app's tabs is closed
    SESSION_END = "session-end"  # the server has ended the session
    LEAVING = "leaving"  # the app signs out, or has signed out
    ENTERED = "entered"  # the client holds another session than before


class Dependency(NamedTuple):
    """What one fact brings and another needs. `number` is an id; 0 for a condition of the world."""

    kind: DependencyKind
    number: int = 0


STIMULUS = Dependency(DependencyKind.STIMULUS)


class Before(Struct, frozen=True):
    """The context of a fact in a causal chain: all facts `seen` before it, and those that the chain has
    `mentioned` already."""

    seen: Sequence[Fact]
    mentioned: Sequence[Fact]


def because_frozen(before: Before, start: Millis, end: Millis) -> str:
    """The clause that says for how long the event loop was frozen between `start` and `end` (ms); empty if it was
    not."""
    frozen = [f for f in before.seen if isinstance(f, Frozen) and f.until > start and f.at < end]
    if not frozen:
        return ""
    return f", because the event loop was frozen for {duration(sum(one.until - one.at for one in frozen))}"


def _no_dependencies(_fact: object) -> tuple[Dependency, ...]:
    return ()


def _the_stimulus(_fact: object) -> tuple[Dependency, ...]:
    return (STIMULUS,)


def _no_details(_fact: object) -> Rows:
    return ()


def _never(_fact: object) -> bool:
    return False


def no_marks(_fact: object, _before: Before) -> tuple[str, ...]:
    """The usual course of things: nothing that tells one violation from another."""
    return ()


class FactKind(Struct, Generic[F], frozen=True, kw_only=True):
    """How reports present one kind of fact, and how it depends on other facts."""

    kind: type[F]
    lane: str | Callable[[F], str]
    """Who does it: one of the lanes of the timeline."""
    to: str | None = None
    """The lane that it reaches; None if it stays in its own."""
    moment: str
    """The kind of mark that the timeline draws for it."""
    present: Callable[[F], str]
    """What the lane does, in the present tense: `signs the user out`."""
    past: Callable[[F, Before], str]
    """A clause of the cause sentence, in the past tense: `and so the SDK signed the user out`."""
    marks: Callable[[F, Before], tuple[str, ...]]
    """What it adds to the identity of a violation that it led to (`properties/invariants/identity.py`), in words
    without numbers: `a late answer`. Lists of known findings quote these words, so they do not change."""
    details: Callable[[F], Rows] = _no_details
    needs: Callable[[F], tuple[Dependency, ...]] = _the_stimulus
    """What it depends on; what triggers it comes first. A dependency that no fact brought existed from the
    start."""
    brings: Callable[[F], tuple[Dependency, ...]] = _no_dependencies
    ends: Callable[[F], tuple[Dependency, ...]] = _no_dependencies
    """The conditions that it ends."""
    reaches_client: bool = False
    """Is it a stimulus? Then it triggers what the client does next."""
    effect: bool = False
    """Is it something observable that the client does?"""
    needs_effect: bool = False
    """Leave it out of the timeline unless an effect of the client follows?"""
    implied: Callable[[F], bool] = _never
    """Leave it out of the timeline?"""
