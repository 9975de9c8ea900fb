"""The plots that compare denoisers: drawn once, for the page and, as PNG and SVG, for papers."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import files
from bench.report import real
from bench.report.collect import Group

LABELLED = 12  # entries that a plot names or draws; more could not be told apart
SIZE = (3.35, 2.5)  # inches: one column of a paper
INK = "#010203"  # becomes the page's own text colour
STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "legend.fontsize": 6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.3,
    "ytick.minor.width": 0.3,
    "lines.linewidth": 1.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "bench",
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    # Okabe & Ito's colours, legible on white and on black, without their yellow and black.
    "axes.prop_cycle": mpl.cycler(color=["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]),
}


class Drawn(NamedTuple):
    """A figure on the page."""

    name: str
    title: str
    text: str
    svg: Markup


class Plot(NamedTuple):
    """A figure: its file's name, its title, what it shows, and what draws it; that returns False to leave it out."""

    name: str
    title: str
    text: str
    draw: Callable[[Axes, Path, Group], bool]


def draw(folder: Path, groups: list[Group], save: Path | None = None) -> list[Drawn]:
    """The figures for which there is data, of the largest group; into `save` as PNG and SVG as well."""
    found = []
    if not groups:
        return found
    with mpl.rc_context(STYLE):
        for plot in PLOTS:
            figure = Figure(figsize=SIZE)
            if not plot.draw(figure.subplots(), folder, groups[0]):
                continue
            if save is not None:
                save.mkdir(exist_ok=True)
                export(figure, save / plot.name)
            found.append(Drawn(plot.name, plot.title, plot.text, inline(figure)))
    return found


def export(figure: Figure, path: Path) -> None:
    """PNG at 300 dpi and SVG with its letters as outlines, both on white, as papers are."""
    for suffix, options in ((".png", {"dpi": 300}), (".svg", {"metadata": {"Date": None}})):
        files.write(
            path.with_suffix(suffix),
            lambda file, suffix=suffix, options=options: figure.savefig(file, format=suffix[1:], **options),
        )


