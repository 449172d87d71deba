"""The wheel, installed into a fresh environment and used from folders that have nothing of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from properties.targets.clerk.builds import fetch_build
from properties.targets.node_target import NodeTarget
from tests.support import ROOT, complaint, ready
from tests.test_docs import PAGES, commands

README = PAGES[0]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = "redis,campaign,symbolic"
BUNDLE = "packages/clerk-js/dist/clerk.native.js"


def python(*words: str | Path) -> None:
    """Run Python, which has to succeed."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    python("-m", "venv", folder)
    python("-m", "pip", "--python", folder, "install", wheel)
    return folder


def run(environment: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment, in the current folder, with nothing of this checkout in its path."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env={**outside, "PATH": path, **variables}
    )


@pytest.mark.slow
def test_every_command_of_the_readme_runs_in_an_empty_folder(environment: Path) -> None:
    """But for those of `make`, which are for a checkout. A replay shows a violation, so it exits 1."""
    ran = dict.fromkeys(tuple(words) for words in commands(README) if words[0] != "make")
    assert {("sessionproof", "check"), ("sessionproof", "replay", "starved-refresh-6.7.1")} <= set(ran)
    for words in ran:
        done = run(environment, *words)
        assert done.returncode == (words[1] == "replay"), done.stdout + done.stderr


@pytest.mark.slow
def test_pytest_finds_our_tests_by_their_name(environment: Path) -> None:
    case = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-for-good", "--hypothesis-profile=check")
    done = run(environment, "pytest", "--pyargs", "properties", *case, "-n2", "-Werror")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "VIOLATED" in done.stdout


@pytest.mark.slow
def test_the_extras_can_be_named(wheel: Path, environment: Path) -> None:
    done = run(
        environment, "python", "-m", "pip", "install", "--dry-run", f"sessionproof[{EXTRAS}] @ {wheel.as_uri()}"
    )
    assert done.returncode == 0, done.stderr
    for package in ("redis", "distributed", "z3-solver"):
        assert f"{package}-" in done.stdout.partition("Would install")[2]


@pytest.mark.slow
def test_another_package_in_the_same_place_is_told_in_one_line(environment: Path) -> None:
    (packages,) = environment.glob("lib/python*/site-packages")
    theirs = packages / "model" / "invoice.py"
    theirs.touch()
    try:
        said = complaint(run(environment, "sessionproof", "check"))
    finally:
        theirs.unlink()
    assert said.startswith(f"sessionproof: another package 'model' is installed into the same folder ({theirs})")


@pytest.mark.slow
def test_the_workflow_gates_a_repository_that_has_only_the_list_and_its_traces(
    environment: Path, builds: dict[str, NodeTarget]
) -> None:
    """With the folders as the workflow lays them out, and the artifact as it was uploaded."""
    ready(builds["6.40.0"])
    steps = gate_workflow()["jobs"]["gate"]["steps"]
    (unpacks,) = [step["with"]["path"] for step in steps if "download-artifact" in step.get("uses", "")]
    (script,) = [step["run"] for step in steps if step.get("name") == "Check the invariants"]

    build = Path(unpacks.replace("${{ inputs.artifact-path }}", str(Path(BUNDLE).parent)))
    build.mkdir(parents=True)
    shutil.copy(fetch_build("6.40.0", lambda line: None), build)
    root, caller = Path.cwd(), Path("caller")
    caller.mkdir()
    os.chdir("build")
    given = ("--assume=locked-keychain", "--hypothesis-profile=glance", "--target", f"path:{BUNDLE}")
    accepted = run(environment, "sessionproof", "baseline", "--update", *given)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    for name in ("sessionproof.toml", "traces"):
        shutil.move(name, root / caller)

    done = run(
        environment,
        *("bash", "-euo", "pipefail", "-c", script),
        GITHUB_WORKSPACE=str(root),
        TARGET=f"path:{BUNDLE}",
        ASSUME="locked-keychain",
        EXPECTATIONS="sessionproof.toml",
        PROFILE="glance",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as expected: nothing else is violated" in done.stdout
    assert "known  locked-keychain: background-never-destroys-valid-session" in done.stdout
    assert (root / "reports" / "junit.xml").exists()
    assert (root / "reports" / "pages" / "index.html").exists()


def gate_workflow() -> dict[Any, Any]:
    """The reusable workflow."""
    workflow: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text())
    return workflow


def test_the_workflow_uses_the_tag_of_this_version_unless_told_otherwise() -> None:
    inputs = gate_workflow()[True]["workflow_call"]["inputs"]  # YAML 1.1 reads `on` as a truth value
    assert inputs["ref"]["default"] == f"v{PROJECT['version']}"


def test_what_the_workflow_installs_is_locked_and_is_what_the_project_asks_for() -> None:
    lines = (ROOT / ".github" / "requirements.txt").read_text().replace("\\\n", "").splitlines()
    locked = [line for line in lines if line and not line.startswith("#")]
    assert all(" --hash=sha256:" in line for line in locked)
    versions = dict(line.split()[0].split("==") for line in locked)
    for needed in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["redis"]]):
        locked_at = versions.get(canonicalize_name(needed.name))
        assert locked_at, f"{needed.name} is not locked: run the command at the top of .github/requirements.txt"
        assert needed.specifier.contains(locked_at), needed
