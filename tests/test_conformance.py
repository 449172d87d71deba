"""The model and the shipped builds: step by step the same, and the same verdict in each cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from model import session
from model.client import Entry, Turn
from model.events import FreezeKind
from model.facts import Fact
from model.terms import Runtime
from properties import machine
from properties.invariants import INVARIANTS
from properties.run import Run, Violation
from properties.system import facts_of
from properties.targets.clerk_js import ClerkJsTarget
from properties.trace import load
from properties.verdict import Held, Violated
from tests.lockstep import Disagreement, LockStep
from tests.support import HEADLINE, RELEASES, ROOT, explore, model, ready

CORPUS = sorted((ROOT / "properties" / "corpus").glob("*.json"))
EVERYTHING = (
    "starvation",
    "stale-for-good",
    "stale-on-arrival",
    "rotated-credential",
    "outage",
    "revocation",
)


@pytest.mark.parametrize("runtime", Runtime)
@pytest.mark.parametrize("release", RELEASES)
def test_model_and_build_agree_step_by_step(
    builds: dict[str, ClerkJsTarget], release: str, runtime: Runtime
) -> None:
    both = LockStep(model(release), ready(builds[release]))
    findings = explore(both, *EVERYTHING, traces=150, runtime=runtime)
    assert findings.traces >= 150


def guard_at_expiry_too(patch: pytest.MonkeyPatch) -> None:
    """`>=` for `>` in the guard."""

    def wrong(turn: Turn, entry: Entry) -> bool:
        token = turn.client.holders[entry.holder]
        guarded = turn.client.runtime is Runtime.HEADLESS and turn.client.policy.guard_expired_refresh
        return guarded and token is not None and turn.at >= token.expires * 1000

    patch.setattr(session, "_guarded", wrong)


def refresh_a_second_later(patch: pytest.MonkeyPatch) -> None:
    """14 s for 15 s in the threshold."""
    patch.setattr(session, "REFRESH_LEAD", 16)


def read_cutoff_a_second_earlier(patch: pytest.MonkeyPatch) -> None:
    """6 s for 5 s left in the cache."""
    patch.setattr(session, "READ_CUTOFF", 6)


@pytest.mark.parametrize("edit", [guard_at_expiry_too, refresh_a_second_later, read_cutoff_a_second_earlier])
def test_a_one_line_edit_of_the_model_is_noticed(
    builds: dict[str, ClerkJsTarget], edit: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = LockStep(model("6.7.4"), ready(builds["6.7.4"]))
    assert callable(edit)
    edit(monkeypatch)
    with pytest.raises(Disagreement):
        explore(both, "starvation", traces=1000)


@pytest.mark.parametrize("kind", FreezeKind)
@pytest.mark.parametrize("real", [False, True], ids=["model", "build"])
def test_the_fixed_release_holds_where_the_one_before_falls(
    builds: dict[str, ClerkJsTarget], real: bool, kind: FreezeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attribution: under either kind of freeze, only what the background did counts, and only on 6.7.1."""
    monkeypatch.setattr(machine, "KINDS", (kind,))
    verdicts = {}
    for release in RELEASES:
        target = ready(builds[release]) if real else model(release)
        verdicts[release] = explore(target, "starvation", "stale-after-expiry", traces=200).verdicts[HEADLINE]
    assert isinstance(verdicts["6.7.1"], Violated)
    assert len(verdicts["6.7.1"].trace.events) <= 4
    assert isinstance(verdicts["6.7.4"], Held)
    assert isinstance(verdicts["6.40.0"], Held)


def replayed(trace_file: Path, target: ClerkJsTarget) -> tuple[str | None, tuple[Fact, ...]]:
    """The invariant that the trace breaks on the target, and what was seen."""
    trace = load(trace_file)
    run = Run(target, trace.runtime, trace.assumptions, [INVARIANTS[str(trace.invariant)]])
    try:
        for event in trace.events:
            assert trace.assumptions.permit(run.world, event), f"{event!r} is not permitted"
            run.play(event)
    except Violation as violation:
        return violation.trace.invariant, facts_of(violation.played)
    return None, run.facts


@pytest.mark.parametrize("trace_file", CORPUS, ids=lambda path: path.stem)
def test_each_finding_in_the_corpus_still_happens_on_its_build(
    builds: dict[str, ClerkJsTarget], trace_file: Path
) -> None:
    trace = load(trace_file)
    release = trace.target.partition("@")[2]
    broken, _ = replayed(trace_file, ready(builds[release]))
    assert broken == trace.invariant
