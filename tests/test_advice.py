"""What `advise` says of a release is what happens on its build; and the table that it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from model.clerk.policy import SINCE
from model.terms import Runtime
from properties.cli.common import profile
from properties.cli.releases import advise
from properties.conformance import releases as computation
from properties.conformance.releases import Count, judge, recompute
from properties.invariants.catalogue import INVARIANTS
from properties.render.advice import advice as advice_text
from properties.render.advice import as_markdown
from properties.render.tables import plain
from properties.run.advice import Known, Remedy, answers, known, load, spec
from properties.run.releases import Breaks, Held, Judgement, Proved, Span, Table, next_change, spans
from properties.run.releases import load as load_table
from properties.run.shrink import violates
from properties.system.event_kinds import parsed
from properties.system.failures import Failure, told
from properties.targets.names import built_in, make_target
from properties.targets.node_target import NodeTarget
from properties.targets.npm import Package
from tests.support import ROOT, ready

SDK = built_in()
TABLE = load_table(SDK.releases)
WORDS = load(SDK.advice).remedies
TRACES = 100

ON_EXPO = {"expo": "3.2.5", "clerk-js": "6.9.0"}
"""Not the @clerk/clerk-js that this release of Expo was published with."""


def silent(line: str) -> None:
    """Nobody listens."""


def uncounted(traces: int, of: int) -> None:
    """Nobody waits."""


def no_counter(what: str) -> Count:
    """No search is followed."""
    return uncounted


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[NodeTarget]:
    """The build that a test names, at hand."""
    made = at_hand(request.param)
    yield made
    made.close()


def at_hand(spec: str, runtime: Runtime = Runtime.HEADLESS) -> NodeTarget:
    """A build, prepared."""
    made = make_target(spec, silent)
    assert isinstance(made, NodeTarget)
    return ready(made, runtime)


@contextlib.contextmanager
def set_up(target: NodeTarget, finding: Known) -> Iterator[NodeTarget]:
    """The target, or the same release in an app with the setup of the finding."""
    if not finding.setup:
        yield target
        return
    made = at_hand(finding.on(target.name), finding.trace.runtime)
    try:
        yield made
    finally:
        made.close()


def findings(package: str, *runtimes: Runtime) -> list[Known]:
    """Those that a package can have on these runtimes."""
    return [one for one in known(SDK, package) if one.trace.runtime in runtimes]


# -- what is said, and what happens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "clerk-js@6.7.1",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("clerk-js@6.9.0", "clerk-js@6.40.0", "expo@3.2.5")
        ),
    ],
    indirect=True,
)
def test_a_judgement_in_the_table_is_that_of_the_build(target: NodeTarget) -> None:
    package, _, version = target.name.partition("@")
    again = {}
    for one in findings(package, Runtime.HEADLESS, Runtime.BROWSER_LIKE):
        with set_up(target, one) as on:
            again[one.name] = judge(on, one, profile(TRACES), uncounted)
    assert again == {name: TABLE.judgements(name, package)[version] for name in again}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["clerk-js@6.7.1", "clerk-js@6.9.0", "clerk-js@6.40.0"], indirect=True)
def test_a_judgement_in_the_table_is_that_of_the_page(target: NodeTarget) -> None:
    version = target.name.partition("@")[2]
    again = {}
    for one in findings("clerk-js", Runtime.BROWSER, Runtime.FRAME):
        with set_up(target, one) as on:
            again[one.name] = judge(ready(on, one.trace.runtime), one, profile(TRACES), uncounted)
    assert len(again) == 10
    assert again == {name: TABLE.judgements(name, "clerk-js")[version] for name in again}


@pytest.mark.slow
@pytest.mark.parametrize("target", [spec(ON_EXPO)], indirect=True)
def test_what_is_said_of_expo_around_any_clerk_js_is_what_happens_on_the_two(target: NodeTarget) -> None:
    for said in answers(SDK, TABLE, ON_EXPO):
        with set_up(target, said.finding) as on:
            trace = replace(said.finding.trace, target=on.name)
            happens = violates(trace, on, INVARIANTS[str(trace.invariant)]) is not None
            assert happens is isinstance(said.judgement, Breaks), said.finding.name
            if happens:
                remedies = said.finding.about.remedies.items()
                helpful = tuple(WORDS[name] for name, remedy in remedies if remedy.helps(trace, on))
                assert said.remedies == helpful, said.finding.name


@pytest.mark.parametrize("target", ["clerk-js@6.7.1"], indirect=True)
def test_events_that_do_the_same_do_it_on_the_build(target: NodeTarget) -> None:
    (one,) = (one for one in findings("clerk-js", Runtime.HEADLESS) if one.name.startswith("stale-in-the-fore"))
    seen = TABLE.judgements(one.name, "clerk-js")["6.7.1"]
    assert isinstance(seen, Breaks)
    events = tuple(map(parsed, seen.instead.split(" -> ")))
    trace = replace(one.trace, target=target.name, events=events)
    assert violates(trace, target, INVARIANTS[str(trace.invariant)])


def test_a_remedy_of_clerk_js_alone_is_not_one_of_expo() -> None:
    """Expo has deleted the credential by then."""
    alone = {one.finding.name: one.remedies for one in answers(SDK, TABLE, {"clerk-js": "6.9.0"})}
    on_expo = {one.finding.name: one.remedies for one in answers(SDK, TABLE, ON_EXPO)}
    assert alone["locked-keychain-6.40.0"] == (WORDS["reload"],)
    assert on_expo["locked-keychain-6.40.0"] == (WORDS["own-token-cache"],)


def test_a_remedy_may_be_another_setup_of_the_app_or_none() -> None:
    """In place of that of the finding."""
    early, plain_expo = "expo@3.6.2+early-singleton", "expo@3.6.2"
    (one,) = (one for one in findings("expo", Runtime.HEADLESS) if one.on(plain_expo) == early)
    target = at_hand(early)
    try:
        helps = {
            setup: Remedy(("getToken",), setup).helps(one.trace, target)
            for setup in ("singleton-with-cache", "", "early-singleton", "no-such-setup")
        }
        assert helps == {
            "singleton-with-cache": True,
            "": True,
            "early-singleton": False,
            "no-such-setup": False,
        }
        assert not Remedy(("getToken",)).helps(one.trace, target)
    finally:
        target.close()


# -- the table -----------------------------------------------------------------------------------------------

STALE = "the table of releases is older than the findings: run `sessionproof releases`"


@pytest.mark.parametrize("package", SDK.packages)
def test_every_release_is_judged_by_every_finding_as_it_stands(package: str) -> None:
    traces = {(one.name, one.claim, str(one.trace)) for one in known(SDK, package)}
    assert {(h.finding, h.claim, h.events) for h in TABLE.findings if h.package == package} == traces, STALE
    for name, *_ in traces:
        assert tuple(TABLE.judgements(name, package)) == TABLE.releases[package], STALE


def test_the_table_has_the_first_release_of_every_policy() -> None:
    assert {".".join(map(str, version)) for version in SINCE} <= set(TABLE.releases["clerk-js"])


@pytest.mark.parametrize(
    ("finding", "before", "after"),
    [
        ("starved-refresh-6.7.1", "6.7.1", "6.7.4"),  # #8303
        ("late-reply-6.7.1", "6.7.1", "6.7.4"),
        ("staler-token-6.7.4", "6.23.0", "6.24.0"),  # #9030
        ("older-token-6.7.4", "6.23.0", "6.24.0"),
        ("clock-behind-6.40.0", "6.23.0", "6.24.0"),
        ("chain-ends-6.40.0", "6.23.0", "6.24.0"),
        ("staler-client-6.27.1", "6.27.1", "6.28.1"),  # #9284
        ("emptied-cookie-6.0.0", "6.0.0", "6.1.0"),  # #7912
        ("frozen-in-flight-6.40.0", "6.40.0", None),
    ],
)
def test_the_table_changes_where_a_release_did(finding: str, before: str, after: str | None) -> None:
    judgements = TABLE.judgements(finding, "clerk-js")
    assert next_change(judgements, before) == after


def test_the_table_is_written_as_it_is_read() -> None:
    TABLE.save(Path("again.json"))
    assert Path("again.json").read_bytes() == SDK.releases.read_bytes()


def test_every_remedy_helps_somewhere() -> None:
    helpful = {
        name
        for history in TABLE.findings
        for span in history.spans
        if isinstance(span.judgement, Breaks)
        for name in span.judgement.remedies
    }
    assert helpful == set(WORDS)


def test_the_docs_have_the_table() -> None:
    assert as_markdown(TABLE) in (ROOT / "docs" / "releases.md").read_text(encoding="utf-8")


# -- computing it --------------------------------------------------------------------------------------------


@pytest.fixture
def two_of_expo(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The only releases that there are: published with the last @clerk/clerk-js before #8303, and with it."""
    versions = ("3.1.10", "3.2.1")
    at_hand(f"expo@{versions[0]}").close()

    def released(package: Package) -> list[str]:
        return list(versions) if package.short == "expo" else []

    monkeypatch.setattr(computation, "released_versions", released)
    return versions


