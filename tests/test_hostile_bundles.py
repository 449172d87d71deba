"""Bundles that mean no good, or are broken in a way of their own: how each one ends.

Each is a few lines around an SDK that signs in. Either its traces can be judged, and are the same each
time, or one line says what happened and what to do. Nothing hangs, and nothing is left running.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.clerk.terms import GetToken
from model.io import Called, CallSettled
from model.step import Step
from model.terms import Runtime
from model.world.events import Advance
from properties.invariants.catalogue import INVARIANTS
from properties.run.run import Run, Violation
from properties.system.target import TargetError
from properties.targets import node
from properties.targets.clerk.target import bundle_target
from properties.targets.node_target import NodeTarget
from tests.support import ROOT, SECOND, Tried, assuming, fresh, ready

SDK = """
const API = 'https://a.test/v1/client';
%(before)s
exports.Clerk = class {
  addListener() {}
  async load() { this.session = { getToken: async () => this.ask() }; %(load)s }
  ask() { %(ask)s }
};
%(after)s
"""


THROWS = "() => { throw Error('patched'); };"


def bundle(before: str = "", load: str = "", ask: str = "return '';", after: str = "") -> str:
    """An SDK that signs in, with something of its own: before it is defined, when it loads, for each call."""
    return SDK % {"before": before, "load": load, "ask": ask, "after": after}


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """After each test no Node is a child of this process that was none before: builds of other tests go on."""
    before = children()
    yield
    assert children() <= before


def children() -> set[str]:
    """The Node processes that are children of this one."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition(") ")
        except OSError:  # it has ended meanwhile
            continue
        if name.endswith("(node") and rest.split()[1] == str(os.getpid()):
            found.add(stat.parent.name)
    return found


def ending(folder: Path, source: str) -> str:
    """How two traces of a bundle end, which are the same: "verdict", or the one line."""
    path = folder / "bundle.js"
    path.write_bytes(source.encode("utf-8", "surrogatepass"))
    target = bundle_target(path)
    try:
        ready(target)
        first, second = ([repr(step) for step in trace(target)] for _ in range(2))
    except TargetError as error:
        told = str(error)
        assert "\n" not in told
        assert len(told) < 600
        return told
    finally:
        target.close()
    assert first == second
    return "verdict"


def trace(target: NodeTarget) -> list[Step]:
    """Calls, time and answers, judged by every invariant. A violation does not end it."""
    ran = Run(target, Runtime.HEADLESS, assuming("starvation"), INVARIANTS.values())
    for event in (GetToken(), Advance(15 * SECOND), GetToken(skip_cache=True), Advance(15 * SECOND)):
        if ran.permits(event):
            with contextlib.suppress(Violation):
                ran.play(event)
    with contextlib.suppress(Violation):
        ran.recover()
    target.finish()
    return ran.steps


# -- a verdict: the bundle lives in a world of its own --------------------------------------------------------

