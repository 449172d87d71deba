"""The survivors of an experiment: mutants that nothing noticed, each with the reason, if it is known.

An adapter ships the reasons as a TOML file. A reason is about mutations of one build, each told by its code. It
is stale when the build has no such mutation, and when the mutant is noticed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from model.terms import Word
from properties.conformance.mutants import Experiment, Fate, Trial
from properties.system.failures import Failure
from properties.targets.mutations import Mutation, Part

T = TypeVar("T")


class BadReasons(Failure):
    """A file about mutants cannot be used. The message says which, and why."""


class Why(Word):
    """Why nothing notices a mutant."""

    EQUIVALENT = "equivalent"  # no app and no server can tell it from the build
    OUTSIDE = "outside"  # it changes what is no part of the session's logic
    GAP = "gap"  # it can be told, and this harness does not


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the mutants of a build with these mutations survive."""

    build: str
    why: Why
    reason: str
    mutations: tuple[str, ...]


class _Parts(Struct, frozen=True, forbid_unknown_fields=True):
    part: tuple[Part, ...]


class _Reasons(Struct, frozen=True, forbid_unknown_fields=True):
    survivor: tuple[Reason, ...] = ()


def parts_in(path: Path) -> tuple[Part, ...]:
    """The parts of the session's logic in a file. Raises `BadReasons`."""
    return _read(path, _Parts).part


def reasons_in(path: Path) -> tuple[Reason, ...]:
    """The reasons in a file; none if there is no file. Raises `BadReasons`."""
    return _read(path, _Reasons).survivor if path.exists() else ()


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise BadReasons(f"{path}: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise BadReasons(f"{path}: {error}") from None


class Row(Struct, frozen=True):
    """What became of the mutants of one part, or of all; and how many of its functions run."""

    name: str
    functions: int
    run: int
    trials: tuple[Trial, ...]
    reasons: dict[str, Reason]

    def count(self, fate: Fate) -> int:
        """How many ended so."""
        return sum(trial.fate is fate for trial in self.trials)

    def survived(self, why: Why | None) -> int:
        """How many survived for this reason; without one if it is None."""
        return sum(self.why(trial) is why for trial in self.trials if trial.fate is Fate.SURVIVED)

    def why(self, trial: Trial) -> Why | None:
        """Why a mutant survives, if that is known."""
        reason = self.reasons.get(trial.mutation.code)
        return reason.why if reason else None

    @property
    def noticed(self) -> int:
        """How many did not survive."""
        return len(self.trials) - self.count(Fate.SURVIVED)

    @property
    def relevant(self) -> int:
        """How many could be noticed: all but those that are equivalent or outside the session's logic."""
        return len(self.trials) - self.survived(Why.EQUIVALENT) - self.survived(Why.OUTSIDE)


def rows(experiment: Experiment, trials: Sequence[Trial], reasons: Iterable[Reason]) -> list[Row]:
    """A row for each part that has mutants, and one for all of them."""
    known = {code: reason for reason in reasons for code in reason.mutations}
    parts = dict.fromkeys(trial.mutation.part for trial in trials)

    def row(name: str, *of: str | None) -> Row:
        functions = [one for one in experiment.code.functions if one.part in of]
        ran = sum(one.ran for one in functions)
        return Row(name, len(functions), ran, tuple(one for one in trials if one.mutation.part in of), known)

    return [*(row(part or "elsewhere", part) for part in parts), row("all", *parts)]


def stale(experiment: Experiment, trials: Iterable[Trial], reasons: Iterable[Reason]) -> list[str]:
    """What is wrong with the reasons, in one line each."""
    known = {mutation.code for mutation in experiment.code.mutations}
    noticed = {trial.mutation.code: trial for trial in trials if trial.fate is not Fate.SURVIVED}
    found = []
    for code in (code for reason in reasons for code in reason.mutations):
        if code not in known:
            found.append(f"{experiment.target} has no such mutation in code that runs: {code}")
        elif code in noticed:
            found.append(f"noticed ({noticed[code].fate}): {code}")
    return found


def unexplained(trials: Iterable[Trial], reasons: Iterable[Reason]) -> list[Mutation]:
    """The mutations that survive without a reason."""
    known = {code for reason in reasons for code in reason.mutations}
    return [
        trial.mutation for trial in trials if trial.fate is Fate.SURVIVED and trial.mutation.code not in known
    ]
