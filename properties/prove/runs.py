"""Runs that split in two at each open comparison of instants, and those that need not run again.

A run is deterministic but for how its comparisons come out, and what the policy chooses. So a decision tree of
these questions (`Runs`) has its results. Under other bounds, or another policy, it is replayed: only the
questions are answered again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from model.sdk import Policy
from model.terms import Timings
from properties.prove.zone import Bound, Instant, UntimedZone, Zone

T = TypeVar("T")

Comparison = tuple[int, int, Bound]
"""Is instant i minus instant j within the bound?"""

ANOTHER: Comparison = (-1, -1, 0)
"""In place of a question: there is one more instant."""


class Choice(NamedTuple):
    """Does the policy choose this?"""

    name: str
    value: Any

    def of(self, policy: Policy) -> bool:
        """Does this policy?"""
        return bool(getattr(policy, self.name) == self.value)


Question = Comparison | Choice


class Asked:
    """A policy of which is kept what is asked, once."""

    name: str
    timings: Timings

    def __init__(self, policy: Policy, asked: list[Any]) -> None:
        self._policy = policy
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._policy, name)
        self._asked.append((Choice(name, value), True))
        setattr(self, name, value)  # so that this is not called again
        return value


class Recording(Zone):
    """A zone that keeps every question that was decided, and its answer."""

    __slots__ = ("asked",)

    def __init__(self, bounds: Sequence[Sequence[Bound]], script: tuple[bool, ...] = ()) -> None:
        super().__init__(bounds, script)
        self.asked: list[tuple[Question, bool]] = []

    def policy(self, policy: Any) -> Any:
        """The policy; what the run asks of it is kept."""
        return Asked(policy, self.asked)

    def another(self) -> int:
        """Add an instant without bounds. Returns its number."""
        self.asked.append((ANOTHER, True))
        return super().another()

    def decide(self, i: int, j: int, bound: Bound) -> bool:
        """Is instant i minus instant j within `bound`?"""
        answer = super().decide(i, j, bound)
        self.asked.append(((i, j, bound), answer))
        return answer


class Runs(Generic[T]):
    """A decision tree of runs that differ only in the answers to their questions: a run asks the same question
    after the same answers, and has the same result. So a run whose answers are known need not run again."""

    __slots__ = ("no", "question", "result", "yes")

    def __init__(self) -> None:
        self.question: Question | None = None  # None in a leaf, and until the first run
        self.yes: Runs[T] | None = None
        self.no: Runs[T] | None = None
        self.result: tuple[T] | None = None

    @property
    def any(self) -> bool:
        """Is any run known?"""
        return self.result is not None or self.question is not None

    @property
    def one(self) -> bool:
        """Is there one run only, whatever the bounds and the policy? Then it asked nothing."""
        return self.result is not None

    def again(self, zone: Zone, policy: Policy) -> tuple[T] | None:
        """The result of the run with the answers that `zone`, which gets its constraints, and the policy give;
        None if no such run is known."""
        at: Runs[T] | None = self
        while at is not None and (question := at.question) is not None:
            if question is ANOTHER:
                zone.another()
                at = at.yes
            elif isinstance(question, Choice):
                at = at.yes if question.of(policy) else at.no
            else:
                at = at.yes if zone.decide(*question) else at.no
        return at.result if at else None

    def add(self, asked: Sequence[tuple[Question, bool]], result: T) -> None:
        """Add a run."""
        at = self
        for question, answer in asked:
            while isinstance(at.question, Choice) and at.question != question:  # another policy's choice
                at.no = at.no or Runs()
                at = at.no
            at.question = question
            after = (at.yes if answer else at.no) or Runs()
            if answer:
                at.yes = after
            else:
                at.no = after
            at = after
        at.result = (result,)


def every_way(
    kind: type[Zone], bounds: Any, run: Callable[[Zone], T], known: tuple[Runs[T], Policy] | None = None
) -> Iterator[T]:
    """The results of `run` for every consistent outcome of its comparisons of instants, in this kind of zone.
    Runs that are `known`, and have the answers of this policy, do not run again, and new ones are added to them,
    if the zone is a plain one. A run asks the policy that its zone gives it (`Zone.policy`)."""
    if known is None or kind is not Zone:
        return _every(lambda script: kind(bounds, script), run)
    return _known_or_run(bounds, run, *known)


def either_way(run: Callable[[], T]) -> Iterator[T]:
    """The same in an untimed zone."""
    return _every(UntimedZone, lambda _: run())


def _every(zone_of: Callable[[tuple[bool, ...]], Zone], run: Callable[[Zone], T]) -> Iterator[T]:
    scripts: list[tuple[bool, ...]] = [()]
    while scripts:
        zone = Instant.zone = zone_of(scripts.pop())
        yield run(zone)
        scripts += zone.either


def _known_or_run(bounds: Any, run: Callable[[Zone], T], known: Runs[T], policy: Policy) -> Iterator[T]:
    scripts: list[tuple[bool, ...]] = [()]
    any_known = known.any
    while scripts:
        script = scripts.pop()
        zone = Instant.zone = Zone(bounds, script)
        result = known.again(zone, policy) if any_known else None
        if result is None:
            zone = Instant.zone = Recording(bounds, script)
            result = (run(zone),)
            known.add(zone.asked, *result)
        yield result[0]
        scripts += zone.either
