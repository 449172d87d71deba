"""Whatever keeps a command from an answer is one line and an exit code; what was found is printed at least."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
from ctypes import ArgumentError
from pathlib import Path

import pytest

from properties.cli.main import main
from properties.prove.untimed import gc_paused
from properties.system import failures
from properties.system.failures import LONGEST_LINE, Failure, told
from tests.support import HEADLINE, ROOT, Tried, exit_codes, needs_builds, run_python
from tests.test_kills import RUNS, SIGNALS, poll, processes_with, seconds_of_work

NOWHERE = "/proc/nowhere"
"""A folder that nobody can make, not even root."""

INVARIANT = f"--invariant={HEADLINE}"
DEFECT = ("--assume=starvation,stale-after-expiry", INVARIANT)
SEARCH = ("--target=model@CLERK_JS_6_7_1", *DEFECT, "--hypothesis-profile=glance", "-n0")
TRACE = f"""target: model@CLERK_JS_6_7_1
assume: starvation, stale-after-expiry
invariant: {HEADLINE}
freeze 8 h
answer 1 401
answer 2 no-session
"""

COMMANDS = {
    "check": ("check", "-n0", "-kCLERK_JS_6_7_4-calm-background"),
    "gate": ("gate", *SEARCH),
    "baseline": ("baseline", "--update", *SEARCH),
    "prove": ("prove", "--policy=CLERK_JS_6_7_1", *DEFECT),
    "matrix": ("matrix", "--workers=2", "--policy=CLERK_JS_6_7_1", *DEFECT, "--assume=calm"),
    "condition": ("condition", "--steps=50"),
    "conform": ("conform", "--traces=20"),
    "tour": ("tour", "--assume=calm"),
    "bisect": ("bisect", INVARIANT, "--assume=calm", "--traces=20", "--from=6.7.1", "--to=6.7.4"),
    "replay": ("replay", "trace.txt"),
    "explain": ("explain", "trace.txt"),
    "campaign": ("campaign", "--traces=10", "--workers=1", "--assume=calm", INVARIANT),
    "advise": ("advise", "--clerk-js=6.7.1"),
    "releases": ("releases",),
    "sensitivity": ("sensitivity", "--traces=1", "--mutants=1", "--workers=1"),
}
"""A short run of each command."""

OF_TARGET = ("check", "conform", "tour", "replay", "explain", "sensitivity")
"""Commands that have a target, but no invariant of their own choice."""

BROKEN = ("--target=path:broken.cjs", "--policy=CLERK_JS_6_7_1")


def failing(command: str, how: str) -> tuple[str, ...] | None:
    """The words with which a command meets a failure; None if it cannot."""
    words = COMMANDS[command]
    match how, command:
        case "wrong name", "advise":
            return ("advise", "--clerk-js=newest")
        case "wrong name", "releases":
            return ("releases", "--sdk=nobody")
        case "unreadable file", "advise":
            return ("advise", "--lockfile=latin.txt")
        case "wrong name", _:
            return (*words, "--target=nobody" if command in OF_TARGET else "--invariant=nobody")
        case "unreadable file", "check":
            return (*words, "--expectations=latin.txt")
        case "unreadable file", "gate" | "baseline":
            return (*words, "--file=latin.txt")
        case "unreadable file", "conform" | "replay" | "explain":
            return (command, "latin.txt")
        case "broken build", "gate" | "baseline" | "replay" | "explain" | "campaign":
            return (*words, BROKEN[0])
        case "broken build", "conform" | "tour":
            return (*words, *BROKEN)
        case "unwritable file", "check" | "gate":
            return (*words, f"--pages={NOWHERE}")
        case "unwritable file", "baseline":
            return (*words, f"--file={NOWHERE}/known.toml")
        case "unwritable file", "prove":
            Path(".sessionproof").touch()
            return words
        case "unwritable file", "matrix":
            return (*words, f"--json={NOWHERE}/matrix.json")
        case "unwritable file", "explain":
            return (*words, f"--to={NOWHERE}")
        case "unwritable file", "campaign":
            return (*words, f"--report={NOWHERE}/report.md")
        case "no stdout", _:
            return words
        case "unwritable file", "sensitivity":
            return (*words, f"--out={NOWHERE}/mutants.json")
        case "killed worker", "check" | "gate" | "baseline" | "matrix" | "sensitivity":
            return RUNS[command]
    return None


def run(*words: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `sessionproof`, with a redirection of the shell."""
    program = [sys.executable, "-P", "-c", "from sessionproof import main; main()", *words]
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirect}', "-", *program],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why there is no answer."""
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    (line,) = re.findall(r"^(?:sessionproof|Exit|Error): .*$", done.stderr, re.MULTILINE)
    assert len(line) <= LONGEST_LINE + len("sessionproof: ")
    return str(line)


