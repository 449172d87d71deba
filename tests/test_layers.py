"""Who may import whom: the model nothing of ours, the properties only the model."""

from __future__ import annotations

import ast
import sys

import pytest

from tests.support import ROOT


def imports(folder: str) -> set[str]:
    """The top-level names that the files of a folder import."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                names.add((node.module or "").partition(".")[0])
    return names


def test_the_model_imports_the_standard_library_and_its_values_alone() -> None:
    assert imports("model") <= {"model", "msgspec", *sys.stdlib_module_names}


@pytest.mark.parametrize("stranger", ["tests", "conftest"])
def test_properties_import_neither_tests_nor_conftest(stranger: str) -> None:
    assert stranger not in imports("properties")


def test_the_machine_and_the_reports_know_no_sdk() -> None:
    for name in ("machine.py", "run.py", "search.py", "system.py", "report.py", "invariants.py"):
        assert "clerk" not in (ROOT / "properties" / name).read_text().lower(), name
