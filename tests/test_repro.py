"""The script that a maintainer gets: it shows the defect with Node and npm alone, and shows when it is gone."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from msgspec.structs import replace

from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken, SignIn, SwitchOrganization, SwitchSession, Touch
from model.requests import Outcome
from model.terms import Millis, Runtime
from model.world.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    GoOffline,
    GoOnline,
    RestartApp,
    Revoke,
    RevokeOther,
    SetClock,
)
from model.world.facts import Fact, Loaded, Sent, SessionDropped, Settled
from properties.invariants.catalogue import INVARIANTS
from properties.system.target import TargetError
from properties.system.trace import Trace, load
from properties.targets.clerk.adapter import CLERK_ADAPTER
from properties.targets.clerk.builds import fetch_build
from properties.targets.clerk.repro import repro
from properties.targets.node import node_executable
from properties.targets.node_target import NodeTarget
from tests.support import DAY, HOUR, MINUTE, MISSING, ROOT, SECOND, assuming, run

CORPUS = ROOT / "properties" / "targets" / "clerk" / "corpus"
SEED = "starved-refresh-6.7.1"
OTHERS = (
    "401-then-500-6.40.0",
    "frozen-in-flight-6.40.0",
    "stale-in-the-foreground-6.40.0",
)
STALER_TOKEN = "staler-token-6.7.4"
STALER_CLIENT = "staler-client-6.27.1"
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")

GONE = "No defect: it does not happen in this version."
STALER = "the last active token was made from older data"
OLDER = "DEFECT: a call of getToken gets a token that is older than one before."
DROPPED = "DEFECT: the user is signed out, while the server still holds the session."

Install = Callable[[str], Path]


def story(name: str) -> Trace:
    """A trace of the corpus."""
    return load(CORPUS / f"{name}.json")


def skip(why: str) -> NoReturn:
    """Say what goes unchecked."""
    pytest.skip(f"NOT CHECKED: that the standalone scripts show what we say. {why}")


@pytest.fixture(scope="session")
def node() -> str:
    """Node, or a skip."""
    try:
        return node_executable()
    except TargetError as error:
        skip(str(error))


@pytest.fixture(scope="session")
def fake_timers(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `node_modules` as npm makes it, with @sinonjs/fake-timers."""
    return installed(tmp_path_factory.mktemp("fake-timers"), "@sinonjs/fake-timers") / "node_modules"


