"""The DOM of the browser runtime: jsdom."""

from __future__ import annotations

from pathlib import Path

from properties.targets.locked import Locked

LOCK_FOLDER = Path(__file__).parent / "driver" / "dom"

DOM = Locked("jsdom", LOCK_FOLDER, "17 MB on disk", "the other runtimes need no DOM")
