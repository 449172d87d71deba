"""The toy SDK as one value, for the registry: SESSIONPROOF_SDK=tests.toy.adapter:TOY_ADAPTER."""

from __future__ import annotations

from pathlib import Path

from model.sdk import Sdk
from properties.system.target import Target
from properties.targets.adapter import Adapter, Say, UnreleasedAdapter
from properties.targets.names import UnknownName
from tests.toy.sdk import TOY
from tests.toy.server import HERE, ToyTarget


class ToyAdapter(UnreleasedAdapter):
    """`toy@FILE` is a bundle in a file; there are no releases."""

    name = "toy"
    forms = ("toy@FILE",)
    sdk: Sdk = TOY
    checked = ("TOY_1",)
    pinned = (f"toy@{HERE / 'bundle.cjs'}",)
    expectations = HERE / "expectations.toml"
    corpus = HERE / "corpus"

    def target(self, spec: str, say: Say) -> Target | None:
        """Raises `UnknownName` where the file is left out."""
        kind, _, file = spec.partition("@")
        if kind == "toy" and not file:
            raise UnknownName("a toy is named toy@FILE")
        return ToyTarget(Path(file)) if kind == "toy" else None

    def build_of(self, policy_name: str) -> str | None:
        """The bundle at hand."""
        return self.pinned[0] if policy_name == "TOY_1" else None


TOY_ADAPTER: Adapter = ToyAdapter()
