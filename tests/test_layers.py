"""Who may import whom, between packages: the model nothing of ours, the properties what is below them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT


def sources(folder: str) -> Iterator[Path]:
    """The modules below a folder."""
    return (ROOT / folder).rglob("*.py")


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


def test_the_model_imports_the_standard_library_and_its_values_alone() -> None:
    assert top_level("model") <= {"model", "msgspec", *sys.stdlib_module_names}


@pytest.mark.parametrize("outsider", ["tests", "conftest"])
def test_properties_import_neither_tests_nor_conftest(outsider: str) -> None:
    assert outsider not in top_level("properties")


def test_a_client_never_imports_the_world() -> None:
    names = {name for path in sources("model/clerk") for name in imported(path)}
    assert not [name for name in names if name.startswith(("model.world", "model.assumptions"))]


def test_properties_has_no_loose_module() -> None:
    assert {path.name for path in (ROOT / "properties").glob("*.py")} == {"__init__.py"}
