"""A counterexample on a terminal: who did what to whom, and when, one line for each moment."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from properties.render.view import LANES, Moment, View

LANE = 8
"""Columns of a lane."""

ROOM = 120
"""A terminal narrower than this gets the name of the lane instead of the lanes."""


class Timeline:
    """The moments as rows, with lanes where there is room for them."""

    def __init__(self, moments: tuple[Moment, ...]) -> None:
        self.moments = moments

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the rows out for the width at hand."""
        wide = options.max_width >= ROOM
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column(Text("".join(name.center(LANE) for name in LANES)) if wide else "who", no_wrap=True)
        table.add_column("what happened")
        for moment in self.moments:
            style = "bold red" if moment.fatal else "dim" if moment.kind == "freeze" else ""
            where = _lanes(moment) if wide else moment.lane
            table.add_row(moment.clock, Text(where), moment.text, style=style)
        yield table


def _lanes(moment: Moment) -> str:
    """The lanes at this moment: lines of life, a mark in one of them or an arrow from one to another. While the
    event loop stands still, nothing but the operating system and the world goes on."""
    middles = [LANE * place + LANE // 2 - 1 for place in range(len(LANES))]
    row = [" "] * (LANE * len(LANES))
    for name, middle in zip(LANES, middles, strict=True):
        row[middle] = "┊" if moment.kind == "freeze" and name in ("timer", "SDK", "app") else "│"
    start = middles[LANES.index(moment.lane)]
    if moment.to:
        end = middles[LANES.index(moment.to)]
        step = 1 if end > start else -1
        for column in range(start + step, end, step):
            row[column] = "─"
        row[end] = "▶" if step > 0 else "◀"
    row[start] = "✖" if moment.fatal else "●"
    return "".join(row).rstrip()


def timeline(shown: View, saved: Path | None = None) -> RenderableType:
    """One violation, on one screen: the invariant, the timeline, the cause, what of it is necessary, and how to
    see it again from where it is `saved` (where traces save themselves, unless said otherwise)."""
    about = dict(shown.about)
    invariant, _, target = shown.title.partition(" is violated on ")
    replay = f"sessionproof replay {saved}" if saved else shown.replay
    return Group(
        Text.assemble(
            (invariant, "bold red"), " is violated on ", (target, "bold"), f", assuming {about['assuming']}"
        ),
        Text(shown.sentence, style="dim"),
        Text(),
        Timeline(shown.moments),
        Text(),
        _said("cause", shown.cause),
        _said("why", shown.why),
        *[_said("needs" if place == 0 else "", need) for place, need in enumerate(shown.needs)],
        *[_said("model", text) for label, text in shown.about if label == "formal model"],
        _uncut("events", shown.events),
        _uncut("replay", replay),
    )


def _said(label: str, text: str) -> RenderableType:
    """A label and a text that wraps beside it, not below it."""
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=6, style="dim")
    row.add_column()
    row.add_row(label, Text(text))
    return row


def _uncut(label: str, text: str) -> Text:
    """A line to be copied: never wrapped."""
    return Text.assemble((f"{label:<8}", "dim"), text, no_wrap=True, overflow="ignore")
