"""The example database of a run: how it is named, what it shares with other processes, and what it survives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import platformdirs
import pytest
from hypothesis import settings
from hypothesis.database import (
    DirectoryBasedExampleDatabase,
    ExampleDatabase,
    MultiplexedDatabase,
    ReadOnlyDatabase,
)

from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Held, Violated
from properties.plugin.profiles import PROFILES
from properties.search import examples
from properties.search.examples import BadDatabase, database
from properties.search.search import search
from tests.support import HEADLINE, ROOT, assuming, check, complaint, debian, model

if TYPE_CHECKING:
    from redis import Redis

STARTS_WITHIN = 10.0
"""How long redis-server may take until it answers, in s."""

DAY_S = 24 * 3600

# What another machine does: one search, its end as JSON. Words: a spec, a number of traces, the model's release.
SEARCH = """
import json, sys
from hypothesis import settings
from model.terms import Runtime
from properties.search.examples import database
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell
from properties.search.search import search
from properties.invariants.verdict import Violated
from properties.plugin.profiles import PROFILES
from tests.support import assuming, model

spec, traces, release = sys.argv[1:]
profile = settings(PROFILES["dev"], max_examples=int(traces), database=database(spec))
target = model(release)
cell = Cell(target.name, Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"))
found = search(target, cell, [INVARIANTS["background-never-destroys-valid-session"]], profile)
violated = {name: one for name, one in found.verdicts.items() if isinstance(one, Violated)}
after = min((one.traces for one in violated.values()), default=found.traces)
print(json.dumps({"violated": list(violated), "after": after}))
"""

# Which key Hypothesis asks for, by release and assumption.
KEYS = """
from collections.abc import Iterable
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase
from model.assumptions.sets import Assumptions
from model.clerk.policy import POLICIES
from model.clerk.sdk import CLERK
from model.terms import Runtime
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell
from properties.plugin.profiles import PROFILES
from properties.search.search import search
from properties.targets.model import ModelTarget

class Asked(InMemoryExampleDatabase):
    def fetch(self, key):
        keys.append(key)
        return super().fetch(key)

for policy in ("CLERK_JS_6_7_4", "CLERK_JS_6_40_0"):
    for assumption in ("calm", "starvation"):
        keys = []
        target = ModelTarget(CLERK, POLICIES[policy])
        cell = Cell(target.name, Runtime.HEADLESS, Assumptions((assumption,)))
        profile = settings(PROFILES["dev"], max_examples=1, database=Asked())
        search(target, cell, list(INVARIANTS.values()), profile)
        print(keys[0].hex())
"""


def python(script: str, *words: str, checkout: Path = ROOT) -> str:
    """What a script prints that runs with the code of `checkout`."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


ENOUGH = 300
"""Traces that find the seed's defect on the model; a single new one, the simplest there is, never does."""


def another_process(spec: str, *, traces: int, release: str = "6.7.1") -> tuple[list[str], int]:
    """The invariants that a search in a process of its own breaks, and the number of whole traces before."""
    told = json.loads(python(SEARCH, spec, str(traces), release))
    return told["violated"], told["after"]


def error_line(spec: str) -> str:
    """What `BadDatabase` says of `spec`, in one line."""
    with pytest.raises(BadDatabase) as caught:
        database(spec)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def opened(spec: str, said: list[str] | None = None) -> ExampleDatabase:
    """The database of a spec that keeps something."""
    kept = database(spec, (lambda line: None) if said is None else said.append)
    assert kept is not None
    return kept


# -- a Redis of our own --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_program() -> str:
    """redis-server, installed where that is possible."""
    pytest.importorskip("redis", reason="NOT CHECKED: examples in Redis. pip install 'sessionproof[redis]'")
    return debian("redis-server", "examples in Redis")


class Server:
    """A redis-server of our own, on a free port of the loopback interface; it keeps nothing on disk."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        latest = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), STARTS_WITHIN).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None, "redis-server ended"
                assert time.monotonic() < latest, "redis-server does not answer"
                time.sleep(0.01)  # a refusal comes at once: without this the loop would only heat

    def client(self) -> Redis:
        """A connection that bypasses the code under test."""
        from redis import Redis  # noqa: PLC0415 (an extra)

        return Redis(port=self.port, protocol=2)

    def kill(self) -> None:
        """End it at once, and wait until it is gone; also when it was stopped or is gone already."""
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A port of the loopback interface where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def server(redis_program: str, tmp_path: Path) -> Iterator[Server]:
    """An empty Redis, gone after the test."""
    started = Server(redis_program, tmp_path)
    yield started
    started.kill()


# -- the forms -----------------------------------------------------------------------------------------------


def test_none_keeps_nothing() -> None:
    """And so it goes with a profile that is the same every time, for which Hypothesis takes no database."""
    assert settings(derandomize=True, database=database("none")).database is None


@pytest.mark.parametrize("spec", ["{}/kept", "dir:{}/kept", "dir:{}/odd:name", "deeper/kept", "~/kept"])
def test_a_folder_is_made_and_keeps_what_it_is_given(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    kept = opened(spec.format(tmp_path))
    monkeypatch.chdir(ROOT)  # a path is meant from where it was given
    kept.save(b"key", b"value")
    assert isinstance(kept, DirectoryBasedExampleDatabase)
    assert kept.path.is_relative_to(tmp_path)
    assert [*DirectoryBasedExampleDatabase(kept.path).fetch(b"key")] == [b"value"]


def test_redis_keeps_what_it_is_given_for_days_under_keys_of_our_own(server: Server) -> None:
    kept = opened(server.url)
    kept.save(b"key", b"value")
    assert [*opened(server.url).fetch(b"key")] == [b"value"]
    with server.client() as client:
        keys = client.keys()
        assert keys == [b"sessionproof-example:key"]
        assert client.ttl(keys[0]) > 7 * DAY_S


def test_redis_forgets_and_moves_as_it_is_told(server: Server) -> None:
    kept = opened(server.url)
    kept.save(b"key", b"one")
    kept.save(b"key", b"two")
    kept.move(b"key", b"other", b"one")
    kept.delete(b"key", b"two")
    assert ([*kept.fetch(b"key")], [*kept.fetch(b"other")]) == ([], [b"one"])


def test_several_databases_are_one(server: Server, tmp_path: Path) -> None:
    both = opened(f"{tmp_path / 'kept'}, {server.url}")
    assert isinstance(both, MultiplexedDatabase)
    both.save(b"key", b"value")
    assert [*opened(str(tmp_path / "kept")).fetch(b"key")] == [b"value"]
    assert [*opened(server.url).fetch(b"key")] == [b"value"]
    assert [*both.fetch(b"key")] == [b"value"]


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What GitHub keeps for acme/auth, as downloaded a moment ago: one example, `value` under `key`."""
    monkeypatch.setenv("GITHUB_TOKEN", "a token")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    DirectoryBasedExampleDatabase(tmp_path / "uploaded").save(b"key", b"value")
    now = datetime.now(UTC).isoformat().replace(":", "_")
    copy = tmp_path / "cache/sessionproof/examples/acme+auth+hypothesis-example-db" / f"{now}.zip"
    copy.parent.mkdir(parents=True)
    with ZipFile(copy, "w") as file:
        for path in (tmp_path / "uploaded").rglob("*"):
            file.write(path, path.relative_to(tmp_path / "uploaded"))
    return copy


def test_what_github_keeps_is_read_and_never_written(artifact: Path, tmp_path: Path) -> None:
    before = artifact.read_bytes()
    said: list[str] = []
    both = opened(f"dir:{tmp_path / 'kept'},github:acme/auth", said)
    both.save(b"key", b"mine")
    both.delete(b"key", b"value")
    both.move(b"key", b"other", b"value")
    github = opened("github:acme/auth", said)
    assert isinstance(github, ReadOnlyDatabase)
    assert ([*github.fetch(b"key")], [*github.fetch(b"other")]) == ([b"value"], [])
    assert {*both.fetch(b"key")} == {b"mine", b"value"}
    assert artifact.read_bytes() == before
    assert not said


@pytest.mark.parametrize("spec", ["github:acme/other", "github:acme/auth@nightly"])
@pytest.mark.usefixtures("artifact")
def test_github_that_cannot_be_had_is_told_in_one_line_and_ends_nothing(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the artifact of another repository, or one of another name, taken for it."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    said: list[str] = []
    github = opened(spec, said)
    assert [*github.fetch(b"key"), *github.fetch(b"key")] == []
    (line,) = said
    assert line.startswith(f"EXAMPLES NOT AS ASKED: {spec} (Could not connect to GitHub")
    assert line.endswith("The search goes on.")


# -- what is wrong with a spec -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("", ""),
        ("kept,", ""),
        ("dir:", "dir:"),
        ("redis", "redis"),
        ("None", "None"),
        ("redis:localhost", "redis:localhost"),
        ("postgres://me:secret@localhost/1", "postgres://..."),
        ("github:acme", "github:acme"),
        ("github:acme/auth@a/b", "github:acme/auth@a/b"),
    ],
)
def test_an_unknown_form_is_told_with_the_known_ones(spec: str, shown: str) -> None:
    assert error_line(spec) == (
        f"unknown example database '{shown}' (known forms: none, FOLDER, dir:FOLDER, redis://HOST:PORT/DB, "
        "rediss://HOST:PORT/DB or github:OWNER/REPO[@ARTIFACT])"
    )


