"""What is said of a counterexample: its causes, what of it is necessary, what a model says, and its document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from model.clerk.terms import GetToken
from model.requests import Outcome
from model.terms import Runtime, Timings
from model.world.events import Advance, Answer, Event, Freeze, FreezeKind
from model.world.facts import Frozen
from properties.invariants.catalogue import INVARIANTS, breach_of
from properties.invariants.causes import causal_chain, cause_sentence, links, sentence
from properties.run import schema
from properties.run.counterexample import Counterexample, Found, digest, load
from properties.run.explain import _model_says, explain, replay
from properties.run.run import Violation
from properties.run.variation import lengths_tried, say
from properties.system.target import Target
from properties.system.trace import BadTrace, Trace
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, HOUR, ROOT, assuming, judged, model, ready, run

SEED = (Freeze(8 * HOUR), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION))
IN_FLIGHT = (Advance(43_000), *SEED)


def violation(target: Target, assumptions: str, *events: Event) -> Violation:
    """The violation of the headline that `events` lead to."""
    trace = Trace(target.name, Runtime.HEADLESS, assuming(*assumptions.split(",")), events, HEADLINE)
    found = replay(trace, target)
    assert found is not None
    return found


def story_of(found: Violation | Counterexample) -> str:
    return cause_sentence(found.played, breach_of(found.trace, found.played))


def seeds_defect() -> Counterexample:
    target = model("6.7.1")
    return explain(violation(target, "starvation,stale-after-expiry", *SEED), target, seed=7)


# -- causes -------------------------------------------------------------------------------------------------


def test_the_chain_of_causes_leads_from_the_sign_out_back_to_the_timer() -> None:
    found = seeds_defect()
    told = causal_chain(found.played, breach_of(found.trace, found.played)).facts
    names = [type(found.facts[index]).__name__ for index in told]
    assert names == ["TimerFired", "Sent", "Answered", "Sent", "Answered", "SessionDropped"]


def test_what_nobody_caused_has_no_cause() -> None:
    facts = seeds_defect().facts
    assert [links(facts)[index] for index, fact in enumerate(facts) if isinstance(fact, Frozen)] == [()]


def test_a_timer_set_by_an_answer_fires_because_of_it() -> None:
    ran = run(model("6.7.4"), Advance(43_000), Answer(1, Outcome.GRANTED), Advance(43_000))
    *_, fired, sent = ran.facts
    assert sentence(ran.facts[: ran.facts.index(sent)]) == (
        "The timer set at sign-in fired on time; the SDK asked for a token in the background (request 1); "
        "the answer was a token (T2); the timer set at +43 s fired on time."
    )
    assert fired.at == 86_000


def test_a_starved_timer_is_told_with_how_late_it_was_and_why() -> None:
    assert story_of(seeds_defect()) == (
        "The timer set at sign-in fired 7 h 59 min 17 s late, because the event loop was frozen for 8 h; "
        "the SDK asked for a token in the background (request 1), 7 h 59 min after its last session token had "
        "expired; "
        "the answer was 401, although the session is valid; "
        "the SDK asked which sessions there are in the background (request 2); "
        "the answer was no session, although the session is valid; "
        "and so the SDK signed the user out, whose session the server still holds valid."
    )


def test_a_request_frozen_in_flight_is_told_with_how_long_it_was_under_way() -> None:
    found = violation(model("6.40.0"), "starvation,stale-on-arrival", *IN_FLIGHT)
    told = story_of(found)
    assert "fired on time" in told
    assert (
        "came 8 h later, because the event loop was frozen for 8 h: 401, with a token expired for 7 h 59" in told
    )


def test_a_sign_out_by_the_app_s_own_call_begins_with_the_app() -> None:
    target = model("6.40.0")
    with pytest.raises(Violation) as caught:
        judged(
            target, Freeze(8 * HOUR), GetToken(), Answer(1, Outcome.UNAUTHORIZED), Answer(2, Outcome.NO_SESSION)
        )
    assert story_of(caught.value).startswith("The app called getToken")


# -- necessity ----------------------------------------------------------------------------------------------


def needs(target: Target, assumptions: str, *events: Event) -> list[str]:
    return _said(explain(violation(target, assumptions, *events), target))


def test_the_edges_of_a_necessary_length_are_exact_to_the_ms() -> None:
    assert "freeze(8 h): any length from 17.001 s on will do, none up to 17 s" in needs(
        model("6.7.4"), "starvation,stale-on-arrival", *IN_FLIGHT
    )


def test_a_necessary_kind_of_freeze_is_told() -> None:
    assert "freeze(8 h): a device asleep would not do" in needs(
        model("6.7.1"), "starvation,stale-after-expiry", *SEED
    )


def test_answers_that_would_do_as_well_are_told_apart_from_those_that_would_not() -> None:
    said = needs(model("6.7.1"), "starvation,stale-after-expiry", *SEED)
    assert said[-1].startswith(
        "answer(2, no-session): 500 or a firewall's 403 would do as well; the session, 429, "
    )


def test_an_event_that_is_not_needed_is_said_to_be_so() -> None:
    said = needs(model("6.7.1"), "starvation,stale-after-expiry", Advance(1000), *SEED)
    assert "advance(1 s): not needed" in said


def test_the_real_build_needs_what_its_model_needs(builds: dict[str, NodeTarget]) -> None:
    case = ("starvation,stale-on-arrival", *IN_FLIGHT)
    assert needs(ready(builds["6.40.0"]), *case) == needs(model("6.40.0"), *case)


def test_other_arguments_of_the_same_operation_are_tried() -> None:
    target = model("6.40.0")
    events = (Freeze(8 * HOUR), GetToken(), *SEED[1:])
    trace = Trace(target.name, Runtime.HEADLESS, assuming("starvation", "stale-for-good"), events, SURVIVES)
    found = replay(trace, target)
    assert found is not None
    (said,) = [line for line in _said(explain(found, target)) if line.startswith("getToken()")]
    others = ("skipCache", "template=api", "organization=org_b", "organization=personal")
    assert all(f"getToken({arguments})" in said for arguments in others)


SURVIVES = "valid-session-survives"


def _said(found: Counterexample) -> list[str]:
    return [say(need, found.trace) for need in found.needs]


def test_the_lengths_tried_are_those_that_mean_something_to_the_sdk() -> None:
    seconds = [
        length / 1000 for length in lengths_tried(Timings(lifetime=3600, lead=90, cutoff=10)) if length > 1
    ]
    assert {10, 90, 3510, 3590, 3601} <= set(seconds)
    assert not {17, 43, 55, 61} & set(seconds)


# -- the model's opinion ------------------------------------------------------------------------------------


def test_the_model_of_the_release_is_asked_and_its_client_shown(builds: dict[str, NodeTarget]) -> None:
    target = ready(builds["6.7.1"])
    found = explain(violation(target, "starvation,stale-after-expiry", *SEED), target)
    assert found.opinion is not None
    assert found.opinion.violated
    assert found.opinion.target == "model@CLERK_JS_6_7_1"
    assert len(found.clients) == len(SEED) + 1


def test_what_the_model_says_ends_where_it_first_breaks(builds: dict[str, NodeTarget]) -> None:
    target = ready(builds["6.7.1"])
    found = violation(target, "starvation,stale-after-expiry", *SEED)
    longer = replace(found.trace, events=(*found.trace.events, Advance(1000), Advance(1000)))
    opinion, _ = _model_says(longer, target, INVARIANTS[HEADLINE])
    assert opinion is not None
    assert opinion.says == "violated too, by the same 3 events"


@pytest.mark.parametrize(
    ("release", "assumption", "says"),
    [
        ("6.7.4", "stale-after-expiry", (2, "no request 1 is in flight")),
        ("6.7.1", "outage", (2, "it is not allowed assuming starvation,outage")),
    ],
)
def test_replay_says_from_where_on_a_trace_cannot_happen(
    release: str, assumption: str, says: tuple[int, str]
) -> None:
    heard: list[tuple[int, str]] = []
    target = model(release)
    trace = Trace(target.name, Runtime.HEADLESS, assuming("starvation", assumption), SEED, HEADLINE)
    assert replay(trace, target, lambda place, reason: heard.append((place, reason))) is None
    assert heard == [says]


# -- the document -------------------------------------------------------------------------------------------


def test_a_counterexample_comes_back_from_disk_as_it_was() -> None:
    found = seeds_defect()
    assert load(found.save()) == found


def test_the_breach_of_a_saved_counterexample_is_that_of_the_violation() -> None:
    """Computed anew, from facts, world and history as they were saved."""
    target = model("6.40.0")
    events = (GetToken(skip_cache=True), GetToken(), Advance(43_000))
    trace = Trace(target.name, Runtime.HEADLESS, assuming("outage"), events, "every-call-settles")
    broken = replay(trace, target)
    assert broken is not None
    found = load(Counterexample(broken.trace, broken.played, Found({})).save())
    assert isinstance(found, Counterexample)
    breach = breach_of(found.trace, found.played)
    assert breach is not None
    assert breach == breach_of(broken.trace, broken.played)


def test_a_sleep_is_a_fact_that_comes_back_too() -> None:
    target = model("6.40.0")
    asleep = (Advance(43_000), Freeze(8 * HOUR, FreezeKind.ASLEEP), *SEED[1:])
    found = explain(violation(target, "starvation,stale-on-arrival", *asleep), target)
    assert load(found.save()) == found


@pytest.mark.parametrize(("old", "new"), [('"ms":28800000', '"ms":1000'), ('"now":28800000', '"now":1000')])
def test_what_was_seen_is_forgotten_when_anything_was_edited(old: str, new: str) -> None:
    path = seeds_defect().save()
    text = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    path.write_text(text)
    assert load(path) == seeds_defect()
    path.write_text(text.replace(old, new))
    assert isinstance(load(path), Trace)


def edited(path: Path, **changes: object) -> Path:
    """The document with other fields, and the digest that fits them."""
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(document | {"digest": digest(document)}))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": []},
        {"steps": None},
        {"steps": [{"facts": "?"}] * 3},
        {"start": 1},
        {"start": {"world": {}, "monitor": {}}},
        {"found": None},
    ],
)
def test_a_damaged_document_gets_one_line(changes: dict[str, object]) -> None:
    with pytest.raises(BadTrace, match="damaged, or edited by hand") as caught:
        load(edited(seeds_defect().save(), **changes))
    assert "\n" not in str(caught.value)


def test_documents_of_version_1_still_load() -> None:
    for path in sorted((ROOT / "properties" / "targets" / "clerk" / "corpus").glob("*.json")):
        if json.loads(path.read_text())["version"] == 1:
            assert isinstance(load(path), Trace)


@pytest.mark.parametrize("version", [2, 3])
def test_an_older_document_loads_as_the_bare_trace_for_it_has_other_words_for_what_was_seen(version: int) -> None:
    assert load(edited(seeds_defect().save(), version=version)) == seeds_defect().trace


def test_a_document_whose_model_had_other_fields_loads_without_the_model_s_states() -> None:
    path = seeds_defect().save()
    document = json.loads(path.read_text())
    for client in document["clients"]:
        client["policy"]["had_a_rule_that_is_gone"] = client["policy"].pop("keep_freshest")
    found = load(edited(path, clients=document["clients"]))
    assert isinstance(found, Counterexample)
    assert found.clients == ()
    assert found.facts == seeds_defect().facts


def test_the_schema_in_its_file_is_that_of_the_values() -> None:
    assert schema.SCHEMA_FILE.read_text() == schema.text()


def documents() -> list[dict[str, Any]]:
    corpus = sorted((ROOT / "properties" / "targets" / "clerk" / "corpus").glob("*.json"))
    return [
        json.loads(path.read_text()) for path in [*corpus, seeds_defect().save(), seeds_defect().trace.save()]
    ]


def test_every_document_is_valid_under_the_schema_and_a_broken_one_is_not() -> None:
    validator = jsonschema.Draft202012Validator(schema.schema())
    for document in documents():
        validator.validate(document)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(documents()[0] | {"events": [{"event": "Explode"}]})
