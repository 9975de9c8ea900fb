"""Quality against cost."""

import math

from bench.reporting.figures.curves import Source
from bench.reporting.figures.style import COLOURS, INK, LABELLED, Axes, label, plain_ticks
from bench.reporting.results.entries import in_order


def quality_and_cost(axes: Axes, source: Source) -> bool:
    """KID against seconds per image."""
    shown = []
    for entry in in_order(source.group):
        kid, cost = entry.score("kid"), (entry.facts.get("cost") or {}).get("seconds_per_image")
        if kid is not None and isinstance(cost, int | float) and cost > 0:
            shown.append((entry.name, cost, kid))
    if len(shown) < 2:
        return False
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=5)
    costs = [cost for _, cost, _ in shown]
    middle = math.sqrt(min(costs) * max(costs))
    for title, cost, kid in shown[:LABELLED]:
        value, error = 1e3 * kid.value, None if kid.stderr is None else 1.96e3 * kid.stderr
        style = {"markersize": 3.5, "elinewidth": 0.8, "color": source.colours[title]}
        axes.errorbar(cost, value, yerr=error, fmt="o", **style)
        # So that no name runs over the edge.
        side, offset = ("right", -5) if cost > middle else ("left", 5)
        where = {"textcoords": "offset points", "ha": side, "va": "center", "fontsize": 6}
        axes.annotate(label(title), (cost, value), (offset, 0), **where)
    others = [(cost, 1e3 * kid.value) for _, cost, kid in shown[LABELLED:]]
    if others:
        axes.plot(*zip(*others, strict=True), "o", markersize=2, color=COLOURS[-1])
    held_out = source.group.controls.get("held_out")
    if held_out and (usual := held_out.scores.get("kid")):
        axes.axhline(1e3 * usual.value, color=INK, linewidth=0.6, linestyle=":")
    limits = (min(costs) / 2, max(costs) * 15)
    axes.set(xlim=limits, xlabel="seconds per image", ylabel="KID × 10³")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    return True
