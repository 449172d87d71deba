"""What a pytest run of ours knows: values that the hooks and the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from properties.invariants.verdict import Cell, Findings
from properties.run.counterexample import Counterexample
from properties.run.known import Finding
from properties.system.target import Target
from properties.system.trace import Trace

TARGETS = pytest.StashKey[dict[str, Target]]()
CELLS = pytest.StashKey[list[Cell]]()
KNOWN = pytest.StashKey[tuple[Finding, ...]]()
PROFILE = pytest.StashKey[settings]()
FINDINGS = pytest.StashKey[dict[Cell, Findings]]()
REPORTS = pytest.StashKey[dict[Trace, tuple[Counterexample, list[Path]]]]()
"""Counterexamples by trace, each with the files that it was saved in."""
