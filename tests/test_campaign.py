"""Campaigns: the same shards wherever they run, whatever happens meanwhile, each counted once."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from model.clerk.terms import GetToken
from model.requests import Outcome
from model.terms import Runtime
from model.world.events import Advance, Answer, Freeze
from properties.campaign import campaign
from properties.campaign.shards import CampaignError, CampaignPlan, ShardResult, ShardRunner, digest, shards
from properties.campaign.tally import as_markdown, render
from properties.campaign.totals import Report, by_finding
from properties.invariants.catalogue import DEFAULT_INVARIANTS
from properties.render.tables import plain
from properties.system import trace as trace_module
from properties.system.trace import FOLDER, Trace, decode, load
from properties.targets.names import UnknownName
from tests.support import HEADLINE, ROOT, SEED_CAUSE, assuming, complaint, sessionproof

if importlib.util.find_spec("distributed") is None:
    pytest.skip("NOT CHECKED: campaigns. dask.distributed is not installed", allow_module_level=True)

PLAN = CampaignPlan(
    traces=100,
    targets=("model",),
    assumptions=(("starvation", "stale-on-arrival"), ("calm",)),
    runtime=Runtime.HEADLESS,
    invariants=tuple(DEFAULT_INVARIANTS),
    shard=15,
    steps=15,
)


def run(workers: int = 2, scheduler: str | None = None) -> Report:
    return campaign.run(PLAN, scheduler, workers, lambda line: None)


def journal() -> Path:
    return FOLDER / "campaigns" / digest(PLAN)


def recorded(folder: Path) -> list[ShardResult]:
    return [msgspec.json.decode(path.read_bytes(), type=ShardResult) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Report, Path]]:
    """The report of the plan on two workers, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with contextlib.chdir(folder):
        report = run()
    yield report, folder
    assert not multiprocessing.active_children()


@pytest.fixture
def whole_journal(undisturbed: tuple[Report, Path]) -> Path:
    """A copy of the undisturbed campaign's journal, in this test's own folder."""
    shutil.copytree(undisturbed[1] / journal(), journal())
    return journal()


@pytest.fixture
def on_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], list[str]]:
    """Calls something after each entry of the journal, with their number so far; gives the list of entries."""

    def hook(act: Callable[[int], None]) -> list[str]:
        written: list[str] = []
        write = trace_module.write

        def noted(path: Path, document: dict[str, Any]) -> Path:
            written.append(write(path, document).name)
            act(len(written))
            return path

        monkeypatch.setattr(campaign, "write", noted)
        return written

    return hook


def nothing(_: int) -> None:
    """For those who only want the entries."""


def test_every_shard_is_in_the_journal_once(undisturbed: tuple[Report, Path]) -> None:
    assert [result.shard for result in recorded(undisturbed[1] / journal())] == shards(PLAN)


def test_the_totals_are_those_of_the_shards(undisturbed: tuple[Report, Path]) -> None:
    report, folder = undisturbed
    results = recorded(folder / journal())
    for cell in report.cells:
        parts = [one for one in results if one.shard.assumptions == cell.assumptions.names]
        assert sum(part.shard.traces for part in parts) == PLAN.traces
        assert cell.traces == sum(part.traces for part in parts) >= PLAN.traces
        assert cell.steps == sum(part.steps for part in parts) == sum(cell.counts["events"].values())
        for name, total in cell.counts.items():
            assert Counter(total) == sum((Counter(part.counts[name]) for part in parts), Counter())
        refused = sum(cell.counts["401s"].values())
        assert refused == cell.counts["answers"].get("unauthorized", 0)


def test_no_part_of_a_plan_is_left_out() -> None:
    assert [shard.traces for shard in shards(PLAN)] == [*[15] * 12, 10, 10]
    assert len({(shard.assumptions, shard.seed) for shard in shards(PLAN)}) == 14


def test_seeds_differ(undisturbed: tuple[Report, Path]) -> None:
    calm = [one for one in recorded(undisturbed[1] / journal()) if one.shard.assumptions == ("calm",)]
    assert len({one.steps for one in calm[:3]}) > 1


def test_a_shard_is_the_same_in_this_process(undisturbed: tuple[Report, Path]) -> None:
    bench = ShardRunner(PLAN, digest(PLAN))
    there = recorded(undisturbed[1] / journal())[0]
    assert msgspec.convert(msgspec.to_builtins(bench.play(shards(PLAN)[0])), ShardResult) == there


