"""Plots of studies: lines with intervals against what was changed."""

import math

from bench.reporting.figures.style import (
    COLOURS,
    INK,
    MARGINS,
    SIZE,
    Axis,
    Figure,
    label,
    mpl,
    plain_ticks,
)
from bench.reporting.page.blocks import Plot

FEW = 500  # ratio of the largest to the smallest value of an axis, up to which it has more numbers
MARKED = 30  # points of a line, up to which each has a dot
MANY = 4  # lines of which the legend stands above
LINEAR = 30  # from this ratio of the largest to the lowest value on, a scale with a zero is so beyond the latter
DECADE = 10  # from this ratio of the largest to the smallest value on, a scale is logarithmic


def figure(plot: Plot) -> Figure:
    """The lines of a plot, each point with its interval, above the level of held-out digits."""
    drawn = Figure(figsize=SIZE)
    drawn.subplots_adjust(**MARGINS)
    axes = drawn.subplots()
    for place, line in enumerate(plot.lines):
        x, y, low, high = zip(*line.points, strict=True)
        colour = COLOURS[place % len(COLOURS)]
        marker = "o" if len(x) <= MARKED else ""
        axes.plot(x, y, f"{marker}-", label=label(line.name), markersize=3, color=colour)
        # Not as errors of the points: an interval without the bias of few images may lie beside one.
        if (low, high) != (y, y):
            axes.vlines(x, low, high, color=colour, linewidth=2.2, alpha=0.45)
    if plot.floor is not None:
        axes.axhline(plot.floor, color=INK, linewidth=0.6, linestyle=":", label="held-out")
    xs, ys = ([point[place] for line in plot.lines for point in line.points] for place in range(2))
    if plot.shaded is not None:
        low, high = (min(max(end, min(xs)), max(xs)) for end in plot.shaded)
        axes.axvspan(low, high, color=INK, alpha=0.08, linewidth=0)
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, ys)):
        if wide(values):
            logarithmic(axis, values)
    if min(ys) <= 0 < max(ys) and max(ys) > LINEAR * abs(min(ys)):
        part = max(abs(min(ys)), max(ys) / FEW)
        axes.set_yscale("symlog", linthresh=part, linscale=0.3)
        axes.set_ylim(bottom=min(*ys, -part / 10))
        decades = range(math.ceil(math.log10(part)), math.ceil(math.log10(max(ys))) + 1)
        axes.yaxis.set_major_locator(
            mpl.ticker.FixedLocator([0, *(10.0**power for power in decades)])
        )
    axes.set(xlabel=label(plot.x), ylabel=label(plot.y))
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    if len(plot.lines) < MANY:
        axes.legend()
    else:  # above, where it hides none of them
        shown = len(axes.get_legend_handles_labels()[0])
        drawn.subplots_adjust(top=MARGINS["top"] - 0.056 * math.ceil(shown / 2))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.12, 1.0), ncols=2, columnspacing=1.2)
    return drawn


def logarithmic(axis: Axis, values: list[float]) -> None:
    """A logarithmic scale, with numbers at 1, 2 and 5 where there are few decades."""
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    near = max(values) < FEW * min(values)
    axis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5) if near else (1,)))


def wide(values: list[float]) -> bool:
    """Whether a scale of these values is logarithmic."""
    return min(values) > 0 and max(values) >= DECADE * min(values)
