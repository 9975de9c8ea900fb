"""The plots that compare denoisers: drawn once, for the page and, as PNG and SVG, for papers."""

import contextlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench import files, folders, names
from bench.progress import Advance
from bench.report.figures import held_out
from bench.report.figures.style import (
    COLOURS,
    INK,
    MARGINS,
    SIZE,
    Axes,
    Axis,
    Figure,
    export,
    inline,
    ours,
)
from bench.report.results import damage, rows
from bench.report.results.damage import Absent
from bench.report.results.entries import Group, in_order
from bench.text import one_line
from denoisers import reading
from denoisers.errors import UsageError

LABEL = 60  # letters of a name
LABELLED = 12  # entries that a plot names; more could not be told apart
BOUNDS = {"gaussian": "--", "ideal": "-."}


class Drawn(NamedTuple):
    """A figure on the page."""

    name: str
    title: str
    text: str
    svg: Markup


class Curve(NamedTuple):
    """Squared error against sigma, as `bench gauge --out` kept it.

    name     of the denoiser, as it stands alone
    weights  with digests; empty where there are none, or an earlier version did not say
    frame    columns sigma, mse, mse_mean, out_of_band
    """

    name: str
    weights: str
    frame: pd.DataFrame


class Source(NamedTuple):
    """Where what is drawn comes from: curves of denoisers, and the folder in which points on their way are kept."""

    curves: list[Curve]
    kept: Path


class Plot(NamedTuple):
    """A figure: its file's name, its title, what it shows, and what draws it; that returns False to leave it out.

    draw  draw(axes, source, group, colour by name)
    work  how long it takes, where none of its points are kept, in halves of a second or so
    """

    name: str
    title: str
    text: str
    draw: Callable[[Axes, Source, Group, dict[str, str]], bool]
    work: int = 1


def draw(
    folder: Path,
    groups: list[Group],
    target: Path | None = None,
    *,
    curves: list[Curve] | None = None,
    absent: list[Absent] | None = None,
    advance: Advance = lambda steps: None,
) -> list[Drawn]:
    """The figures for which there is data, of the largest group; as PNG and SVG too, into `figures` of `target`.

    target  the folder of the runs by default
    curves  what is `gauged` below the folder, if that is known
    absent  takes a line for each figure that cannot be drawn
    advance takes the work of each figure as it is done

    Raises OSError, or UsageError, if a file cannot be written.
    """
    found = []
    if not groups:
        return found
    shown = in_order(groups[0])
    colours = {
        entry.name: COLOURS[min(place, len(COLOURS) - 1)] for place, entry in enumerate(shown)
    }
    kept = (target or folder) / "figures"
    if kept.is_symlink():  # of others', perhaps, and leading out of the folder: see denoisers.files
        if absent is not None:
            absent.append(
                damage.line("figures", "is a link, which is not followed: no figures are drawn")
            )
        return found
    take_over(folder / "figures", kept)
    source = Source(gauged(folder) if curves is None else curves, kept)
    with ours():
        for plot in PLOTS:
            figure, there = Figure(figsize=SIZE), False
            figure.subplots_adjust(**MARGINS)
            with damage.noted([] if absent is None else absent, f"figures/{plot.name}", folder):
                there = plot.draw(figure.subplots(), source, groups[0], colours)
                figure.draw_without_rendering()
            if there:
                svg = export(figure, kept / plot.name)
                found.append(Drawn(plot.name, plot.title, plot.text, inline(svg, plot.name)))
            advance(plot.work)
    return found


def take_over(before: Path, kept: Path) -> None:
    """Points that an earlier report kept beside the runs, for one that goes elsewhere."""
    for path in (before / name for name in held_out.POINTS_KEPT) if before != kept else ():
        with contextlib.suppress(UsageError):  # there is none, or none that can be used
            content = reading.content(path)
            if not os.path.lexists(kept / path.name):
                files.write(kept / path.name, lambda file, content=content: file.write(content))
                # Its time, as points older than a run are made again.
                shutil.copystat(path, kept / path.name)


def plain_ticks(axis: Axis) -> None:
    """Numbers as they are read, 0.01 and not a power."""
    axis.set_major_formatter(lambda value, place: f"{value:g}")


