"""Which changes of a build are noticed: coverage, mutations, trials, and the reasons for what survives."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, RestartApp
from properties.cli import sensitivity as front
from properties.cli.common import profile
from properties.cli.main import main
from properties.conformance.mutants import Experiment, Fate, Mutant, Played, Trial, prepare, sample
from properties.conformance.survivors import (
    BadReasons,
    Reason,
    Why,
    parts_in,
    reasons_in,
    rows,
    stale,
    unexplained,
)
from properties.system.trace import Trace
from properties.targets.clerk.target import clerk_js_target
from properties.targets.mutations import Code, Mutation, Part, code_of
from properties.targets.names import built_in
from properties.targets.node_target import NodeTarget
from tests.support import assuming, fresh, ready, run
from tests.toy.adapter import HERE, TOY_ADAPTER
from tests.toy.sdk import FetchToken

BUNDLE = HERE / "bundle.cjs"
BUILD = f"toy@{BUNDLE}"
SOURCE = BUNDLE.read_text()
REFRESHED: tuple[Event, ...] = (Advance(50_000), Answer(1, Outcome.GRANTED), Advance(1_000), FetchToken())
REFUSED: tuple[Event, ...] = (Advance(50_000), Answer(1, Outcome.UNAUTHORIZED))


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is an SDK of the command line."""
    monkeypatch.setenv("SESSIONPROOF_SDK", "tests.toy.adapter:TOY_ADAPTER")


@pytest.fixture
def toy() -> Iterator[NodeTarget]:
    """The toy, whose coverage is counted."""
    made = TOY_ADAPTER.target(BUILD, lambda line: None)
    assert made is not None
    made.count_coverage()
    with contextlib.closing(ready(made)):
        yield made


def ran(source: str, *words: str) -> list[tuple[int, int]]:
    """The ranges of these words, as if they had run."""
    return [(source.index(word), source.index(word) + len(word)) for word in words]


def code(tmp_path: Path, source: str, parts: Sequence[Part] = ()) -> Code:
    """What there is in a bundle all of which has run."""
    path = tmp_path / "bundle.js"
    path.write_text(source, encoding="utf-8")
    return code_of(path, [(0, 2 * len(source))], parts, lambda line: None)


def mutation(before: str, after: str) -> Mutation:
    """A mutation of the toy."""
    start = SOURCE.index(before)
    return Mutation(start, start + len(before), after, "number", "Toy", None, 0, f"«{before} → {after}»")


def trial(before: str, after: str, *traces: Sequence[Event]) -> Trial:
    """How a mutant of the toy ends."""
    played = [
        Played(
            Trace(BUILD, Runtime.HEADLESS, assuming("rotated-credential"), tuple(events)),
            frozenset(),
            frozenset(),
        )
        for events in traces or (REFRESHED,)
    ]
    return Mutant(mutation(before, after), BUILD, BUNDLE, tuple(played)).run()


# -- what runs ----------------------------------------------------------------------------------------------


def test_coverage_has_what_runs_in_a_trace_and_not_what_runs_while_the_sdk_loads(toy: NodeTarget) -> None:
    run(fresh(toy), Advance(40_000))
    toy.finish()
    assert not toy.coverage()
    run(toy, *REFRESHED)
    toy.finish()
    text = "\n".join(SOURCE[start:end] for start, end in toy.coverage())
    assert "this.refreshing = true;" in text
    assert "this.onSignOut();" not in text
    assert "this.onSignOut = onSignOut;" not in text


