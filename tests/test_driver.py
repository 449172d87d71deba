"""The Node process behind a real SDK, driven with bundles made for the purpose."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.clerk.terms import GetToken
from model.io import Called, CallSettled, TimerCleared, TimerDue, TimerSet, Uncaught
from model.terms import Runtime
from properties.system.target import TargetError
from properties.targets import node
from properties.targets.clerk.target import bundle_target
from properties.targets.node_target import NodeTarget
from tests.support import FIRST, ROOT, fresh, ready

STUB = """
exports.Clerk = class {
  addListener() {}
  async load() { this.session = { getToken: async () => this.ask() }; }
  ask() { %s }
};
"""


def stub(folder: Path, ask: str) -> NodeTarget:
    """An SDK that signs in, and runs `ask` for each token that is asked of it."""
    path = folder / "stub.js"
    path.write_text(STUB % ask)
    return fresh(bundle_target(path))


def test_a_storm_of_requests_is_cut_off_and_reported(tmp_path: Path) -> None:
    target = stub(tmp_path, "for (let n = 0; n < 1000; n++) fetch('https://x.test/v1/client')")
    with pytest.raises(TargetError, match="one stimulus set off 201 requests at one instant"):
        target.feed(Called(1, GetToken()), 0)
    target.close()


def test_an_sdk_that_never_comes_back_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = stub(tmp_path, "for (;;);")
    monkeypatch.setattr(node, "STIMULUS_TIMEOUT_S", 0.2)
    with pytest.raises(TargetError, match="has not come back"):
        target.feed(Called(1, GetToken()), 0)
    target.close()


def test_what_nobody_catches_is_recorded_and_ends_nothing(tmp_path: Path) -> None:
    target = stub(
        tmp_path,
        "Promise.reject(new Error('rejected')); setTimeout(() => { throw new Error('thrown'); }, 5);"
        "return Promise.resolve('');",
    )
    assert target.feed(Called(1, GetToken()), 0) == (TimerSet(1, 5, 1), CallSettled(1, None, "null"), Uncaught())
    assert target.feed(TimerDue(1), 5) == (Uncaught(),)
    assert target.threw == ["rejected", "thrown"]
    target.close()


def test_an_interval_arms_itself_again_under_its_own_name(tmp_path: Path) -> None:
    target = stub(tmp_path, "const id = setInterval(() => { if (Date.now() % 3 === 0) clearInterval(id); }, 1)")
    assert target.feed(Called(1, GetToken()), 0)[0] == TimerSet(1, 1, 1)
    assert target.feed(TimerDue(1), 1) == (TimerSet(1, 2, 1),)
    assert target.feed(TimerDue(1), 3) == (TimerCleared(1),)
    with pytest.raises(TargetError, match="timer 1 is not live"):
        target.feed(TimerDue(1), 4)
    target.close()


def test_a_request_that_the_server_does_not_know_is_named(tmp_path: Path) -> None:
    target = stub(tmp_path, "fetch('https://x.test/v1/me?a=b', { method: 'POST' }); return Promise.resolve('')")
    with pytest.raises(TargetError, match=r"the SDK sends POST /v1/me, which the fake server does not know"):
        target.feed(Called(1, GetToken()), 0)
    target.close()


def test_a_token_from_nowhere_is_refused(tmp_path: Path) -> None:
    target = stub(tmp_path, "return Promise.resolve('a.b.c')")
    with pytest.raises(TargetError, match="never minted"):
        target.feed(Called(1, GetToken()), 0)
    target.close()


@pytest.mark.parametrize(
    "name", ["process", "document", "Buffer", "BroadcastChannel", "localStorage", "setImmediate", "crypto"]
)
def test_what_react_native_lacks_is_out_of_reach(tmp_path: Path, name: str) -> None:
    seen = f"typeof {name} + typeof window.{name} + typeof globalThis.{name}"
    target = stub(tmp_path, f"const e = new Error(); e.code = {seen}; return Promise.reject(e)")
    assert target.feed(Called(1, GetToken()), 0) == (CallSettled(1, None, 3 * "undefined"),)
    target.close()


# -- what can be wrong with a bundle --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module.exports = {};", "the bundle exports no Clerk"),
        ("throw new TypeError('boom')", "the bundle throws while loading: TypeError: boom"),
        ("throw null", "the bundle throws while loading: Error: null"),
        ("const = 3", "the bundle throws while loading: SyntaxError: "),
        ("require('react')", "it requires 'react', and a target has no node_modules"),
        ("exports.Clerk = class { load() { return new Promise(() => {}); } }", "load() does not settle"),
        ("exports.Clerk = class { async load() { throw Error('no') } }", "load() fails: no"),
        (
            "exports.Clerk = class { load() { return fetch('https://x.test/v1/dev_browser'); } }",
            "load() sends GET /v1/dev_browser, which has no answer",
        ),
        ("exports.Clerk = class { addListener() {} async load() {} }", "load() does not sign in"),
    ],
)
def test_a_bundle_that_is_no_clerk_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bundle.js"
    path.write_text(text)
    target = bundle_target(path)
    with pytest.raises(TargetError) as told:
        ready(target)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    target.close()


def test_a_bundle_that_is_not_there_or_a_folder_is_told_before_node_starts(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="there is no file"):
        bundle_target(tmp_path / "none.js").prepare()
    with pytest.raises(TargetError, match="is a directory: name the bundle in it"):
        bundle_target(tmp_path).prepare()


def test_a_bundle_is_named_as_it_was_given() -> None:
    assert bundle_target(Path("../dist/clerk.native.js")).name == "path:../dist/clerk.native.js"


# -- the process --------------------------------------------------------------------------------------------


def pid_of(target: NodeTarget) -> int:
    """The target's Node process."""
    assert target._driver is not None
    return target._driver.pid


