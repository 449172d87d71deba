"""What a run looked like from inside: which branches of the model it took, and every trace that was generated."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from hypothesis.internal import observability

MODEL = Path(__file__).parents[2] / "model"
"""Where the model is."""

RULES = (
    *("clerk/transition.py", "clerk/session.py", "clerk/cache.py", "clerk/network.py"),
    "world/course.py",
)
"""The files whose branches count: those with rules."""


Branch = tuple[str, int, int]
"""A file, and the lines from and to which the branch leads, as coverage.py counts them."""


class ModelCoverage:
    """Branch coverage of the model while a run lasts, by coverage.py. About half as many traces a second."""

    def __init__(self) -> None:
        """Begin to measure. Raises `ImportError` when coverage.py is not installed."""
        import coverage  # noqa: PLC0415 (an extra of development)

        rules = [str(MODEL / name) for name in RULES]
        self._coverage = coverage.Coverage(branch=True, include=rules, data_file=None, config_file=False)
        self._coverage.start()

    def end(self) -> dict[Branch, bool]:
        """End the measurement: every branch of these files, and whether it was taken."""
        self._coverage.stop()
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "coverage.json"
            self._coverage.json_report(outfile=str(path))
            files = json.loads(path.read_text())["files"]
        return {
            (f"model/{Path(name).resolve().relative_to(MODEL).as_posix()}", line, to): taken
            for name, file in sorted(files.items())
            for taken, branches in ((True, file["executed_branches"]), (False, file["missing_branches"]))
            for line, to in branches
        }


def say_branches(branches: Mapping[Branch, bool]) -> Iterator[str]:
    """A line for each file: how many of its branches were taken, and the lines of the others."""
    for name, of_file in groupby(sorted(branches), key=lambda branch: branch[0]):
        everyone = list(of_file)
        missing = sorted({line for _, line, to in everyone if not branches[name, line, to]})
        taken = sum(branches[branch] for branch in everyone)
        where = f"; not all of those at lines {', '.join(map(str, missing))}" if missing else ""
        yield f"{name}: {taken} of {len(everyone)}{where}"


def write_observations(folder: Path, name: str) -> Callable[[], None]:
    """From now on, write each of Hypothesis's observations as a line of JSON to `folder`/`name`.jsonl, in the
    format that Tyche reads. Returns what ends it. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{name}.jsonl").open("w", encoding="utf-8")
    observability.OBSERVABILITY_COLLECT_COVERAGE = False  # slow, and `ModelCoverage` says it better

    def write(observation: Any) -> None:
        json.dump(dataclasses.asdict(observation), file, default=str)
        file.write("\n")

    observability.add_observability_callback(write)

    def end() -> None:
        observability.remove_observability_callback(write)
        file.close()

    return end