@pytest.fixture(autouse=True)
def files() -> None:
    """What the commands name."""
    Path("sessionproof.toml").touch()
    Path("trace.txt").write_text(TRACE)
    Path("latin.txt").write_bytes(b"caf\xe9")
    Path("broken.cjs").write_text("throw new Error('half a build')")


CELLS = [
    (command, how)
    for command, codes in exit_codes().items()
    for how in codes
    if how not in SIGNALS.values()  # tests/test_kills.py
]


def test_the_table_has_every_command() -> None:
    assert set(exit_codes()) == set(COMMANDS) == set(main.commands)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "how"), CELLS)
def test_the_exit_code_is_that_of_the_table(command: str, how: str) -> None:
    code, words = exit_codes()[command][how], failing(command, how)
    if words is None:
        assert code == "-"
        return
    needs_builds()
    if how == "killed worker":
        done = killed_worker(words)
    else:
        done = run(*words, redirect=">&-" if how == "no stdout" else "")
    assert str(done.returncode) == code, done.stdout + done.stderr
    last_words(done)


def killed_worker(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a command, and kill one of its workers while it works."""
    Path("known.toml").touch()
    mark = f"worker-{os.urandom(8).hex()}"
    program = [sys.executable, "-P", "-c", "from sessionproof import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MARK_OF_A_TEST": mark}
    with Path("out").open("w") as out, Path("err").open("w") as err:
        process = subprocess.Popen(program, env=environment, stdout=out, stderr=err)

    def workers() -> list[int]:
        folders = [folder for folder in processes_with(mark) if int(folder.name) != process.pid]
        return [
            int(one.name)
            for one in folders
            if re.search(rb"exec\(eval|spawn_main", (one / "cmdline").read_bytes())
        ]

    try:
        assert poll(lambda: seconds_of_work(mark) > 8 and bool(workers()), 300), Path("err").read_text()
        os.kill(workers()[0], signal.SIGKILL)
        process.wait(120)
    finally:
        process.kill()
    return subprocess.CompletedProcess(
        program, process.returncode, Path("out").read_text(), Path("err").read_text()
    )


# -- what cannot be written ---------------------------------------------------------------------------------

UNWRITABLE: dict[str, tuple[str, ...]] = {
    "findings of a search, whose folder is a file": ("file", *COMMANDS["baseline"]),
    "findings of a gate, whose folder is a file": ("file", *COMMANDS["gate"]),
    "findings of workers, whose folder is a file": ("file", *COMMANDS["baseline"][:-1], "-n1"),
    "findings of a proof, whose folder is a file": ("file", *COMMANDS["prove"]),
    "findings of a matrix, whose folder is a file": ("file", *COMMANDS["matrix"]),
    "findings of a proof, whose folder leads nowhere": ("link", *COMMANDS["prove"]),
    "findings of a search, whose folder leads nowhere": ("link", *COMMANDS["baseline"]),
    "findings of a proof, in a full folder": ("full", *COMMANDS["prove"]),
    "findings of a search, in a full folder": ("full", *COMMANDS["baseline"]),
    "the list of known findings, a folder": ("", *COMMANDS["baseline"], "--file=."),
    "the list of known findings, nowhere": ("", *COMMANDS["baseline"], f"--file={NOWHERE}/known.toml"),
    "the list of known findings, a long name": ("", *COMMANDS["baseline"], f"--file={'x' * 300}"),
    "pages, nowhere": ("", *COMMANDS["gate"], f"--pages={NOWHERE}"),
    "pages, in a file": ("", *COMMANDS["gate"], "--pages=trace.txt"),
    "JUnit's XML, nowhere": ("", *COMMANDS["gate"], f"--junitxml={NOWHERE}/junit.xml"),
    "observations, nowhere": ("", *COMMANDS["gate"], f"--observe={NOWHERE}"),
    "observations, in a file": ("", *COMMANDS["gate"], "--observe=trace.txt"),
    "the summary of a job, nowhere": ("summary", *COMMANDS["gate"]),
    "a matrix as JSON, nowhere": ("", *COMMANDS["matrix"], f"--json={NOWHERE}/matrix.json"),
    "a matrix as Markdown, a folder": ("", *COMMANDS["matrix"], "--markdown=."),
    "a matrix as pages, in a file": ("", *COMMANDS["matrix"], "--html=trace.txt"),
    "renderings, nowhere": ("", *COMMANDS["explain"], f"--to={NOWHERE}"),
    "renderings, in a file": ("", *COMMANDS["explain"], "--to=trace.txt"),
    "the journal of a campaign, whose folder is a file": ("file", *COMMANDS["campaign"]),
    "the report of a campaign, nowhere": ("", *COMMANDS["campaign"], f"--report={NOWHERE}/report.md"),
    "a proof, on a full disk": (">/dev/full", *COMMANDS["prove"]),
    "a search, on a full disk": (">/dev/full", *COMMANDS["gate"]),
    "a proof that nobody reads": ("| true", *COMMANDS["prove"]),
    "a search that nobody reads": ("| true", *COMMANDS["gate"]),
    "help that nobody reads": ("| true", "--help"),
}
"""How the place is made, or the output redirected, and the command."""


def test_twenty_places_are_tried() -> None:
    assert len(UNWRITABLE) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("what", UNWRITABLE)
def test_what_cannot_be_written_is_told_and_printed(what: str, tmp_path: Path, tried: Tried) -> None:
    tried("unwritable places", 1)
    place, *words = UNWRITABLE[what]
    folder, environment, redirect = Path(".sessionproof"), {}, ""
    match place:
        case "file":
            folder.touch()
        case "link":
            folder.symlink_to(NOWHERE)
        case "full":
            folder.mkdir()
            mounted = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
            if subprocess.run(mounted, capture_output=True, check=False).returncode:
                pytest.skip("NOT CHECKED: a full disk. Only root can mount one")
            (folder / "all of it").write_bytes(bytes(4096))
        case "summary":
            environment["GITHUB_STEP_SUMMARY"] = f"{NOWHERE}/summary.md"
        case _:
            redirect = f"{place}; exit ${{PIPESTATUS[0]}}" if place else ""
    try:
        done = run(*words, redirect=redirect, **environment)
    finally:
        if place == "full":
            subprocess.run(["umount", str(folder)], check=True)
    assert done.returncode == 2, done.stdout + done.stderr
    last_words(done)
    if place in ("file", "link", "full") and words[0] != "campaign":
        documents = [
            line for line in done.stdout.splitlines() if line.startswith('{"format":"sessionproof-trace"')
        ]
        assert any(f'"invariant":"{HEADLINE}"' in line for line in documents), done.stdout


# -- the line ------------------------------------------------------------------------------------------------


def test_a_line_is_cut_at_half_a_screen_and_keeps_its_end() -> None:
    line, code = told(Failure("x" * 5000 + "\nname another file"))
    assert code == 2
    assert len(line) <= LONGEST_LINE + len(" ... ")
    assert line.endswith("x name another file")


def test_an_interrupt_that_a_library_has_made_an_error_of_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """ctypes does so where it converts an argument, and with it z3."""
    monkeypatch.setattr(failures, "interrupts", [KeyboardInterrupt()])
    assert told(ArgumentError("argument 2: KeyboardInterrupt: ")) == told(KeyboardInterrupt())


IN_A_CALLBACK = """
import os, signal, sys, weakref

class Interrupting:
    def find_spec(self, name, *_):
        if name == "properties.cli.main":
            there = {""}
            self.kept = weakref.ref(there, lambda _: os.kill(os.getpid(), signal.SIGINT))

sys.meta_path.insert(0, Interrupting())
from sessionproof import main
main()
"""
"""The command, interrupted in a callback of a weak reference while it is imported. The import system has such."""


def test_an_interrupt_that_python_would_ignore_ends_the_command_while_it_is_imported() -> None:
    """Python prints "Exception ignored" for one that is raised there, and the command ran to its end."""
    command = [sys.executable, "-P", "-c", IN_A_CALLBACK, "prove"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


IN_A_FINALIZER = """
import ctypes, signal, time
from properties.system.failures import heed_interrupts, told

class Argument(ctypes.c_void_p):
    @classmethod
    def from_param(cls, value):
        if KIND == "converted":
            signal.raise_signal(signal.SIGTERM)
        return cls(0)

class Freed:
    def __del__(self):
        if KIND == "plain":
            signal.raise_signal(signal.SIGTERM)
        free(0)

free = ctypes.CDLL(None).free
free.argtypes = [Argument]
heed_interrupts()
try:
    Freed()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pass
except BaseException as error:
    raise SystemExit(told(error)[1])
"""


@pytest.mark.parametrize("kind", ["plain", "converted"])
def test_an_interrupt_in_a_finalizer_comes_again(kind: str) -> None:
    """Python ignores what a finalizer raises. z3 frees its objects there, through ctypes, which makes an error of
    its own of an interrupt that comes while it converts an argument."""
    done = run_python("-c", f"KIND = {kind!r}{IN_A_FINALIZER}")
    assert done.returncode == 143, done.stderr
    assert not done.stderr


def test_what_an_interrupted_proof_leaves_is_not_scanned() -> None:
    """The scan took 7 s after 5 s of a search, and the command did not end."""
    try:
        with pytest.raises(KeyboardInterrupt), gc_paused():
            raise KeyboardInterrupt
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_a_defect_of_ours_is_no_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "interrupts", [])
    assert told(ZeroDivisionError("division by zero")) == (
        "a defect of sessionproof, please report it: ZeroDivisionError: division by zero",
        2,
    )
