"""A counterexample as the source of a pytest test: it fails while the trace still breaks its invariant."""

from __future__ import annotations

import re
import textwrap

from model.world.events import EVENTS, FreezeKind
from properties.invariants.causes import sentence
from properties.run.counterexample import Counterexample
from properties.system.trace import Trace

TEMPLATE = '''\
"""{invariant}, found broken on {target}.

{cause}

Replays one trace on one target: put the build to be tested in TARGET. Runs in a checkout of sessionproof.
"""

from model.assumptions.sets import Assumptions
from model.world.events import {events}
from model.terms import {terms}
from properties.run.explain import replay
from properties.targets.names import make_target
from properties.system.trace import Trace

TARGET = "{target}"


def test_{name}() -> None:
    trace = Trace(
        TARGET,
        {runtime!r},
        Assumptions({assumptions!r}),
        (
            {steps},
        ),
        "{invariant}",
    )
    target = make_target(TARGET, print)
    try:
        violation = replay(trace, target)
    finally:
        target.close()
    assert violation is None, violation
'''


def regression(found: Counterexample) -> str:
    """The source of the test."""
    trace = found.trace
    steps = [repr(event) for event in trace.events]
    source = " ".join([*steps, repr(trace.runtime)])
    return TEMPLATE.format(
        invariant=trace.invariant,
        target=trace.target,
        cause=_wrapped(sentence(found.facts)),
        events=_imports(source, tuple(sorted(kind.__name__ for kind in (*EVENTS, FreezeKind)))),
        terms=_imports(source, ("Outcome", "Runtime")),
        name=_name(trace),
        runtime=trace.runtime,
        assumptions=trace.assumptions.names,
        steps=",\n            ".join(steps),
    )


def _name(trace: Trace) -> str:
    """What to call a test of this trace."""
    return re.sub(r"\W+", "_", f"{trace.invariant} on {trace.target}").lower()


def _imports(source: str, names: tuple[str, ...]) -> str:
    return ", ".join(name for name in names if re.search(rf"\b{name}\b", source))


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 114))
