"""The figures of a study's page: into files beside it, and into a report."""

from pathlib import Path

from markupsafe import Markup

from bench.reporting.figures import bars, lines, style
from bench.reporting.figures.style import Figure
from bench.reporting.page.blocks import Bars, Page, Plot


def figure(content: Plot | Bars) -> Figure:
    """What a block of a page draws."""
    return lines.figure(content) if isinstance(content, Plot) else bars.figure(content)


def inlined(content: Plot | Bars, key: str) -> Markup:
    """A figure as SVG, in the colours of a report; its ids begin with `key`."""
    with style.ours():
        return style.inline(figure(content), key)


def export(page: Page, folder: Path) -> None:
    """All figures of a page as PNG and SVG."""
    with style.ours():
        for block in page.blocks:
            if isinstance(block.content, Plot | Bars):
                style.export(figure(block.content), folder / Path(block.content.file).stem)
