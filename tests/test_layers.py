"""Who may import whom: no cycles, few layers, and nothing upwards."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import networkx as nx
import pytest

from tests.support import ROOT

Graph: TypeAlias = "nx.DiGraph[str]"
"""Whoever imports leads to what it imports."""

PACKAGES = (
    *("model", "model.world", "model.assumptions", "model.clerk"),
    *("properties.system", "properties.targets", "properties.targets.clerk", "properties.invariants"),
    *("properties.run", "properties.search", "properties.prove", "properties.conformance"),
    *("properties.campaign", "properties.render", "properties.plugin", "properties.cli"),
)
CHAIN = 9
"""Packages that may stand on top of each other."""


def sources(folder: str) -> Iterator[Path]:
    """The modules below a folder, but for the one that an installation has at the top level."""
    return (path for path in (ROOT / folder).rglob("*.py") if path.parent.name != "launch")


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it, by their full names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_level(folder: str) -> set[str]:
    """The top-level names that the modules of a folder import."""
    return {name.partition(".")[0] for path in sources(folder) for name in imported(path)}


@cache
def modules() -> Graph:
    """Every module of ours, with what it imports."""
    named = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("model", "properties")
        for path in sources(folder)
    }
    graph: Graph = nx.DiGraph()
    graph.add_nodes_from(named)
    for name, path in named.items():
        for found in imported(path):
            target = found if found in named else found.rpartition(".")[0]
            if target in named and target != name:
                graph.add_edge(name, target)
    return graph


def package(module: str) -> str:
    """The package of a module, the innermost one. Those that lie loose in `model` stand for themselves: the
    vocabulary is below every package of the model, the transition relation above."""
    within = [one for one in PACKAGES if module == one or module.startswith(f"{one}.")]
    innermost = max(within, key=len, default=module)
    return module if innermost == "model" else innermost


@cache
def packages() -> Graph:
    """The same graph, of packages."""
    graph: Graph = nx.DiGraph()
    for one, other in modules().edges:
        if package(one) != package(other):
            graph.add_edge(package(one), package(other))
    return graph


def round_trips(graph: Graph) -> list[list[str]]:
    """Who imports each other, by whatever way."""
    return [sorted(some) for some in nx.strongly_connected_components(graph) if len(some) > 1]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not round_trips(modules())


def test_no_package_imports_itself_by_way_of_others() -> None:
    assert packages().has_edge("properties.prove", "properties.run"), "or nothing is looked at"
    assert not round_trips(packages())


def test_every_module_is_in_one_of_these_packages() -> None:
    """So that a new package is given its place."""
    assert {module for module in modules() if package(module) not in PACKAGES} == {
        "properties",
        *("model.app", "model.form", "model.io", "model.notation", "model.operations"),
        *("model.parts", "model.requests", "model.sdk", "model.step", "model.terms"),
    }


def test_packages_are_layers_of_which_few_stand_on_top_of_each_other() -> None:
    """`pytest -s` prints them, the lowest first."""
    layered = nx.condensation(packages())
    names = {one: sorted(members) for one, members in layered.nodes(data="members")}
    for number, layer in enumerate(nx.topological_generations(layered.reverse()), 1):
        here = sorted(" = ".join(names[one]) for one in layer)
        sys.stdout.write(f"{number:2}  {', '.join(here)}\n")
    for one, other in layered.edges:  # what lies loose in `model` is one package, wherever it stands
        layered[one][other]["weight"] = sum(name in PACKAGES for name in names[one])
    chain = [name for one in nx.dag_longest_path(layered) for name in names[one]]
    sys.stdout.write(f"the longest chain: {' > '.join(chain)}\n")
    assert len([name for name in chain if name in PACKAGES]) + 1 <= CHAIN, chain


def test_the_model_imports_the_standard_library_and_its_values_alone() -> None:
    assert top_level("model") <= {"model", "msgspec", *sys.stdlib_module_names}


@pytest.mark.parametrize("outsider", ["tests", "conftest"])
def test_properties_import_neither_tests_nor_conftest(outsider: str) -> None:
    assert outsider not in top_level("properties")


def test_a_client_never_imports_the_world() -> None:
    clients = [path.parent for path in (ROOT / "model").glob("*/sdk.py")]
    assert ROOT / "model" / "clerk" in clients
    above = ("model.world", "model.assumptions", "model.step")
    for folder in clients:
        names = {name for path in folder.rglob("*.py") for name in imported(path)}
        assert not [name for name in names if name.startswith(above)]


def test_properties_has_no_loose_module() -> None:
    assert {path.name for path in (ROOT / "properties").glob("*.py")} == {"__init__.py"}


SDK_WORDS = re.compile(r"\b(organizations?|touch(es|ed)?|cookie|poller|oiat|clerk)\b", re.IGNORECASE)


@pytest.mark.parametrize("folder", ["properties/invariants", "properties/system", "properties/render"])
def test_what_judges_and_reports_speaks_no_sdk_s_language(folder: str) -> None:
    """But for the one line that says which SDK comes with the harness."""
    lines = [
        f"{path.name}: {line}"
        for path in sources(folder)
        for line in path.read_text().splitlines()
        if SDK_WORDS.search(line) and not line.startswith("BUILT_IN = ")
    ]
    assert lines == []
