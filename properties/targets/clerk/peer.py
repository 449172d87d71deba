"""The same search by fast-check, on the same bundle, to compare ours with (fast_check/search.mjs).

Its world is written for sign-outs, without a page, and for the assumptions in `WRITTEN`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import to_builtins

from model.clerk.sdk import CLERK
from model.clerk.server import OUTCOMES
from model.clerk.terms import SESSION_TOKEN, TIMINGS, TokenId
from model.step import first_token
from model.terms import Token
from properties.run.lengths import menu
from properties.system.target import TargetError
from properties.system.trace import Trace
from properties.targets import node
from properties.targets.adapter import Compared
from properties.targets.clerk.builds import fetch_build
from properties.targets.clerk.server import boot_answers, render
from properties.targets.clerk.target import GLUE
from properties.targets.clerk.tokens import mint
from properties.targets.locked import Locked
from properties.targets.server import EPOCH

FOLDER = Path(__file__).parent / "fast_check"

FAST_CHECK = Locked("fast-check", FOLDER, "10 MB on disk", "the rest of the bench works without it")

BACKGROUND = "background-never-destroys-valid-session"
INVARIANTS = (BACKGROUND, "valid-session-survives")

WRITTEN = (
    *("calm", "starvation", "stale-after-expiry", "stale-for-good", "stale-on-arrival", "rotated-credential"),
    *("outage", "locked-keychain"),
)


def compared(
    trace: Trace, seeds: Sequence[int], traces: int, steps: int, say: Callable[[str], None]
) -> Iterator[Compared]:
    """What fast-check makes of the finding of a trace, for each seed; nothing if its search is not written for
    that. Raises `TargetError`."""
    written = trace.runtime in CLERK.runtimes and set(trace.assumptions.names) <= set(WRITTEN)
    if trace.invariant not in INVARIANTS or not written:
        return
    packages, bundle = FAST_CHECK.fetch(say), fetch_build(trace.target.partition("@")[2], say)
    command = [node.node_executable(), *node.FLAGS, str(FOLDER / "search.mjs")]
    settings = json.dumps(
        _settings(trace, packages, bundle)
        | {
            "seeds": [*seeds],
            "traces": traces,
            "commands": {"maxCommands": 2 * steps, "size": "max"},  # so many in the mean
        }
    )
    done = subprocess.run(command, input=settings, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = next((line for line in done.stderr.splitlines() if "Error" in line), f"exit code {done.returncode}")
        raise TargetError(f"the search by fast-check fails: {why}")
    yield from (msgspec.json.decode(line, type=Compared) for line in done.stdout.splitlines()[1:])


def _settings(trace: Trace, packages: Path, bundle: Path) -> dict[str, Any]:
    """The bundle, the cell, and the alphabet of our own search."""
    token = first_token(CLERK, trace.runtime)
    return {
        "packages": str(packages),
        "bundle": str(bundle),
        "glue": GLUE.as_uri(),
        "recipe": {
            "epoch": EPOCH * 1000,
            "runtime": str(trace.runtime),
            "boot": to_builtins(boot_answers(token)),
            "credential": None,
            "jsdom": None,
        },
        "assume": trace.assumptions.names,
        "background": trace.invariant == BACKGROUND,
        "timings": {"session": TIMINGS.session, "lifetime": TIMINGS.lifetime, "patience": TIMINGS.patience},
        "replies": _replies(),
        "calls": [
            {"operation": one.verb, "given": {k: v for k, v in to_builtins(one).items() if k != "event"}}
            for one in CLERK.operations
        ],
        "lengths": menu(TIMINGS, freezes=False),
        "freezes": menu(TIMINGS, freezes=True),
    }


def _replies() -> dict[str, dict[str, Any]]:
    """Each answer of each endpoint, with `%jwt%` and `%organization%` in the place of those."""
    filled = Token(2, TokenId(organization="%organization%"), 0, TIMINGS.lifetime)
    jwt = mint(filled)
    return {
        str(endpoint): {
            str(outcome): {
                "status": reply.status,
                "headers": reply.headers,
                "body": reply.body.replace(jwt, "%jwt%"),
            }
            for outcome in outcomes
            for reply in [render(outcome, filled, endpoint, SESSION_TOKEN)]
        }
        for endpoint, outcomes in OUTCOMES.items()
    }
