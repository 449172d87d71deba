"""The adapter of an SDK: everything about it outside the model, as one value. `names.py` finds adapters."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from model.sdk import Policy, Sdk
from properties.system.target import Target
from properties.system.trace import Trace
from properties.targets.model import ModelTarget

Say: TypeAlias = Callable[[str], None]
"""Gets a line before something that takes a while, such as a download."""


class Adapter(Protocol):
    """One SDK: its targets, its releases, and the defaults of the commands.

    A *spec* names a target on the command line; a target's own name is one. A *version* is the number of a
    release, such as `6.7.1`.
    """

    @property
    def name(self) -> str:
        """The name of the SDK."""

    @property
    def sdk(self) -> Sdk:
        """The model of the SDK."""

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of its specs, for help texts: `sdk@VERSION`."""

    def target(self, spec: str, say: Say) -> Target | None:
        """The build that a spec names, not yet prepared; None if the spec has none of this adapter's forms.

        Raises `UnknownName` if it has such a form but is invalid; `prepare()` raises `TargetError` later.
        """

    def existing(self, spec: str, say: Say) -> str:
        """The spec with the nearest release in place of one that does not exist; then `say` gets a line."""

    def model(self, spec: str, policy: Policy) -> ModelTarget:
        """The model to compare the target `spec` with, under a policy."""

    # -- policies and releases

    def policy_of(self, version: str) -> Policy | None:
        """The policy that describes a release; None if the release is older than all policies, or no version."""

    def released_versions(self) -> list[str]:
        """Every stable version that can be downloaded, in order. Raises `TargetError`."""

    def cached_versions(self) -> list[str]:
        """The versions in the cache, in order."""

    def numbers(self, version: str) -> list[int]:
        """The sort key of a version."""

    def release(self, version: str) -> str:
        """The spec of the build of a version."""

    def build_of(self, policy_name: str) -> str | None:
        """The spec of the build that a released policy describes; None for a proposed one."""

    def version_of(self, spec: str) -> str | None:
        """The version of a build, or of the release that a model describes; None if there is none."""

    # -- standalone reproductions

    def reproduction(self, trace: Trace) -> str | None:
        """The standalone script that plays a trace on the SDK; None if there can be none: the build cannot be
        installed, or the trace needs a page."""

    def install(self, version: str) -> str:
        """The command that installs the dependencies of such a script."""

    # -- defaults

    @property
    def checked(self) -> tuple[str, ...]:
        """The names of the policies whose releases `sessionproof check` runs."""

    @property
    def pinned(self) -> tuple[str, ...]:
        """The specs of the builds that `conform` and `tour` compare with the model by default."""

    @property
    def expectations(self) -> Path:
        """The file of known findings."""

    @property
    def corpus(self) -> Path:
        """The folder with the traces of the known findings."""


class UnreleasedAdapter:
    """The defaults for an SDK without a list of releases: inherit from it and add the rest."""

    name: str
    sdk: Sdk
    checked: tuple[str, ...] = ()

    def existing(self, spec: str, say: Say) -> str:
        """The spec: there are no releases."""
        return spec

    def model(self, spec: str, policy: Policy) -> ModelTarget:
        """The SDK's own, whatever the target."""
        return ModelTarget(self.sdk, policy)

    def policy_of(self, version: str) -> Policy | None:
        """There are no versions."""
        return None

    def released_versions(self) -> list[str]:
        """There are none."""
        return []

    def cached_versions(self) -> list[str]:
        """There are none."""
        return []

    def numbers(self, version: str) -> list[int]:
        """The numbers in it."""
        return [int(part) for part in re.findall(r"\d+", version)]

    def release(self, version: str) -> str:
        """`name@version`."""
        return f"{self.name}@{version}"

    def build_of(self, policy_name: str) -> str | None:
        """No policy is a release's."""
        return None

    def version_of(self, spec: str) -> str | None:
        """There are none."""
        return None

    def reproduction(self, trace: Trace) -> str | None:
        """It cannot be installed, so that no script can play it alone."""
        return None

    def install(self, version: str) -> str:
        """There is nothing to install."""
        return ""
