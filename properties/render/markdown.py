"""A counterexample as the Markdown text of a bug report: to be read in ten seconds, and pasted into an issue."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from model.assumptions.catalogue import ASSUMPTIONS
from model.world.events import Advance, Answer, Event, Freeze
from properties.render.view import LANES, Moment, View, view
from properties.run.counterexample import Counterexample
from properties.run.sensitivity import say
from properties.system.trace import Trace, brief, duration
from properties.system.wording import SHORT

PARTICIPANTS = {
    "OS": "OS",
    "timer": "Timer",
    "SDK": "SDK",
    "network": "Network",
    "server": "Server",
    "app": "App",
}


def report(found: Counterexample, repro: str | None = None) -> str:
    """The whole report; `repro` is the script that shows the defect without us, where there can be one."""
    shown = view(found)
    return "\n".join(_report(found, shown, repro)) + "\n"


def _report(found: Counterexample, shown: View, repro: str | None) -> Iterator[str]:
    trace = found.trace
    yield f"# {shown.why[:1].upper()}{shown.why[1:]} ({trace.target}, {trace.runtime})"
    yield from ("", "## Summary", "", shown.cause, "")
    yield f"This breaks the invariant `{trace.invariant}`: *{shown.sentence}*"
    yield from (
        "",
        "It was seen in a harness with a virtual clock and a fake server, which may do what these say:",
        "",
    )
    yield from (f"- `{name}`: {ASSUMPTIONS[name].meaning}" for name in trace.assumptions.names)
    yield from ("", "## Environment", "", "| | |", "|---|---|")
    yield from (f"| {name} | {_cell(value)} |" for name, value in shown.about if name != "assuming")
    yield from ("", "## Steps", "")
    yield f"1. Sign in on a {trace.runtime} runtime, with a session valid for 30 days and a token valid for 60 s."
    for number, event in enumerate(trace.events, 2):
        yield f"{number}. {_step(event, [m for m in shown.moments if m.step == number - 1])}"
    yield from ("", "**Expected:** " + shown.sentence, "", f"**Actual:** {shown.why}.", "")
    yield from ("```mermaid", *_diagram(shown), "```")
    if shown.needs:
        yield from ("", "## What is necessary", "", "Each varied alone, with everything else as above:", "")
        yield from (f"- {say(need, trace, _where(need.event, trace))}" for need in found.needs)
    yield from ("", "## How to reproduce", "")
    if repro:
        version = trace.target.rpartition("@")[2].removeprefix("CLERK_JS_").replace("_", ".")
        yield from ("In an empty folder, with Node 18 or newer; `repro.mjs` is the script below:", "", "```sh")
        yield from (
            f"npm i @clerk/clerk-js@{version} @sinonjs/fake-timers",
            "node repro.mjs   # exits 1 while it happens",
        )
        yield from ("```", "", "<details><summary><code>repro.mjs</code></summary>", "", "```js")
        yield from (repro.rstrip(), "```", "", "</details>", "")
    yield from (
        "With sessionproof, the harness that found it: save the trace as `trace.json`, then",
        "",
        "```sh",
    )
    yield from (
        "sessionproof replay trace.json",
        "```",
        "",
        "<details><summary><code>trace.json</code></summary>",
        "",
    )
    yield "```json"
    yield msgspec.json.format(msgspec.json.encode(trace.document()), indent=2).decode()
    yield from ("```", "", "</details>")


def _step(event: Event, moments: list[Moment]) -> str:
    """An event in words: what the world or the app did, then what that made the client do."""
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
    """The step in which an event of the trace, counted from 1, is told, and what it was."""
    match trace.events[number - 1]:
        case Advance(ms):
            what = f"{duration(ms)} that pass"
        case Freeze(ms):
            what = f"the freeze of {duration(ms)}"
        case Answer(request, outcome):
            what = f"the answer to request {request}, {SHORT[outcome]}"
        case event:
            what = brief(event)
    return f"step {number + 1}, {what}"


def _who(moment: Moment) -> str:
    return "timer" if moment.lane == "timer" else moment.lane


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


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
    """Without the characters that end a statement or begin an entity in Mermaid."""
    return text.replace(";", ",").replace("#", "no. ")
