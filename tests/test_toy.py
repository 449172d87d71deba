"""Another SDK than the built-in one, by the command line alone: the acceptance test of the boundary.

All that the harness has of the toy is what stands in tests/toy, named in the environment.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.sdk import Server, ServerStruct
from model.terms import Runtime
from model.world.events import LockKeychain
from model.world.possible import NotEnabled
from properties.render.files import FORMATS
from properties.run import known
from properties.run.counterexample import Counterexample, load
from properties.run.run import Run
from properties.system import registry
from properties.system.target import TargetError
from properties.system.trace import load as load_trace
from properties.targets.model import ModelTarget
from properties.targets.node import node_executable
from tests.support import HEADLINE, ROOT, assuming, check, complaint, run_python, sessionproof
from tests.toy import sdk as toy

BUNDLE = Path("tests/toy/bundle.cjs")
BUILD = f"toy@{BUNDLE}"
ROTATED = "--assume=rotated-credential"
JUDGED = (f"--invariant={HEADLINE}", "--invariant=token-handed-out-is-valid")
SHORTEST = "advance(50 s) -> answer(1, unauthorized)"

FIXED = ("BACKGROUND_SIGNS_OUT = true", "BACKGROUND_SIGNS_OUT = false")
BROKEN = ("this.token && Date.now() < expiry(this.token) * 1000", "this.token")
"""The defect mended; and another one: a token is handed out that has expired."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the toy's build in it, and nothing else."""
    try:
        node_executable()
    except TargetError as error:
        pytest.skip(f"NOT CHECKED: what a build of another SDK does. {error}")
    folder = tmp_path_factory.mktemp("workshop")
    (folder / BUNDLE).parent.mkdir(parents=True)
    shutil.copy(ROOT / BUNDLE, folder / BUNDLE)
    yield folder


@pytest.fixture(scope="module")
def searched(workshop: Path) -> subprocess.CompletedProcess[str]:
    """A search of model and build."""
    with contextlib.chdir(workshop), pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, "tests.toy.adapter:TOY_ADAPTER")
        targets = ("--target=model@TOY_1", f"--target={BUILD}")
        return check(*targets, "--assume=calm", ROTATED, *JUDGED, "--hypothesis-profile=glance")


