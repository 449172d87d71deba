"""A gate is not fooled: a regression does not hide behind a known finding, and an unchanged build stays green."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS, default_invariants
from properties.invariants.verdict import Cell
from properties.run.known import gone, load, located
from properties.search.gate import judge
from properties.targets.clerk.builds import fetch_build
from properties.targets.names import make_target
from properties.targets.node_target import NodeTarget
from tests.support import HEADLINE, assuming, ready, sessionproof

BUNDLE = Path("dist/clerk.native.js")
TARGET = f"path:{BUNDLE}"
LIST = Path("sessionproof.toml")
ON_ARRIVAL = "starvation,stale-on-arrival"
ROTATED = "outage,rotated-credential"
GUARD, NO_GUARD = "s&&a&&Date.now()/1e3>a?", "false?"


def edit(old: str, new: str) -> None:
    """Change one condition in the bundle."""
    text = BUNDLE.read_text()
    assert text.count(old) == 1
    BUNDLE.write_text(text.replace(old, new))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return sessionproof(*words, f"--target={TARGET}", "-n2")


@pytest.fixture
def bundle(builds: dict[str, NodeTarget]) -> None:
    """The build of 6.40.0, in a file."""
    ready(builds["6.40.0"])
    BUNDLE.parent.mkdir(parents=True)
    shutil.copy(fetch_build("6.40.0", lambda line: None), BUNDLE)


@pytest.mark.slow
@pytest.mark.usefixtures("bundle")
def test_a_lost_guard_does_not_hide_behind_the_gap_that_it_leaves() -> None:
    """6.40.0 signs the user out in this cell as it is: the request was sent in time, and frozen in flight."""
    cell = (f"--assume={ON_ARRIVAL}", "--hypothesis-profile=glance")
    accepted = run("baseline", "--update", *cell)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert any(
        one.covers(Cell(TARGET, Runtime.HEADLESS, assuming(*ON_ARRIVAL.split(","))), HEADLINE)
        for one in load(LIST)
    )
    whole = run("gate", *cell)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "as expected: nothing else is violated" in whole.stdout
    assert f"known  {ON_ARRIVAL}: {HEADLINE}" in whole.stdout

    edit(GUARD, NO_GUARD)
    lost = run("gate", *cell)
    assert lost.returncode == 1, lost.stdout + lost.stderr
    assert f"{HEADLINE} is violated on {TARGET}, assuming {ON_ARRIVAL}" in lost.stdout
    assert "events  freeze(1 min 1 s) -> answer(1, unauthorized) -> answer(2, no-session)" in lost.stdout
    assert "Only here: expired before it was sent. Only there: expired in flight." in lost.stdout


# -- with a baseline that several tests share ---------------------------------------------------------------

RARE = ("calm", "starvation,stale-for-good")
"""Sets with causes that one search in several finds."""


def accepted(builds: dict[str, NodeTarget], folder: Path, *words: str) -> Path:
    """The folder, with the build of 6.40.0 and its baseline."""
    ready(builds["6.40.0"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        BUNDLE.parent.mkdir(parents=True)
        shutil.copy(fetch_build("6.40.0", lambda line: None), BUNDLE)
        done = run("baseline", "--update", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def quickly(builds: dict[str, NodeTarget], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Under the default assumptions, with few traces."""
    return accepted(builds, tmp_path_factory.mktemp("quickly"), "--hypothesis-profile=check")


@pytest.fixture(scope="module")
def usually(builds: dict[str, NodeTarget], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a team has it, under a few of the default assumptions."""
    return accepted(builds, tmp_path_factory.mktemp("usually"), *(f"--assume={names}" for names in RARE))


@pytest.fixture
def repository(quickly: Path) -> None:
    """A copy of that folder."""
    shutil.copytree(quickly, Path.cwd(), dirs_exist_ok=True)


MUTANTS = {
    "the guard skips fresh tokens": (GUARD, "s&&a&&Date.now()/1e3<a?", ON_ARRIVAL),
    "the guard is not headless": (
        'n?.runtimeEnvironment==="headless",a=',
        'n?.runtimeEnvironment!=="headless",a=',
        ON_ARRIVAL,
    ),
    "a refresh beside another": ("if(nj.#$.has(i))return;", "if(false)return;", "outage"),
    "signs out on other failures": ("[403,500].includes(e.status)", "![403,500].includes(e.status)", ROTATED),
    "any error asks for the sessions": (
        '401===s&&"requires_captcha"!==i',
        '401!==s&&"requires_captcha"!==i',
        ROTATED,
    ),
    "no refresh timer": ("if(v>0&&n.entry.onRefresh)", "if(v<=0&&n.entry.onRefresh)", "calm"),
    "takes what is older": ("e.jwt&&!rN(this.lastActiveToken,e)&&", "e.jwt&&", "stale-edge"),
    "no user": ("if(!this.user)return null;", "if(this.user)return null;", "calm"),
    "reads what has expired": ("(i.expiresIn??1/0)-r<=5", "(i.expiresIn??1/0)-r>5", "starvation,stale-for-good"),
}
"""A condition in the bundle, what becomes of it, and a set of assumptions under which that shows."""


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(("old", "new", "assumptions"), MUTANTS.values(), ids=MUTANTS)
def test_a_gate_notices_a_condition_that_was_cut_or_inverted(old: str, new: str, assumptions: str) -> None:
    edit(old, new)
    done = run("gate", f"--assume={assumptions}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "is violated on" in done.stdout or "no longer happen" in done.stdout


@pytest.fixture
def target(usually: Path) -> Iterator[NodeTarget]:
    shutil.copytree(usually, Path.cwd(), dirs_exist_ok=True)
    made = make_target(TARGET, lambda line: None)
    assert isinstance(made, NodeTarget)
    yield ready(made)
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["fast", "ci"])
def test_a_gate_of_the_build_of_its_baseline_is_green_with_either_profile(profile: str, usually: Path) -> None:
    shutil.copytree(usually, Path.cwd(), dirs_exist_ok=True)
    again = run("gate", *(f"--assume={names}" for names in RARE), f"--hypothesis-profile={profile}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "as expected: nothing else is violated" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_an_unchanged_build_stays_green_with_other_seeds(seed: int, target: NodeTarget) -> None:
    known = located(LIST, load(LIST))
    names = default_invariants(Runtime.HEADLESS)
    profile = settings(
        max_examples=300,
        stateful_step_count=15,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    for assumptions in RARE:
        cell = Cell(target.name, Runtime.HEADLESS, assuming(*assumptions.split(",")))
        found = judge(target, cell, [INVARIANTS[name] for name in names], known, [profile], seed=seed)
        assert not [one.trace for one in found.violations if one.accepted is None]
        assert not [one for name in names for one in gone(found, name, known)]
