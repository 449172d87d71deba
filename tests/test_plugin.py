"""The pytest plugin in other people's projects: there for our tests, and unnoticed by theirs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import HEADLINE, ROOT, complaint, run_python, sessionproof

OURS = (str(ROOT / "properties"), "--assume=calm", "--hypothesis-profile=glance", f"--invariant={HEADLINE}")
THEIRS = """
import model
from hypothesis import settings

def test_theirs():
    assert model.OURS is False
    assert settings().max_examples == 100
    assert settings.get_profile("ci").max_examples == 100
"""


def project_pytest(*words: str) -> subprocess.CompletedProcess[str]:
    """Pytest in the current folder, with our entry point, whether the distribution is installed or not."""
    return run_python("-m", "pytest", "-p", "sessionproof", "-p", "no:cacheprovider", *words)


@pytest.fixture
def model_of_theirs() -> None:
    Path("model.py").write_text("OURS = False\n")


def test_a_run_of_our_tests_has_our_options_and_the_table() -> None:
    done = project_pytest(*OURS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"held     {HEADLINE}" in done.stdout


@pytest.mark.usefixtures("model_of_theirs")
def test_a_run_of_their_tests_is_as_it_would_be_without_us() -> None:
    Path("test_theirs.py").write_text(THEIRS)
    Path("conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--target')\n")
    done = project_pytest("--target=production", "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("model_of_theirs")
@pytest.mark.parametrize(
    "words", [("-m", "sessionproof", "check"), ("-m", "pytest", "-p", "sessionproof", *OURS)]
)
def test_a_package_that_has_a_name_of_ours_is_told_in_one_line(words: tuple[str, ...]) -> None:
    said = complaint(run_python(*words))
    assert said.startswith(f"sessionproof: 'model' is another package here ({Path.cwd() / 'model.py'})")
    assert said.endswith("install sessionproof into an environment of its own")


def test_a_path_with_a_link_in_it_is_no_collision() -> None:
    Path("link").symlink_to(ROOT)
    done = run_python("-m", "sessionproof", "--version", PYTHONPATH="link")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("model_of_theirs")
def test_the_command_runs_in_any_project() -> None:
    """Whatever its modules, its pytest options and its conftest.py are."""
    Path("pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    Path("conftest.py").write_text("raise RuntimeError\n")
    done = sessionproof("gate", "--file=known.toml", "--target=model", *OURS[1:], "-n0")
    assert complaint(done).startswith("Exit: known.toml: No such file or directory")
    Path("known.toml").touch()
    done = sessionproof("gate", "--file=known.toml", "--target=model", *OURS[1:], "-n0", "-Werror")
    assert done.returncode == 0, done.stdout + done.stderr
