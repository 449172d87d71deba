"""Small builders that let a test say in one line what happens."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import pytest
from hypothesis import settings

from model.app import App
from model.assumptions.sets import Assumptions
from model.clerk.policy import POLICIES, PROPOSED
from model.clerk.sdk import CLERK
from model.clerk.terms import SESSION_TOKEN
from model.operations import Operation
from model.step import first_token
from model.terms import Runtime, Token
from model.world.events import Event
from model.world.facts import Fact
from properties.invariants.catalogue import INVARIANTS, default_invariants
from properties.invariants.verdict import Cell, Findings
from properties.run.lockstep import LockStep, conforms
from properties.run.run import Run
from properties.search import generate
from properties.search.search import search
from properties.system.target import Target, TargetError
from properties.targets.clerk.target import clerk_js_target
from properties.targets.model import ModelTarget
from properties.targets.node_target import NodeTarget

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

ROOT = Path(__file__).parent.parent
"""The checkout."""

RELEASES = ("6.7.1", "6.7.4", "6.40.0")
"""Before the guard of #8303, with it, and the newest that is pinned."""

FIRST = Token(1, SESSION_TOKEN, 0, 60)
"""The token that a world begins with."""

HEADLINE = "background-never-destroys-valid-session"

SEED_CAUSE = (
    "a timer",
    "mint in the background: unauthorized",
    "expired before it was sent",
    "introspect in the background: no-session",
    "signed out in the background",
)
"""The cause of the defect of #8303: a refresh is sent after the token has expired, its 401 signs the user out."""


Build = TypeVar("Build", bound=NodeTarget)
F = TypeVar("F")

Tried: TypeAlias = Callable[[str, int], None]
"""Notes how many of a kind a test has tried; see the fixture `tried`."""

MISSING = ("Node 18 or newer", "npm is needed", "there is no network")


def ready(target: Build, runtime: Runtime = Runtime.HEADLESS) -> Build:
    """The target, prepared for a runtime; where Node, npm or the network is missing, a skip that says what went
    unchecked."""
    try:
        target.prepare(runtime)
    except TargetError as error:
        if any(words in str(error) for words in MISSING):
            pytest.skip(f"NOT CHECKED: what real builds of @clerk/clerk-js do. {error}")
        raise
    return target


@cache
def needs_builds() -> None:
    """Skip a test that runs real builds in processes of its own, where `ready` would."""
    with contextlib.closing(clerk_js_target("6.7.4", lambda line: None)) as target:
        ready(target)


def fresh(target: Build, runtime: Runtime = Runtime.HEADLESS) -> Build:
    """The target, signed in at instant 0."""
    ready(target, runtime).start(runtime, first_token(target.sdk, runtime))
    return target


def model(release: str) -> ModelTarget:
    """The model of a release: `model("6.7.4")`."""
    return ModelTarget(CLERK, POLICIES[f"CLERK_JS_{release.replace('.', '_')}"])


class Idle(ModelTarget):
    """A client that does nothing, on any runtime."""

    def __init__(self) -> None:
        super().__init__(CLERK, POLICIES["CLERK_JS_6_40_0"])

    def start(self, *_: object) -> tuple[()]:
        """Nothing happens."""
        return ()

    def feed(self, *_: object) -> tuple[()]:
        """Nothing happens."""
        return ()


def proposed(name: str) -> ModelTarget:
    """The model of a fix that nobody has released."""
    return ModelTarget(CLERK, PROPOSED[name])


def app(*operations: Operation, calls: int = 1) -> App:
    """An app that calls these beside what it calls in every proof."""
    return App((*CLERK.proved_operations, *operations), calls)


def assuming(*names: str) -> Assumptions:
    """A set of assumptions."""
    return Assumptions(names)


def run(target: Target, *events: Event, runtime: Runtime = Runtime.HEADLESS) -> Run:
    """Play `events` on a fresh `target`, judging nothing."""
    started = Run(target, runtime, assuming("calm"), ())
    for event in events:
        started.play(event)
    return started


def judged(target: Target, *events: Event, runtime: Runtime = Runtime.HEADLESS) -> Run:
    """Play `events` on a fresh `target` under every invariant; raises `Violation`."""
    started = Run(target, runtime, assuming("calm"), INVARIANTS.values())
    for event in events:
        started.play(event)
    return started


def in_lock_step(build: NodeTarget, *events: Event, runtime: Runtime = Runtime.HEADLESS) -> Run:
    """Play the events on a build and its model, which must agree; raises `Violation`."""
    described = ready(build, runtime).described_by()
    assert described is not None
    pair = LockStep(build, described)
    ran = Run(pair, runtime, assuming("calm"), [conforms(pair)])
    for event in events:
        ran.play(event)
    return ran


def of_kind(kind: type[F], facts: Iterable[Fact]) -> list[F]:
    """The facts of one kind."""
    return [fact for fact in facts if isinstance(fact, kind)]


def explore(
    target: Target,
    *assumptions: str,
    traces: int = 300,
    runtime: Runtime = Runtime.HEADLESS,
    judging: Sequence[str] = (),
    app: App | None = None,
) -> Findings:
    """A search that is the same every time, of an app that calls whatever its SDK has unless told otherwise."""
    cell = Cell(target.name, runtime, assuming(*assumptions))
    judged = [INVARIANTS[name] for name in judging or default_invariants(runtime)]
    return search(target, cell, judged, profile_of(traces), app=app)


def without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no assumption add an event, in searches too, and let none of this be remembered after the test."""
    monkeypatch.setattr(Assumptions, "events", ())
    monkeypatch.setattr(generate, "kinds_of", generate.kinds_of.__wrapped__)


def profile_of(traces: int) -> settings:
    """The profile of such a search."""
    return settings(max_examples=traces, derandomize=True, database=None, stateful_step_count=30)


def debian(program: str, what: str, *others: str) -> str:
    """A program from Debian's packages, installed where that is possible; a loud skip where it is not, or where
    one of the `others` is missing. `what` is not checked then."""
    if shutil.which(program) is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", program],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    missing = [name for name in (program, *others) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"NOT CHECKED: {what}. Install {' and '.join(missing)}")
    return str(shutil.which(program))


def chromium(what: str) -> str:
    """A Chromium; without one, a loud skip: `what` is not checked then."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip(f"NOT CHECKED: {what}. Install Chromium: apt install chromium")


# -- as a user runs it ---------------------------------------------------------------------------------------


def command(*words: str) -> list[str]:
    """`pytest properties` with further words, the same every time."""
    python = [sys.executable, "-m", "pytest", str(ROOT / "properties"), f"--rootdir={ROOT}"]
    return [*python, "-p", "no:cacheprovider", "--hypothesis-profile=check", *words]


def check(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `pytest properties`."""
    return subprocess.run(
        command(*words), capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def sessionproof(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `sessionproof`."""
    return run_python("-P", "-c", "from sessionproof import main; main()", *words)


def run_python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python, with our code in its path."""
    program = [sys.executable, *words]
    inside = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(program, capture_output=True, text=True, check=False, env=inside)


@cache
def exit_codes() -> dict[str, dict[str, str]]:
    """The table of exit codes in the reference: by command, by what ends it."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    table = r"^\| command \| (wrong name .*) \|\n\|[-|]+\n((?:\|.*\n)+)"
    ((headings, rows),) = re.findall(table, text, re.MULTILINE)
    found = {}
    for row in rows.splitlines():
        name, *codes = row.strip("| ").split(" | ")
        found[name.strip("`")] = dict(zip(headings.split(" | "), codes, strict=True))
    return found


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a usage or environment error prints; it comes with exit code 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    return line
