"""Text of a trace on its way into code, Markdown or a comment: whatever it holds, it stays text.

A trace may come from anybody's file. Its target, invariant and reason can hold any character.
"""

from __future__ import annotations

import re

from properties.system.wording import one_line


def docstring(text: str) -> str:
    """The text within a Python string of three double quotes."""
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def markdown(text: str) -> str:
    """The text within a paragraph of Markdown: no HTML, no emphasis, no link, no code."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", one_line(text)).replace("<", "&lt;")


def code(text: str) -> str:
    """The text as a code span of Markdown."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " * (len(fence) > 1)
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(language: str, text: str) -> tuple[str, str, str]:
    """The lines of a code block of Markdown, with a fence that its text cannot close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}", text.rstrip(), fence