def quality_and_cost(axes: Axes, source: Source, group: Group, colours: dict[str, str]) -> bool:
    """KID against seconds per image."""
    shown = []
    for entry in in_order(group):
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
        error = None if kid.stderr is None else 1.96e3 * kid.stderr
        style = {"fmt": "o", "markersize": 3.5, "elinewidth": 0.8, "color": colours[title]}
        axes.errorbar(cost, 1e3 * kid.value, yerr=error, **style)
        where = {"textcoords": "offset points", "va": "center", "fontsize": 6}
        right = cost > middle  # so that no name runs over the edge
        axes.annotate(
            label(title),
            (cost, 1e3 * kid.value),
            (-5 if right else 5, 0),
            ha="right" if right else "left",
            **where,
        )
    others = [(cost, 1e3 * kid.value) for _, cost, kid in shown[LABELLED:]]
    if others:
        axes.plot(*zip(*others, strict=True), "o", markersize=2, color=COLOURS[-1])
    held_out = group.controls.get("held_out")
    if held_out and (usual := held_out.scores.get("kid")):
        axes.axhline(1e3 * usual.value, color=INK, linewidth=0.6, linestyle=":")
    low, high = (end([cost for _, cost, _ in shown]) for end in (min, max))
    axes.set(xlim=(low / 2, high * 15), xlabel="seconds per image", ylabel="KID × 10³")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    return True


def error_and_noise(axes: Axes, source: Source, group: Group, colours: dict[str, str]) -> bool:
    """Mean squared error against sigma, beside that of the mean image, of every denoiser that was gauged."""
    curves = source.curves
    if not curves:
        return False
    free = iter(colour for colour in COLOURS if colour not in colours.values())
    for name, frame, same in called(curves, group)[:LABELLED]:
        style = (
            {"color": INK, "linestyle": BOUNDS[name], "linewidth": 0.8} if name in BOUNDS else {}
        )
        colour = {} if style else {"color": colours[same[0]] if same else next(free, COLOURS[-1])}
        (line,) = axes.loglog(frame["sigma"], frame["mse"], label=label(name), **style, **colour)
        outside = frame[frame["out_of_band"]]
        axes.plot(
            outside["sigma"],
            outside["mse"],
            "o",
            markersize=3,
            fillstyle="none",
            color=line.get_color(),
        )
    axes.axhline(
        curves[0].frame["mse_mean"].iloc[0],
        color=INK,
        linewidth=0.6,
        linestyle=":",
        label="mean image",
    )
    axes.set(xlabel="σ, images in [−1, 1]", ylabel="squared error per pixel")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.legend()
    return True


def called(curves: list[Curve], group: Group) -> list[tuple[str, pd.DataFrame, list[str]]]:
    """Name and frame of each curve, and the names of the rows of the table that are of the same denoiser.

    A curve has the name of the one row that is of its denoiser.
    """
    alone = names.distinct([curve._asdict() for curve in curves])
    found = []
    for name, curve in zip(alone, curves, strict=True):
        same = [
            entry
            for entry in in_order(group)
            if entry.is_run and names.describe(entry.facts) == curve.name
        ]
        rows = [entry.name for entry in same if curve.weights in ("", entry.facts.get("weights"))]
        found.append((rows[0] if len(rows) == 1 else name, curve.frame, rows))
    return found


def gauged(folder: Path, absent: list[Absent] | None = None) -> list[Curve]:
    """Every denoiser that `bench gauge --out` measured into `folder` or one below it, all on the same digits.

    On those that most of the uppermost curves are of; a denoiser that was measured on them twice is
    shown once.

    absent  takes a line for each file that cannot be read
    """
    found: list[tuple[int, str, Curve]] = []
    said = [] if absent is None else absent
    paths = [
        path
        for path in folders.files(folder)
        if path.parent.name == "gauge" and path.suffix == ".csv"
    ]
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        with damage.noted(said, path.relative_to(folder).as_posix(), folder):
            found.append((len(path.parts), *read_curve(path)))
    uppermost = Counter(digits for depth, digits, _ in found if depth == found[0][0]).most_common(1)
    shown: dict[tuple[str, str], Curve] = {}
    for _, digits, curve in found:
        if digits == uppermost[0][0]:
            shown.setdefault((curve.name, curve.weights), curve)
    return list(shown.values())


