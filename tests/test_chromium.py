"""Nobody has to believe in jsdom: the same traces in headless Chromium, with its cookies, locks and hashes."""

from __future__ import annotations

import functools
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from model.clerk.terms import GetToken, TokenId
from model.io import Called, CallSettled
from model.requests import Endpoint, Outcome
from model.step import Step
from model.terms import Runtime
from model.world.events import Advance, Answer, Event, Freeze, GoOffline, GoOnline
from model.world.facts import Answered, Sent, Settled
from properties.run.run import Run
from properties.targets.clerk import server as fapi
from properties.targets.clerk.builds import PAGE_BUNDLES, fetch_build
from properties.targets.clerk.requests import CLIENT_PATH, tokens_path
from properties.targets.clerk.target import bundle_target, clerk_js_target
from properties.targets.clerk.tokens import mint
from properties.targets.node_target import NodeTarget
from properties.targets.server import EPOCH
from tests.support import FIRST, HOUR, ROOT, assuming, chromium, fresh, ready

pytestmark = pytest.mark.slow

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

PREFERENCES = {"profile": {"cookie_controls_mode": 0}}
"""A frame of another site may have cookies. Without that, this Chromium lets it have partitioned ones alone."""

EVERYTHING = (
    *(Advance(50_000), GetToken("api"), Answer(1, Outcome.GRANTED), Advance(5_000), Answer(2, Outcome.GRANTED)),
    *(GetToken(), Advance(60_000), Answer(3, Outcome.UNAUTHORIZED), Answer(4, Outcome.SESSION)),
    *(Answer(5, Outcome.SESSION), GetToken(), Freeze(8 * HOUR)),
    *(Answer(6, Outcome.UNAUTHORIZED), Answer(7, Outcome.NO_SESSION)),
)
OFFLINE = (
    *(Advance(43_000), GoOffline(), Answer(1, Outcome.LOST), GoOnline()),
    *(Advance(20_000), Answer(2, Outcome.GRANTED), GetToken()),
)
OFFLINE_AND_BACK = (
    *(GoOffline(), Advance(60_000), Answer(1, Outcome.LOST), Advance(3_000), Answer(2, Outcome.LOST)),
    *(GetToken(), Answer(3, Outcome.LOST), GoOnline(), Advance(5_000)),
    *(Answer(4, Outcome.GRANTED), GetToken("api"), Answer(5, Outcome.GRANTED)),
)


@pytest.fixture(scope="module")
def browser() -> str:
    """Headless Chromium."""
    return chromium("that jsdom does what a browser does")