def test_the_process_that_counts_is_replaced_now_and_then(
    toy: NodeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V8 keeps what it counts: after some hundred traces of a large bundle, its heap would be full."""
    monkeypatch.setattr("properties.targets.node_target.COUNTED_TRACES", 2)
    processes: list[int] = []
    for _ in range(4):
        run(fresh(toy), *REFRESHED)
        toy.finish()
        assert toy._driver
        processes.append(toy._driver.pid)
        assert toy.coverage()
    first, second = processes[0], processes[2]
    assert processes == [first, first, second, second]
    assert first != second


def test_a_restart_is_loading_too_and_what_ran_before_it_counts(toy: NodeTarget) -> None:
    run(fresh(toy), *REFRESHED, RestartApp())
    toy.finish()
    text = "\n".join(SOURCE[start:end] for start, end in toy.coverage())
    assert "this.refreshing = true;" in text
    assert "this.onSignOut = onSignOut;" not in text


# -- mutations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("x = a === b", ["x = a !== b"]),
        ("x = a < b", ["x = a >= b"]),
        ("x = a && b", ["x = a || b"]),
        ("x = 5e3", ["x = 5001"]),
        ("x = !a", ["x =  a"]),
        ("x = !0", ["x = !1"]),
        ("x = true", ["x = false"]),
        ("x = void 0", []),
        ("x = a ? b : c", ["x = !a ? b : c"]),
        ("if (a()) b = c", ["if (!a()) b = c"]),
        ("a()", ["void 0"]),
        ("x = a()", []),
        ("a && b(), c()", ["a || b(), c()", "a && void 0, c()", "a && b(), void 0"]),
        ("async () => { await a() }", ["async () => {   a() }", "async () => { await void 0 }"]),
    ],
)
def test_one_token_of_the_code_changes(tmp_path: Path, source: str, mutants: list[str]) -> None:
    assert [one.applied(source) for one in code(tmp_path, source).mutations] == mutants


def test_only_code_that_has_run_is_mutated(tmp_path: Path) -> None:
    path = tmp_path / "bundle.js"
    path.write_text("function f() { a = 1 }\nfunction g() { a = 2 }")
    found = code_of(path, ran(path.read_text(), "{ a = 2 }"), (), lambda line: None)
    assert [one.scope for one in found.mutations] == ["g"]
    assert [one.inside for one in found.mutations] == [path.read_text().index("{ a = 2")]
    assert [(one.scope, one.ran) for one in found.functions] == [("f", False), ("g", True)]


def test_a_mutation_is_in_its_place_behind_letters_of_two_units(tmp_path: Path) -> None:
    (only,) = code(tmp_path, "s = '🔑'; x = 5").mutations
    assert only.applied("s = '🔑'; x = 5") == "s = '🔑'; x = 6"


def test_a_part_is_the_smallest_definition_that_has_all_its_texts(tmp_path: Path) -> None:
    source = "class A { get() { x = 1 } put() { y = () => { z = 2 } } }"
    parts = [
        Part("inner", "", (("z = ",),)),
        Part("outer", "", (("put(", "z = "),)),
        Part("none", "", (("w = ",),)),
    ]
    found = code(tmp_path, source, parts)
    assert [(one.scope, one.part) for one in found.mutations] == [("A.get", None), ("A.put.y", "inner")]
    assert found.missing == (("w = ",),)


def test_the_parts_of_the_newest_release_are_all_found(tmp_path: Path) -> None:
    adapter = built_in()
    with contextlib.closing(clerk_js_target("6.40.0", lambda line: None)) as build:
        bundle = ready(build).bundle(Runtime.HEADLESS)
    parts = parts_in(adapter.logic)
    found = code_of(bundle, (), parts, lambda line: None)
    assert not found.missing
    assert {one.part for one in found.functions} == {None, *(part.name for part in parts)}


# -- trials -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "traces", "fate", "how"),
    [
        ("AHEAD = 10", "AHEAD = 11", [REFRESHED], Fate.DIFFERENCE, "timers due at 0:00:49"),
        ("AHEAD = 10", "AHEAD = 10;;", [REFRESHED], Fate.SURVIVED, ""),
        ("AHEAD = 10", "AHEAD = (", [REFRESHED], Fate.NOT_LOADING, "SyntaxError"),
        ("toy.test/token", "toy.test/tokens", [REFRESHED], Fate.NOT_LOADING, "which has no answer"),
        (
            "this.renew(BACKGROUND",
            "this.renew(!BACKGROUND",
            [REFRESHED, REFUSED],
            Fate.DIFFERENCE,
            "signs the user",
        ),
        (
            "Date.now() < expiry(this.token) * 1000",
            "true",
            [(Advance(61_000), FetchToken())],
            Fate.VIOLATION,
            "valid",
        ),
    ],
)
def test_a_mutant_is_noticed_or_survives(
    toy: NodeTarget, before: str, after: str, traces: list[Sequence[Event]], fate: Fate, how: str
) -> None:
    found = trial(before, after, *traces)
    assert (found.fate, how in found.how) == (fate, True), found


@pytest.mark.slow
def test_what_the_build_itself_violates_in_a_trace_is_no_sign_of_a_mutant(toy: NodeTarget) -> None:
    experiment = prepare(TOY_ADAPTER, BUILD, (), profile(30), 0, lambda traces, of: None, lambda line: None)
    assert any(played.violated for played in experiment.traces)
    same = Mutant(mutation("AHEAD = 10", "AHEAD = 10;;"), BUILD, BUNDLE, experiment.traces)
    assert same.run().fate is Fate.SURVIVED


def test_the_same_seed_draws_the_same_mutants() -> None:
    all_of_them = Code(tuple(mutation("10", str(number)) for number in range(50)), (), ())
    assert sample(all_of_them, True, 9, 1) == sample(all_of_them, True, 9, 1) != sample(all_of_them, True, 9, 2)
    assert sample(all_of_them, False, 9, 1) == []
    assert len(sample(all_of_them, True, 99, 1)) == 50


# -- reasons ------------------------------------------------------------------------------------------------

SURVIVES, DIES = mutation("AHEAD = 10", "AHEAD = 10;;"), mutation("AHEAD = 10", "AHEAD = 11")
TRIALS = (Trial(SURVIVES, Fate.SURVIVED, "", 9), Trial(DIES, Fate.DIFFERENCE, "it differs", 1))
EXPERIMENT = Experiment(BUILD, BUNDLE, (), Code((SURVIVES, DIES), (), ()))


def reason(*codes: str, why: Why = Why.EQUIVALENT) -> Reason:
    """A reason why these mutations survive."""
    return Reason(BUILD, why, "an empty statement", codes)


def test_a_survivor_needs_a_reason() -> None:
    assert unexplained(TRIALS, []) == [SURVIVES]
    assert unexplained(TRIALS, [reason(SURVIVES.code)]) == []


def test_a_reason_is_stale_once_its_mutant_is_noticed_or_gone() -> None:
    assert stale(EXPERIMENT, TRIALS, [reason(SURVIVES.code)]) == []
    (noticed,) = stale(EXPERIMENT, TRIALS, [reason(DIES.code)])
    assert noticed.startswith("noticed (difference)")
    (gone,) = stale(EXPERIMENT, TRIALS, [reason("«a → b»")])
    assert "has no such mutation" in gone


def test_the_share_that_is_noticed_leaves_out_only_what_nobody_could_notice() -> None:
    (_, equal), (_, gap) = (
        rows(EXPERIMENT, TRIALS, [reason(SURVIVES.code, why=why)]) for why in (Why.EQUIVALENT, Why.GAP)
    )
    assert (equal.noticed, equal.relevant) == (1, 1)
    assert (gap.noticed, gap.relevant) == (1, 2)


def test_every_reason_that_is_shipped_is_about_code_of_its_build() -> None:
    builds: dict[str, str] = {}
    for one in reasons_in(built_in().survivors):
        if one.build not in builds:
            with contextlib.closing(clerk_js_target(one.build.partition("@")[2], lambda line: None)) as build:
                builds[one.build] = " ".join(ready(build).bundle(Runtime.HEADLESS).read_text("utf-8").split())
        assert one.reason
        for code in one.mutations:
            assert re.sub(r"«(.*?) → .*?»", r"\1", code) in builds[one.build], code


def test_a_file_of_reasons_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text('[[survivor]]\nbuild = "b"\nwhy = "luck"\nreason = "r"\nmutations = []\n')
    with pytest.raises(BadReasons, match=r"survivors\.toml: Invalid enum value 'luck'"):
        reasons_in(path)


# -- the command --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_what_survives_and_writes_everything(toy: NodeTarget, tmp_path: Path) -> None:
    bundle, out = tmp_path / "bundle.cjs", tmp_path / "trials.json"
    bundle.write_text(SOURCE.replace("async fetchToken() {", "async fetchToken() { this.unused = 5;"))
    words = ["sensitivity", "--target", f"toy@{bundle}", "--mutants", "99", "--traces", "5"]
    done = CliRunner().invoke(main, [*words, "--out", str(out), "--workers", "1"])
    trials = json.loads(out.read_text())["trials"]
    survivors = [one["code"] for one in trials if one["fate"] == "survived"]
    assert done.exit_code == 1, done.output
    assert any("«5 → 6»" in one for one in survivors)
    assert len(survivors) < len(trials)
    for survivor in survivors:
        assert survivor in done.output


@pytest.mark.slow
def test_an_interrupt_does_not_lose_what_is_known(
    toy: NodeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(tasks: list[Mutant], workers: int, tell: object) -> None:
        assert callable(tell)
        tell(tasks[0].run())
        raise KeyboardInterrupt

    monkeypatch.setattr(front, "run_all", interrupted)
    out = tmp_path / "trials.json"
    words = ["sensitivity", "--target", BUILD, "--mutants", "6", "--traces", "5", "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 130, done.output
    assert len(json.loads(out.read_text())["trials"]) == 1


def test_a_model_has_no_mutants() -> None:
    done = CliRunner().invoke(main, ["sensitivity", "--target", "model"])
    assert done.exit_code == 2
    assert "is no build" in done.output
