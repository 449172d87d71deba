"""The pages, as a browser shows them: headless Chromium runs them and says what became of them."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Freeze
from properties.invariants.catalogue import INVARIANTS
from properties.invariants.verdict import Cell, Findings, Violated
from properties.render.files import FORMATS
from properties.render.page import matrix, page
from properties.render.table import table
from properties.render.view import view
from properties.run.counterexample import Counterexample
from properties.run.explain import explain, replay
from properties.system.trace import Trace
from tests.support import HEADLINE, HOUR, assuming, check, chromium, explore, model

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000"),
)

PHONE = """<!doctype html><iframe src="page.html" style="width:390px;height:800px;border:0"></iframe>
<script>onmessage = event => { document.documentElement.dataset.width = event.data }</script>"""


@pytest.fixture(scope="module")
def found() -> Counterexample:
    """The hole in the guard of #8303, on the model."""
    target = model("6.40.0")
    events = (
        Advance(43_000),
        Freeze(8 * HOUR),
        Answer(1, Outcome.UNAUTHORIZED),
        Answer(2, Outcome.NO_SESSION),
    )
    trace = Trace(target.name, Runtime.HEADLESS, assuming("starvation", "stale-on-arrival"), events, HEADLINE)
    violation = replay(trace, target)
    assert violation is not None
    return explain(violation, target)


def html(found: Counterexample) -> str:
    text = FORMATS["html"](found)
    assert text is not None
    return text


@pytest.fixture(scope="session")
def browser() -> str:
    """Headless Chromium."""
    return chromium("the pages in a browser")


def shown(browser: str, tmp_path: Path, text: str, place: str = "", width: int = 1200) -> str:
    """The document after the page's own script ran, at `place`, in a window of that width."""
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [browser, *FLAGS, profile, f"--window-size={width},900", "--dump-dom", f"{path.as_uri()}{place}"]
    document = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    (root,) = re.findall(r"<html[^>]*>", document)
    assert 'data-ready="yes"' in root, root
    assert "data-error" not in root, root
    return document


def classes(document: str) -> list[set[str]]:
    """The classes of each moment of the timeline, in order."""
    return [set(names.split()) for names in re.findall(r'<g class="(moment[^"]*)"', document)]


def test_every_moment_is_drawn_and_the_fatal_one_is_marked(
    browser: str, tmp_path: Path, found: Counterexample
) -> None:
    document = shown(browser, tmp_path, html(found))
    drawn = classes(document)
    assert len(drawn) == len(view(found).moments) == 7
    assert ["fatal" in one for one in drawn] == [False] * 6 + [True]
    assert "8 h frozen</text>" in document
    assert "signed out</text>" in document


@pytest.mark.slow
def test_a_step_dims_what_is_still_to_come_and_shows_the_state_after_it(
    browser: str, tmp_path: Path, found: Counterexample
) -> None:
    document = shown(browser, tmp_path, html(found), "#step=3")
    assert ["later" in one for one in classes(document)] == [False] * 5 + [True] * 2
    assert "3 of 4: answer(1, unauthorized) (8:00:43)" in document
    (state,) = re.findall(r'<div id="state">(.*?)</div>', document, re.DOTALL)
    assert "2: introspect, in the background" in state
    assert 'class="changed"' in state


def test_what_led_to_the_moment_looked_at_is_marked(browser: str, tmp_path: Path, found: Counterexample) -> None:
    document = shown(browser, tmp_path, html(found))  # at the end, the fatal moment is looked at
    assert ["why" in one for one in classes(document)] == [True, True, False, True, True, True, True]


def test_the_page_fits_a_phone(browser: str, tmp_path: Path, found: Counterexample) -> None:
    """No window of Chromium is narrower than 500 px, but a frame may be; the page tells it how wide it is."""
    report = "dataset.ready = 'yes'; parent.postMessage(document.documentElement.scrollWidth, '*')"
    (tmp_path / "page.html").write_text(html(found).replace("dataset.ready = 'yes'", report))
    path = tmp_path / "phone.html"
    path.write_text(PHONE)
    command = [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    document = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    (width,) = re.findall(r'data-width="(\d+)"', document)
    assert int(width) <= 390


def test_a_text_from_outside_cannot_break_out_of_the_data(
    browser: str, tmp_path: Path, found: Counterexample
) -> None:
    evil = "</script><script>document.documentElement.dataset.evil='yes'</script><!--"
    shown_view: dict[str, Any] = to_builtins(replace(view(found), title=evil, why=evil))
    text = page({**shown_view, "trace": evil})
    assert text.count("<script") == 2
    assert "data-evil" not in shown(browser, tmp_path, text).partition("<head>")[0]


def test_a_page_asks_the_network_for_nothing(found: Counterexample) -> None:
    text = html(found)
    assert "default-src 'none'" in text
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) == {"http://www.w3.org/2000/svg"}


