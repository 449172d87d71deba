"""A request takes time both ways: the server acts at one instant, and its reply reaches the client at another."""

from __future__ import annotations

import pytest

from model.app import ANY_APP, App
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken, SwitchOrganization, TokenId
from model.requests import Outcome
from model.step import permits
from model.terms import Runtime
from model.world.events import Advance, Answer, Deliver, GoOffline, Lose, RestartApp, Serve
from model.world.facts import Announced, Answered, Served, Settled
from model.world.possible import NotEnabled
from properties.prove.canonical import state_of
from properties.prove.prove import problem as asked
from properties.prove.successors import successors
from properties.run.run import Run
from tests.support import SECOND, assuming, model, of_kind, run

FORCED = GetToken(skip_cache=True)
GRANTED, LOST = Outcome.GRANTED, Outcome.LOST


def test_an_answer_is_what_serving_and_delivering_at_one_instant_is() -> None:
    at_once = run(model("6.40.0"), FORCED, Answer(1, GRANTED))
    in_two = run(model("6.40.0"), FORCED, Serve(1, GRANTED), Deliver(1))
    assert at_once.system == in_two.system
    assert of_kind(Settled, at_once.facts) == of_kind(Settled, in_two.facts)


def test_the_token_is_minted_when_the_server_acts() -> None:
    ran = run(model("6.40.0"), FORCED, Serve(1, GRANTED), Advance(20 * SECOND), Deliver(1))
    (settled,) = [fact for fact in ran.facts if isinstance(fact, Settled)]
    assert settled.token is not None
    assert (settled.at, settled.token.issued, settled.token.expires) == (20 * SECOND, 0, 60)


def test_the_facts_say_when_the_server_acted_and_when_the_client_heard_of_it() -> None:
    ran = run(model("6.40.0"), FORCED, Serve(1, GRANTED), Advance(20 * SECOND), Deliver(1))
    assert [(fact.at, fact.token and fact.token.number) for fact in ran.facts if isinstance(fact, Served)] == [
        (0, 2)
    ]
    (answered,) = [fact for fact in ran.facts if isinstance(fact, Answered)]
    assert (answered.at, answered.served_at, answered.honest) == (20 * SECOND, 0, True)


def test_a_reply_that_is_lost_leaves_what_the_server_did() -> None:
    ran = run(model("6.40.0"), SwitchOrganization("org_b"), Serve(1, Outcome.SESSION), Lose(1))
    assert ran.world.server.session_token == TokenId(organization="org_b")
    (answered,) = [fact for fact in ran.facts if isinstance(fact, Answered)]
    assert (answered.outcome, answered.honest, answered.token) == (LOST, False, None)


def test_the_devices_last_token_is_the_one_that_it_got_not_the_one_under_way() -> None:
    ran = run(model("6.40.0"), FORCED, Serve(1, GRANTED))
    assert ran.world.token.number == 1
    ran.play(Deliver(1))
    assert ran.world.token.number == 2


def test_a_token_that_is_overtaken_is_not_the_last_one() -> None:
    ran = run(model("6.40.0"), FORCED, Serve(1, GRANTED), FORCED, Answer(2, GRANTED), Deliver(1))
    assert ran.world.token.number == 3


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (Deliver(1), "no reply to request 1 is under way"),
        (Lose(1), "no reply to request 1 is under way"),
        (Serve(1, LOST), "a reply that is lost is not under way"),
        (Serve(2, GRANTED), "no request 2 is in flight"),
    ],
)
def test_what_cannot_happen_before_the_server_has_acted(event: Serve | Deliver | Lose, why: str) -> None:
    with pytest.raises(NotEnabled, match=why):
        run(model("6.40.0"), FORCED, event)


@pytest.mark.parametrize("event", [Serve(1, GRANTED), Answer(1, GRANTED)])
def test_the_server_acts_once(event: Serve | Answer) -> None:
    with pytest.raises(NotEnabled, match="has acted on request 1 already"):
        run(model("6.40.0"), FORCED, Serve(1, GRANTED), event)


def test_a_restart_ends_what_is_under_way() -> None:
    ran = run(model("6.40.0"), FORCED, Serve(1, GRANTED), RestartApp())
    assert ran.world.requests == ()


def test_only_late_replies_lets_the_two_be_apart() -> None:
    ran = run(model("6.40.0"), FORCED)
    for names, allowed in ((("late-replies",), True), (("outage", "starvation"), False)):
        assert permits(ran.system, assuming(*names), Serve(1, GRANTED), ANY_APP) is allowed


def test_the_server_acts_within_the_networks_patience_and_the_reply_takes_as_long_as_it_takes() -> None:
    late = assuming("late-replies")
    ran = Run(model("6.40.0"), Runtime.HEADLESS, late, ())
    ran.play(FORCED)
    assert not ran.permits(Advance(16 * SECOND))
    ran.play(Serve(1, GRANTED))
    assert ran.permits(Advance(40 * SECOND))


def test_offline_no_reply_arrives() -> None:
    ran = run(model("6.40.0"), FORCED, Serve(1, GRANTED), GoOffline(), runtime=Runtime.BROWSER_LIKE)
    assert not ran.permits(Deliver(1))
    with pytest.raises(NotEnabled, match="the device is offline"):
        ran.play(Deliver(1))


def test_a_proof_keeps_which_token_a_slot_has_held_before() -> None:
    """The reply to the first of two calls comes first, with the newer token. The other one's does not replace
    that."""
    problem = asked(model("6.40.0"), Runtime.HEADLESS, assuming("late-replies"), App((FORCED,), calls=2))
    events = (FORCED, FORCED, Serve(2, GRANTED), Advance(5 * SECOND), Serve(1, GRANTED), Deliver(1), Deliver(2))
    ran = run(problem.model, *events[:-1])
    before = state_of(CLERK, (ran.system, problem.model.client), problem.memory)
    ran.play(events[-1])
    (cached,) = problem.model.client.cache
    assert cached.token == problem.model.client.last_seen
    ends = [end for step, end in successors(problem, before) if isinstance(step.event, Deliver)]
    assert ends
    for end in ends:
        (entry,) = end.client.cache
        assert entry.token == end.client.last_seen


@pytest.mark.parametrize(("release", "backwards"), [("6.7.4", True), ("6.40.0", False)])
def test_since_9030_an_overtaken_token_does_not_replace_the_fresher_one(release: str, backwards: bool) -> None:
    ran = run(
        model(release),
        *(FORCED, Serve(1, GRANTED), Advance(SECOND)),
        *(FORCED, Answer(2, GRANTED), Deliver(1)),
    )
    announced = [fact for fact in ran.facts if isinstance(fact, Announced)]
    assert any(fact.backwards for fact in announced) is backwards