VERDICT = {
    # whose code nobody asked for
    "patched Promise.prototype.then": bundle(
        "const { then } = Promise.prototype;"
        "Promise.prototype.then = function (...a) { return then.apply(this, a); };"
    ),
    "patched Array.prototype.push": bundle("Array.prototype.push = " + THROWS),
    "patched Array.prototype iterator": bundle(after="Array.prototype[Symbol.iterator] = " + THROWS),
    "patched JSON": bundle("JSON.stringify = JSON.parse = " + THROWS),
    "patched Map": bundle("Map.prototype.get = Map.prototype.set = " + THROWS),
    "patched Object": bundle("Object.keys = Object.fromEntries = Object.defineProperty = " + THROWS),
    "patched Function.prototype.call": bundle("Function.prototype.call = Function.prototype.apply = () => 1;"),
    "patched Reflect": bundle("Reflect.apply = Reflect.construct = " + THROWS),
    "patched URL and Headers": bundle("URL.prototype.toString = Headers.prototype.get = " + THROWS),
    "patched Date": bundle("Date.now = () => NaN; Date.prototype.getTime = () => NaN;"),
    "patched Error": bundle("Error.prepareStackTrace = () => { throw 1; }; Error.stackTraceLimit = Infinity;"),
    "replaced Promise": bundle("globalThis.Promise = class {}; Promise = undefined;"),
    "replaced timers": bundle("globalThis.setTimeout = setInterval = clearTimeout = " + THROWS),
    "replaced fetch": bundle("globalThis.fetch = () => new Promise(() => {});", ask="return fetch('x');"),
    "replaced globalThis": bundle("globalThis = window = self = null;"),
    "wrapped again in each trace": bundle(
        "const was = Promise.prototype.then; if (was.wrapped) throw Error('twice');"
        "Promise.prototype.then = "
        "Object.assign(function (...a) { return was.apply(this, a); }, { wrapped: true });"
    ),
    "prototype pollution": bundle("Object.prototype.do = 'end'; Object.prototype.error = 'polluted';"),
    "pollution by accessors": bundle(
        "for (const name of ['then', 'at', 'out', 'timer', 'body', 'toJSON'])"
        "Object.defineProperty(Object.prototype, name, { get() {}, set() {}, configurable: true });"
    ),
    "pollution that lasts": bundle(
        "if (Object.prototype.stayed) throw Error('it stayed'); Object.prototype.stayed = true;"
    ),
    "frozen built-ins": bundle("for (const o of [Object, Array, Promise, Function]) Object.freeze(o.prototype);"),
    "counting in a global": bundle("globalThis.n = (globalThis.n ?? 0) + 1; if (n > 1) throw Error('again');"),
    "strict": bundle("'use strict';"),
    "exports replaced": bundle(after="module.exports = { Clerk: exports.Clerk };"),
    "ends with a comment": bundle(after="// the end"),
    # what fails, and the app sees
    "getToken throws": bundle(ask="throw Error('no');"),
    "getToken throws null": bundle(ask="throw null;"),
    "getToken rejects with a trap": bundle(ask="return Promise.reject({ get code() { throw Error('trap'); } });"),
    "an error of many lines": bundle(ask="const e = Error('a\\nb'); e.code = 'x\\n\\u001b[2Jy'; throw e;"),
    "an error of a megabyte": bundle(ask="throw Object.assign(Error(), { code: 'x'.repeat(1 << 20) });"),
    "an error that is no text": bundle(ask="throw { code: Symbol('s') };"),
    "an error without a prototype": bundle(ask="throw Object.create(null);"),
    "recursion without an end": bundle(ask="return this.ask();"),
    "a thenable that settles twice": bundle(
        load="this.session.getToken = () => ({ then(yes, no) { yes(''); yes(''); no(Error('late')); } });"
    ),
    "a thenable that throws": bundle(load="this.session.getToken = () => ({ then() { throw Error('then'); } });"),
    "getToken that is no promise": bundle(load="this.session.getToken = () => '';"),
    "a promise that never settles": bundle(ask="return new Promise(() => {});"),
    "an unhandled rejection": bundle(ask="Promise.reject(Error('nobody')); return '';"),
    "a rejection without a reason": bundle(ask="Promise.reject(); Promise.reject(null); return '';"),
    "an exception in a timer": bundle(ask="setTimeout(() => { throw Error('late'); }, 1); return '';"),
    "an exception in a microtask": bundle(ask="queueMicrotask(() => { throw Error('micro'); }); return '';"),
    "a timer without a function": bundle(ask="setTimeout('alert(1)', 1); setTimeout(undefined, 1); return '';"),
    "a timer for ever": bundle(ask="setTimeout(() => {}, Infinity); setTimeout(() => {}, 1e300); return '';"),
    "a timer for NaN": bundle(ask="setTimeout(() => {}, NaN); setTimeout(() => {}, -5); return '';"),
    "an address that is none": bundle(ask="return fetch('not a url');"),
    "a lone surrogate": bundle(ask="throw Error('\\ud800');"),
    # what is looked for and not found
    "process.exit": bundle(ask="process.exit(0);"),
    "process by this": bundle(ask="return (function () { return this.process.exit(0); })();"),
    "process by Function": bundle(ask="return Function('return process')().exit(0);"),
    "process by an object of the glue": bundle(
        ask="navigator.constructor.constructor('return process')().exit();"
    ),
    "process by a class of the web": bundle(ask="Object.getPrototypeOf(URL).constructor('process.exit()')();"),
    "process by eval": bundle(ask="(0, eval)('process').exit(0);"),
    "import of a module": bundle(ask="return import('node:fs');"),
    "import by Function": bundle(ask="return Function('return import(\"fs\")')();"),
    "this of the module": bundle("if (this !== exports) throw Error('this');"),
    "a UMD wrapper": bundle("(function (root) { if (root.process) throw Error('Node'); })(this);"),
}


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest, tried: Tried) -> None:
    """Each named bundle is one that was tried."""
    if "name" in request.fixturenames:
        tried("hostile bundles", 1)


