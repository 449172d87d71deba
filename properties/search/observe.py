"""Observability of a run: branch coverage of the model, and a log of every generated trace."""

from __future__ import annotations

import dataclasses
import importlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from hypothesis import event
from hypothesis.internal import observability

from model.sdk import Sdk
from properties.system.trace import Trace

WORLD = tuple(f"model.world.{name}" for name in ("course", "possible", "replies", "outputs"))
"""The modules of the world's rules. Each SDK names those of its client (`Sdk.rules`)."""

CodeBranch = tuple[str, int, int]
"""A branch of code: its file, and the lines that it leads from and to, as in coverage.py."""


class ModelCoverage:
    """Branch coverage of the model's rules during a run, by coverage.py. It halves the traces per second."""

    def __init__(self, of: Iterable[Sdk]) -> None:
        """Start measuring, for these SDKs. Raises `ImportError` if coverage.py is not installed."""
        import coverage  # noqa: PLC0415 (an extra of development)

        modules = [*(name for sdk in of for name in sdk.rules), *WORLD]
        self._names = {_file(name): f"{name.replace('.', '/')}.py" for name in modules}
        rules = [*map(str, self._names)]
        self._coverage = coverage.Coverage(branch=True, include=rules, data_file=None, config_file=False)
        self._coverage.start()

    def end(self) -> dict[CodeBranch, bool]:
        """Stop measuring. Returns every branch of these files, and whether it was taken."""
        self._coverage.stop()
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "coverage.json"
            self._coverage.json_report(outfile=str(path))
            files = json.loads(path.read_text())["files"]
        return {
            (self._names[Path(name).resolve()], line, to): taken
            for name, file in sorted(files.items())
            for taken, branches in ((True, file["executed_branches"]), (False, file["missing_branches"]))
            for line, to in branches
        }


def _file(module: str) -> Path:
    return Path(str(importlib.import_module(module).__file__)).resolve()


def say_branches(branches: Mapping[CodeBranch, bool]) -> Iterator[str]:
    """One line for each file: the number of its branches that were taken, and the lines of the others."""
    for name, of_file in groupby(sorted(branches), key=lambda branch: branch[0]):
        everyone = list(of_file)
        missing = sorted({line for _, line, to in everyone if not branches[name, line, to]})
        taken = sum(branches[branch] for branch in everyone)
        where = f"; not all of those at lines {', '.join(map(str, missing))}" if missing else ""
        yield f"{name}: {taken} of {len(everyone)}{where}"


EVENTS = "events"
_writing: list[Path] = []  # the files of observations that are open


def observe(trace: Trace) -> None:
    """Tell the observation of the test case under way which events its bytes stand for."""
    if _writing:
        event(EVENTS, str(trace))


def write_observations(folder: Path, name: str) -> Callable[[], None]:
    """Start writing each of Hypothesis's observations as a line of JSON to `folder`/`name`.jsonl, in the format
    of Tyche. Returns the function that stops it. Raises `OSError`.

    The callbacks are in an internal module of Hypothesis. The public way, HYPOTHESIS_EXPERIMENTAL_OBSERVABILITY,
    writes to one folder for all runs, and measures the coverage of everything. If tests/test_observe.py fails
    after an update of Hypothesis, look for the callbacks in its documentation of observability.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{name}.jsonl").open("w", encoding="utf-8")
    observability.OBSERVABILITY_COLLECT_COVERAGE = False  # slow, and `ModelCoverage` is more precise

    def write(observation: Any) -> None:
        document = dataclasses.asdict(observation)
        played = document.get("features", {}).pop(EVENTS, None)
        json.dump(document | ({"representation": played} if played else {}), file, default=str)
        file.write("\n")

    observability.add_observability_callback(write)
    _writing.append(folder)

    def end() -> None:
        _writing.remove(folder)
        observability.remove_observability_callback(write)
        file.close()

    return end
