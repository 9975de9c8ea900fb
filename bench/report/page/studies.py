"""What studies left below a folder of runs: their pages, with the pictures in them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from PIL import Image

from bench import files, folders, names
from bench.report.page import blocks
from bench.report.page.blocks import Block, Plot
from bench.report.results import damage, pictures
from bench.report.results.damage import Absent
from denoisers.errors import UsageError, concerning

PIXELS = 2**23  # of a picture; the samples of the whole family have a third of it
Draw = Callable[[Plot, str], Markup]  # a plot as SVG, and the beginning of its ids


class Study(NamedTuple):
    """A study below a folder of runs.

    blocks   of its page; a picture is the pair of its data URI, a plot of its SVG, and what it shows
    where    its folder, relative to that of the runs
    picture  name of the file of the first picture; empty if there is none
    """

    name: str
    blocks: list[Block]
    where: str = ""
    picture: str = ""


def read(folder: Path, draw: Draw) -> tuple[list[Study], list[Absent]]:
    """Every study below `folder`, under names that tell them apart; and what cannot be read."""
    studies: dict[str, Study] = {}
    absent: list[Absent] = []
    for path in folders.named(folder, "study.json"):
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
        title, content = blocks.read(path)
    shown: list[Block] = []
    pictures_: list[str] = []
    plots = 0
    for part in content:
        with damage.noted(absent, where, folder):
            block = blocks.block(part)
            if block.kind in ("picture", "plot") and len(pictures_) + plots == blocks.PICTURES:
                raise UsageError(f"{blocks.FILE} has more than {blocks.PICTURES} pictures")
            if block.kind == "picture":
                file, alt = block.content
                block = Block("picture", (embedded(path / file), alt))
                pictures_.append(file)
            elif block.kind == "plot":
                key = f"{files.slug(where)}-{plots}"
                block = Block("plot", (draw(block.content, key), block.content.alt))
                plots += 1
            shown.append(block)
    return Study(title, shown, where, pictures_[0] if pictures_ else "")


def embedded(path: Path) -> str:
    """A picture of the study's own folder as a data URI of 16 grey levels. Raises UsageError."""
    blocks.refuse_link(path)
    picture = pictures.read_picture(path, PIXELS)
    return pictures.data_uri(Image.fromarray(picture).quantize(pictures.GREYS))
