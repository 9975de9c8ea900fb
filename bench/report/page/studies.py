"""What a study left: its page, cut into headings, paragraphs, lists, tables and pictures, in their order."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bench import folders, names
from bench.report.results import damage, pictures
from bench.report.results.damage import Absent
from bench.text import one_line, printable
from denoisers import reading
from denoisers.errors import UsageError, concerning

LONGEST = 2**20  # bytes of a page
TITLE = 300  # letters

PICTURE = re.compile(r"!\[(.*)\]\(<?([^()<>/\\]+)>?\)")


class Block(NamedTuple):
    """A heading or text (str), list (of str), table (rows of str) or picture (data URI, what it shows).

    All of it is plain text, which the template escapes.
    """

    kind: str
    content: Any


class Study(NamedTuple):
    """A study below a folder of runs; `where` is its folder, relative to that."""

    name: str
    blocks: list[Block]
    where: str = ""


def read(folder: Path) -> tuple[list[Study], list[Absent]]:
    """Every study below `folder`, those of one name told apart by their folders; and what of them cannot be read."""
    found: dict[str, Study] = {}
    absent: list[Absent] = []
    for path in folders.named(folder, "study.json"):
        where = path.parent.relative_to(folder).as_posix()
        with damage.noted(absent, where, folder):
            found[where] = study(path.parent, where, folder, absent)
    called = names.distinct([{"name": one.name} for one in found.values()], list(found))
    return [
        one._replace(name=name) for one, name in zip(found.values(), called, strict=True)
    ], absent


def study(path: Path, where: str, folder: Path, absent: list[Absent]) -> Study:
    """The study in `path`, from <name>.md there; a line in `absent` for each picture that cannot be read.

    Raises UsageError if there is no page.
    """
    page = path / f"{path.name}.md"
    with concerning("the study has no page"):
        # It would be shown to whoever sees the report.
        if not page.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"{page} leads elsewhere")
        text = reading.content(page, LONGEST).decode(errors="backslashreplace")
    title, *paragraphs = re.split(r"\n(?:[^\S\n]*\n)+", text.strip())
    blocks = []
    for paragraph in paragraphs:
        with damage.noted(absent, where, folder):
            blocks += block(paragraph, path)
    return Study(one_line(plain(title), TITLE), blocks, where)


def block(paragraph: str, path: Path) -> list[Block]:
    """One paragraph of the Markdown that studies write; none where nothing is in it.

    Raises UsageError.
    """
    lines = [printable(line) for line in paragraph.splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) < TITLE and (shown := PICTURE.fullmatch(lines[0].strip())):
        return [Block("picture", (embedded(path / shown[2]), shown[1]))]
    if all(line.startswith("|") for line in lines):
        rows = [line for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
        cells = [[plain(cell) for cell in row.strip().strip("|").split(" | ")] for row in rows]
        return [Block("table", cells)] if cells else []
    if all(line.startswith("- ") for line in lines):
        return [Block("list", [plain(line[2:]) for line in lines])]
    return [Block("heading" if paragraph.startswith("#") else "text", plain("\n".join(lines)))]


def plain(text: str) -> str:
    """Text without Markdown's marks of headings and emphasis."""
    return text.replace("**", "").lstrip("#").strip()


def embedded(path: Path) -> str:
    """A picture as a data URI of 16 grey levels. Raises UsageError."""
    return pictures.data_uri(Image.fromarray(pictures.read_picture(path)).quantize(16))
