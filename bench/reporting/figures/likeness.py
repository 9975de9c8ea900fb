"""How near generated images are to real ones: distances to the training set, and a map."""

import functools

import numpy as np

from bench.reporting import words
from bench.reporting.figures import held_out
from bench.reporting.figures.curves import Source
from bench.reporting.figures.style import COLOURS, INK, LABELLED, Axes, label
from bench.reporting.results.entries import Group, in_order


def distances(axes: Axes, source: Source) -> bool:
    """Histograms of d1 of generated images, of held-out digits and of copies."""
    by_name = {
        entry.name: entry.kept.distances["d1"].to_numpy()
        for entry in in_order(source.group)[: LABELLED // 2]
        if entry.kept.distances is not None
    }
    if not by_name:
        return False
    kept = source.kept / held_out.POINTS_KEPT[0]
    known = held_out.known_distances(source.group.entries, kept)
    widest = max(d1.max() for d1 in (*by_name.values(), *known.values()))
    said = functools.partial(words.said, dataset=source.group.dataset)
    bins, peaks = np.linspace(0, widest + 0.5, 80), []
    for name, d1 in known.items():
        usual = name == held_out.REAL
        style = {
            "color": INK,
            "alpha": 0.2 if usual else 0.08,
            "label": said(name) if usual else None,
        }
        density = axes.hist(d1, bins, density=True, **style)[0]
        peaks += [density.max()] if usual else []
    for title, d1 in by_name.items():
        style = {"histtype": "step", "color": source.colours[title], "label": label(title)}
        peaks.append(axes.hist(d1, bins, density=True, **style)[0].max())
    name_copies(axes, source.group)
    # Exact copies are a spike: the rest is what there is to see.
    second_highest = sorted(peaks)[-2] if len(peaks) > 1 else peaks[0]
    limits = (0, 1.6 * second_highest)
    axes.set(
        xlabel=said("d1, distance to the nearest training digit"), ylabel="density", ylim=limits
    )
    axes.legend(loc="upper right")  # copies have their names on the left
    return True


def name_copies(axes: Axes, group: Group) -> None:
    """The name of each control set of copies, where its median lies."""
    for name, control in group.controls.items():
        median = control.memorization.get("pixels", {}).get("d1_median")
        if name.startswith("copies") and median:
            text = "copies" if name == "copies" else name.removeprefix("copies_").replace("_", " ")
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            style = {"rotation": 90, "va": "top", "fontsize": 5.5}
            axes.annotate(text, (median.value, 0.99), (1.5, 0), **where, **style)


def embedding(axes: Axes, source: Source) -> bool:
    """Generated images among real ones."""
    points = held_out.embedded(in_order(source.group), source.kept / held_out.POINTS_KEPT[1])
    if points is None:
        return False
    digits = points[points["set"] == held_out.REAL]
    dots = {"s": 2, "color": INK, "alpha": 0.3, "linewidths": 0}
    dots["label"] = words.said(held_out.REAL, source.group.dataset)
    axes.scatter(digits["x"], digits["y"], **dots)
    for title, samples in points[points["digit"] < 0].groupby("set", sort=False):
        colour = source.colours.get(title, COLOURS[-1])
        dots = {"s": 4, "color": colour, "alpha": 0.8, "linewidths": 0, "label": label(title)}
        axes.scatter(samples["x"], samples["y"], **dots)
    for digit, alike in digits.groupby("digit"):
        x, y = alike["x"].median(), alike["y"].median()
        style = {"ha": "center", "va": "center", "fontsize": 9, "fontweight": "bold", "alpha": 0.7}
        axes.text(x, y, str(digit), **style)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.margins(x=0.25)  # room for the legend
    axes.legend(markerscale=2, loc="upper left", bbox_to_anchor=(-0.2, 1.02))
    return True