def judged(table: Table, versions: tuple[str, ...]) -> dict[tuple[str, str], Judgement]:
    """The judgements on some releases of Expo."""
    names = [one.name for one in known(SDK, "expo")]
    return {(name, one): table.judgements(name, "expo")[one] for name in names for one in versions}


@pytest.mark.slow
def test_a_table_that_was_interrupted_goes_on_and_comes_out_the_same(two_of_expo: tuple[str, str]) -> None:
    first = next(recompute(SDK, Table({}, ()), profile(TRACES), silent, no_counter))
    assert first.releases["expo"] == two_of_expo[:1]
    said: list[str] = []
    *_, whole = recompute(SDK, first, profile(TRACES), said.append, no_counter)
    assert judged(whole, two_of_expo) == judged(TABLE, two_of_expo)
    places = {line.partition(", ")[0] for line in said if not line.startswith("downloading ")}
    assert places == {f"expo@{two_of_expo[1]} (2 of 2)"}
    assert list(recompute(SDK, whole, profile(TRACES), silent, no_counter)) == []


@pytest.mark.slow
def test_a_finding_with_another_trace_is_judged_again(two_of_expo: tuple[str, str]) -> None:
    kept = replace(TABLE, releases={"expo": two_of_expo})
    kept = replace(
        kept,
        findings=tuple(
            replace(
                one,
                events="another" if one.finding == "starved-refresh-6.7.1" else one.events,
                spans=spans(TABLE.judgements(one.finding, "expo"), two_of_expo),
            )
            for one in TABLE.findings
            if one.package == "expo"
        ),
    )
    said: list[str] = []
    *_, whole = recompute(SDK, kept, profile(TRACES), said.append, no_counter)
    assert [line.partition(": ")[0] for line in said if not line.startswith("downloading ")] == [
        "expo@3.1.10 (1 of 2), starved-refresh-6.7.1",
        "expo@3.2.1 (2 of 2), starved-refresh-6.7.1",
    ]
    assert judged(whole, two_of_expo) == judged(TABLE, two_of_expo)


