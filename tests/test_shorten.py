"""A shorter trace with the same violation: found beside the one that shrinking ended in."""

from __future__ import annotations

from contextlib import closing

from model.app import App
from model.clerk.sdk import CLERK
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.run.distinct import NOTHING, simpler
from properties.run.run import Violation
from properties.run.shrink import reduce, violates
from properties.search.shorten import shorter
from properties.system.target import Target
from properties.system.trace import decode, document_in
from properties.targets.names import make_target
from properties.targets.node_target import NodeTarget
from tests.support import model, ready

GIVEN = INVARIANTS["given-tokens-never-go-backwards"]

LONG = """\
runtime: headless
assume: calm
invariant: given-tokens-never-go-backwards
getToken(template=api)
advance(10 s)
answer(1, granted)
advance(37.078 s)
setActive(org_b)
advance(5.922 s)
answer(3, session)
answer(2, granted)
answer(4, granted)
advance(55.003 s)
getToken(organization=org_b)
answer(5, granted)
advance(2.535 s)
answer(8, granted)
getToken(organization=org_b)
"""
"""What a search of 6.7.4 ended with, for one seed of ten."""


def ended_with(target: Target) -> Violation:
    """The violation that no move of shrinking makes simpler."""
    document = document_in(LONG.encode(), "above", target=target.name)
    violation = violates(decode(document, "above"), target, GIVEN)
    assert violation
    reduced = reduce(violation, target, GIVEN, simpler(violation, NOTHING))
    assert len(reduced.trace.events) == 15
    return reduced


def test_another_trace_of_the_same_cause_may_be_much_shorter() -> None:
    target = model("6.7.4")
    reduced = ended_with(target)
    found = [shorter(reduced, target, GIVEN, simpler(reduced, NOTHING), App(CLERK.operations)) for _ in range(2)]
    assert len(found[0].trace.events) == 6
    assert found[0].trace == found[1].trace, "the same each time"
    assert set(found[0].trace.cause) <= set(reduced.trace.cause)


def test_it_is_one_of_the_build(builds: dict[str, NodeTarget]) -> None:
    target = ready(builds["6.7.4"])
    reduced = ended_with(target)
    found = shorter(reduced, target, GIVEN, simpler(reduced, NOTHING), App(CLERK.operations))
    assert len(found.trace.events) == 6
    assert found.trace.target == target.name
    assert violates(found.trace, target, GIVEN)


def test_where_no_model_is_like_the_build_the_shorter_one_is_found_on_the_build() -> None:
    """What a search for `kept-beside-6.25.13` ended with, for one seed of ten. A page has no model."""
    shown = INVARIANTS["newest-token-is-shown"]
    text = """\
runtime: frame
assume: restart
invariant: newest-token-is-shown
restart()
touch()
advance(10 s)
answer(3, session)
"""
    with closing(make_target("clerk-js@6.25.13+partitioned-cookies", lambda line: None)) as target:
        assert isinstance(target, NodeTarget)
        ready(target, Runtime.FRAME)
        document = document_in(text.encode(), "above", target=target.name)
        violation = violates(decode(document, "above"), target, shown)
        assert violation
        found = shorter(violation, target, shown, simpler(violation, NOTHING), App(CLERK.operations))
    assert len(found.trace.events) == 2


def test_one_that_does_not_count_is_not_taken() -> None:
    target = model("6.7.4")
    reduced = ended_with(target)

    def counts(violation: Violation) -> bool:
        return violation.trace.events == reduced.trace.events

    assert shorter(reduced, target, GIVEN, counts, App(CLERK.operations)) is reduced


# -- moves of shrinking that need a quick target, or a few events ----------------------------------------------


def shrunk(target: Target, name: str, text: str) -> str:
    """The events that are left of a trace."""
    document = document_in(text.encode(), "above", target=target.name)
    violation = violates(decode(document, "above"), target, INVARIANTS[name])
    assert violation
    counts = simpler(violation, NOTHING)
    return str(reduce(violation, target, INVARIANTS[name], counts).trace)


def test_a_call_takes_the_place_of_all_that_comes_before_it() -> None:
    """What a search for `late-client-6.40.0` ended with, for one seed of ten: a touch does as well as a sign-out
    and a sign-in."""
    name = "valid-session-survives"
    text = f"""\
runtime: headless
assume: late-replies,several-sessions
invariant: {name}
signOut()
answer(1, no-session)
signIn(user=1)
signIn(user=2)
serve(2, session)
answer(3, session)
answer(4, session)
deliver(2)
"""
    assert shrunk(model("6.40.0"), name, text) == (
        "touch() -> signIn(user=2) -> serve(1, session) -> answer(2, session) -> answer(3, session) -> deliver(1)"
    )


def test_a_short_trace_of_a_build_without_a_model_is_made_shorter_by_two_events(
    builds: dict[str, NodeTarget],
) -> None:
    """On a page: that the tab is shown, hidden and shown again is no more than that it is shown."""
    name = "asks-on-return"
    text = f"""\
runtime: frame
assume: tab-switching,starvation
invariant: {name}
showTab()
sleep(1 min 1 s)
hideTab()
showTab()
"""
    build = ready(builds["6.7.4"], Runtime.FRAME)
    assert shrunk(build, name, text) == "sleep(1 min 1 s) -> showTab()"
