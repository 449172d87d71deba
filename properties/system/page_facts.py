"""The rows of the facts about a page and its tab: see `fact_kinds.py`."""

from __future__ import annotations

from typing import Any

from model.world.facts import ChannelLost, TabHeard, TabTurned, TurnsTaken
from properties.system.fact_kind import Dependency, DependencyKind, FactKind
from properties.system.wording import TURNS, token_state
from properties.system.world_facts import no_dependencies

TAKES_LOCK = "takes the lock of its tabs in another one, and keeps it"
FREES_LOCK = "gives back the lock of its tabs"
CLOSES_CHANNEL = "closes the channel between the tabs: what the SDK posts there throws"

PAGE_FACTS: tuple[FactKind[Any], ...] = (
    FactKind(
        kind=TabTurned,
        lane="OS",
        moment="tab",
        marks=lambda fact, _: (f"a tab that is {fact.state}",),
        present=lambda fact: TURNS[fact.state],
        past=lambda fact, _: f"the browser {TURNS[fact.state]}",
        details=lambda fact: (("tab", str(fact.state)),),
        needs=no_dependencies,
        brings=lambda _: (Dependency(DependencyKind.TAB),),
        reaches_client=True,
    ),
    FactKind(
        kind=TabHeard,
        lane="app",
        to="SDK",
        moment="heard",
        marks=lambda fact, _: (
            "older data from another tab" if fact.token.behind else "a token from another tab",
        ),
        present=lambda fact: f"gets {fact.token}{_older(fact)} in another tab, which tells this one",
        past=lambda fact, _: f"another tab got {fact.token}{_older(fact)} and told this one",
        details=lambda fact: (("token", token_state(fact.token, fact.at)),),
        needs=no_dependencies,
        brings=lambda fact: (Dependency(DependencyKind.TOKEN, fact.token.number),),
        reaches_client=True,
    ),
    FactKind(
        kind=TurnsTaken,
        lane="app",
        moment="turns",
        marks=lambda fact, _: ("a lock held by another tab",) if fact.held else (),
        present=lambda fact: TAKES_LOCK if fact.held else FREES_LOCK,
        past=lambda fact, _: (
            f"another tab of the app {'took' if fact.held else 'gave back'} the lock of the tabs"
        ),
        needs=no_dependencies,
        brings=lambda fact: (Dependency(DependencyKind.TURNS),) if fact.held else (),
        ends=lambda fact: () if fact.held else (Dependency(DependencyKind.TURNS),),
        reaches_client=True,
    ),
    FactKind(
        kind=ChannelLost,
        lane="OS",
        moment="channel",
        marks=lambda *_: ("a closed channel",),
        present=lambda _: CLOSES_CHANNEL,
        past=lambda *_: f"the browser {CLOSES_CHANNEL}",
        needs=no_dependencies,
        brings=lambda _: (Dependency(DependencyKind.CHANNEL),),
    ),
)


def _older(fact: TabHeard) -> str:
    return ", which was made from older data," * fact.token.behind