@pytest.fixture(autouse=True)
def at_work(workshop: Path, own_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command is run there, and told of the toy by the environment."""
    monkeypatch.chdir(workshop)
    monkeypatch.setenv(registry.VARIABLE, "tests.toy.adapter:TOY_ADAPTER")


def found(target: str) -> Path:
    """The document of what the search found."""
    saved = Path(".sessionproof").glob(f"*--rotated-credential--{HEADLINE}*.json")
    (path,) = (path for path in saved if load_trace(path).target == target)
    return path


def spaced(text: str) -> str:
    """A report without its columns."""
    return re.sub(r" +", " ", text)


# -- search -----------------------------------------------------------------------------------------------------


def test_a_search_finds_the_defect_on_the_model_and_on_the_build(
    searched: subprocess.CompletedProcess[str],
) -> None:
    assert searched.returncode == 1, searched.stdout + searched.stderr
    for target in ("model@TOY_1", BUILD):
        assert f" {target} held all 2 " in spaced(searched.stdout)
        assert f" {target} VIOLATED {HEADLINE} 2 events, shrunk " in spaced(searched.stdout)
    assert searched.stdout.count(f"events  {SHORTEST}\n") == 2
    assert "model   model@TOY_1: violated too, by the same 2 events\n" in searched.stdout


def test_what_its_server_cannot_say_is_not_told_as_never_used(
    searched: subprocess.CompletedProcess[str],
) -> None:
    assert "never used by any trace" not in searched.stdout


# -- proof ------------------------------------------------------------------------------------------------------


def test_a_proof_breaks_the_release_on_its_build_too_and_holds_for_the_fix() -> None:
    done = sessionproof("prove", "--policy=TOY_1", "--policy=TOY_2", ROTATED, *JUDGED, "--confirm")
    assert done.returncode == 1, done.stdout + done.stderr
    said = spaced(done.stdout)
    assert re.search(rf" model@TOY_1 VIOLATED {HEADLINE} 2 events, shortest, confirmed on [\d.]+\s+toy@/", said)
    assert re.findall(r" proved (\S+) closed graph of \d+ states", said) == [
        *("token-handed-out-is-valid", HEADLINE, "token-handed-out-is-valid")
    ]
    assert f"events  {SHORTEST}\n" in done.stdout
    assert "the app makes one call at a time of fetchToken()\n" in done.stdout


def test_the_matrix_has_release_and_fix_side_by_side() -> None:
    words = ("--policy=TOY_1", "--policy=TOY_2", "--assume=calm", ROTATED, *JUDGED, "--workers=1")
    done = sessionproof("matrix", *words, "--json=m.json", "--markdown=m.md", "--html=pages")
    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads(Path("m.json").read_text())
    assert len(cells) == 8
    assert [one for one in cells if one["verdict"] == "VIOLATED"] == [
        {
            "target": "model@TOY_1",
            "runtime": "headless",
            "assumptions": ["rotated-credential"],
            "invariant": HEADLINE,
            "verdict": "VIOLATED",
            "evidence": "2 events, shortest",
            "events": SHORTEST,
            "trace": str(found("model@TOY_1")),
        }
    ]
    assert [one["verdict"] for one in cells].count("proved") == 7
    for page in ("m.md", "pages/index.html"):
        assert "TOY_2" in Path(page).read_text()


# -- model and build --------------------------------------------------------------------------------------------


def test_model_and_build_agree_whatever_the_world_does() -> None:
    done = sessionproof("conform", f"--target={BUILD}", "--traces=200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{BUILD} model@TOY_1 headless agrees " in spaced(done.stdout)


def test_the_model_of_the_fix_is_another() -> None:
    done = sessionproof("conform", f"--target={BUILD}", "--policy=TOY_2", ROTATED, "--traces=60")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"does signs the user out\b.* nothing\n", spaced(done.stdout))


def test_a_tour_takes_every_transition_of_the_model_on_the_build() -> None:
    done = sessionproof("tour", f"--target={BUILD}", ROTATED)
    assert done.returncode == 0, done.stdout + done.stderr
    (taken, every) = re.findall(r"(\d+) of (\d+) transitions", done.stdout)[0]
    assert taken == every
    assert f"agreed  {BUILD} and model@TOY_1, in all of them" in done.stdout


# -- what was found ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("searched")
def test_it_replays_on_the_build_and_not_on_the_fix() -> None:
    again = sessionproof("replay", str(found(BUILD)))
    assert again.returncode == 1, again.stdout + again.stderr
    assert f"events  {SHORTEST}\n" in again.stdout
    fixed = sessionproof("replay", str(found(BUILD)), "--target=model@TOY_2")
    assert (fixed.returncode, fixed.stdout) == (0, "not violated on model@TOY_2: 2 events replayed\n")


@pytest.mark.usefixtures("searched")
def test_its_document_comes_back_in_the_toy_s_own_words() -> None:
    document = load(found(BUILD))
    assert isinstance(document, Counterexample)
    server: Server = document.played[0].before.server
    assert type(server) is ServerStruct
    assert [type(client) for client in document.clients] == [toy.Client] * 3


CAUSE = "The timer set at sign-in fired on time; the SDK asked for a token in the background (request 1)"
EXPLAINED = {
    "timeline": "0:00:50 │ │ ✖ │ │ │ signs the user out, in the background, while the session is valid",
    "json": '"target": "toy@tests/toy/bundle.cjs"',
    "text": f"target: {BUILD}",
    "markdown": CAUSE,
    "html": f"<title>{HEADLINE} is violated on {BUILD}</title>",
    "pytest": "Replays one trace on one target: put the build to be tested in TARGET.",
}


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("form", EXPLAINED)
def test_it_is_explained_in_every_form_that_there_is_of_it(form: str) -> None:
    done = sessionproof("explain", str(found(BUILD)), f"--format={form}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert EXPLAINED[form] in spaced(done.stdout)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("form", sorted({*FORMATS} - {*EXPLAINED}))
def test_there_is_no_script_of_an_sdk_that_has_none(form: str) -> None:
    assert form in ("repro", "vitest")
    line = complaint(sessionproof("explain", str(found(BUILD)), f"--format={form}"))
    assert line == f"sessionproof: there is no {form} of {HEADLINE} on {BUILD}, headless: try another --format"


@pytest.mark.usefixtures("searched")
def test_the_regression_test_fails_until_the_build_is_fixed() -> None:
    text = sessionproof("explain", str(found(BUILD)), "--format=pytest").stdout
    Path("fixed.cjs").write_text(BUNDLE.read_text().replace(*FIXED))
    Path("test_broken.py").write_text(text)
    Path("test_fixed.py").write_text(text.replace(f'TARGET = "{BUILD}"', 'TARGET = "toy@fixed.cjs"'))
    done = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_broken.py", "test_fixed.py")
    assert done.returncode == 1
    assert re.findall(r"^(FAILED|ERROR) (\S+\.py)", done.stdout, re.MULTILINE) == [("FAILED", "test_broken.py")]
    assert "1 failed, 1 passed" in done.stdout


# -- the gate ---------------------------------------------------------------------------------------------------

GATE = (f"--target={BUILD}", ROTATED, *JUDGED, "--hypothesis-profile=glance")


@contextlib.contextmanager
def edited(old: str, new: str) -> Iterator[None]:
    """The build with a change in it, for a while."""
    text = BUNDLE.read_text()
    assert old in text
    BUNDLE.write_text(text.replace(old, new))
    yield
    BUNDLE.write_text(text)


@pytest.mark.slow
def test_the_gate_passes_what_is_known_and_fails_at_what_is_gone_or_new() -> None:
    accepted = sessionproof("baseline", "--update", *GATE)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    (finding,) = known.load(Path("sessionproof.toml"))
    assert (finding.targets, finding.invariants) == ((BUILD,), (HEADLINE,))
    passed = sessionproof("gate", *GATE, "-n0")
    assert passed.returncode == 0, passed.stdout + passed.stderr

    with edited(*FIXED):
        fixed = sessionproof("gate", *GATE, "-n0")
    assert fixed.returncode == 1, fixed.stdout + fixed.stderr
    assert "known findings that no longer happen" in fixed.stdout
    assert f"sessionproof.toml:{finding.line}  assuming rotated-credential: {HEADLINE}" in fixed.stdout

    with edited(*BROKEN):
        broken = sessionproof("gate", *GATE, "-n0")
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert f"token-handed-out-is-valid is violated on {BUILD}, assuming rotated-credential" in broken.stdout
    assert "The app called fetchToken (call 1); and so call 1 got T1, which had expired" in broken.stdout


# -- what its server has not --------------------------------------------------------------------------------


def test_no_keychain_is_locked_for_an_sdk_that_keeps_no_credential_there() -> None:
    """An unset credential is not a missing one."""
    run = Run(ModelTarget(toy.TOY, toy.TOY_1), Runtime.HEADLESS, assuming("locked-keychain"), ())
    assert not run.permits(LockKeychain())
    with pytest.raises(NotEnabled, match="no request carries a credential from the device's keychain"):
        run.play(LockKeychain())
