"""What studies left below a folder of runs: their pages, with the pictures in them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from PIL import Image

from bench import files, folders, names
from bench.reporting.page import blocks, checked
from bench.reporting.page.blocks import Bars, Block, Plot
from bench.reporting.results import damage, pictures
from bench.reporting.results.damage import Absent
from denoisers.errors import UsageError, concerning

PIXELS = 2**23  # of a picture; the samples of the whole family have a third of it
Draw = Callable[[Plot | Bars, str], Markup]  # a figure as SVG, and the beginning of its ids
FIGURES = ("plot", "bars")  # blocks that are drawn


class Study(NamedTuple):
    """A study below a folder of runs.

    blocks   of its page; a picture is the pair of its data URI, a plot of its SVG, and what it shows
    where    its folder, relative to that of the runs
    picture  name of the file of the first picture; empty if there is none
    folded   whether its title alone is seen at first
    """

    name: str
    blocks: list[Block]
    where: str = ""
    picture: str = ""
    folded: bool = False


def read(folder: Path, draw: Draw) -> tuple[list[Study], list[Absent]]:
    """Every study below `folder`, under names that tell them apart; and what cannot be read."""
    studies: dict[str, Study] = {}
    absent: list[Absent] = []
    # Of a study and those within its folder, it comes first.
    for path in sorted(folders.named(folder, "study.json"), key=lambda path: path.parent):
        where = path.parent.relative_to(folder).as_posix()
        with damage.noted(absent, where, folder):
            studies[where] = study(path.parent, where, folder, absent, draw)
    called = names.distinct([{"name": one.name} for one in studies.values()], list(studies))
    shown = [one._replace(name=name) for one, name in zip(studies.values(), called, strict=True)]
    return shown, absent


def study(path: Path, where: str, folder: Path, absent: list[Absent], draw: Draw) -> Study:
    """The study in `path`; a line in `absent` for each block of its page that cannot be shown.

    Raises UsageError if there is no page.
    """
    with concerning("the study has no page"):
        page = checked.read(path)
    shown: list[Block] = []
    pictures_: list[str] = []
    plots = 0
    for part in page.blocks:
        with damage.noted(absent, where, folder):
            block = checked.block(part)
            drawn = block.kind in ("picture", *FIGURES)
            if drawn and len(pictures_) + plots == checked.PICTURES:
                raise UsageError(f"{blocks.FILE} has more than {checked.PICTURES} pictures")
            if block.kind == "picture":
                file, alt = block.content
                block = Block("picture", (embedded(path / file), alt))
                pictures_.append(file)
            elif block.kind in FIGURES:
                key = f"{files.slug(where)}-{plots}"
                block = Block("plot", (draw(block.content, key), block.content.alt))
                plots += 1
            shown.append(block)
    return Study(page.title, shown, where, pictures_[0] if pictures_ else "", page.folded)


def embedded(path: Path) -> str:
    """A picture of the study's own folder as a data URI of few levels. Raises UsageError."""
    checked.refuse_link(path)
    picture = pictures.read_picture(path, PIXELS)
    levels = pictures.GREYS if picture.ndim == 2 else pictures.COLOURS
    return pictures.data_uri(Image.fromarray(picture).quantize(levels))