@pytest.mark.slow
def test_one_worker_finds_what_two_find(undisturbed: tuple[Report, Path]) -> None:
    assert run(workers=1) == undisturbed[0]


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing_and_nothing_counts_twice(
    undisturbed: tuple[Report, Path], on_write: Callable[[Callable[[int], None]], list[str]]
) -> None:
    def kill(entries: int) -> None:
        if entries == 1:
            workers = multiprocessing.active_children()
            assert len(workers) == 2
            os.kill(workers[0].pid or 0, signal.SIGKILL)

    written = on_write(kill)
    assert run() == undisturbed[0]
    assert len(written) == len(set(written)) == len(shards(PLAN))


def test_an_interrupt_saves_what_was_found_and_leaves_no_process(
    on_write: Callable[[Callable[[int], None]], list[str]],
) -> None:
    def interrupt(entries: int) -> None:
        if entries == 3:
            raise KeyboardInterrupt

    on_write(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not multiprocessing.active_children()
    assert len(recorded(journal())) == 3
    assert any(path.suffix == ".json" for path in FOLDER.iterdir())


@pytest.mark.slow
def test_shards_that_are_done_are_not_run_again(
    undisturbed: tuple[Report, Path],
    whole_journal: Path,
    on_write: Callable[[Callable[[int], None]], list[str]],
) -> None:
    missing = sorted(path.name for path in whole_journal.iterdir())[::2]
    for name in missing:
        (whole_journal / name).unlink()
    written = on_write(nothing)
    assert run() == undisturbed[0]
    assert sorted(written) == missing


def test_a_finished_campaign_starts_no_worker(
    undisturbed: tuple[Report, Path], whole_journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run() == undisturbed[0]
    assert whole_journal == undisturbed[0].folder


@pytest.mark.slow
def test_a_damaged_entry_or_one_of_another_plan_is_done_again(
    undisturbed: tuple[Report, Path],
    whole_journal: Path,
    on_write: Callable[[Callable[[int], None]], list[str]],
) -> None:
    def damage(number: int, change: Callable[[bytes], bytes]) -> None:
        path = whole_journal / f"{number:06}.json"
        path.write_bytes(change(path.read_bytes()))

    entries = sorted(whole_journal.glob("0*.json"))
    violated = next(int(path.stem) for path in entries if b'"Answer"' in path.read_bytes())
    damage(violated, lambda text: text.replace(b'"Answer"', b'"Anwser"'))
    one, two, three, four, five = [number for number in range(6) if number != violated][:5]
    damage(one, lambda text: text[: len(text) // 2])
    damage(two, lambda text: b"")
    damage(three, lambda text: text.replace(digest(PLAN).encode(), b"0123456789abcdef"))
    damage(four, lambda text: text.replace(f'"number": {four}'.encode(), b'"number": 9'))
    damage(five, lambda text: b'{"shard": 5}')
    written = on_write(nothing)
    assert run() == undisturbed[0]
    assert sorted(written) == [f"{number:06}.json" for number in sorted({violated, one, two, three, four, five})]


@pytest.mark.slow
def test_a_scheduler_elsewhere_is_used_and_left_as_it_was(undisturbed: tuple[Report, Path]) -> None:
    from distributed import Client, LocalCluster  # noqa: PLC0415 (an extra)

    def plugins(dask_worker: Any) -> list[str]:
        return [name for name in dask_worker.plugins if name.startswith("sessionproof")]

    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        assert run(scheduler=cluster.scheduler_address) == undisturbed[0]
        assert list(client.run(plugins).values()) == [[]]


PROGRAM = """
from properties.campaign import campaign
from tests.test_campaign import PLAN
from msgspec.structs import replace
if __name__ == "__main__":
    write = campaign.write
    def noted(path, document):
        write(path, document)
        print(path.name, flush=True)
    campaign.write = noted
    campaign.run(replace(PLAN, traces=100_000, shard=50), None, 2, print)
"""


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_ends_every_process(tmp_path: Path) -> None:
    """A terminal interrupts the whole group of processes, and so does this."""
    (tmp_path / "program.py").write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, "program.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() != ""
        os.killpg(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=20)  # the pipes close when the last process has ended
        assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


def trace(ms: int, *cause: str) -> Trace:
    """The seed's defect after some time."""
    events = (Freeze(ms), GetToken(skip_cache=True), Answer(1, Outcome.UNAUTHORIZED), Advance(ms))
    return Trace("model", Runtime.HEADLESS, assuming("starvation"), events, HEADLINE, "why", cause or SEED_CAUSE)


def test_counterexamples_with_one_cause_are_one_finding_whatever_their_lengths_and_detours() -> None:
    found = by_finding([trace(300_000), trace(61_000), trace(400_000, "setActive", *SEED_CAUSE)])
    assert [(one.count, one.shortest) for one in found] == [(3, trace(61_000))]


def test_counterexamples_that_differ_in_cause_or_invariant_are_not() -> None:
    other = (trace(1, "offline"), replace(trace(1), invariant="valid-session-survives"))
    assert [one.count for one in by_finding([trace(1), *other])] == [1, 1, 1]


def test_each_finding_is_reported_once_with_its_shortest_trace(undisturbed: tuple[Report, Path]) -> None:
    report, folder = undisturbed
    found = [
        load_trace
        for result in recorded(folder / journal())
        for judged in result.verdicts.values()
        if judged.trace is not None
        for load_trace in [decode(judged.trace, folder)]
    ]
    reported = [one for cell in report.cells for one in cell.counterexamples]
    assert sum(one.count for one in reported) == len(found)
    for one in report.cells[0].counterexamples:
        alike = [other for other in found if other.invariant == one.shortest.invariant]
        same = [other for other in alike if other.cause == one.shortest.cause]
        assert len(one.shortest.events) == min(len(other.events) for other in same)


def test_the_shortest_counterexample_of_an_invariant_is_on_disk(undisturbed: tuple[Report, Path]) -> None:
    report, folder = undisturbed
    all_found = (one.shortest for one in report.cells[0].counterexamples)
    shortest = next(one for one in all_found if one.invariant == HEADLINE)
    assert load(folder / shortest.path) == shortest


@pytest.mark.parametrize("text", [lambda report: plain(render(report), 200), as_markdown])
def test_the_report_says_what_was_found_and_what_was_tried(
    undisturbed: tuple[Report, Path], text: Callable[[Report], str]
) -> None:
    said = text(undisturbed[0])
    for words in (
        "VIOLATED",
        "held",
        HEADLINE,
        "mint in the background: unauthorized",
        "a late timer",
        "granted",
        "background ",
    ):
        assert words in said


@pytest.mark.slow
def test_the_real_sdk_in_a_campaign_holds_what_its_guard_promises() -> None:
    plan = replace(
        PLAN, targets=("clerk-js@6.40.0",), assumptions=(("starvation", "stale-after-expiry"),), coverage=True
    )
    report = campaign.run(plan, None, 2, lambda line: None)
    (cell,) = report.cells
    assert cell.verdicts[HEADLINE].word == "held"
    assert cell.traces >= PLAN.traces
    assert sum(cell.counts["branches"].values()) > 0
    said = as_markdown(report)
    assert "| unauthorized for mint | NEVER |" in said
    assert "model/world/course.py: " in said


def test_a_report_of_nothing_has_no_tables() -> None:
    assert as_markdown(Report(PLAN, (), FOLDER)) == ""


def test_without_dask_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CampaignError, match=r"pip install 'sessionproof\[campaign\]'"):
        run()


def test_a_worker_with_other_code_is_refused() -> None:
    with pytest.raises(CampaignError, match="other code"):
        ShardRunner(PLAN, "of other code").play(shards(PLAN)[0])


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (replace(PLAN, traces=0), CampaignError),
        (replace(PLAN, targets=("path:nowhere.js",)), CampaignError),
        (replace(PLAN, targets=("nobody",)), UnknownName),
        (replace(PLAN, assumptions=(("calm", "storm"),)), UnknownName),
        (replace(PLAN, invariants=("never-sleeps",)), UnknownName),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_in_one_line(plan: CampaignPlan, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^[^\n]+$"):
        shards(plan)


@pytest.mark.slow
def test_the_command_exits_as_the_verdicts_are_and_writes_its_report() -> None:
    words = ("campaign", "--traces=150", "--workers=1", "--report=report.md", "--target=model@CLERK_JS_6_7_1")
    calm = sessionproof(*words, "--assume=calm", f"--invariant={HEADLINE}")
    assert (calm.returncode, "held" in calm.stdout) == (0, True)
    starved = sessionproof(*words, "--assume=starvation,stale-after-expiry")
    assert (starved.returncode, "VIOLATED" in starved.stdout) == (1, True)
    assert "| VIOLATED |" in Path("report.md").read_text()


@pytest.mark.slow
def test_what_is_wrong_with_the_command_is_told_in_one_line() -> None:
    assert "unknown assumption 'storm'" in complaint(sessionproof("campaign", "--assume=storm"))
    assert "no dask scheduler answers" in complaint(
        sessionproof("campaign", "--scheduler=tcp://127.0.0.1:1", "--traces=10")
    )