def test_releases_next_to_each_other_share_a_span() -> None:
    judgements: dict[str, Judgement] = {"1": Breaks(), "2": Breaks(), "3": Proved("model"), "5": Held(9)}
    order = ("1", "2", "3", "4", "5")
    assert spans(judgements, order) == (
        Span("1", "2", Breaks()),
        Span("3", "3", Proved("model")),
        Span("5", "5", Held(9)),
    )


@pytest.mark.parametrize(("version", "change"), [("1", "3"), ("2", "3"), ("3", "5"), ("4", "5"), ("5", None)])
def test_the_next_change_is_the_first_release_that_differs(version: str, change: str | None) -> None:
    judgements: dict[str, Judgement] = {
        "1": Breaks(),
        "2": Breaks(instead="events"),
        "3": Proved("model"),
        "4": Held(9),
        "5": Breaks(),
    }
    assert next_change(judgements, version) == change


# -- the command ---------------------------------------------------------------------------------------------


def ask(*words: str) -> Result:
    """What `sessionproof advise` says."""
    return CliRunner().invoke(advise, words)


def failure(done: Result) -> str:
    """Why it does not."""
    assert isinstance(done.exception, Failure | OSError)
    return told(done.exception)[0]


def test_a_team_is_told_what_its_releases_have_how_it_shows_and_what_helps() -> None:
    done = ask("--clerk-js", "6.9.0", "--expo", "3.2.5")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("expo@3.2.5+clerk-js@6.9.0 has 34 of 38 known findings.")
    _, _, rest = done.stdout.partition("frozen-in-flight-6.40.0: ")
    about, _, _ = rest.partition("\n\n")
    for line in (
        "POST /v1/client/sessions/.../tokens: 401, sent by a timer, 8 h in flight, answered 7 h 59 min 43 s",
        "GET /v1/client: 200 without a session",
        "start the SDK once more",
        "fixed     in no release up to 6.40.0",
        "shown     its trace was replayed on clerk-js@6.9.0",
        "sessionproof replay frozen-in-flight-6.40.0 --target expo@3.2.5+clerk-js@6.9.0\n",
    ):
        assert line in about + "\n"
    _, _, absent = done.stdout.partition("It does not have\n")
    assert [line.split()[0] for line in absent.splitlines()] == [
        "late-reply-6.7.1",
        "starved-refresh-6.7.1",
        "clock-behind-6.40.0",
        "chain-ends-6.40.0",
    ]
    assert "proved on model@CLERK_JS_6_7_4" in absent
    assert "emptied-cookie" not in done.stdout, "a phone has no page"


