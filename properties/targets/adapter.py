"""The adapter of an SDK: everything about it outside the model, as one value. `names.py` finds adapters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from model.assumptions.sets import Assumptions
from model.operations import Operation
from model.sdk import Policy, Sdk
from model.terms import Millis, Runtime
from model.world.facts import Fact
from properties.system.registry import UnknownName
from properties.system.target import Target
from properties.system.trace import Trace
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget
from properties.targets.npm import Package
from properties.targets.server import FakeServer

Say: TypeAlias = Callable[[str], None]
"""Gets a line before something that takes a while, such as a download."""


class Reproduction(Struct, frozen=True):
    """How to play a trace without this harness: a standalone script, `repro.mjs`; the shell commands that install
    what it needs, and run it; and a test for the SDK's own repository, if such a test can judge the trace."""

    script: str
    commands: tuple[str, ...]
    unit_test: str | None


class Compared(Struct, frozen=True):
    """What came of a search, ours or another tool's: the traces until a violation, or all of them; the steps in
    them; the seconds until the first violation, and until that was shrunk; and to how many events. None if there
    was none."""

    traces: int
    steps: int
    first: float | None
    shrunk: float
    length: int | None


class Benchmark(Struct, frozen=True):
    """What `make bench` measures of an SDK: a search of a `build` in which the invariant holds under these
    assumptions, proofs of it with the clock and without, and cells in which it holds. A proof names its policy,
    and what the app calls besides."""

    build: str
    invariant: str
    assumptions: Assumptions
    timed: tuple[str, tuple[Operation, ...]]
    untimed: tuple[str, tuple[Operation, ...]]
    cells: tuple[str, ...]


class Adapter:
    """One SDK: its targets, its releases, and the defaults of the commands.

    A *spec* names a target on the command line; a target's own name is one. A *version* is the number of a
    release, such as `6.7.1`. The defaults are those of an SDK without a list of releases.
    """

    sdk: Sdk
    """The model of the SDK."""
    forms: tuple[str, ...]
    """The forms of its specs, for help texts: `sdk@VERSION`."""
    folder: Path
    """The folder with its known findings."""
    checked: tuple[str, ...] = ()
    """The names of the policies whose releases `sessionproof check` runs, and whose builds `conform` and `tour`
    compare with the model by default."""
    packages: Mapping[str, Package] = {}
    """The npm packages that a lock file names, by their names in a target. Each may wrap those that follow:
    `outer@VERSION+inner@VERSION`. The last one is the SDK itself."""

    benchmark: Benchmark | None = None
    """What `make bench` measures besides the known findings."""

    @property
    def name(self) -> str:
        """The name of the SDK."""
        return self.sdk.name

    @property
    def expectations(self) -> Path:
        """The file of known findings."""
        return self.folder / "expectations.toml"

    @property
    def corpus(self) -> Path:
        """The folder with the traces of the known findings."""
        return self.folder / "corpus"

    @property
    def advice(self) -> Path:
        """The file with a summary of each known finding, and remedies."""
        return self.folder / "advice.toml"

    @property
    def logic(self) -> Path:
        """The file that says which parts of a bundle are the session's logic."""
        return self.folder / "logic.toml"

    @property
    def survivors(self) -> Path:
        """The file that explains the mutants of a build that nothing notices."""
        return self.folder / "survivors.toml"

    @property
    def releases(self) -> Path:
        """The table of releases, which `sessionproof releases` writes."""
        return self.folder / "releases.json"

    @property
    def known_traces(self) -> list[Path]:
        """The traces of all that is known: the corpus, and the other evidence of the list of known findings."""
        return sorted(path for name in ("corpus", "traces") for path in (self.folder / name).glob("*.json"))

    @property
    def proved_traces(self) -> list[Path]:
        """The shortest counterexamples of its policies, which `sessionproof matrix --traces` writes."""
        return sorted((self.folder / "proved").glob("*.json"))

    def target(self, spec: str, say: Say) -> Target | None:
        """The build that a spec names, not yet prepared; None if the spec has none of this adapter's forms.

        Raises `UnknownName` if it has such a form but is invalid; `prepare()` raises `TargetError` later.
        """
        raise NotImplementedError

    def existing(self, spec: str, say: Say) -> str:
        """The spec with the nearest release in place of one that does not exist; then `say` gets a line."""
        return spec

    def judged(self, spec: str) -> tuple[str, ...]:
        """The ids of the invariants that are judged on this target beside those of every target."""
        return ()

    def model(self, spec: str, policy: Policy) -> ModelTarget:
        """The model to compare the target `spec` with, under a policy."""
        return ModelTarget(self.sdk, policy)

    def runtimes(self, package: str) -> tuple[Runtime, ...]:
        """The runtimes in which a release of one of the packages can run."""
        return tuple(Runtime)

    def logs(self, facts: Sequence[Fact], end: Millis) -> tuple[str, ...]:
        """What the facts of a trace, which ends at `end`, leave in the logs of an app and of its server."""
        return ()

    # -- releases

    def released_versions(self) -> list[str]:
        """Every stable version that can be downloaded, in order. Raises `TargetError`."""
        return []

    def numbers(self, version: str) -> list[int]:
        """The sort key of a version."""
        return [int(part) for part in re.findall(r"\d+", version)]

    def release(self, version: str) -> str:
        """The spec of the build of a version."""
        return f"{self.name}@{version}"

    def build_of(self, policy_name: str) -> str | None:
        """The spec of the build that a released policy describes; None for a proposed one."""
        return None

    def compared(
        self, trace: Trace, seeds: Sequence[int], traces: int, steps: int, say: Say
    ) -> Iterable[Compared]:
        """The search for the finding of a trace by another tool, for each of the `seeds`, in up to so many traces
        of about so many steps; nothing if there is none. Raises `TargetError`."""
        return ()

    def reproduction(self, trace: Trace) -> Reproduction | None:
        """How to play a trace on the SDK without this harness; None if that cannot be: there is no script of this
        package, or the trace needs a page."""
        return None


class FileAdapter(Adapter):
    """An SDK whose builds are bundles in files, `name@FILE`. The policy of the newest release describes each."""

    def __init__(self, sdk: Sdk, glue: Path, server: Callable[[], FakeServer], bundle: Path) -> None:
        """`bundle` is the build of the newest release. The known findings are beside `glue`."""
        self.sdk, self.folder, self._glue, self._server = sdk, glue.parent, glue, server
        self.forms = (f"{sdk.name}@FILE",)
        self._newest, self._build = [*sdk.policies][-1], f"{sdk.name}@{bundle}"
        self.checked = (self._newest,)

    def target(self, spec: str, say: Say) -> NodeTarget | None:
        """Raises `UnknownName` if the file is missing."""
        name, _, file = spec.partition("@")
        if name != self.name:
            return None
        if not file:
            raise UnknownName(f"a build of {name} is named {self.forms[0]}")
        policy = self.sdk.policies[self._newest]
        return NodeTarget(spec, self.sdk, self._glue, self._server(), lambda _: Path(file), policy=policy)

    def build_of(self, policy_name: str) -> str | None:
        """The bundle at hand, if the policy is that of the newest release."""
        return self._build if policy_name == self._newest else None