def test_none_cannot_be_joined() -> None:
    assert error_line("none,kept") == (
        "'none' keeps no examples, so it cannot be joined to other databases: leave it out"
    )


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for spec in (f"{tmp_path}/file", f"dir:{tmp_path}/file/below", "/proc/kept"):
        line = error_line(spec)
        assert line.startswith(f"examples cannot be kept in {spec.removeprefix('dir:')} (")
        assert line.endswith("): name a folder that can be written to, or none")


def test_a_missing_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert error_line("github:acme/auth") == (
        "github:acme/auth needs a token that may read the repository's actions: set GITHUB_TOKEN, or leave it out"
    )


def test_the_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hypothesis.extra.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    assert error_line("redis://localhost:6379/0") == (
        "examples in Redis need the package redis, which is not installed: pip install 'sessionproof[redis]'"
    )


@pytest.mark.parametrize("spec", ["redis://", "redis://me:secret@/0", "redis://h:secret", "redis://h:1/secret"])
def test_a_wrong_address_is_told_and_not_shown(spec: str) -> None:
    pytest.importorskip("redis", reason="NOT CHECKED: addresses of Redis. pip install 'sessionproof[redis]'")
    line = error_line(spec)
    assert line.startswith("this is not a redis address: give redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], where")
    assert "secret" not in line


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_redis_that_is_not_there_is_told(scheme: str) -> None:
    pytest.importorskip("redis", reason="NOT CHECKED: addresses of Redis. pip install 'sessionproof[redis]'")
    where = f"127.0.0.1:{free_port()}"
    line = error_line(f"{scheme}://me:secret@{where}")
    assert line.startswith(f"{scheme}://{where}/0 does not answer as Redis does (")
    assert "refused" in line
    assert line.endswith("): start it, correct the address, or leave it out")
    assert "secret" not in line


