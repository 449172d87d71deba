"""What many tests need: the real builds, and a folder of their own for the traces they leave."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from properties.plugin.profiles import PROFILES
from properties.targets.clerk.target import clerk_js_target
from properties.targets.node_target import NodeTarget
from tests.support import RELEASES, Tried

# A shell starts what runs in the background with SIGINT ignored, and programs inherit that. Some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# On CI, Hypothesis has loaded its own profile, which has no deadline either.
settings.register_profile("tests", PROFILES["ci" if settings.get_current_profile_name() == "ci" else "dev"])
settings.load_profile("tests")


SHARING = ("campaign", "fooled_gate", "install")
"""The files whose tests share what takes long to make: one worker runs them all."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Assigns tests to workers one by one, but for those of a file that is `SHARING`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(tuple(f"test_{name}.py" for name in SHARING)) else nodeid


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """In place of xdist's groups, which pytest 9.2 overlooks."""
    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces are saved below the current folder: not into the repository."""
    monkeypatch.chdir(tmp_path)


TRIED = "tried"
"""The property of a test that has a kind, and how many of it the test has tried."""


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Tried:
    """Notes how many of a kind a test has tried. The end of a run has the sums."""
    return lambda kind, count: record_property(TRIED, [kind, count])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many of each kind were tried, in the tests that passed."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for kind, count in (value for name, value in report.user_properties if name == TRIED):
            counts[kind] += count
    if counts:
        terminalreporter.write_line("tried " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))


@pytest.fixture(scope="session")
def builds() -> Iterator[dict[str, NodeTarget]]:
    """One target for each pinned release, which starts when first asked for; see `support.ready`."""
    made = {release: clerk_js_target(release, lambda line: None) for release in RELEASES}
    yield made
    for target in made.values():
        target.close()
