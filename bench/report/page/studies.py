"""What studies left below a folder of runs: their pages, with the pictures in them."""

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from PIL import Image

from bench import folders, names
from bench.report.figures import lines, style
from bench.report.page import blocks
from bench.report.page.blocks import Block, Plot
from bench.report.results import damage, pictures
from bench.report.results.damage import Absent
from denoisers.errors import UsageError, concerning

PIXELS = 2**22  # of a picture; that of the ladder has half of it


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


def read(folder: Path) -> tuple[list[Study], list[Absent]]:
    """Every study below `folder`, under names that tell them apart; and what cannot be read."""
    studies: dict[str, Study] = {}
    absent: list[Absent] = []
    for path in folders.named(folder, "study.json"):
        where = path.parent.relative_to(folder).as_posix()
        with damage.noted(absent, where, folder):
            studies[where] = study(path.parent, where, folder, absent, f"study{len(studies)}")
    called = names.distinct([{"name": one.name} for one in studies.values()], list(studies))
    shown = [one._replace(name=name) for one, name in zip(studies.values(), called, strict=True)]
    return shown, absent


def study(path: Path, where: str, folder: Path, absent: list[Absent], key: str) -> Study:
    """The study in `path`; a line in `absent` for each block of its page that cannot be shown.

    key  its own on the page

    Raises UsageError if there is no page.
    """
    with concerning("the study has no page"):
        title, content = blocks.read(path)
    shown: list[Block] = []
    drawn: list[str] = []
    for part in content:
        with damage.noted(absent, where, folder):
            block = blocks.block(part)
            if block.kind in ("picture", "plot"):
                if len(drawn) == blocks.PICTURES:
                    raise UsageError(f"{blocks.FILE} has more than {blocks.PICTURES} pictures")
                file, alt = block.content.file, block.content.alt
                if block.kind == "picture":
                    block = Block("picture", (embedded(path / file), alt))
                else:
                    block = Block("plot", (inlined(block.content, f"{key}-{len(drawn)}"), alt))
                drawn.append(file)
            shown.append(block)
    return Study(title, shown, where, drawn[0] if drawn else "")


def inlined(plot: Plot, key: str) -> Markup:
    """A plot as SVG, in the colours of the page."""
    with style.ours():
        return style.inline(lines.figure(plot), key)


def embedded(path: Path) -> str:
    """A picture of the study's own folder as a data URI of 16 grey levels. Raises UsageError."""
    blocks.refuse_link(path)
    picture = pictures.read_picture(path, PIXELS)
    return pictures.data_uri(Image.fromarray(picture).quantize(pictures.GREYS))
