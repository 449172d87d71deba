"""One-token mutations of a bundle, in the code that runs. `mutations.mjs` finds them with acorn, from npm.

Offsets count UTF-16 code units, as JavaScript does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from properties.system.target import TargetError
from properties.targets.adapter import Say
from properties.targets.node import node_executable
from properties.targets.npm import Package, fetch_package

SCRIPT = Path(__file__).with_name("mutations.mjs")
TIMEOUT = 120
"""The timeout of the parser, in s."""


def _only(name: str, version: str, file: str) -> Package:
    def keep(names: Collection[str]) -> dict[str, str]:
        return {file: file} if file in names else {}

    return Package(name, version, "0.5 MB", keep, f"has no {file}")


PARSER, PARSER_FILE = _only("acorn", "8.15.0", "dist/acorn.js"), "dist/acorn.js"
WALKER, WALKER_FILE = _only("acorn-walk", "8.3.4", "dist/walk.js"), "dist/walk.js"


class Mutation(Struct, frozen=True):
    """The code from `start` to `end` of a bundle replaced by `text`. `kind` says what is changed: `comparison`,
    `logic`, `number`, `boolean`, `negation`, `call` or `await`. `scope` is the path of the names that enclose it,
    `part` the part of the session's logic that it is in, None if it is in none. `inside` is where the body of the
    function around it begins. `code` shows it in its surroundings."""

    start: int
    end: int
    text: str
    kind: str
    scope: str
    part: str | None
    inside: int
    code: str

    def applied(self, source: str) -> str:
        """The source of the bundle with this mutation."""
        units = source.encode("utf-16-le")
        return (units[: 2 * self.start] + self.text.encode("utf-16-le") + units[2 * self.end :]).decode(
            "utf-16-le"
        )


class Function(Struct, frozen=True):
    """A function of a bundle. `ran`: has a trace called it, after the SDK had loaded?"""

    scope: str
    part: str | None
    start: int
    end: int
    ran: bool


class Code(Struct, frozen=True):
    """What there is in a bundle. `missing` has the texts by which no part of it was found."""

    mutations: tuple[Mutation, ...]
    functions: tuple[Function, ...]
    missing: tuple[tuple[str, ...], ...]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the session's logic: its name, the source files that it stands for, and the `texts` by which its
    definitions are found in a bundle (`mutations.mjs`)."""

    name: str
    source: str
    texts: tuple[tuple[str, ...], ...]


def code_of(bundle: Path, ran: Sequence[tuple[int, int]], parts: Sequence[Part], say: Say) -> Code:
    """The functions of a bundle, and every mutation of the ranges that have run. Raises `TargetError`."""
    asked = {
        "acorn": str(fetch_package(PARSER, PARSER.example, say) / PARSER_FILE),
        "walk": str(fetch_package(WALKER, WALKER.example, say) / WALKER_FILE),
        "bundle": str(bundle),
        "parts": {part.name: part.texts for part in parts},
        "ran": ran,
    }
    try:
        done = subprocess.run(
            [node_executable(), str(SCRIPT)],
            input=msgspec.json.encode(asked),
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=Code)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.decode(errors="replace").splitlines() if "Error" in line]
        raise TargetError(f"{bundle.name} cannot be parsed: {(lines or ['no reason'])[0]}") from None
    except subprocess.TimeoutExpired:
        raise TargetError(f"{bundle.name} cannot be parsed within {TIMEOUT} s") from None