@pytest.mark.parametrize("name", VERDICT)
def test_it_gets_a_verdict(tmp_path: Path, name: str) -> None:
    assert ending(tmp_path, VERDICT[name]) == "verdict"


# -- one line: there is nothing to judge ----------------------------------------------------------------------

LINE = {
    "empty": ("", "the bundle exports no Clerk"),
    "a syntax error": ("const = 3", "the bundle throws while loading: SyntaxError"),
    "closes the wrapper": ("}); (function () {", "exports no Clerk|the bundle throws while loading"),
    "not JavaScript": ("<!doctype html><p>503", "the bundle throws while loading: SyntaxError"),
    "a module": ("export const Clerk = 1;", "the bundle throws while loading: SyntaxError"),
    "throws": ("throw Error('boom')", "the bundle throws while loading: Error: boom"),
    "throws a thenable": ("throw { then() {} }", "the bundle throws while loading"),
    "exports a trap": (
        "module.exports = new Proxy({}, { get() { throw Error('trap'); } })",
        "the SDK throws .*: trap",
    ),
    "exports a number": ("exports.Clerk = 3", "the bundle exports no Clerk"),
    "exports nothing": ("module.exports = undefined", "the SDK throws where the driver looks at it"),
    "exports a function": (
        "exports.Clerk = () => {}",
        "the SDK throws where the driver looks at it: .*not a constructor",
    ),
    "constructor throws": (
        "exports.Clerk = class { constructor() { throw null; } }",
        "the SDK throws where the driver",
    ),
    "requires fs": ("require('fs')", "it requires 'fs', and a target has no node_modules"),
    "requires node:net": ("require('node:net')", "it requires 'node:net'"),
    "requires http": ("require('http').get('http://127.0.0.1/')", "it requires 'http'"),
    "looks for process": ("process.exit(0)", "process is not defined"),
    "looks for Buffer": ("Buffer.from('a')", "Buffer is not defined"),
    "recursion": ("(function f() { f(); })()", "Maximum call stack size exceeded"),
    "no listener": ("exports.Clerk = class { async load() {} }", "load\\(\\) fails: .*addListener"),
    "load rejects": (bundle(load="throw Error('no\\nmore');"), "load\\(\\) fails: no$"),
    "load never settles": (bundle(load="await new Promise(() => {});"), "load\\(\\) does not settle: it waits"),
    "load waits for a timer": (
        bundle(load="await new Promise(f => setTimeout(f, 1));"),
        "load\\(\\) does not settle",
    ),
    "load asks for nothing known": (
        bundle(load="await fetch('https://a.test/b');"),
        "load\\(\\) sends GET /b, which",
    ),
    "a token that is no text": (
        bundle(load="this.session.lastActiveToken = { getRawString: () => ({}) };"),
        "is no text",
    ),
    "an unknown token": (bundle(ask="return 'a.b.c';"), "never minted"),
    "an unknown request": (
        bundle(ask="return fetch('https://a.test/b');"),
        "sends GET /b, which the fake server does",
    ),
    "a session that goes": (bundle(ask="this.session = null; return '';"), "changed without an announcement"),
    "a storm of requests": (
        bundle(ask="for (let n = 0; n < 999; n++) fetch(API);"),
        "one stimulus set off 201 requests at one instant .*: look for a loop",
    ),
    "a storm of timers": (
        bundle(ask="for (;;) setTimeout(() => {}, 1);"),
        "one stimulus set off more than 10000 outputs: look for a loop",
    ),
    "a storm of rejections": (
        bundle(ask="for (let n = 0; n < 20000; n++) Promise.reject(n);"),
        "one stimulus set off more than 10000 outputs: look for a loop",
    ),
    "output without a bound": (
        bundle(ask="fetch(API, { method: 'POST', body: 'x'.repeat(1 << 25) }); return '';"),
        "one stimulus set off more than 16 MB of output",
    ),
    "output longer than a text": (
        bundle(ask="for (const n of [1, 2, 3]) fetch(API, { body: '\\u0001'.repeat(1 << 27) });"),
        "one stimulus set off more than 16 MB of output",
    ),
}