def test_killing_node_in_mid_trace_is_told_and_a_later_start_begins_anew(tmp_path: Path) -> None:
    target = stub(tmp_path, "return Promise.resolve('')")
    pid = pid_of(target)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TargetError, match="the Node process of the SDK was killed by SIGKILL"):
        target.feed(Called(1, GetToken()), 0)
    target.start(Runtime.HEADLESS, FIRST)
    assert target.feed(Called(1, GetToken()), 0) == (CallSettled(1, None, "null"),)
    target.close()


def test_node_dying_between_two_traces_is_told_too(tmp_path: Path) -> None:
    target = stub(tmp_path, "return Promise.resolve('')")
    os.kill(pid_of(target), signal.SIGKILL)
    with pytest.raises(TargetError, match="the Node process of the SDK was killed by SIGKILL"):
        for _ in range(2):  # the first line may still fit into the pipe
            target.finish()
            target.start(Runtime.HEADLESS, FIRST)
    assert target.start(Runtime.HEADLESS, FIRST) == ()
    target.close()


def test_close_leaves_no_process_and_may_come_twice(tmp_path: Path) -> None:
    target = stub(tmp_path, "return Promise.resolve('')")
    pid = pid_of(target)
    target.close()
    target.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_ctrl_c_is_for_us_and_not_for_node(tmp_path: Path) -> None:
    target = stub(tmp_path, "return Promise.resolve('')")
    os.kill(pid_of(target), signal.SIGINT)
    assert target.feed(Called(1, GetToken()), 0) == (CallSettled(1, None, "null"),)
    target.close()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="NOT CHECKED: orphans; needs Linux to wait for them")
@pytest.mark.parametrize("before", ["", "for (;;);"], ids=["idle", "in a loop"])
def test_node_ends_when_the_process_that_started_it_is_killed(tmp_path: Path, before: str) -> None:
    (tmp_path / "stub.js").write_text(before + STUB % "return null")
    program = (
        "import sys; from pathlib import Path; from properties.targets.clerk.target import bundle_target\n"
        "from properties.targets.node import Driver\n"
        "tell = Driver.tell\n"
        "Driver.tell = lambda driver, command: (tell(driver, command), print(driver.pid, flush=True))\n"
        "bundle_target(Path(sys.argv[1])).prepare(); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "stub.js")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        driver = os.pidfd_open(int(parent.stdout.readline()))  # its first command is in its pipe by now
        try:
            parent.kill()
            assert select.select([driver], [], [], 10)[0], "Node outlived the process that started it"
        finally:
            os.close(driver)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_the_signal_that_ends_node_is_named(tmp_path: Path, sent: signal.Signals) -> None:
    target = stub(tmp_path, "return Promise.resolve('')")
    os.kill(pid_of(target), sent)
    with pytest.raises(TargetError, match=f"^the Node process of the SDK was killed by {sent.name}: run again"):
        target.feed(Called(1, GetToken()), 0)
    target.close()


@pytest.mark.parametrize(
    ("version", "flag"),
    [
        ((18, 20), None),
        ((20, 0), "--experimental-permission"),
        ((22, 12), "--experimental-permission"),
        ((22, 13), "--permission"),
        ((23, 4), "--experimental-permission"),
        ((23, 5), "--permission"),
        ((24, 1), "--permission"),
    ],
)
def test_node_has_the_permissions_that_its_version_knows(version: tuple[int, int], flag: str | None) -> None:
    assert next(iter(node.permissions(version, [])), None) == flag


def test_node_may_read_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    flags = node.permissions(node.installed_node()[1], [tmp_path / "given"])
    if not flags:
        pytest.skip("NOT CHECKED: the permissions of Node; needs Node 20 or newer")
    for name in ("given", "other"):
        (tmp_path / name).write_text("")
    for name, code in (("given", 0), ("other", 1)):
        read = ["-e", "fs.readFileSync(process.argv[1])", str(tmp_path / name)]
        done = subprocess.run(
            [node.node_executable(), *flags, *read], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert ("ERR_ACCESS_DENIED" in done.stderr) == bool(code)


@pytest.mark.parametrize("name", ["a,b", "a*b", "a b", "ü", "-"])
def test_a_bundle_is_read_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    stub(tmp_path / name, "return ''").close()


def test_without_node_one_line_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    node.installed_node.cache_clear()
    try:
        with pytest.raises(TargetError, match=r"Node 18 or newer is needed .* the model targets work without it"):
            node.node_executable()
        old = tmp_path / "node"
        old.write_text("#!/bin/sh\necho v16.20.2\n")
        old.chmod(0o755)
        with pytest.raises(TargetError, match=r"Node 18 or newer is needed .* and this is v16\.20\.2"):
            node.node_executable()
    finally:
        node.installed_node.cache_clear()
