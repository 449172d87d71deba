"""The entry points of an installation: the command, and what loads the pytest plugin.

Both begin here, in a module whose name is nobody else's, because `model` and `properties` may be: a collision of
packages is one line and exit code 2. An installation has it at the top level, beside these two; the folder is on
the path of an editable one.
"""

from __future__ import annotations

import gc
import signal
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

HOME = next(folder for folder in Path(__file__).resolve().parents if (folder / "properties").is_dir())
"""The folder that our packages are installed in, or the checkout."""

PACKAGES = ("model", "properties")


def main() -> None:
    """The `sessionproof` command."""
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python ignores an interrupt in a callback of its imports
    _stop_on_collision()
    from properties.cli.main import main as command  # noqa: PLC0415 (not before names are known to be ours)

    try:
        command()
    finally:
        gc.freeze()  # what a search has made takes seconds to scan, and Python would scan it before it ends


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load the plugin in a run of our tests. Other runs are as they would be without it: no option, no profile,
    and no module of ours under a name that theirs may have."""
    given = early_config.known_args_namespace
    if any(_is_ours(place, given.pyargs) for place in given.file_or_dir):
        _stop_on_collision()
        early_config.pluginmanager.import_plugin("properties.plugin")


def _is_ours(place: str, pyargs: bool) -> bool:
    """Does this argument of pytest name our tests, by their path or, with `--pyargs`, by their module?"""
    path = Path(place.partition("::")[0])
    if path.exists():
        return path.resolve().is_relative_to(HOME / "properties")
    return pyargs and place.split(".", maxsplit=1)[0] == "properties"


def _stop_on_collision() -> None:
    for name in PACKAGES:
        if why := _collision(name):
            sys.stderr.write(f"sessionproof: {why}: install sessionproof into an environment of its own\n")
            raise SystemExit(2)


def _collision(name: str) -> str | None:
    """Why the top-level package `name` is not ours alone."""
    spec = find_spec(name)
    if spec is None or Path(str(spec.origin)).resolve() != HOME / name / "__init__.py":
        return f"'{name}' is another package here ({spec and spec.origin})"
    for installed in metadata.distributions(name="sessionproof", path=[str(HOME)]):
        ours = {file.parts[1] for file in installed.files or () if file.parts[0] == name} | {"__pycache__"}
        for path in (HOME / name).iterdir():
            if path.name not in ours:
                return f"another package '{name}' is installed into the same folder ({path})"
    return None


if __name__ == "__main__":
    main()
