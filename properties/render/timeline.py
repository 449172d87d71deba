"""A counterexample as a timeline on a terminal, one line for each moment."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from properties.render.tables import labelled
from properties.render.view import LANES, Moment, View

LANE = 8
"""The width of a lane, in columns."""

WIDE = 120
"""The minimum width, in columns, for drawing lanes. A narrower terminal gets the names of the lanes."""


class Timeline:
    """The moments as rows, with lanes if the terminal is wide enough."""

    def __init__(self, moments: tuple[Moment, ...]) -> None:
        self.moments = moments

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out the rows for the width of the console."""
        wide = options.max_width >= WIDE
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
    """The lanes at this moment: lifelines, with a mark on one of them or an arrow between two. During a freeze,
    the lanes that stand still are dashed."""
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


def timeline(shown: View, replay: str | None = None) -> RenderableType:
    """One violation on one screen: the invariant, the timeline, the cause, what is necessary, and the command
    that replays it: `replay`, if it is not the view's own."""
    about = dict(shown.about)
    invariant, _, target = shown.title.partition(" is violated on ")
    return Group(
        Text.assemble(
            (invariant, "bold red"), " is violated on ", (target, "bold"), f", assuming {about['assuming']}"
        ),
        Text(shown.sentence, style="dim"),
        Text(),
        Timeline(shown.moments),
        Text(),
        labelled("cause", shown.cause),
        labelled("why", shown.why),
        *[labelled("needs" if place == 0 else "", need) for place, need in enumerate(shown.needs)],
        *[labelled("model", text) for label, text in shown.about if label == "formal model"],
        _uncut("events", shown.events),
        _uncut("replay", replay or shown.replay),
    )


def _uncut(label: str, text: str) -> Text:
    """A line to be copied: never wrapped."""
    return Text.assemble((f"{label:<8}", "dim"), text, no_wrap=True, overflow="ignore")