def test_a_finding_on_an_app_with_a_setup_says_which() -> None:
    done = ask("--clerk-js", "6.9.0", "--expo", "3.2.5")
    _, _, rest = done.stdout.partition("early-singleton-3.6.2: ")
    about, _, _ = rest.partition("\n\n")
    for line in (
        "  assuming  restart (headless), in an app with the setup early-singleton",
        "  fixed     in 3.6.3",
        "  shown     its trace was replayed on expo@3.2.5+early-singleton",
        "sessionproof replay early-singleton-3.6.2 --target expo@3.2.5+clerk-js@6.9.0+early-singleton",
    ):
        assert line in about


def test_a_finding_that_is_not_judged_yet_is_named() -> None:
    kept = tuple(one for one in TABLE.findings if one.finding != "starved-refresh-6.7.1")
    said = plain(
        advice_text("clerk-js@6.9.0", answers(SDK, replace(TABLE, findings=kept), {"clerk-js": "6.9.0"}))
    )
    assert said.endswith("Not judged yet (`sessionproof releases` does it): starved-refresh-6.7.1\n")


def test_the_release_with_the_fix_is_named() -> None:
    done = ask("--clerk-js", "6.7.1")
    _, _, rest = done.stdout.partition("starved-refresh-6.7.1: ")
    assert "  fixed     in 6.7.4\n" in rest.partition("\n\n")[0]


def test_a_lock_file_is_read() -> None:
    lock = '{"packages": {"node_modules/@clerk/expo": {"version": "3.2.5"}, %s}}'
    Path("package-lock.json").write_text(lock % '"node_modules/@clerk/clerk-js": {"version": "6.9.0"}')
    by_file = ask("--lockfile", "package-lock.json")
    assert by_file.stdout == ask("--clerk-js=6.9.0", "--expo=3.2.5").stdout


TWICE = (("", "6.9.0"), ("node_modules/wallet/", "6.7.1"))
"""Where a package is in the tree, and in which versions."""


def test_an_option_settles_which_of_two_versions_in_a_lock_file_is_meant() -> None:
    entries = (f'"{at}node_modules/@clerk/clerk-js": {{"version": "{version}"}}' for at, version in TWICE)
    Path("package-lock.json").write_text(f'{{"packages": {{{", ".join(entries)}}}}}')
    done = ask("--lockfile", "package-lock.json")
    assert "has @clerk/clerk-js 6.7.1 and 6.9.0: add --clerk-js and the one you ask about" in failure(done)
    done = ask("--lockfile", "package-lock.json", "--clerk-js=6.7.1")
    assert done.stdout.startswith("clerk-js@6.7.1 has ")


@pytest.mark.parametrize(
    ("version", "held"), [("6.7.2", "6.7.1"), ("6.40.1", "6.40.0"), ("6.10.0-canary.1", "6.10.0")]
)
def test_the_nearest_release_stands_in_for_one_without_a_verdict(version: str, held: str) -> None:
    done = ask("--clerk-js", version)
    name = f"@clerk/clerk-js {version}"
    assert done.stderr == f"there is no verdict on {name}: this is about {held}, the nearest release before it\n"
    assert done.stdout.startswith(f"clerk-js@{held} has ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "the command line names no @clerk/clerk-js: add --clerk-js VERSION"),
        (("--expo=3.2.5",), "the command line names no @clerk/clerk-js: add --clerk-js VERSION"),
        (("--clerk-js=^6.9.0",), "'^6.9.0' is no exact version of @clerk/clerk-js: your lock file has one"),
        (("--clerk-js=5.128.0",), "no verdict on @clerk/clerk-js 5.128.0: the oldest release judged is 6.0.0"),
        (("--lockfile=yarn.lock",), "yarn.lock: No such file"),
        (("--lockfile=Cargo.lock",), "Cargo.lock is none of package-lock.json, "),
    ],
)
def test_what_cannot_be_answered_is_one_line(words: tuple[str, ...], said: str) -> None:
    assert said in failure(ask(*words))