class Site:
    """A folder that is served on this machine, because pages in files have no cookies; and what a page posts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.posted: queue.Queue[str] = queue.Queue()
        posted = self.posted

        class Answers(SimpleHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing goes to the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Answers, directory=str(folder)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def shown(self, browser: str) -> Any:
        """What page.html posts, or a frame in it, when `browser` shows it."""
        address = f"http://127.0.0.1:{self.server.server_port}/page.html"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            (Path(profile) / "Default").mkdir()
            (Path(profile) / "Default" / "Preferences").write_text(json.dumps(PREFERENCES))
            command = [browser, *FLAGS, f"--user-data-dir={profile}", address]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                try:
                    return json.loads(self.posted.get(timeout=60))
                finally:
                    process.terminate()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty one."""
    made = Site(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def told(step: Step) -> list[Any]:
    """The step as the page is told of it."""
    match step.event:
        case Advance(ms):
            return ["advance", ms]
        case Freeze(ms):
            return ["freeze", ms]
        case Answer(request, Outcome.LOST):
            return ["lose", request]
        case GoOffline() | GoOnline():
            return ["connect", isinstance(step.event, GoOnline)]
        case GetToken(template):
            return ["ask", template]
        case Answer(request, outcome):
            (answer,) = [fact for fact in step.facts if isinstance(fact, Answered)]
            reply = fapi.render(outcome, answer.token)
            return ["answer", [request, reply.status, reply.body]]
    raise AssertionError(step.event)


def seen(step: Step) -> list[str]:
    """The requests and tokens of a step, as the page sees them."""
    words: list[str] = []
    for fact in step.facts:
        match fact:
            case Sent(endpoint=Endpoint.INTROSPECT):
                words.append(f"GET {CLIENT_PATH}")
            case Sent(token_id=TokenId(template)):
                words.append(f"POST {tokens_path()}{f'/{template}' if template else ''}")
            case Settled(token=token, error=error):
                words.append(mint(token) if token else f"error {error}")
    return words


def in_chromium(browser: str, site: Site, release: str, steps: list[Step]) -> Any:
    """What a page of Chromium shows after each of the steps, that at sign-in first."""
    bundle = fetch_build(release, lambda line: None, PAGE_BUNDLES)
    (site.folder / "bundle.js").write_bytes(bundle.read_bytes())
    boot = {one.request: [one.status, one.body] for one in fapi.boot_answers(FIRST)}
    script = json.dumps({"boot": boot, "steps": [told(step) for step in steps]})
    page = (ROOT / "tests" / "chromium" / "page.html").read_text()
    page = page.replace("__SCRIPT__", script).replace("__EPOCH__", str(EPOCH * 1000))
    (site.folder / "page.html").write_text(page)
    return site.shown(browser)


@pytest.mark.parametrize(
    ("release", "events"),
    [("6.40.0", EVERYTHING), ("6.0.0", OFFLINE), ("6.40.0", OFFLINE_AND_BACK)],
    ids=["6.40.0", "6.0.0 offline", "6.40.0 offline"],
)
def test_a_page_of_chromium_asks_and_keeps_what_ours_does(
    browser: str, site: Site, release: str, events: tuple[Event, ...]
) -> None:
    target: NodeTarget = clerk_js_target(release, lambda line: None)
    try:
        ran = Run(ready(target, Runtime.BROWSER), Runtime.BROWSER, assuming("outage"), ())
        start = ran.world
        for event in events:
            ran.play(event)
    finally:
        target.close()
    worlds = [start, *(step.after for step in ran.steps)]
    ours = [
        {"seen": words, "cookie": world.page.shown and mint(world.page.shown)}
        for words, world in zip([[], *map(seen, ran.steps)], worlds, strict=True)
    ]
    assert in_chromium(browser, site, release, ran.steps) == ours


WRITES = (
    "k=1; path=/; secure; samesite=none",
    "l=1; path=/; secure; samesite=lax",
    "p=1; path=/",
    "k=2; path=/; secure; samesite=none; partitioned",
    "a=1; path=/; secure; samesite=none; partitioned",
    "k=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "k=3; path=/; secure; samesite=none; partitioned",
    "k=; path=/; secure; samesite=none; expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "k=4; path=/; secure; samesite=none",
)
"""What is written to `document.cookie`: twice to remove a cookie."""

NOTES = "for (const text of WRITES) { document.cookie = text; seen.push(document.cookie); }"


CLERK_OF = """
exports.Clerk = class {
  addListener() {}
  async load() {
    this.session = { getToken: this.ask };
    document.cookie = '__client_uat=; path=/; secure; samesite=none; expires=Thu, 01 Jan 1970 00:00:00 GMT';
  }
  async ask() {
    PROGRAM
    throw Object.assign(new Error(), { code: JSON.stringify(seen) });
  }
};
"""
"""An SDK whose getToken runs a program, and tells what that has seen."""


@pytest.mark.parametrize("framed", [False, True])
def test_cookies_of_a_page_and_of_a_frame_are_those_of_chromium(
    browser: str, site: Site, tmp_path: Path, framed: bool
) -> None:
    """To Chromium, 127.0.0.1 and localhost are two sites, and localhost is secure enough for what is `secure`."""
    posts = "fetch('/', { method: 'POST', body: JSON.stringify(seen) })"
    page = f"<script>const WRITES = {json.dumps(WRITES)}, seen = []; {NOTES} {posts};</script>"
    own = f"http://localhost:{site.server.server_port}/own.html"
    outer = f'<iframe src="{own}"></iframe>' if framed else f"<script>location = '{own}'</script>"
    (site.folder / "own.html").write_text(page)
    (site.folder / "page.html").write_text(outer)
    path = tmp_path / "stub.js"
    path.write_text(CLERK_OF.replace("PROGRAM", f"const WRITES = {json.dumps(WRITES)}, seen = []; {NOTES}"))
    target = bundle_target(path)
    try:
        fresh(target, Runtime.FRAME if framed else Runtime.BROWSER)
        (settled,) = target.feed(Called(1, GetToken()), 0)
    finally:
        target.close()
    assert isinstance(settled, CallSettled) and settled.error
    assert json.loads(settled.error) == site.shown(browser)
