"""The plots that compare denoisers: drawn once, for the page and, as PNG and SVG, for papers."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from bench import files
from bench.progress import Advance
from bench.reporting import words
from bench.reporting.figures import cost, curves, held_out, likeness
from bench.reporting.figures.curves import Curve, Source, gauged
from bench.reporting.figures.style import COLOURS, MARGINS, SIZE, Axes, Figure, export, inline, ours
from bench.reporting.results import damage
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Group, in_order
from denoisers import reading
from denoisers.errors import UsageError


class Drawn(NamedTuple):
    """A figure on the page."""

    name: str
    title: str
    text: str
    svg: Markup


class Plot(NamedTuple):
    """A figure: the name of its file, its title, what it shows, and what draws it.

    draw  draw(axes, source); False to leave the figure out
    work  how long it takes, where none of its points are kept, in halves of a second or so
    """

    name: str
    title: str
    text: str
    draw: Callable[[Axes, Source], bool]
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
    """The figures for which there is data, of the largest group.

    They are written into `figures` of `target` too, as PNG and SVG.

    target   the folder of the runs by default
    curves   what is `gauged` below the folder, if that is known
    absent   takes a line for each figure that cannot be drawn
    advance  takes the work of each figure as it is done

    Raises OSError, or UsageError, if a file cannot be written.
    """
    lines = [] if absent is None else absent
    kept = (target or folder) / "figures"
    if not groups:
        return []
    if kept.is_symlink():  # of others', perhaps, and leading out of the folder: see denoisers.files
        reason = "is a link, which is not followed: no figures are drawn"
        lines.append(damage.line("figures", reason))
        return []
    take_over(folder / "figures", kept)
    colours = {
        entry.name: COLOURS[min(place, len(COLOURS) - 1)]
        for place, entry in enumerate(in_order(groups[0]))
    }
    source = Source(groups[0], colours, gauged(folder) if curves is None else curves, kept)
    drawn = []
    with ours():
        for plot in PLOTS:
            figure, there = Figure(figsize=SIZE), False
            figure.subplots_adjust(**MARGINS)
            with damage.noted(lines, f"figures/{plot.name}", folder):
                there = plot.draw(figure.subplots(), source)
                figure.draw_without_rendering()
            if there:
                export(figure, kept / plot.name)
                text = words.said(plot.text, groups[0].dataset)
                drawn.append(Drawn(plot.name, plot.title, text, inline(figure, plot.name)))
            advance(plot.work)
    return drawn


def take_over(before: Path, kept: Path) -> None:
    """Points that an earlier report kept beside the runs, for one that goes elsewhere."""
    for path in (before / name for name in held_out.POINTS_KEPT) if before != kept else ():
        with contextlib.suppress(UsageError):  # there is none, or none that can be used
            content = reading.content(path)
            if not os.path.lexists(kept / path.name):
                files.write(kept / path.name, lambda file, content=content: file.write(content))
                # Its time, as points older than a run are made again.
                shutil.copystat(path, kept / path.name)


PLOTS = (
    Plot(
        "quality-cost",
        "Quality against cost",
        "KID × 10³ with its 95 % interval against seconds per image; lower left is better, "
        "dotted: held-out digits.",
        cost.quality_and_cost,
    ),
    Plot(
        "error-noise",
        "Error against noise",
        "Squared error on held-out digits at each noise level; dashed: the best linear denoiser, "
        "dash-dotted: the exact posterior mean over the training set, dotted: the mean image; "
        "circles: outside the noise a network was trained on.",
        curves.error_and_noise,
    ),
    Plot(
        "distances",
        "Distance to the training set",
        "Distribution of d1 of the generated images; filled: held-out digits and, lighter, training "
        "digits as they are and altered.",
        likeness.distances,
        work=8,
    ),
    Plot(
        "embedding",
        "Map",
        "Generated images among held-out digits: t-SNE of the classifier's features. Near is "
        "alike; distances between groups mean nothing. The numbers stand where the digits of a "
        "class are.",
        likeness.embedding,
        work=12,
    ),
)
WORK = sum(plot.work for plot in PLOTS)
