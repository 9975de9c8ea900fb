"""How figures look and where they go: into files for papers, and into a page, in its colours."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench import files, sheets
from bench.text import one_line

mpl = sheets.matplotlib()
Axes, Axis, Figure = mpl.axes.Axes, mpl.axis.Axis, mpl.figure.Figure

SIZE = (3.35, 2.5)  # inches: one column of a paper
MARGINS = {"left": 0.18, "right": 0.97, "bottom": 0.16, "top": 0.96}
INK = "#010203"  # becomes the page's own text colour
LABEL = 60  # letters of a name
LABELLED = 12  # entries that a plot names; more could not be told apart
# Okabe & Ito's colours, shifted so that they can be read on white and on black.
COLOURS = ("#3b8fd6", "#e0662a", "#2aa37a", "#c877a8", "#d99a1c", "#8a7fe0", "#8c8c8c")
STYLE = {
    "font.size": 7,
    "axes.labelsize": 7,
    "legend.fontsize": 6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    **{
        f"{axis}tick.{kind}.width": width
        for axis in "xy"
        for kind, width in (("major", 0.5), ("minor", 0.3))
    },
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
    ),
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "svg.hashsalt": "bench",  # the same data give the same file
    "text.parse_math": False,  # a name with a dollar sign is a name
}


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """Inside, figures look as they do here, whatever a user has set; what is set stays so.

    No backend is chosen: a figure that is written to a file is drawn by what draws files of its
    kind.
    """
    shipped = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}
    with mpl.rc_context():
        mpl.rcParams.update(shipped | STYLE)
        yield


def export(figure: Figure, path: Path) -> None:
    """PNG at 300 dpi and SVG with its letters as outlines, both on white, as papers are."""
    files.write(path.with_suffix(".png"), lambda file: figure.savefig(file, format="png", dpi=300))
    files.write(path.with_suffix(".svg"), lambda file: file.write(drawing(figure).encode()))


def drawing(figure: Figure, **how: Any) -> str:
    """A figure as SVG; `how` it is saved."""
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None}, **how)
    return svg.getvalue()


def inline(figure: Figure, name: str) -> Markup:
    """A figure inside a page: on the page's ground, its ink the page's own text colour.

    Its ids begin with its name, so that they are its own.
    """
    with mpl.rc_context(
        {"svg.fonttype": "none"}
    ):  # letters as text: a page has fonts, and less to carry
        svg = drawing(figure, transparent=True)
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<(style|metadata).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return Markup(
        re.sub(r'^<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg)
    )


def plain_ticks(axis: Axis) -> None:
    """Numbers as they are read, 0.01 and not a power; none at the ticks between, which would be powers."""
    axis.set_major_formatter(lambda value, place: f"{value:g}")
    axis.set_minor_formatter(mpl.ticker.NullFormatter())


def label(name: str) -> str:
    """A label that a legend shows whatever it begins with, and has room for."""
    short = one_line(name, LABEL)
    return f"\u200b{short}" if short.startswith("_") else short