def test_a_port_that_stays_silent_is_told_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason="NOT CHECKED: addresses of Redis. pip install 'sessionproof[redis]'")
    monkeypatch.setattr(examples, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        line = error_line(f"redis://127.0.0.1:{silent.getsockname()[1]}")
    assert "does not answer as Redis does (Timeout" in line
    assert time.monotonic() - began < 1


def test_a_redis_that_lets_nobody_in_is_told(server: Server) -> None:
    with server.client() as client:
        client.config_set("requirepass", "other")
    assert "invalid username-password pair" in error_line(f"redis://:secret@127.0.0.1:{server.port}/0")
    assert "Authentication required" in error_line(server.url)
    kept = opened(f"redis://:other@127.0.0.1:{server.port}/0")
    assert repr(kept) == f"<examples in {server.url}>"


# -- what is shared ------------------------------------------------------------------------------------------


def test_what_one_process_found_another_tries_first(server: Server, tmp_path: Path) -> None:
    violated, _ = another_process(server.url, traces=ENOUGH)
    assert HEADLINE in violated
    again, after = another_process(server.url, traces=1)
    assert again == violated
    assert after <= 2, "what was found is tried first"
    assert another_process(f"{tmp_path}/empty", traces=1) == ([], 1)


def test_what_was_found_on_one_target_is_not_tried_on_another(server: Server) -> None:
    """Nor deleted, where it breaks nothing."""
    violated, _ = another_process(server.url, traces=ENOUGH)
    assert another_process(server.url, traces=1, release="6.7.4") == ([], 1)
    assert another_process(server.url, traces=1)[0] == violated


@pytest.mark.slow
def test_a_failure_goes_to_every_database_that_may_be_written(server: Server, tmp_path: Path) -> None:
    folder = f"dir:{tmp_path}/kept"
    violated, _ = another_process(f"{folder},{server.url}", traces=ENOUGH)
    assert another_process(folder, traces=1)[0] == violated
    assert another_process(server.url, traces=1)[0] == violated


def test_the_key_of_a_cell_is_its_own_and_the_same_in_every_process_and_checkout(tmp_path: Path) -> None:
    for folder in ("model", "properties"):
        shutil.copytree(
            ROOT / folder, tmp_path / "elsewhere" / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    here, there = (python(KEYS, checkout=checkout).split() for checkout in (ROOT, tmp_path / "elsewhere"))
    assert here == there
    assert len(set(here)) == 4


# -- what is survived ----------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_redis_that_goes_away_in_mid_search_costs_one_line_and_no_verdict(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = database(server.url)

    def kill(traces: int, of: int) -> None:
        server.kill()

    target = model("6.7.1")
    profile = settings(PROFILES["dev"], max_examples=ENOUGH, database=kept)
    cell = Cell(target.name, Runtime.HEADLESS, assuming("starvation", "stale-after-expiry"))
    verdicts = search(target, cell, [*INVARIANTS.values()], profile, kill).verdicts
    assert isinstance(verdicts[HEADLINE], Violated)
    assert isinstance(verdicts["foreground-recovers"], Held)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"EXAMPLES NO LONGER SHARED: {server.url} failed (")
    assert line.endswith("The search goes on without it.")


def test_a_redis_that_hangs_costs_one_timeout(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "TIMEOUT", 0.2)
    said: list[str] = []
    kept = opened(server.url, said)
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    for number in range(10):
        kept.save(b"key", b"%d" % number)
    assert time.monotonic() - began < 1
    assert len(said) == 1


def test_a_connection_that_was_dropped_is_opened_anew(server: Server) -> None:
    said: list[str] = []
    kept = opened(server.url, said)
    kept.save(b"key", b"value")
    for _ in range(2):
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        assert [*kept.fetch(b"key")] == [b"value"]
    assert not said


def test_where_one_database_is_lost_the_others_go_on(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    both = opened(f"{server.url},{tmp_path}/kept", said)
    server.kill()
    both.save(b"key", b"value")
    assert [*both.fetch(b"key")] == [b"value"]
    assert len(said) == 1


class _Broken(ExampleDatabase):
    """A store that fails as none of ours has failed yet."""

    def fetch(self, key: bytes) -> Iterable[bytes]:
        yield b"value"
        raise RuntimeError("two\nlines.")

    def save(self, key: bytes, value: bytes) -> None:
        raise RuntimeError("two\nlines.")

    delete = save


def test_whatever_a_remote_raises_is_told_once() -> None:
    said: list[str] = []
    remote = examples._Remote(_Broken(), "acme", said.append)
    remote.save(b"key", b"value")
    remote.delete(b"key", b"value")
    assert [*remote.fetch(b"key")] == []
    assert said == ["EXAMPLES NO LONGER SHARED: acme failed (two lines). The search goes on without it."]


# -- the option ----------------------------------------------------------------------------------------------

SEED = (
    "--target=model@CLERK_JS_6_7_1",
    "--assume=starvation,stale-after-expiry",
    f"--invariant={HEADLINE}",
    "-q",
)


@pytest.mark.slow
def test_the_option_and_the_variable_say_where_examples_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an SDK of which nothing is known: a known trace is replayed, and leaves the search nothing to find."""
    monkeypatch.setenv("SESSIONPROOF_SDK", "tests.toy.adapter:TOY_ADAPTER")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ("--target=model@TOY_1", "--assume=rotated-credential", f"--invariant={HEADLINE}")
    case = (*words, "--hypothesis-profile=dev", "-q")
    assert check(*case, f"--examples={tmp_path}/asked").returncode == 1
    assert list((tmp_path / "asked").rglob("*"))
    monkeypatch.setenv("SESSIONPROOF_EXAMPLES", f"{tmp_path}/set")
    assert check(*case).returncode == 1
    assert list((tmp_path / "set").rglob("*"))


def test_a_profile_that_keeps_no_failures_is_told() -> None:
    assert "--hypothesis-profile=dev" in complaint(check(*SEED, "--hypothesis-profile=ci", "--examples=kept"))


def test_a_wrong_database_is_told_in_one_line_by_the_command() -> None:
    said = complaint(check(*SEED, "--hypothesis-profile=dev", "--examples=redis:localhost"))
    assert "unknown example database 'redis:localhost'" in said
