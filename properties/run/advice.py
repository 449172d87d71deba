"""What is known of the releases that a team runs: which findings they have, and what an app can do.

The verdicts are those of the adapter's table of releases. The adapter's advice adds a summary of each finding,
and remedies. A remedy is shown by a run: an app adds events to the finding's trace.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from model.world.facts import Settled, Shown
from model.world.possible import NotEnabled, impossible
from properties.invariants.catalogue import INVARIANTS
from properties.run.releases import Breaks, Judgement, Table, next_change
from properties.run.run import Run, Violation
from properties.system import trace as traces
from properties.system.event_kinds import parsed
from properties.system.target import Target
from properties.system.trace import Trace
from properties.targets.adapter import Adapter
from properties.targets.names import UnknownName, make_target


class Remedy(Struct, frozen=True, forbid_unknown_fields=True):
    """What an app can do about a finding today. `then` has the events that follow the finding's trace if it does
    so, in short form. With another `setup` of the app, which `sdk@1.2.3+SETUP` is as a target, the finding does
    not happen; events of its trace that are impossible there are left out. Empty is an app without one, and None
    that of the finding."""

    then: tuple[str, ...]
    setup: str | None = None

    def helps(self, trace: Trace, target: Target) -> bool:
        """Does the last event give the app a token: valid, the one that it asked for, and not made from older
        data? Is the app's own server shown one too, if it is shown any? Raises `TargetError`."""
        if self.setup is None:
            return self._helps(trace, target)
        try:
            other = make_target(_joined(_parted(target.name)[0], self.setup), lambda line: None)
        except UnknownName:  # a package that has no such setup
            return False
        try:
            other.prepare(trace.runtime)
            return self._helps(trace, other)
        finally:
            other.close()

    def _helps(self, trace: Trace, target: Target) -> bool:
        prevents = self.setup is not None
        invariants = [INVARIANTS[str(trace.invariant)]] if prevents else []
        run = Run(target, trace.runtime, trace.assumptions, invariants)
        try:
            for event in trace.events:
                if prevents and impossible(run.world, event):
                    continue
                run.play(event)
            last = [run.play(parsed(event, [target.sdk])) for event in self.then][-1]
        except (NotEnabled, Violation):
            return False
        finally:
            target.finish()
        got = [fact.token for fact in last.facts if isinstance(fact, Settled)]
        shown = [fact.token for fact in run.facts if isinstance(fact, Shown)]
        valid = INVARIANTS["token-handed-out-is-valid"].check(last) is None
        return valid and bool(got) and got[-1] is not None and not got[-1].behind and None not in shown[-1:]


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person has to say about a finding: a summary, and the remedies by name."""

    summary: str
    remedies: dict[str, Remedy] = {}


UNADVISED = About("a finding that nobody has written about yet")


class Advice(Struct, frozen=True, forbid_unknown_fields=True):
    """The adapter's advice: each remedy in words, by its name, and each finding by the name of its trace."""

    remedies: dict[str, str]
    findings: dict[str, About]


def load(path: Path) -> Advice:
    """The advice in a TOML file."""
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Advice)


class Known(Struct, frozen=True):
    """One known finding: the name of its trace, the trace, and what there is to say about it."""

    name: str
    trace: Trace
    about: About

    @property
    def claim(self) -> str:
        """What the trace refutes, and where."""
        trace = self.trace
        return f"{trace.target}, {trace.runtime}, assuming {trace.assumptions}: {trace.invariant}"

    @property
    def package(self) -> str:
        """The package that it is a finding on."""
        return self.trace.target.partition("@")[0]

    @property
    def setup(self) -> str:
        """How the app of the finding is set up, at the end of its target: `sdk@1.2.3+SETUP`. Empty if that has
        none."""
        return _parted(self.trace.target)[1]

    def on(self, target: str) -> str:
        """The target in an app that is set up so."""
        return _joined(target, self.setup)


def _parted(target: str) -> tuple[str, str]:
    """The packages of a target, and how the app is set up; empty if it has no setup."""
    packages, joined, last = target.rpartition("+")
    return (packages, last) if joined and "@" not in last else (target, "")


def _joined(packages: str, setup: str) -> str:
    return f"{packages}+{setup}" if setup else packages


def known(adapter: Adapter, package: str) -> list[Known]:
    """The findings that a package can have, its own and those of what it wraps. Those whose invariant stands
    first in the catalogue come first. Raises `BadTrace`."""
    names, order = [*adapter.packages], [*INVARIANTS]
    advice, inside = load(adapter.advice).findings, names[names.index(package) :]
    found = (
        Known(path.stem, traces.load(path), advice.get(path.stem, UNADVISED))
        for path in adapter.corpus.glob("*.json")
    )
    possible = (one for one in found if one.package in inside and one.trace.runtime in adapter.runtimes(package))
    return sorted(possible, key=lambda one: (order.index(str(one.trace.invariant)), one.name))


class Answer(Struct, frozen=True):
    """What is known of one finding on the release `on`, such as `sdk@1.2.3`. `remedies` has what was shown to
    help, in words. `change` is the next release that differs in having it; None if none does up to `newest`."""

    finding: Known
    on: str
    judgement: Judgement | None
    """None if it is not judged yet."""
    logs: tuple[str, ...]
    remedies: tuple[str, ...]
    change: str | None
    newest: str


def answers(adapter: Adapter, table: Table, installed: Mapping[str, str]) -> list[Answer]:
    """An answer for every finding that can be on what is `installed`: versions by package, the outermost first.

    A finding is judged on its own package. What helps may depend on what wraps that: remedies are those that
    helped on the outermost package, if that release has the finding too.
    """
    outermost, outer = next(iter(installed.items()))
    words = load(adapter.advice).remedies
    logs = {one.finding: one.logs for one in table.findings}
    found = []
    for one in known(adapter, outermost):
        if one.package in installed:
            version, judgements = installed[one.package], table.judgements(one.name, one.package)
            own, wrapped = judgements.get(version), table.judgements(one.name, outermost).get(outer)
            helpful = next((seen.remedies for seen in (wrapped, own) if isinstance(seen, Breaks)), ())
            found.append(
                Answer(
                    one,
                    one.on(f"{one.package}@{version}"),
                    own,
                    logs.get(one.name, ()),
                    tuple(words[name] for name in helpful),
                    next_change(judgements, version) if own else None,
                    table.releases[one.package][-1],
                )
            )
    return found


def spec(installed: Mapping[str, str]) -> str:
    """The target that is what is installed: `outer@1.2.3+inner@4.5.6`."""
    return "+".join(f"{package}@{version}" for package, version in installed.items())
