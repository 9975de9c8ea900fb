"""Error against noise: the curves that `bench gauge --out` kept, and the figure of them."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench import folders, names
from bench.reporting import words
from bench.reporting.figures.style import COLOURS, INK, LABELLED, Axes, label, plain_ticks
from bench.reporting.results import damage, rows
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Group, in_order

# Bounds of what a denoiser can reach, and how they are drawn.
BOUNDS = {"gaussian": "--", "ideal": "-."}


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
    """What figures are drawn from.

    colours  of the entries of the group, by their names
    curves   of denoisers
    kept     folder of figures, in which points are kept on their way
    """

    group: Group
    colours: dict[str, str]
    curves: list[Curve]
    kept: Path


def error_and_noise(axes: Axes, source: Source) -> bool:
    """Mean squared error against sigma, beside the mean image's, of every gauged denoiser."""
    curves, colours = source.curves, source.colours
    if not curves:
        return False
    free = iter(colour for colour in COLOURS if colour not in colours.values())
    for name, frame, same in called(curves, source.group)[:LABELLED]:
        if name in BOUNDS:
            style = {"color": INK, "linestyle": BOUNDS[name], "linewidth": 0.8}
        else:
            style = {"color": colours[same[0]] if same else next(free, COLOURS[-1])}
        (line,) = axes.loglog(frame["sigma"], frame["mse"], label=label(name), **style)
        outside = frame[frame["out_of_band"]]
        rings = {"markersize": 3, "fillstyle": "none", "color": line.get_color()}
        axes.plot(outside["sigma"], outside["mse"], "o", **rings)
    mean = curves[0].frame["mse_mean"].iloc[0]
    axes.axhline(mean, color=INK, linewidth=0.6, linestyle=":", label="mean image")
    axes.set(xlabel="σ, images in [−1, 1]", ylabel="squared error per pixel")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.legend()
    return True


def called(curves: list[Curve], group: Group) -> list[tuple[str, pd.DataFrame, list[str]]]:
    """Name and frame of each curve, and the names of the rows of the table of the same denoiser.

    A curve has the name of the one row that is of its denoiser.
    """
    alone = names.distinct([curve._asdict() for curve in curves])
    named = []
    for name, curve in zip(alone, curves, strict=True):
        same = [
            entry.name
            for entry in in_order(group)
            if entry.is_run
            and names.describe(entry.facts) == curve.name
            and curve.weights in ("", entry.facts.get("weights"))
        ]
        named.append((same[0] if len(same) == 1 else name, curve.frame, same))
    return named


def gauged(folder: Path, absent: list[Absent] | None = None, dataset: str = "") -> list[Curve]:
    """Every denoiser that `bench gauge --out` measured into `folder` or one below it.

    All on the same images, those that most of the uppermost curves are of; a denoiser that was
    measured on them twice is shown once.

    absent   takes a line for each file that cannot be read
    dataset  name@digest that the page is about: curves of others are left out if there are any of
             it, or if it is not of digits
    """
    lines = [] if absent is None else absent
    paths = [
        path
        for path in folders.files(folder)
        if path.parent.name == "gauge" and path.suffix == ".csv"
    ]
    read: list[tuple[int, str, Curve]] = []
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        with damage.noted(lines, path.relative_to(folder).as_posix(), folder):
            read.append((len(path.parts), *read_curve(path)))
    own = [each for each in read if each[1].rpartition(" ")[0] == dataset]
    read = own if own or not words.of_digits(dataset) else read
    uppermost = Counter(digits for depth, digits, _ in read if depth == read[0][0]).most_common(1)
    shown: dict[tuple[str, str], Curve] = {}
    for _, digits, curve in read:
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
