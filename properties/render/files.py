"""All renderings of a counterexample, and the files that they are saved in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import to_builtins

from properties.render.markdown import report
from properties.render.page import page
from properties.render.regression import regression
from properties.render.view import view
from properties.run.counterexample import Counterexample
from properties.system.files import write
from properties.targets.adapter import Reproduction
from properties.targets.names import adapter_of


def _json(found: Counterexample) -> str:
    return msgspec.json.format(msgspec.json.encode(found.document()), indent=2).decode() + "\n"


def _markdown(found: Counterexample) -> str:
    return report(found, reproduction(found))


def _html(found: Counterexample) -> str:
    shown: dict[str, Any] = to_builtins(view(found))
    return page({**shown, "replay": found.trace.command, "trace": _json(found)})


def reproduction(found: Counterexample) -> Reproduction | None:
    """How to reproduce it without the harness; None if that cannot be."""
    adapter = adapter_of(found.trace.target)
    return adapter.reproduction(found.trace) if adapter else None


def _script(found: Counterexample) -> str | None:
    how = reproduction(found)
    return how.script if how else None


def _unit_test(found: Counterexample) -> str | None:
    how = reproduction(found)
    return how.unit_test if how else None


FORMATS: dict[str, Callable[[Counterexample], str | None]] = {
    "json": _json,
    "text": lambda found: found.trace.text,
    "markdown": _markdown,
    "html": _html,
    "repro": _script,
    "vitest": _unit_test,
    "pytest": regression,
}
"""The renderings of a counterexample besides the timeline. Each returns None if it does not apply."""

SUFFIXES = {
    "json": ".json",
    "text": ".txt",
    "markdown": ".md",
    "html": ".html",
    "repro": ".repro.mjs",
    "vitest": ".test.mjs",
    "pytest": ".py",
}


def save(found: Counterexample, folder: Path | None = None) -> list[Path]:
    """Write every rendering next to the trace, or into `folder`. Returns the paths; that of the document is
    first. Raises `NotWritten`."""
    stem = found.trace.path if folder is None else folder / found.trace.path.name
    written = []
    for name, render in FORMATS.items():
        text = render(found)
        if text is None:
            continue
        path = stem.with_name(stem.name.removesuffix(".json") + SUFFIXES[name])
        if name == "pytest":
            path = stem.with_name(f"test_{re.sub(r'[^A-Za-z0-9]+', '_', stem.stem)}.py")
        if name == "json":
            found.save(path)  # it replaces the bare trace
        else:
            write(path, text)
        written.append(path)
    return written