def installed(folder: Path, package: str) -> Path:
    """The folder, with a package from npm in it."""
    npm = shutil.which("npm")
    if npm is None:
        skip("npm is needed, and there is none on the PATH")
    flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--no-update-notifier"]
    done = subprocess.run([npm, "i", *flags, package], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 and any(word in done.stderr for word in NO_NETWORK):
        skip(f"{package} cannot be downloaded: there is no network")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def install(fake_timers: Path, tmp_path: Path) -> Install:
    """Makes a folder in which both packages are installed. Of the SDK it has what the script loads: installing
    its dependencies too, which the bundle brings along, takes half a minute."""

    def make(version: str) -> Path:
        try:
            build = fetch_build(version, lambda line: None)
        except TargetError as error:
            if any(words in str(error) for words in MISSING):
                skip(str(error))
            raise
        folder = tmp_path / version
        place(folder, fake_timers, build.read_text(encoding="utf-8"), version)
        return folder

    return make


def place(folder: Path, fake_timers: Path, bundle: str, version: str) -> None:
    """Put packages into `folder`, where npm puts them."""
    package = folder / "node_modules" / "@clerk" / "clerk-js"
    (package / "dist").mkdir(parents=True)
    (package / "dist" / "clerk.native.js").write_text(bundle, encoding="utf-8")
    (package / "package.json").write_text(json.dumps({"version": version}), encoding="utf-8")
    (folder / "node_modules" / "@sinonjs").symlink_to(fake_timers / "@sinonjs")


def play(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Save the script in `folder` and run it there."""
    (folder / "repro.mjs").write_text(text, encoding="utf-8")
    command = [node_executable(), "repro.mjs", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


# -- what was found, on real builds ---------------------------------------------------------------------------


def test_the_seeds_script_tells_the_story_and_exits_1_on_6_7_1(install: Install) -> None:
    done = play(install("6.7.1"), repro(story(SEED), "6.7.1"))
    assert done.stderr == ""
    assert done.stdout == (
        "@clerk/clerk-js 6.7.1\n"
        "00:00:00.000  OS      freezes the event loop for 8 h: timers do not run\n"
        "08:00:00.000  SDK     sends POST /v1/client/sessions/sess_1/tokens (request 1)\n"
        "08:00:00.000  server  answers request 1: 401\n"
        "08:00:00.000  SDK     sends GET /v1/client (request 2)\n"
        "08:00:00.000  server  answers request 2: no session\n"
        "08:00:00.000  SDK     signs the user out\n"
        f"{DROPPED}\n"
    )
    assert done.returncode == 1


def test_the_same_script_exits_0_once_6_7_4_is_installed(install: Install) -> None:
    done = play(install("6.7.4"), repro(story(SEED), "6.7.1"))
    assert done.stdout.splitlines()[0] == "@clerk/clerk-js 6.7.4"
    assert done.stdout.splitlines()[-2:] == [
        "Here this version goes another way: there is no request 1 to answer so.",
        GONE,
    ]
    assert done.returncode == 0


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_still_there_in_6_40_0_is_shown_too(install: Install, name: str) -> None:
    done = play(install("6.40.0"), repro(story(name), "6.40.0"))
    assert done.stdout.splitlines()[-1] == DROPPED, done.stdout + done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("clock-behind-6.40.0", "6.40.0", "DEFECT: a call of getToken gets a token that has expired."),
        ("clock-behind-6.40.0", "6.23.0", GONE),
        ("waits-for-another-6.40.0", "6.40.0", "DEFECT: a call of getToken still waits."),
        (
            "another-organization-6.40.0",
            "6.40.0",
            "DEFECT: a call of getToken gets a token of another organization.",
        ),
        (
            "asks-again-6.40.0",
            "6.40.0",
            "DEFECT: an answer to GET /client makes the SDK ask again in the same instant.",
        ),
        ("lean-touch-6.40.0", "6.40.0", DROPPED),
        ("late-reply-6.7.1", "6.7.1", DROPPED),
        ("late-reply-6.7.1", "6.7.4", GONE),
        ("banned-user-6.40.0", "6.40.0", "DEFECT: the session has ended, and the user stays signed in."),
        ("session-gone-6.40.0", "6.40.0", "DEFECT: the session has ended, and the user stays signed in."),
        ("foreign-token-6.40.0", "6.40.0", "DEFECT: a call of getToken gets another user's token."),
        ("forced-older-6.40.0", "6.40.0", OLDER),
        ("older-token-6.7.4", "6.7.4", OLDER),
        ("older-token-6.7.4", "6.40.0", GONE),
        ("uncaught-6.40.0", "6.40.0", "DEFECT: nobody catches 429."),
    ],
)
def test_what_is_wrong_without_a_sign_out_is_shown_too(
    install: Install, name: str, version: str, says: str
) -> None:
    done = play(install(version), repro(story(name), "6.40.0"))
    assert done.stdout.splitlines()[-1] == says, done.stdout + done.stderr
    assert done.returncode == (0 if says == GONE else 1)


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        (STALER_TOKEN, "6.7.4", f"DEFECT: {STALER}."),
        (STALER_TOKEN, "6.40.0", GONE),
        (STALER_CLIENT, "6.7.4", f"DEFECT: {STALER}."),
        (STALER_CLIENT, "6.40.0", GONE),
    ],
)
def test_a_token_that_goes_backwards_is_shown_too(install: Install, name: str, version: str, says: str) -> None:
    done = play(install(version), repro(story(name), "6.7.4"))
    assert done.stdout.splitlines()[-1] == says, done.stdout + done.stderr
    assert done.returncode == (0 if says == GONE else 1)


@pytest.mark.parametrize("version", ["6.7.1", "6.7.4", "6.40.0"])
@pytest.mark.parametrize("runtime", CLERK.runtimes)  # a script has no page
def test_a_script_sees_what_the_driver_sees(
    install: Install, builds: dict[str, NodeTarget], version: str, runtime: Runtime
) -> None:
    """Every kind of event, with timers that run on time, late, and put off by sleep."""
    events: list[Event] = [
        *(Advance(43 * SECOND), Answer(1, Outcome.LOST), SetClock(-HOUR), Advance(MINUTE)),
        *(GetToken("greeting", skip_cache=True), Freeze(MINUTE, FreezeKind.ASLEEP), Advance(3 * SECOND)),
        *(Freeze(8 * HOUR), GetToken(), GetToken(organization="org_b"), Advance(10 * SECOND), Touch()),
        SwitchOrganization("org_b"),
    ]
    if runtime is Runtime.BROWSER_LIKE:
        events += [GoOffline(), GetToken(skip_cache=True), Advance(5 * SECOND), GoOnline(), Advance(10 * SECOND)]
    folder = install(version)
    played = run(builds[version], *events, runtime=runtime)
    while played.world.requests:
        request = played.world.requests[0]
        event = Answer(request.request, played.world.honest(request.endpoint))
        played.play(event)
        events.append(event)
    done = play(folder, repro(replace(played.trace, invariant="valid-session-survives"), version))
    assert shown(done.stdout) == list(expected(played.facts)), done.stdout + done.stderr
    assert sum(isinstance(fact, Sent) for fact in played.facts) > 2


def test_a_script_plays_the_end_of_another_session_as_the_driver_does(
    install: Install, builds: dict[str, NodeTarget]
) -> None:
    """GET /client lists it no longer, and setActive with it leaves the app without one."""
    events: list[Event] = [
        *(SignIn(2), Answer(1, Outcome.SESSION), Answer(2, Outcome.SESSION), RevokeOther(1)),
        *(SwitchSession(), Answer(3, Outcome.UNAUTHORIZED), Answer(4, Outcome.SESSION)),
    ]
    played = run(builds["6.40.0"], *events)
    done = play(install("6.40.0"), repro(replace(played.trace, invariant="valid-session-survives"), "6.40.0"))
    assert shown(done.stdout) == list(expected(played.facts)), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == DROPPED


def test_a_script_plays_a_restart_as_the_driver_does(install: Install, builds: dict[str, NodeTarget]) -> None:
    """What was under way ends; a session that was dropped comes back if it is valid, one that ended does not."""
    events: list[Event] = [
        *(Advance(43 * SECOND), GetToken("api"), RestartApp(), Advance(43 * SECOND)),
        *(Answer(5, Outcome.UNAUTHORIZED), Answer(6, Outcome.NO_SESSION), RestartApp(), GetToken()),
        *(GetToken(skip_cache=True), Answer(9, Outcome.GRANTED), Revoke(), RestartApp()),
    ]
    played = run(builds["6.40.0"], *events)
    trace = replace(played.trace, invariant="every-call-settles")
    done = play(install("6.40.0"), repro(trace, "6.40.0"))
    assert shown(done.stdout) == list(expected(played.facts)), done.stdout + done.stderr
    assert sum(isinstance(fact, SessionDropped) for fact in played.facts) == 2
    assert done.stdout.splitlines()[-1] == GONE  # of the call that still waited, nobody is to blame


def test_a_script_plays_a_bundle_in_a_file(install: Install) -> None:
    """The build of a branch, which no registry has."""
    folder = install("6.7.1")
    trace = replace(story(SEED), target="path:dist/my build.js")
    how = CLERK_ADAPTER.reproduction(trace)
    assert how is not None
    assert how.commands == ("npm i @sinonjs/fake-timers", "node repro.mjs 'dist/my build.js'")
    (folder / "dist").mkdir()
    (folder / "node_modules" / "@clerk" / "clerk-js" / "dist" / "clerk.native.js").rename(
        folder / "dist" / "my build.js"
    )
    done = play(folder, how.script, *shlex.split(how.commands[-1])[2:])
    assert done.stdout.splitlines()[0] == "dist/my build.js"
    assert done.stdout.splitlines()[-1] == DROPPED
    assert done.returncode == 1
    missing = play(folder, how.script, "nowhere.js")
    assert missing.returncode == 2
    assert "nowhere.js" in missing.stderr.splitlines()[0]


def test_how_an_app_is_set_up_for_a_page_is_left_out_of_a_script() -> None:
    trace = replace(story(SEED), target="clerk-js@6.7.1+partitioned-cookies")
    how = CLERK_ADAPTER.reproduction(trace)
    assert how is not None
    assert how.commands[0] == "npm i @clerk/clerk-js@6.7.1 @sinonjs/fake-timers"


def expected(facts: Iterable[Fact]) -> Iterator[tuple[Millis, str]]:
    """What the SDK did, by the driver's account."""
    for fact in facts:
        match fact:
            case Sent(at, request):
                yield at, f"sends request {request}"
            case Settled(at, call, _, _, token, error):
                yield at, f"call {call} {'gets' if token else 'fails' if error else 'ends'}"
            case Loaded(at, call, _, error):
                yield at, f"call {call} {'fails' if error else 'ends'}"
            case SessionDropped(at):
                yield at, "signs the user out"


def shown(text: str) -> list[tuple[Millis, str]]:
    """What the SDK did, by the script's account."""
    found = []
    for line in re.findall(r"^\d\d:.*", text, re.MULTILINE):
        clock, _, what = re.split("  +", line, maxsplit=2)
        hours, minutes, seconds, ms = map(int, re.split("[:.]", clock))
        at = hours * HOUR + minutes * MINUTE + seconds * SECOND + ms
        if sent := re.match(r"sends .*\((request \d+)\)", what):
            found.append((at, f"sends {sent[1]}"))
        elif did := re.match(r"signs the user out|call \d+ (gets|fails|ends)", what):
            found.append((at, did[0]))
    return found


# -- the same, as a test of the SDK's own repository ----------------------------------------------------------

TESTED = (SEED, *OTHERS, STALER_TOKEN, STALER_CLIENT, "clock-behind-6.40.0", "waits-for-another-6.40.0")


@pytest.fixture(scope="session")
def vitest(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which vitest is installed."""
    return installed(tmp_path_factory.mktemp("vitest"), "vitest@4")


@pytest.mark.slow
def test_the_unit_tests_fail_on_the_release_of_the_finding_and_pass_without_the_defect(vitest: Path) -> None:
    for name in TESTED:
        how = CLERK_ADAPTER.reproduction(story(name))
        assert how is not None and how.unit_test is not None
        (vitest / f"{name}.test.mjs").write_text(how.unit_test, encoding="utf-8")
    for name in TESTED:
        failed, said = run_vitest(vitest, name, name.rpartition("-")[2])
        assert failed, said
        assert "to be 'no defect'" in said
    for name, fixed in ((SEED, "6.7.4"), (STALER_TOKEN, "6.40.0"), ("clock-behind-6.40.0", "6.23.0")):
        failed, said = run_vitest(vitest, name, fixed)
        assert not failed, said


def run_vitest(folder: Path, name: str, version: str) -> tuple[bool, str]:
    """Does the test fail on the build of a version? And what vitest says."""
    bundle = fetch_build(version, lambda line: None)
    done = subprocess.run(
        [shutil.which("npx") or "npx", "vitest", "run", f"{name}.test.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CLERK_BUNDLE": str(bundle), "NO_COLOR": "1"},
    )
    said = done.stdout + done.stderr
    assert "1 failed" in said or "1 passed" in said, said
    return done.returncode != 0, said


def test_there_is_a_unit_test_where_a_script_has_a_verdict() -> None:
    for path in CORPUS.glob("*.json"):
        if how := CLERK_ADAPTER.reproduction(load(path)):
            assert (how.unit_test is not None) is ("const [defect, says]" in how.script)


# -- each verdict, on SDKs made for the purpose ---------------------------------------------------------------

STUB = """
exports.Clerk = class {
  addListener() {}
  async load() {
    const { response } = await (await fetch('https://x.test/v1/client')).json();
    this.first = this.last = response.sessions[0].last_active_token.jwt;
    const lastActiveToken = { getRawString: () => this.last };
    this.session = { getToken: options => this.getToken(options), lastActiveToken };
    this.loaded = true;
  }
  async getToken({ template }) { %s }
};
"""
ASKS = """
    const path = `/v1/client/sessions/sess_1/tokens${template ? `/${template}` : ''}`;
    const answer = await fetch(`https://x.test${path}`, { method: 'POST' });
    if (answer.status === 401) this.session = null;
    if (!answer.ok) throw Object.assign(new Error('no'), { status: answer.status });
    return (this.last = (await answer.json()).jwt);
"""
CLINGS = ASKS.replace("this.session = null", "throw Object.assign(new Error('no'), { status: 401 })")
KEEPS = "return this.first;"
FAILS = "throw Object.assign(new Error('no'), { status: 500 });"
HANGS = "return new Promise(() => {});"
NULL = "return null;"
NO_NETWORK_ERROR = "throw new TypeError('Failed to fetch');"
SILENT = "fails, and does not say that the device is offline: TypeError: Failed to fetch"
GIVES_UP = "this.session = null; throw Object.assign(new Error('no'), { code: 'clerk_offline' });"

REVOKED = (Revoke(), GetToken(), Answer(1, Outcome.UNAUTHORIZED))
LATER = (Advance(2 * MINUTE), GetToken())
OFFLINE = (GoOffline(), GetToken())
THE_OTHER = (GetToken("greeting"), Answer(1, Outcome.GRANTED))


@pytest.mark.parametrize(
    ("invariant", "sdk", "events", "verdict"),
    [
        ("revoked-session-signs-out", CLINGS, REVOKED, "the session has ended, and the user stays signed in"),
        ("revoked-session-signs-out", ASKS, REVOKED, None),
        ("revoked-session-signs-out", KEEPS, REVOKED, None),
        ("foreground-recovers", FAILS, LATER, "the last call of getToken fails: 500"),
        ("foreground-recovers", HANGS, (*LATER, Advance(MINUTE)), "the last call of getToken still waits"),
        ("foreground-recovers", NULL, LATER, "the last call of getToken gets null"),
        ("foreground-recovers", ASKS, (*LATER, Answer(1, Outcome.GRANTED)), None),
        ("token-handed-out-is-valid", KEEPS, LATER, "a call of getToken gets a token that has expired"),
        (
            "token-handed-out-is-valid",
            KEEPS,
            THE_OTHER[:1],
            "a call of getToken gets a token of another template",
        ),
        (
            "token-handed-out-is-valid",
            KEEPS,
            (GetToken(organization="org_b"),),
            "a call of getToken gets a token of another organization",
        ),
        ("token-handed-out-is-valid", ASKS, THE_OTHER, None),
        ("offline-is-not-signed-out", NULL, LATER, "a call of getToken gets null"),
        ("offline-is-not-signed-out", FAILS, LATER, None),
        ("offline-is-not-signed-out", FAILS, OFFLINE, None),
        ("offline-is-not-signed-out", NO_NETWORK_ERROR, OFFLINE, f"a call of getToken {SILENT}"),
        ("offline-is-not-signed-out", NO_NETWORK_ERROR, (*OFFLINE[:1], GoOnline(), *OFFLINE[1:]), None),
        ("offline-is-not-signed-out", GIVES_UP, OFFLINE, "being offline signs the user out"),
        ("tokens-never-go-backwards", ASKS, (GetToken(), Answer(1, Outcome.STALE_TOKEN)), STALER),
        ("tokens-never-go-backwards", ASKS, (GetToken(), Answer(1, Outcome.GRANTED)), None),
        ("valid-session-survives", KEEPS, (Freeze(3 * DAY), GetToken()), None),
    ],
)
def test_each_invariant_has_its_verdict(
    fake_timers: Path, tmp_path: Path, invariant: str, sdk: str, events: tuple[Event, ...], verdict: str | None
) -> None:
    folder = tmp_path / "stub"
    place(folder, fake_timers, STUB % sdk, "0.0.0")
    done = play(folder, repro(told(invariant, events), "0.0.0"))
    assert done.stdout.splitlines()[-1] == (f"DEFECT: {verdict}." if verdict else GONE), done.stdout + done.stderr
    assert done.returncode == (1 if verdict else 0)


def test_an_invariant_of_somebody_elses_is_left_to_the_reader(fake_timers: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stub"
    place(folder, fake_timers, STUB % KEEPS, "0.0.0")
    done = play(folder, repro(told("something-new", (Freeze(3 * DAY), GetToken())), "0.0.0"))
    assert done.stdout.splitlines()[-1] == "day 4  00:00:00.000  app     call 1 gets a token"
    assert done.returncode == 2


def told(invariant: str, events: tuple[Event, ...]) -> Trace:
    """A trace that breaks `invariant`, or so it says."""
    runtime = Runtime.BROWSER_LIKE if GoOffline() in events else Runtime.HEADLESS
    return Trace("clerk-js@0.0.0", runtime, assuming("calm"), events, invariant, "it breaks")


# -- the set-up, and the text ---------------------------------------------------------------------------------


def test_a_missing_package_is_told_in_one_line(node: str, tmp_path: Path) -> None:
    done = play(tmp_path, repro(story(SEED), "6.7.1"))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line == (
        "Set-up problem: Cannot find module '@sinonjs/fake-timers': "
        "run `npm i @clerk/clerk-js @sinonjs/fake-timers` here, or name a bundle"
    )


def test_an_sdk_that_does_not_start_is_told_in_one_line(fake_timers: Path, tmp_path: Path) -> None:
    for number, bundle in enumerate(("throw Error('boom')", "exports.Clerk = class { async load() {} }")):
        folder = tmp_path / str(number)
        place(folder, fake_timers, bundle, "0.0.0")
        done = play(folder, repro(story(SEED), "6.7.1"))
        assert done.returncode == 2
        assert done.stderr == f"Set-up problem: {('boom', 'load() does not sign in')[number]}\n"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_every_script_comes_to_a_verdict_or_says_that_it_cannot(path: Path) -> None:
    trace = load(path)
    if trace.runtime in CLERK.runtimes:  # a script has no page
        text = repro(trace, "1.2.3")
        assert ("const [defect, says]" in text) is not ("is not for a script to say" in text)


@pytest.mark.parametrize("name", [SEED, *OTHERS, STALER_TOKEN, STALER_CLIENT])
def test_a_script_is_short_and_names_its_version_in_a_comment_only(name: str) -> None:
    trace = story(name)
    lines = repro(trace, "1.2.3").splitlines()
    assert len(lines) < 150
    assert max(map(len, lines)) <= 112
    assert all(line.startswith("//") for line in lines if "1.2.3" in line)
    assert "//     npm i @clerk/clerk-js@1.2.3 @sinonjs/fake-timers" in lines
    assert INVARIANTS[str(trace.invariant)].sentence.split()[-1] in "\n".join(lines[:9])
    assert not any("//:" in line or "__" in line for line in lines)
