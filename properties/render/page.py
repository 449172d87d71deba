"""A counterexample, and a verdict table, as pages of HTML that stand alone: no network, no library, no build.

The pages lay out what they are given and know nothing of sessions; `view.py` and `table.py` decide what is said.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import msgspec

_HERE = Path(__file__).parent


def page(view: dict[str, Any]) -> str:
    """The page of a counterexample: a timeline to step through, with the state of affairs at every step. `view`
    is `properties.render.view.View` in plain values, with the text of the document as `trace`."""
    plain = f"{view['why']}: {view['events']}"
    return _filled("page.html", view, plain)


def matrix(view: dict[str, Any]) -> str:
    """The page of a verdict table, as `properties.render.table.table` describes it."""
    return _filled("matrix.html", view, "")


def _filled(template: str, view: dict[str, Any], plain: str) -> str:
    text = (_HERE / template).read_text(encoding="utf-8")
    # In a script element only "<" could end it or begin a comment; JSON has a way to write it without.
    data = msgspec.json.encode(view).decode().replace("<", "\\u003c")
    parts = {
        "__STYLE__": (_HERE / "style.css").read_text(encoding="utf-8"),
        "__TITLE__": html.escape(str(view["title"])),
        "__PLAIN__": html.escape(plain),
        "__VIEW__": data,  # last: what it holds is not searched for further names
    }
    for name, value in parts.items():
        text = text.replace(name, value, 1)
    return text
