"""What a person sees, pinned to the letter."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Answer, Freeze, Revoke
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Findings, Held, NotApplicable, Vacuous, Verdict, Violated
from properties.render.tables import known_findings, plain, verdict_table
from properties.run.run import Run, Violation
from properties.system.fact_kinds import notable
from properties.system.wording import clock
from tests.support import DAY, HEADLINE, HOUR, assuming, model, run


def seeds_defect() -> Violated:
    """The defect of #8303, on the model of the release that has it."""
    target = model("6.7.1")
    ran = Run(target, Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"), [INVARIANTS[HEADLINE]])
    ran.play(Freeze(8 * HOUR))
    ran.play(Answer(1, Outcome.UNAUTHORIZED))
    with pytest.raises(Violation) as caught:
        ran.play(Answer(2, Outcome.NO_SESSION))
    return Violated(caught.value.trace, caught.value.played, 1, 3)


def test_timers_that_lead_to_nothing_are_left_out() -> None:
    ran = run(model("6.7.4"), Freeze(8 * HOUR), Revoke())
    assert len(ran.facts) == 4
    assert len(notable(ran.facts)) == 2


@pytest.mark.parametrize(
    ("at", "text"),
    [(0, "0:00:00"), (43_000, "0:00:43"), (61_001, "0:01:01.001"), (2 * DAY + HOUR, "2 d 1:00:00")],
)
def test_instants_read_as_a_clock(at: int, text: str) -> None:
    assert clock(at) == text


def known_defect() -> Violated:
    """The same, where a list has it and the search went on."""
    return replace(seeds_defect(), accepted="no guard yet", replayed=True, traces=10)


def row(verdict: Verdict, *, stopped: bool = False) -> str:
    """The table's line for one verdict, without the alignment."""
    cell = Cell("model", Runtime.HEADLESS, assuming("starvation"))
    findings = Findings(cell, {HEADLINE: verdict}, 10, {"a late timer": 7}, 1.25)
    table = plain(verdict_table([findings], [(cell, HEADLINE)] if stopped else []), width=160)
    return " ".join(table.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("verdict", "stopped", "line"),
    [
        (Held(10, 99), False, f"model held {HEADLINE} 10 traces, 99 steps, a late timer in 7 1.2"),
        (
            Held(10, 99),
            True,
            f"model held, though known to break {HEADLINE} 10 traces, 99 steps, a late timer in 7 1.2",
        ),
        (seeds_defect(), False, f"model VIOLATED {HEADLINE} 3 events, shrunk 1.2"),
        (
            known_defect(),
            False,
            f"model VIOLATED, known {HEADLINE} 3 events, replayed; no other in 10 traces 1.2",
        ),
        (
            Vacuous(10, 99, ("a late timer",)),
            False,
            f"model VACUOUS {HEADLINE} 10 traces never reached: a late timer 1.2",
        ),
        (NotApplicable(), False, f"model says nothing here {HEADLINE} a matter of headless runtimes 1.2"),
    ],
)
def test_the_table_words_each_verdict_for_what_it_is(verdict: Verdict, stopped: bool, line: str) -> None:
    assert row(verdict, stopped=stopped) == line


def test_a_known_story_is_told_once_with_all_the_places_it_was_seen_in() -> None:
    trace = seeds_defect().trace
    twin = replace(trace, target="clerk-js@6.7.1", invariant="valid-session-survives")
    told = plain(known_findings([(trace, "no guard yet"), (twin, "no guard yet")]))
    assert told.count("freeze(8 h)") == 1
    assert "on        model@CLERK_JS_6_7_1, clerk-js@6.7.1" in told
    assert f"breaks    {HEADLINE}, valid-session-survives" in told
