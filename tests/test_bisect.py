"""Which release changed a verdict: defects that were released, found again by search and with no case for any."""

from __future__ import annotations

import re

import pytest

from model.clerk.terms import Touch
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Held, Verdict, Violated
from properties.targets.clerk.target import clerk_js_target
from properties.targets.node_target import NodeTarget
from properties.targets.npm import numbers
from tests.support import HEADLINE, app, explore, ready, sessionproof

RANGE = ("--from=6.7.0", "--to=6.7.5")

HISTORY = [
    (HEADLINE, "starvation,stale-after-expiry", "5.128.0", "6.0.0", "breaks with"),  # possible since #7317
    ("offline-is-not-signed-out", "outage", "5.128.0", "6.0.0", "holds again with"),  # #7598
    ("no-empty-token-announced", "outage", "6.0.0", "6.1.0", "holds again with"),  # #7912, on a page
    ("foreground-recovers", "calm", "6.3.1", "6.3.2", "holds again with"),  # #8084
    (HEADLINE, "starvation,stale-after-expiry", "6.7.1", "6.7.4", "holds again with"),  # #8303
    ("tokens-never-go-backwards", "stale-edge", "6.27.1", "6.28.1", "holds again with"),  # #9284: by a touch
]


@pytest.mark.parametrize(
    ("invariant", "assumptions", "before", "after", "what"),
    [pytest.param(*one, marks=[pytest.mark.slow] * (one[3] != "6.7.4")) for one in HISTORY],
)
def test_a_released_defect_is_found_before_its_fix_and_not_after(
    builds: dict[str, NodeTarget], invariant: str, assumptions: str, before: str, after: str, what: str
) -> None:
    ready(builds["6.7.4"])
    (runtime, *_) = sorted(INVARIANTS[invariant].runtimes, key=[*Runtime].index)
    words = (f"--invariant={invariant}", f"--assume={assumptions}", f"--from={before}", f"--to={after}")
    done = sessionproof("bisect", *words, "--traces=40", f"--runtime={runtime}")
    assert done.returncode == 0, done.stderr
    assert f"{what} {after} (the one before is {before})" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("release", "invariant", "assumption", "verdict"),
    [
        ("6.3.2", "one-refresh-at-a-time", "calm", Violated),
        ("6.3.3", "one-refresh-at-a-time", "calm", Held),  # with #8098
        ("6.23.0", "refresh-chain-survives", "stale-edge", Held),
        ("6.24.0", "refresh-chain-survives", "stale-edge", Violated),  # with #9030
    ],
)
def test_a_released_defect_that_another_masks_is_found_in_an_app_without_that(
    release: str, invariant: str, assumption: str, verdict: type[Verdict]
) -> None:
    """In one that does not switch organizations: a switch breaks both invariants, before and after."""
    build = ready(clerk_js_target(release, lambda line: None))
    try:
        found = explore(build, assumption, judging=[invariant], app=app(Touch(), calls=2), traces=40)
    finally:
        build.close()
    assert isinstance(found.verdicts[invariant], verdict)


@pytest.mark.slow
def test_the_release_of_the_fix_is_found_among_those_that_npm_has(builds: dict[str, NodeTarget]) -> None:
    ready(builds["6.7.4"])
    words = (f"--invariant={HEADLINE}", "--assume=starvation,stale-after-expiry", *RANGE, "--traces=60")
    done = sessionproof("bisect", *words)
    assert done.returncode == 0, done.stderr
    looked = re.findall(r"^  (\S+) +(VIOLATED|held)", done.stdout, re.MULTILINE)
    assert dict(looked) == {"6.7.0": "VIOLATED", "6.7.1": "VIOLATED", "6.7.4": "held", "6.7.5": "held"}
    assert "holds again with 6.7.4 (the one before is 6.7.1)" in done.stdout
    every = sessionproof("bisect", *words, "--every")
    assert every.stdout.count("holds again with") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from=6.7.4", "--to=6.7.5"), "not violated on 6.7.4 and on 6.7.5: nothing to find between them"),
        (("--from=6.7.2", "--to=6.7.5"), "npm has no 6.7.2; it has 6.7.0, 6.7.1, 6.7.4"),
        (("--from=6.7.5", "--to=6.7.4"), "there is nothing between 6.7.5 and 6.7.4"),
    ],
)
def test_where_there_is_nothing_to_find_that_is_said(
    builds: dict[str, NodeTarget], words: tuple[str, ...], said: str
) -> None:
    ready(builds["6.7.4"])
    place = (f"--invariant={HEADLINE}", "--assume=starvation,stale-after-expiry", "--traces=50")
    done = sessionproof("bisect", *place, *words)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]  # before it, a first run tells of what it downloads


def test_versions_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["6.10.0", "6.9.1", "6.9.0", "5.128.0"], key=numbers) == [
        "5.128.0",
        "6.9.0",
        "6.9.1",
        "6.10.0",
    ]