def test_without_scripts_the_page_still_says_what_happened(found: Counterexample) -> None:
    (plain,) = re.findall(r"<noscript>(.*?)</noscript>", html(found))
    assert "answer(1, unauthorized) -&gt; answer(2, no-session)" in plain


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What a search of a cell found in which several invariants are violated."""
    with contextlib.chdir(tmp_path_factory.mktemp("searched")):
        return explore(model("6.7.1"), "starvation", "stale-after-expiry", traces=100)


def test_the_matrix_has_a_cell_for_each_verdict_and_leads_to_the_counterexample(
    browser: str, tmp_path: Path, findings: Findings
) -> None:
    verdict = findings.verdicts[HEADLINE]
    assert isinstance(verdict, Violated)
    document = shown(browser, tmp_path, matrix(table([findings], {verdict.trace: "seed's page.html"})))
    (body,) = re.findall(r"<thead>.*?</table>", document, re.DOTALL)
    assert body.count("<td>") == len(findings.verdicts)
    assert 'href="seed\'s%20page.html"' in document
    violated = sum(isinstance(one, Violated) for one in findings.verdicts.values())
    assert document.count('class="violated"') == violated >= 2
    assert document.count('class="held"') == len(findings.verdicts) - violated


def test_the_matrix_of_every_invariant_fits_a_laptop(browser: str, tmp_path: Path, findings: Findings) -> None:
    target = "path:packages/clerk-js/dist/clerk.native.js"
    held = findings.verdicts["foreground-recovers"]
    whole = replace(
        findings,
        cell=replace(findings.cell, target=target),
        verdicts=dict.fromkeys(INVARIANTS, held) | findings.verdicts,
    )
    document = shown(browser, tmp_path, matrix(table([whole], {})), width=1280)
    (width,) = re.findall(r'data-width="(\d+)"', document)
    assert int(width) <= 1280
    assert all(f"<span>{name}</span></th>" in document for name in INVARIANTS)


def test_the_rows_of_a_matrix_are_in_the_order_of_the_cells() -> None:
    found = explore(model("6.7.4"), "calm", traces=20)
    cells = [
        Cell(target, Runtime.HEADLESS, assuming(name))
        for target in ("model@CLERK_JS_6_7_4", "clerk-js@6.7.4")
        for name in ("calm", "outage")
    ]
    shown_table = table([replace(found, cell=cell) for cell in cells], {})
    assert [(group["assuming"], [row["target"] for row in group["rows"]]) for group in shown_table["groups"]] == [
        ("calm", ["model@CLERK_JS_6_7_4", "clerk-js@6.7.4"]),
        ("outage", ["model@CLERK_JS_6_7_4", "clerk-js@6.7.4"]),
    ]
    assert [one["id"] for one in shown_table["invariants"]] == [
        name for name in INVARIANTS if name in found.verdicts
    ]


@pytest.mark.slow
def test_the_rows_of_a_run_are_in_the_order_of_its_options_whoever_ends_first() -> None:
    """The first cell takes longest."""
    targets = ("model@CLERK_JS_6_40_0", "model@CLERK_JS_6_7_4")
    case = [
        *(f"--target={one}" for one in targets),
        "--assume=outage",
        "--assume=calm",
        f"--invariant={HEADLINE}",
    ]
    done = check(*case, "--hypothesis-profile=glance", "--pages=site", "-n", "2")
    assert done.returncode == 0, done.stdout
    (data,) = re.findall(r'id="view">(.*?)</script>', Path("site/index.html").read_text())
    groups = json.loads(data)["groups"]
    assert [group["assuming"] for group in groups] == ["outage", "calm"]
    assert [[row["target"] for row in group["rows"]] for group in groups] == [[*targets]] * 2


def test_pages_of_a_run_are_written_and_linked() -> None:
    case = ("--target=model@CLERK_JS_6_7_1", "--assume=starvation,stale-after-expiry", f"--invariant={HEADLINE}")
    done = check(*case, "--pages=site")
    assert f"pages   {Path('site/index.html')}" in done.stdout
    (name,) = re.findall(r'"href":"([^"]+)"', Path("site/index.html").read_text())
    assert (Path("site") / name).is_file()