def inline(figure: Figure) -> Markup:
    """The same as SVG inside a page: transparent, its text as text in the page's own colour."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<(style|metadata).*?</\1>", "", svg, flags=re.DOTALL)
    return Markup(re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"', r"\1", svg, count=2))


def quality_and_cost(axes: Axes, folder: Path, group: Group) -> bool:
    """KID against seconds per image."""
    shown = []
    for entry in group.entries:
        kid, cost = entry.score("kid"), (entry.facts.get("cost") or {}).get("seconds_per_image")
        if kid is not None and cost:
            shown.append((entry, float(cost), kid))
    if len(shown) < 2:
        return False
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=5)
    for place, (entry, cost, kid) in enumerate(shown):
        error = None if kid.stderr is None else 1.96e3 * kid.stderr
        axes.errorbar(cost, 1e3 * kid.value, yerr=error, fmt="o", markersize=3, elinewidth=0.8)
        if place < LABELLED:
            axes.annotate(entry.title, (cost, 1e3 * kid.value), (4, 3), textcoords="offset points", fontsize=6)
    held_out = group.controls.get("held_out")
    if held_out and (usual := held_out.scores.get("kid")):
        axes.axhline(1e3 * usual.value, color=INK, linewidth=0.6, linestyle=":")
    axes.margins(x=0.25)
    axes.set(xlabel="seconds per image", ylabel="KID × 10³")
    return True


def error_and_noise(axes: Axes, folder: Path, group: Group) -> bool:
    """Mean squared error against sigma, over the error of the mean image, of every denoiser that was gauged."""
    curves = gauged(folder)
    if not curves:
        return False
    for name, frame in curves[:LABELLED]:
        bound = name in BOUNDS
        style = {"color": INK, "linestyle": BOUNDS[name], "linewidth": 0.8} if bound else {}
        axes.loglog(frame["sigma"], frame["mse"], label=shown_label(name), **style)
    axes.axhline(curves[0][1]["mse_mean"].iloc[0], color=INK, linewidth=0.6, linestyle=":", label="mean image")
    axes.set(xlabel="σ, images in [−1, 1]", ylabel="squared error per pixel")
    axes.legend()
    return True


def gauged(folder: Path) -> list[tuple[str, pd.DataFrame]]:
    """Name and curve of every denoiser that `bench gauge --out` measured on the digits most were measured on."""
    found: dict[str, list[tuple[str, pd.DataFrame]]] = {}
    for path in sorted((folder / "gauge").glob("*.csv")):
        try:
            frame = pd.read_csv(path)
            name, dataset, num = (str(frame[key].iloc[0]) for key in ("denoiser", "dataset", "num"))
            curve = frame[["sigma", "mse", "mse_mean"]].astype(float)
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            continue
        found.setdefault(f"{dataset} {num}", []).append((name, curve))
    return max(found.values(), key=len, default=[])


BOUNDS = {"gaussian": "--", "ideal": "-."}


def distances(axes: Axes, folder: Path, group: Group) -> bool:
    """Histograms of d1 of generated images, of held-out digits, and where copies lie."""
    drawn = False
    usual = real.held_out_distances(group.entries)
    for entry in group.entries[: LABELLED // 2]:
        try:
            d1 = pd.read_csv(entry.run.path / f"per_sample-{entry.fingerprint}.csv")["d1"].to_numpy(dtype=float)
        except (OSError, ValueError, KeyError):
            continue
        axes.hist(d1, bins=np.linspace(0, 18, 73), histtype="step", density=True, label=shown_label(entry.title))
        drawn = True
    if not drawn:
        return False
    if usual is not None:
        axes.hist(usual, bins=np.linspace(0, 18, 73), color=INK, alpha=0.25, density=True, label="held-out digits")
    for name, control in group.controls.items():
        median = control.memorization.get("pixels", {}).get("d1_median")
        if name.startswith("copies") and median:
            axes.axvline(median.value, color=INK, linewidth=0.6, linestyle=":")
            axes.annotate(
                name.replace("copies_", "").replace("_", " "),
                (median.value, 0.98),
                (1, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=5.5,
            )
    axes.set(xlabel="d1, distance to the nearest training digit", ylabel="density", yscale="symlog")
    axes.legend()
    return True


def embedding(axes: Axes, folder: Path, group: Group) -> bool:
    """Generated images over real ones, on the two axes that part the digit classes best."""
    found = real.embedded(group.entries)
    if found is None:
        return False
    axes.scatter(*found.digits.T, s=1.5, color=INK, alpha=0.25, linewidths=0)
    for digit, (x, y) in enumerate(found.centres):
        axes.text(x, y, str(digit), ha="center", va="center", fontsize=9, fontweight="bold", alpha=0.6)
    for name, points in found.generated.items():
        axes.scatter(*points.T, s=2.5, alpha=0.7, linewidths=0, label=shown_label(name))
    low, high = found.digits.min(axis=0), found.digits.max(axis=0)
    reach = 0.6 * (high - low)
    axes.set(
        xlim=(low[0] - reach[0], high[0] + reach[0]), ylim=(low[1] - reach[1], high[1] + reach[1]), xticks=[], yticks=[]
    )
    axes.legend(markerscale=3)
    return True


def shown_label(name: str) -> str:
    """A label that a legend shows whatever it begins with."""
    return name if not name.startswith("_") else f"\u200b{name}"


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
        "exact posterior mean over the training set, dotted: the mean image.",
        error_and_noise,
    ),
    Plot(
        "distances",
        "Distance to the training set",
        "Distribution of d1 of the generated images; filled: held-out digits, dotted: medians of training "
        "digits, as they are and altered.",
        distances,
    ),
    Plot(
        "embedding",
        "Map",
        "Generated images over held-out digits (grey), on two linear discriminants of the classifier's "
        "features; the numbers stand at the class means.",
        embedding,
    ),
)
