"""The table of releases: which of them has which known finding, and how that was established.

`sessionproof releases` computes it from the traces of the findings (`properties/conformance/releases.py`). An
adapter ships it as a JSON document, in which adjacent releases with the same judgement share a `Span`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import dropwhile, groupby
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from properties.system.failures import Failure
from properties.system.trace import write


class BadTable(Failure):
    """The table of releases cannot be used. The message is one line: what is wrong, and what to do."""


class Breaks(Struct, frozen=True, tag_field="verdict", tag="breaks", omit_defaults=True):
    """The build violates the finding's invariant: by the finding's own trace, or else by the events `instead`.
    `remedies` names what was shown to help on that build."""

    instead: str = ""
    remedies: tuple[str, ...] = ()


class Proved(Struct, frozen=True, tag_field="verdict", tag="proved"):
    """The build does not play the finding's trace, and the invariant is proved on the `model` of that release."""

    model: str


class Held(Struct, frozen=True, tag_field="verdict", tag="held"):
    """The build does not play the finding's trace, and none of so many random `traces` violates the invariant."""

    traces: int


Judgement: TypeAlias = Breaks | Proved | Held


class Span(Struct, frozen=True):
    """Every release from `first` to `last`, both included, has this judgement."""

    first: str
    last: str
    judgement: Judgement


class History(Struct, frozen=True):
    """One finding through the releases of one package. `finding` is the name of its trace; `claim` and `events`
    are the trace as it was played. `logs` is what the logs of an app and of its server show of it."""

    finding: str
    package: str
    claim: str
    events: str
    logs: tuple[str, ...]
    spans: tuple[Span, ...]


class Table(Struct, frozen=True):
    """The releases judged, by package, oldest first; and the history of each finding."""

    releases: dict[str, tuple[str, ...]]
    findings: tuple[History, ...]

    def judgements(self, finding: str, package: str) -> dict[str, Judgement]:
        """The judgement on each release of `package` for a finding; empty if there is none yet."""
        spans = next((one.spans for one in self.findings if (one.finding, one.package) == (finding, package)), ())
        order = self.releases.get(package, ())
        return {
            version: span.judgement
            for span in spans
            for version in order[order.index(span.first) : order.index(span.last) + 1]
        }

    def save(self, path: Path) -> None:
        """Write the document, atomically."""
        write(path, msgspec.to_builtins(self))


def load(path: Path) -> Table:
    """The table in a file. Raises `BadTable`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Table)
    except msgspec.MsgspecError as error:
        raise BadTable(f"{path}: not a table of releases ({error})") from error


def spans(judgements: Mapping[str, Judgement], releases: Sequence[str]) -> tuple[Span, ...]:
    """The judgements by version, in spans; `releases` has the versions in order."""
    runs = [(judgement, [*run]) for judgement, run in groupby(releases, key=judgements.get)]
    return tuple(Span(run[0], run[-1], judgement) for judgement, run in runs if judgement)


def next_change(judgements: Mapping[str, Judgement], version: str) -> str | None:
    """The first release after `version` that has the finding where `version` has it not, or the other way round;
    None if there is none."""
    has = isinstance(judgements[version], Breaks)
    later = dropwhile(lambda one: one != version, judgements)
    return next((one for one in later if isinstance(judgements[one], Breaks) is not has), None)
