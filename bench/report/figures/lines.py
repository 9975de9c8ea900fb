"""Plots of studies: lines with intervals against what was changed."""

from markupsafe import Markup

from bench.report.figures import style
from bench.report.figures.style import (
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
from bench.report.page.blocks import Plot

FEW = 500  # ratio of the largest to the smallest value of an axis, up to which it has more numbers
DECADE = 10  # from this ratio of the largest to the smallest value on, a scale is logarithmic


def figure(plot: Plot) -> Figure:
    """The lines of a plot, each point with its interval, above the level of held-out digits."""
    drawn = Figure(figsize=SIZE)
    drawn.subplots_adjust(**MARGINS)
    axes = drawn.subplots()
    for place, line in enumerate(plot.lines):
        x, y, low, high = zip(*line.points, strict=True)
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(x, y, "o-", label=label(line.name), markersize=3, color=colour)
        # Not as errors of the points: an interval without the bias of few images may lie beside one.
        axes.vlines(x, low, high, color=colour, linewidth=2.2, alpha=0.45)
    if plot.floor is not None:
        axes.axhline(plot.floor, color=INK, linewidth=0.6, linestyle=":", label="held-out digits")
    xs, ys = ([point[place] for line in plot.lines for point in line.points] for place in range(2))
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, ys)):
        if wide(values):
            logarithmic(axis, values)
    axes.set(xlabel=label(plot.x), ylabel=label(plot.y))
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.legend()
    return drawn


def logarithmic(axis: Axis, values: list[float]) -> None:
    """A logarithmic scale, with numbers at 1, 2 and 5 where there are few decades."""
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    near = max(values) < FEW * min(values)
    axis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5) if near else (1,)))


def inlined(plot: Plot, key: str) -> Markup:
    """A plot as SVG, in the colours of a page; its ids begin with `key`."""
    with style.ours():
        return style.inline(figure(plot), key)


def wide(values: list[float]) -> bool:
    """Whether a scale of these values is logarithmic."""
    return min(values) > 0 and max(values) >= DECADE * min(values)