def read_curve(path: Path) -> tuple[str, Curve]:
    """What digits it was measured on, and the curve. Raises UsageError."""
    numbers, words = ("sigma", "mse", "mse_mean"), ("denoiser", "dataset", "num")
    frame = rows.read(path, numbers, words, some_words=("weights", "out_of_band"))
    name, dataset, num = (frame[key].iloc[0] for key in words)
    weights = frame["weights"].iloc[0] if "weights" in frame else ""
    curve = frame[[*numbers]].assign(out_of_band=frame.get("out_of_band", "") == "True")
    return f"{dataset} {num}", Curve(name, weights, curve)


def distances(axes: Axes, source: Source, group: Group, colours: dict[str, str]) -> bool:
    """Histograms of d1 of generated images and of held-out digits, and where copies lie."""
    sets = {}
    for entry in in_order(group)[: LABELLED // 2]:
        if entry.kept.distances is not None:
            sets[entry.name] = entry.kept.distances["d1"].to_numpy()
    if not sets:
        return False
    usual = held_out.held_out_distances(group.entries, source.kept / held_out.POINTS_KEPT[0])
    widest = max(d1.max() for d1 in (*sets.values(), *([] if usual is None else [usual])))
    bins, peaks = np.linspace(0, widest + 0.5, 80), []
    if usual is not None:
        peaks.append(
            axes.hist(usual, bins, density=True, color=INK, alpha=0.2, label="held-out digits")[
                0
            ].max()
        )
    for title, d1 in sets.items():
        style = {"histtype": "step", "color": colours[title], "label": label(title)}
        peaks.append(axes.hist(d1, bins, density=True, **style)[0].max())
    for name, control in group.controls.items():
        median = control.memorization.get("pixels", {}).get("d1_median")
        if name.startswith("copies") and median:
            axes.axvline(median.value, color=INK, linewidth=0.6, linestyle=":")
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            text = "copies" if name == "copies" else name.removeprefix("copies_").replace("_", " ")
            axes.annotate(
                text, (median.value, 0.99), (1.5, 0), rotation=90, va="top", fontsize=5.5, **where
            )
    top = 1.6 * sorted(peaks)[-2:][0]  # exact copies are a spike: the rest is what there is to see
    axes.set(xlabel="d1, distance to the nearest training digit", ylabel="density", ylim=(0, top))
    axes.legend()
    return True


def embedding(axes: Axes, source: Source, group: Group, colours: dict[str, str]) -> bool:
    """Generated images among real ones."""
    found = held_out.embedded(in_order(group), source.kept / held_out.POINTS_KEPT[1])
    if found is None:
        return False
    digits = found[found["set"] == held_out.REAL]
    axes.scatter(
        digits["x"], digits["y"], s=2, color=INK, alpha=0.3, linewidths=0, label=held_out.REAL
    )
    for title, points in found[found["digit"] < 0].groupby("set", sort=False):
        colour = colours.get(title, COLOURS[-1])
        axes.scatter(
            points["x"], points["y"], s=4, color=colour, alpha=0.8, linewidths=0, label=label(title)
        )
    for digit, points in digits.groupby("digit"):
        x, y = points["x"].median(), points["y"].median()
        axes.text(
            x, y, str(digit), ha="center", va="center", fontsize=9, fontweight="bold", alpha=0.7
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.margins(x=0.25)  # room for the legend
    axes.legend(markerscale=2, loc="upper left", bbox_to_anchor=(-0.2, 1.02))
    return True


def label(name: str) -> str:
    """A label that a legend shows whatever it begins with, and has room for."""
    short = one_line(name, LABEL)
    return f"\u200b{short}" if short.startswith("_") else short


PLOTS = (
    Plot(
        "quality-cost",
        "Quality against cost",
        "KID × 10³ with its 95 % interval against seconds per image; lower left is better, dotted: held-out digits.",
        quality_and_cost,
    ),
    Plot(
        "error-noise",
        "Error against noise",
        "Squared error on held-out digits at each noise level; dashed: the best linear denoiser, dash-dotted: the "
        "exact posterior mean over the training set, dotted: the mean image; circles: outside the noise a network was "
        "trained on.",
        error_and_noise,
    ),
    Plot(
        "distances",
        "Distance to the training set",
        "Distribution of d1 of the generated images; filled: held-out digits, dotted: medians of training "
        "digits, as they are and altered.",
        distances,
        work=4,
    ),
    Plot(
        "embedding",
        "Map",
        "Generated images among held-out digits: t-SNE of the classifier's features. Near is alike; distances between "
        "groups mean nothing. The numbers stand where the digits of a class are.",
        embedding,
        work=12,
    ),
)
WORK = sum(plot.work for plot in PLOTS)
