"""Self-contained HTML pages of a counterexample and of a verdict table: no network, no library, no build.

The pages only do the layout. `view.py` and `table.py` have the content.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import msgspec

_HERE = Path(__file__).parent


def page(view: dict[str, Any]) -> str:
    """The page of a counterexample: a timeline to step through, with the state after every step. `view` is a
    `properties.render.view.View` as plain values, plus the text of its document as `trace`."""
    plain = f"{view['why']}: {view['events']}"
    return _filled("page.html", view, plain)


def matrix(view: dict[str, Any]) -> str:
    """The page of a verdict table. `view` is a `properties.render.table.table`."""
    return _filled("matrix.html", view, "")


def _filled(layout: str, view: dict[str, Any], plain: str) -> str:
    text = (_HERE / layout).read_text(encoding="utf-8")
    # In a script element, "<" could end the element or begin a comment, so it is escaped.
    data = msgspec.json.encode(view).decode().replace("<", "\\u003c")
    parts = {
        "__STYLE__": (_HERE / "style.css").read_text(encoding="utf-8"),
        "__TITLE__": html.escape(str(view["title"])),
        "__PLAIN__": html.escape(plain),
        "__VIEW__": data,  # last, so that its content is not searched for placeholders
    }
    for name, value in parts.items():
        text = text.replace(name, value, 1)
    return text
