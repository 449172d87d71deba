"""Mutants of a release that nothing noticed once, and what is noticed of each since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model.assumptions.sets import everything
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken, SwitchOrganization, Touch
from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, Freeze, GoOffline, StartApp
from properties.conformance.mutants import Fate, Mutant, Played, Trial
from properties.conformance.outcomes import outcome_traces
from properties.system.trace import Trace
from properties.targets.clerk.target import clerk_js_target
from properties.targets.mutations import Mutation
from tests.support import assuming, model, ready

BUILD = "clerk-js@6.40.0"
NEWEST = model("6.40.0")
FORCED = GetToken(skip_cache=True)

ONCE_UNNOTICED: dict[str, tuple[str, str, str, tuple[Event, ...]]] = {
    "a request that does not say why it is made": (
        *('i?{debug:"skip_cache"}:void 0).catch', "void 0).catch", "debug=skip_cache"),
        (FORCED,),
    ),
    "a touch that does not say what it is for": (
        *("await this.#e2(c,p);c=", "await this.#e2(c);c=", "intent=focus"),
        (SwitchOrganization("org_b"),),
    ),
    "a request without cookies": (
        *('credentials:o.credentials||"include"', 'credentials:o.credentials||"omit"', "credentials=omit"),
        (Advance(43_000),),
    ),
    "an error without the time to come back": (
        *("if(429===s&&o)", "if(430===s&&o)", "api-429;"),
        (Touch(), Answer(1, Outcome.RETRY_AFTER)),
    ),
    "an error without its message": (
        *("t=e?.[0]?.long_message", "t=e?.[1]?.long_message", "api-500-bare"),
        (Touch(), Answer(1, Outcome.BROKEN)),
    ),
    "a guard that lets no refresh through any more": (
        *("/1e3>a?nj.#$.delete(i):", "/1e3>a?void 0:", "build does nothing"),
        (Freeze(61_000), GetToken(), Answer(1, Outcome.GRANTED), Advance(43_000)),
    ),
    "any 403 is taken for a 401": (
        *("422===t||403===t&&i", "422===t||403===t||i", "sends request 2 for introspect"),
        (SwitchOrganization("org_b"), Answer(1, Outcome.BLOCKED)),
    ),
    "a 403 in answer to the question after a 401 signs nobody out": (
        *("&&[403,500].includes(e.status)", "&&[404,500].includes(e.status)", "signs the user out"),
        (GetToken(skip_cache=True), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.BLOCKED)),
    ),
    "a token that is not handed out a second too early": (
        *("-r<=5)", "-r<=6)", "sends request 2"),
        (Advance(43_000), Advance(11_000), GetToken()),
    ),
}
"""What is replaced in the bundle and by what, what is said of it, and the trace."""


@pytest.fixture(scope="module")
def bundle() -> Iterator[Path]:
    """The bundle of the release."""
    build = ready(clerk_js_target("6.40.0", lambda line: None))
    yield build.bundle(Runtime.HEADLESS)
    build.close()


def trial(
    bundle: Path, before: str, after: str, *traces: tuple[Event, ...], runtime: Runtime = Runtime.HEADLESS
) -> Trial:
    """How the mutant ends."""
    source = bundle.read_text(encoding="utf-8")
    assert source.count(before) == 1
    start = len(source[: source.index(before)].encode("utf-16-le")) // 2
    mutation = Mutation(start, start + len(before), after, "", "", None, 0, "")
    ran = (
        Trace(BUILD, runtime, assuming("outage", "failing-start", "rotated-credential", "blocked"), events)
        for events in traces
    )
    return Mutant(mutation, BUILD, bundle, tuple(Played(one, frozenset(), frozenset()) for one in ran)).run()


@pytest.mark.parametrize("what", ONCE_UNNOTICED)
def test_it_is_noticed_now(bundle: Path, what: str) -> None:
    before, after, said, events = ONCE_UNNOTICED[what]
    found = trial(bundle, before, after, events)
    assert found.fate is Fate.DIFFERENCE
    assert said in found.how


def test_a_start_on_an_offline_device_that_asks_once_more_is_noticed(bundle: Path) -> None:
    """It asks eleven times, and no random trace loses as many requests."""
    traces = outcome_traces(NEWEST, Runtime.BROWSER_LIKE, everything(CLERK, Runtime.BROWSER_LIKE))
    lost = next(trace for trace in traces if trace.events[:2] == (GoOffline(), StartApp()))
    found = trial(bundle, "(v()?4:11)", "(v()?4:12)", lost.events, runtime=lost.runtime)
    assert found.fate is Fate.DIFFERENCE


def test_the_build_itself_is_not_taken_for_a_mutant(bundle: Path) -> None:
    """In the traces in which it violates nothing."""
    violating = {Freeze(61_000), Answer(2, Outcome.BLOCKED)}
    traces = [events for *_, events in ONCE_UNNOTICED.values() if violating.isdisjoint(events)]
    assert trial(bundle, "-r<=5)", "-r<=5 )", *traces).fate is Fate.SURVIVED
