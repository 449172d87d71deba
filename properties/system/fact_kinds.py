"""One row for each kind of fact: its wording, its lane in the timeline, and its dependencies.

To add a kind of fact, write its class, make it a member of `Fact`, and add its row: in `world_facts.py` if the
world or the app does it, in `page_facts.py` if the browser does it to a page, in `client_facts.py` if the client
does. Every report is made from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

import msgspec
from msgspec import to_builtins

from model.sdk import Sdk
from model.step import Step
from model.world.facts import Fact
from properties.system.client_facts import CLIENT_FACTS
from properties.system.fact_kind import FactKind
from properties.system.page_facts import PAGE_FACTS
from properties.system.registry import decoder
from properties.system.world_facts import WORLD_FACTS

FACT_KINDS: dict[type[Any], FactKind[Any]] = {row.kind: row for row in (*WORLD_FACTS, *PAGE_FACTS, *CLIENT_FACTS)}
"""The rows by class of fact."""


def row_of(fact: Fact) -> FactKind[Any]:
    """The row of this fact's kind."""
    return FACT_KINDS[type(fact)]


def reaction(facts: Iterable[Fact]) -> Iterator[Fact]:
    """The first of these facts, up to the next that reaches the client: what it did in return for the last."""
    return takewhile(lambda fact: not row_of(fact).reaches_client, facts)


def lane(fact: Fact) -> str:
    """Who does the fact: `OS`, `timer`, `SDK`, `network`, `server` or `app`."""
    where = row_of(fact).lane
    return where if isinstance(where, str) else where(fact)


def tell(fact: Fact) -> tuple[str, str]:
    """The lane, and what it does, in the present tense."""
    return lane(fact), row_of(fact).present(fact)


def notable(facts: Sequence[Fact]) -> list[Fact]:
    """The facts worth showing: without implied ones, and without timers that had no effect."""
    facts = [fact for fact in facts if not row_of(fact).implied(fact)]
    followers: list[Fact | None] = [*facts[1:], None]
    return [
        fact
        for fact, follower in zip(facts, followers, strict=True)
        if not row_of(fact).needs_effect or (follower is not None and row_of(follower).effect)
    ]


def facts_of(steps: Iterable[Step]) -> tuple[Fact, ...]:
    """All facts of `steps`, in order."""
    return tuple(fact for step in steps for fact in step.facts)


# -- JSON ---------------------------------------------------------------------------------------------------


def encoded(fact: Fact) -> dict[str, Any]:
    """The fact as plain values: its fields, and the name of its class as `fact`."""
    return {"fact": type(fact).__name__, **to_builtins(fact)}


def decoded(entry: dict[str, Any], of: Sequence[Sdk] | None = None) -> Fact:
    """The fact that `entry` encodes, with the types of these SDKs, or of all SDKs. Raises `ValueError`, and
    `KeyError` for an unknown kind of fact."""
    kind = {kind.__name__: kind for kind in FACT_KINDS}[entry["fact"]]
    fact: Fact = msgspec.convert(entry, kind, dec_hook=decoder(of))
    return fact
