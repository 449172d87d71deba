"""Every rendering of a counterexample, and the files they go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import to_builtins

from model.terms import Runtime
from properties.render.markdown import report
from properties.render.page import page
from properties.render.regression import regression
from properties.render.view import view
from properties.run.counterexample import Counterexample
from properties.targets.clerk.repro import repro


def _json(found: Counterexample) -> str:
    return msgspec.json.format(msgspec.json.encode(found.document()), indent=2).decode() + "\n"


def _markdown(found: Counterexample) -> str:
    return report(found, script(found))


def _html(found: Counterexample) -> str:
    shown: dict[str, Any] = to_builtins(view(found))
    return page({**shown, "trace": _json(found)})


def release(found: Counterexample) -> str | None:
    """The version on npm of the build it was found on, or of the release whose model it was found on."""
    target = found.trace.target
    if target.startswith("clerk-js@"):
        return target.removeprefix("clerk-js@")
    if target.startswith("model@CLERK_JS_"):
        return target.removeprefix("model@CLERK_JS_").replace("_", ".")
    return None


def on_page(found: Counterexample) -> bool:
    """Did it happen on a page? A script would have to bring a document along."""
    return found.trace.runtime is Runtime.BROWSER


def script(found: Counterexample) -> str | None:
    """The standalone reproduction; None for a build that is not on npm, or for what happened on a page."""
    version = None if on_page(found) else release(found)
    return repro(found.trace, version) if version else None


FORMATS: dict[str, Callable[[Counterexample], str | None]] = {
    "json": _json,
    "markdown": _markdown,
    "html": _html,
    "repro": script,
    "pytest": regression,
}
"""What a counterexample can be rendered as, beside the timeline; None where there is no such rendering of it."""

SUFFIXES = {"json": ".json", "markdown": ".md", "html": ".html", "repro": ".repro.mjs", "pytest": ".py"}


def save(found: Counterexample, folder: Path | None = None) -> list[Path]:
    """Write every rendering beside the trace, or into `folder`; the document first. Returns where they are."""
    stem = found.trace.path if folder is None else folder / found.trace.path.name
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for name, render in FORMATS.items():
        text = render(found)
        if text is None:
            continue
        path = stem.with_name(stem.name.removesuffix(".json") + SUFFIXES[name])
        if name == "pytest":
            path = stem.with_name(f"test_{re.sub(r'[^A-Za-z0-9]+', '_', stem.stem)}.py")
        if name == "json":
            found.save(path)  # whole or not at all: the bare trace is in its place
        else:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
