"""A counterexample as a bug report in Markdown, to paste into an issue."""

from __future__ import annotations

from collections.abc import Iterator

from model.world.events import Advance, Event
from properties.render.escape import code, fenced, markdown
from properties.render.view import LANES, Moment, View, view
from properties.run.counterexample import Counterexample
from properties.run.variation import say
from properties.system.event_kinds import brief, named
from properties.system.trace import Trace
from properties.system.wording import duration, one_line
from properties.targets.adapter import Reproduction

PARTICIPANTS = {
    "OS": "OS",
    "timer": "Timer",
    "SDK": "SDK",
    "network": "Network",
    "server": "Server",
    "app": "App",
}


def report(found: Counterexample, repro: Reproduction | None = None) -> str:
    """The report. `repro` is the standalone script that reproduces the violation, if there is one."""
    shown = view(found)
    return "\n".join(_report(found, shown, repro)) + "\n"


def _report(found: Counterexample, shown: View, repro: Reproduction | None) -> Iterator[str]:
    trace = found.trace
    yield f"# {markdown(shown.why[:1].upper() + shown.why[1:])} ({markdown(trace.target)}, {trace.runtime})"
    yield from ("", "## Summary", "", markdown(shown.cause), "")
    yield f"This breaks the invariant {code(str(trace.invariant))}: *{shown.sentence}*"
    yield from ("", "It was seen in a harness with a virtual clock and a fake server. In this report:", "")
    yield from (f"- *{term}*: {means}" for term, means in shown.terms)
    yield from ("", "## Environment", "", "| | |", "|---|---|")
    yield from (f"| {name} | {_cell(value)} |" for name, value in shown.about if name != "assuming")
    yield from ("", "## Steps", "")
    timings = found.played[0].before.timings
    lives = f"a session valid for {duration(timings.session)} and a token valid for {timings.lifetime} s"
    yield f"1. Sign in on a {trace.runtime} runtime, with {lives}."
    for number, event in enumerate(trace.events, 2):
        yield f"{number}. {_step(event, [m for m in shown.moments if m.step == number - 1])}"
    yield from ("", "**Expected:** " + shown.sentence, "", f"**Actual:** {markdown(shown.why)}.", "")
    yield from ("```mermaid", *_diagram(shown), "```")
    if shown.needs:
        yield from ("", "## What is necessary", "", "Each varied alone, with everything else as above:", "")
        yield from (f"- {say(need, trace, _where(need.event, trace))}" for need in found.needs)
    yield from ("", "## How to reproduce", "")
    if repro:
        *install, run = repro.commands
        yield from ("In an empty folder, with Node 18 or newer; `repro.mjs` is the script below:", "")
        yield from fenced("sh", "\n".join((*install, f"{run}   # exits 1 while it happens")))
        yield from ("", "<details><summary><code>repro.mjs</code></summary>", "")
        yield from (*fenced("js", repro.script), "", "</details>", "")
    yield from ("With sessionproof, the harness that found it: save this trace as `trace.txt`, then", "")
    yield from (*fenced("sh", "sessionproof replay trace.txt"), "")
    yield from fenced("", trace.text)


def _step(event: Event, moments: list[Moment]) -> str:
    """An event in words: what the world or the app does, then what the client does."""
    if isinstance(event, Advance):
        begin = f"Let {duration(event.ms)} pass, with timers running when they are due."
        rest = moments
    elif moments:
        begin = f"At {moments[0].clock} the {_who(moments[0])} {moments[0].text}."
        rest = moments[1:]
    else:
        return f"{brief(event)}."
    then = "; ".join(f"the {_who(moment)} {moment.text}" for moment in rest)
    return begin + (f" Then: {then}." if then else "")


def _where(number: int, trace: Trace) -> str:
    """The step of the report that has event `number` (from 1), and the event."""
    return f"step {number + 1}, {named(trace.events[number - 1])}"


def _who(moment: Moment) -> str:
    return "timer" if moment.lane == "timer" else moment.lane


def _cell(text: str) -> str:
    return markdown(text)


def _diagram(shown: View) -> Iterator[str]:
    """A Mermaid sequence diagram."""
    used = [lane for lane in LANES if any(lane in (moment.lane, moment.to) for moment in shown.moments)]
    yield "sequenceDiagram"
    for lane in used:
        yield f"    participant {PARTICIPANTS[lane]}"
    for moment in shown.moments:
        lane, text = PARTICIPANTS[moment.lane], _plain(f"{moment.clock} {moment.text}")
        if moment.kind == "freeze":
            ends = f"{PARTICIPANTS[used[0]]},{PARTICIPANTS[used[-1]]}" if len(used) > 1 else lane
            yield f"    Note over {ends}: {text}"
        elif moment.fatal:
            yield "    rect rgba(220, 40, 40, 0.25)"
            yield f"    Note over {lane}: {text}"
            yield "    end"
        elif moment.to:
            arrow = "-->>" if moment.kind == "answer" else "->>"
            yield f"    {lane}{arrow}{PARTICIPANTS[moment.to]}: {text}"
        else:
            yield f"    Note over {lane}: {text}"


def _plain(text: str) -> str:
    """The text without the characters that Mermaid or HTML give a meaning to."""
    return one_line(text).replace(";", ",").replace("#", "no. ").replace("<", "").replace("`", "'")
