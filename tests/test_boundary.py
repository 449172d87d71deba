"""Nothing of one SDK's stands outside its two packages, `model/<sdk>` and `properties/targets/<sdk>`.

Its words and its numbers are looked for in everything that is common to all: in code, in comments, in what is
said. Whatever may stand there all the same is listed, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGES = (
    *("model/world", "model/assumptions"),
    *("properties/system", "properties/invariants", "properties/run", "properties/search", "properties/prove"),
    *("properties/conformance", "properties/campaign", "properties/render"),
)
"""All that is in them."""

MODULES = (
    *(f"model/{name}.py" for name in ("terms", "requests", "operations", "io", "app", "form", "sdk", "step")),
    *("properties/targets/*.py", "properties/targets/driver/*.mjs"),
)

OF_ONE_SDK = {
    "a name": r"clerk",
    "an operation": r"touch|organi[sz]ation|gettoken|setactive|skipcache",
    "a kind of token": r"template",
    "a place for a token": r"cookie|__session",
    "a mechanism": r"poller|oiat|#8303",
    "when it refreshes, in s": r"(?<![\d.])(?:43|17)(?:_?000|\.\d+)?\b(?! MB)",
}
"""What stands for Clerk's SDK, in whatever case, and as a part of a longer word."""

WORDS = re.compile("|".join(OF_ONE_SDK.values()), re.IGNORECASE)

ALLOWED = (
    (
        "properties/system/registry.py",
        r"properties\.targets\.clerk\.adapter:CLERK_ADAPTER",
        "the one that is built in",
    ),
    ("model/assumptions/catalogue.py", r"the theory of #8303", "a public theory of why servers refuse"),
    ("model/world/state.py", r"the theory of #8303", "the same"),
    ("model/assumptions/catalogue.py", r'"lean-touch"', "the name under which reports know it"),
    ("properties/run/schema.py", r"ref_template=", "what msgspec calls an argument"),
    ("properties/run/counterexample.schema.json", r"", "made from the values of the SDKs at hand"),
    ("properties/render/*.html", r"grid-template-columns", "a word of CSS"),
    ("properties/targets/driver/page.mjs", r"(?i)cookie", "what a browser has; for what, a glue says"),
    ("properties/targets/driver/instance.mjs", r"\{url, cookies\}", "the same: those that a page begins with"),
)
"""Files, what of a line may stand there, and why."""


def common() -> Iterator[Path]:
    """The files that are common to all SDKs."""
    for folder in PACKAGES:
        assert (ROOT / folder).is_dir(), folder
        yield from (path for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc")
    for pattern in MODULES:
        found = [*ROOT.glob(pattern)]
        assert found, pattern
        yield from found


FILES = sorted(str(path.relative_to(ROOT)) for path in common())


def said(name: str) -> Iterator[tuple[str, str]]:
    """The lines of a file with what is allowed in them, and without it."""
    allowed = [pattern for file, pattern, _ in ALLOWED if Path(name).match(file)]
    for line in (ROOT / name).read_text().splitlines():
        rest = line
        for pattern in allowed:
            rest = re.sub(pattern, "", rest) if pattern else ""
        yield line, rest


@pytest.mark.parametrize("name", FILES)
def test_what_is_common_to_all_sdks_says_nothing_of_one(name: str) -> None:
    assert not [line for line, rest in said(name) if WORDS.search(rest)]


@pytest.mark.parametrize(("file", "pattern"), [(file, pattern) for file, pattern, _ in ALLOWED])
def test_nothing_is_allowed_that_does_not_occur(file: str, pattern: str) -> None:
    lines = [line for path in ROOT.glob(file) for line in path.read_text().splitlines()]
    assert [line for line in lines if re.search(pattern, line) and WORDS.search(line)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("timer.due - 17_000", ["17_000"]),
        ("Timings(lead=17)", ["17"]),
        ("at 43 s, 43.5 s", ["43", "43.5"]),
        ("17 MB, 117, 1.17, 170, 437", []),
        ("TokenId.organisation, ORGANIZATIONS", ["organisation", "ORGANIZATION"]),
        ("clerk-js, Clerk", ["clerk", "Clerk"]),
        ("a __session cookie", ["__session", "cookie"]),
    ],
)
def test_what_stands_for_one_sdk_is_found(line: str, found: list[str]) -> None:
    assert WORDS.findall(line) == found