@pytest.mark.parametrize("name", LINE)
def test_one_line_says_what_is_wrong(tmp_path: Path, name: str) -> None:
    source, line = LINE[name]
    told = ending(tmp_path, source)
    assert re.search(line, told), told


CHAIN = "const again = () => setTimeout(again, {delay}); again(); return '';"

SLOW_LINE = {
    "a chain of timers": (
        bundle(ask=CHAIN.format(delay=0)),
        r"does not come to rest: 10000 timers ran at one instant: look for one that sets itself again",
    ),
    "a chain of timers at load": (
        bundle(load="const again = () => setTimeout(again, 0); again();"),
        "does not come to rest: 10000 timers ran at one instant",
    ),
    "a ticker of 1 ms": (
        bundle(ask="setInterval(() => {}, 1); return '';"),
        r"does not come to rest: 10000 timers ran within \d+ ms, in one step: .* name its period in Timings",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_LINE)
def test_timers_without_end_are_counted(tmp_path: Path, name: str) -> None:
    source, line = SLOW_LINE[name]
    told = ending(tmp_path, source)
    assert re.search(line, told), told


# -- what only a clock can end --------------------------------------------------------------------------------

LOOPS = {
    "a loop": bundle(ask="for (;;);"),
    "a loop while it is evaluated": bundle("for (;;);"),
    "a loop while it loads": bundle(load="for (;;);"),
    "a loop in a getter": bundle(ask="throw { get code() { for (;;); } };"),
    "a loop in a timer": bundle(ask="setTimeout(() => { for (;;); }, 1); return '';"),
    "a loop that catches": bundle(ask="for (;;) try { setTimeout(() => {}, 1); } catch {}"),
    "a chain of promises": bundle(ask="return (async () => { for (;;) await null; })();"),
    "a chain of microtasks": bundle(ask="(function again() { queueMicrotask(again); })(); return '';"),
    "a chain of microtasks at load": bundle(load="(function again() { queueMicrotask(again); })();"),
    "a pattern that backtracks": bundle(ask="return /^(a+)+$/.test('a'.repeat(64) + 'b');"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_without_end_is_ended_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(node, "STIMULUS_TIMEOUT_S", 2)
    told = ending(tmp_path, LOOPS[name])
    assert re.search(
        "has not come back from a stimulus for 2 s of real time, and was ended: look for a loop", told
    ), told


# -- memory ---------------------------------------------------------------------------------------------------

BOMBS = {
    "objects": (bundle(ask="const all = []; for (;;) all.push({ a: [1, 2, 3] });"), "filled the 64 MB of heap"),
    "text": (
        bundle(ask="let t = 'xy'; const all = []; for (;;) all.push((t += 'z').split(''));"),
        "filled the 64 MB",
    ),
    "a table": (
        bundle(ask="const all = {}; for (let n = 0; ; n++) all['k' + n] = n;"),
        "filled the 64 MB of heap",
    ),
    "buffers": (
        bundle(ask="const all = []; for (;;) all.push(new Uint8Array(1 << 24).fill(1));"),
        r"was killed by SIGKILL \(it held more than 400 MB of memory\)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_memory_has_a_bound_which_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(node, "HEAP_MB", 64)
    monkeypatch.setattr(node, "MEMORY_MB", 400)
    source, line = BOMBS[name]
    told = ending(tmp_path, source)
    assert re.search(line, told), told


# -- nothing real ---------------------------------------------------------------------------------------------

NOTHING_REAL = {
    "the clock": ("Date.now()", "1767225605000"),
    "the clock, as text": ("Date().slice(0, 24)", "Thu Jan 01 2026 00:00:05"),
    "the clock, by a date's constructor": ("new (new Date().constructor)().getTime()", "1767225605000"),
    "the clock, by the prototype": ("Date.prototype.constructor.now()", "1767225605000"),
    "the clock, by a format": ("new Intl.DateTimeFormat('en').format()", "1/1/2026"),
    "the clock, by a bound format": ("new Intl.DateTimeFormat('en').formatToParts()[4].value", "2026"),
    "the clock, by Function": ("Function('return Date.now()')()", "1767225605000"),
    "the clock of performance": ("performance.now()", "5000"),
    "the clock of an event": ("new Event('x').timeStamp", "5000"),
    "the time zone": ("new Date().getTimezoneOffset()", "0"),
    "chance": ("Math.random()", "0"),
    "a timer of a signal": ("(AbortSignal.timeout(1e9), setTimeout(() => {}, 1) - 1)", "1"),
    "threads": (
        "['Atomics', 'SharedArrayBuffer', 'WebAssembly'].map(name => name in globalThis)",
        "false,false,false",
    ),
    "garbage": ("new WeakRef(Math).deref() === Math", "true"),
    "another network": (
        "['XMLHttpRequest', 'WebSocket', 'EventSource'].map(name => name in globalThis)",
        "false,false,false",
    ),
    "another realm": (
        "[{} instanceof Object, [] instanceof Array, fetch('x').catch(() => {}) instanceof Promise]",
        "true,true,true",
    ),
    "bytes": ("new TextEncoder().encode('a') instanceof Uint8Array", "true"),
    "instances": (
        "[new URL('a:b').searchParams instanceof URLSearchParams,"
        "new AbortController().signal instanceof AbortSignal,"
        "new URL('a:b') instanceof class extends URL {}]",
        "true,true,false",
    ),
    "the global": ("[this === undefined, window === globalThis, self === global]", "true,true,true"),
    "a module of Node": ("import('node:fs').then(() => 'in', () => 'out')", "out"),
    "a module of Node, by Function": ("Function('return import(\"fs\")')().then(() => 'in', () => 'out')", "out"),
    "the process, by Function": ("Function('return typeof process')()", "undefined"),
    "the process, by a class of Node": (
        "try { Object.getPrototypeOf(URL).constructor('return process')(); } catch (e) { e.name }",
        "EvalError",
    ),
    "the process, by an object of the glue": (
        "try { navigator.constructor.constructor('return process')(); } catch (e) { e.name }",
        "EvalError",
    ),
    "what Node has": (
        "['process', 'require', 'module', 'Buffer', 'setImmediate', 'gc'].filter(name => name in globalThis)",
        "",
    ),
}

ASKS = """
function see(program) {
  'use strict';
  return eval(program);
}
exports.Clerk = class {
  addListener() {}
  async load() { this.session = { getToken: this.ask }; }
  async ask({ template: program }) {
    throw Object.assign(new Error(), { code: `${await see.call(undefined, program)}` });
  }
};
"""


@pytest.mark.parametrize("name", NOTHING_REAL)
def test_a_bundle_finds_nothing_real(tmp_path: Path, name: str) -> None:
    program, seen = NOTHING_REAL[name]
    path = tmp_path / "bundle.js"
    path.write_text(ASKS)
    target = fresh(bundle_target(path))
    try:
        outputs = target.feed(Called(1, GetToken(program)), 5_000)
    finally:
        target.close()
    assert outputs[-1] == CallSettled(1, None, seen)


def test_there_are_enough_of_them() -> None:
    assert len(VERDICT) + len(LINE) + len(SLOW_LINE) + len(LOOPS) + len(BOMBS) >= 60


# -- as a user meets it ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_command_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "bundle.js"
    path.write_text(LINE["a storm of timers"][0])
    words = [str(ROOT / "properties"), f"--rootdir={ROOT}", "-p", "no:cacheprovider", f"--target=path:{path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "one stimulus set off more than 10000 outputs" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
