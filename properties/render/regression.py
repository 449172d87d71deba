"""A counterexample as the source of a pytest test, which fails while the trace violates its invariant."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from enum import Enum
from itertools import groupby

from msgspec import Struct

from properties.invariants.catalogue import breach_of
from properties.invariants.causes import cause_sentence
from properties.render.escape import docstring
from properties.run.counterexample import Counterexample
from properties.system.trace import Trace

MODULE = '''\
"""{invariant}, found broken on {target}.

{cause}

Replays one trace on one target: put the build to be tested in TARGET. Runs in a checkout of sessionproof.
"""

from model.assumptions.sets import Assumptions
{imports}
from properties.run.explain import replay
from properties.targets.names import make_target
from properties.system.trace import Trace

TARGET = {target_literal}


def test_{name}() -> None:
    trace = Trace(
        TARGET,
        {runtime!r},
        Assumptions({assumptions!r}),
        (
            {steps},
        ),
        {invariant_literal},
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
    return MODULE.format(
        invariant=docstring(str(trace.invariant)),
        target=docstring(trace.target),
        target_literal=_literal(trace.target),
        invariant_literal=_literal(str(trace.invariant)),
        cause=_wrapped(docstring(cause_sentence(found.played, breach_of(trace, found.played)))),
        imports="\n".join(_imports([trace.runtime, *trace.events])),
        name=_name(trace),
        runtime=trace.runtime,
        assumptions=trace.assumptions.names,
        steps=",\n            ".join(steps),
    )


def _literal(text: str) -> str:
    """The text as a Python string, in double quotes where it has none."""
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else repr(text)


def _name(trace: Trace) -> str:
    """The name of the test."""
    return re.sub(r"[^A-Za-z0-9]+", "_", f"{trace.invariant} on {trace.target}").lower()


def _imports(values: Iterable[object]) -> list[str]:
    """The import lines for the repr of these values."""
    kinds = {type(one) for value in values for one in _parts(value)}
    by_module = groupby(sorted(kinds, key=_where), key=lambda kind: kind.__module__)
    return [f"from {module} import {', '.join(kind.__name__ for kind in group)}" for module, group in by_module]


def _parts(value: object) -> list[object]:
    """The value, if its repr has the name of its class, and its parts."""
    if isinstance(value, Struct):
        return [value, *(part for name in value.__struct_fields__ for part in _parts(getattr(value, name)))]
    return [value] if isinstance(value, Enum) else []


def _where(kind: type[object]) -> tuple[str, str]:
    return kind.__module__, kind.__name__


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 114))
