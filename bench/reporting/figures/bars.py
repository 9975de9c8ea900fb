"""Bars of studies: along the noise, how much of something lies where."""

import math

from bench.reporting.figures.style import COLOURS, INK, SIZE, Axes, Figure, label, plain_ticks
from bench.reporting.page.blocks import Bar, Bars
from bench.text import one_line

ROW, AROUND = 0.19, 0.62  # inches: a bar with what is between two, and what is above and below all
NAMES, LETTERS = 0.38, 22  # of the width, for the names, and what it has room for
THICK = 0.56  # of a row
LEAST = 1e-3  # of x, for what begins at 0


def figure(content: Bars) -> Figure:
    """Bars below each other in the order given, each with its name in front."""
    height = AROUND + ROW * len(content.bars)
    drawn = Figure(figsize=(SIZE[0], height))
    drawn.subplots_adjust(left=NAMES, right=0.97, bottom=0.42 / height, top=1 - 0.08 / height)
    axes = drawn.subplots()
    ends = [end for bar in content.bars for part in bar.parts for end in part[:2] if end > 0]
    low, high = (max(min(ends) / 2, LEAST), max(ends)) if ends else (LEAST, 1.0)
    for row, bar in enumerate(content.bars):
        draw(axes, row, bar, low, high)
    axes.set_xscale("log")
    axes.set(xlim=(low, high), ylim=(len(content.bars) - 0.4, -0.6))
    axes.set(xlabel=label(content.x), yticks=range(len(content.bars)))
    axes.set_yticklabels([label(one_line(bar.name, LETTERS)) for bar in content.bars])
    axes.tick_params(axis="y", length=0)
    plain_ticks(axes.xaxis)
    return drawn


def draw(axes: Axes, row: int, bar: Bar, low: float, high: float) -> None:
    """One bar; what reaches beyond the axis ends with it."""

    def within(begin: float, end: float) -> tuple[float, float]:
        left, right = max(begin, low), min(end, high)
        return left, max(right - left, 0.0)

    for begin, end, weight in bar.parts:
        style = {"facecolor": COLOURS[1], "alpha": math.sqrt(weight), "linewidth": 0}
        axes.broken_barh([within(begin, end)], (row - THICK / 2, THICK), **style)
    if bar.framed is not None:
        style = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.6}
        axes.broken_barh([within(*bar.framed)], (row - THICK / 2, THICK), **style)
    if bar.trained is not None:
        left, width = within(*bar.trained)
        # Dots at its ends show a single level too.
        style = {"color": COLOURS[0], "linewidth": 1.2, "marker": "o", "markersize": 2}
        axes.plot([left, left + width], [row + 0.43] * 2, **style)
