"""What a study left: its page, cut into headings, paragraphs, lists, tables and pictures, in their order."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bench import folders, names
from bench.report import pictures
from bench.report.entries import Absent
from denoisers.errors import UsageError

PICTURE = re.compile(r"!\[(.*)\]\(<?([^()<>/\\]+)>?\)")


class Block(NamedTuple):
    """A heading or text (str), list (of str), table (rows of str) or picture (data URI, what it shows).

    All of it is plain text, which the template escapes.
    """

    kind: str
    content: Any


class Study(NamedTuple):
    """A study below a folder of runs."""

    name: str
    blocks: list[Block]


def read(folder: Path) -> tuple[list[Study], list[Absent]]:
    """Every study below `folder`, and those that cannot be read. Those of one name are told apart by their folders."""
    found, absent = {}, []
    for path in folders.named(folder, "study.json"):
        where = path.parent.relative_to(folder).as_posix()
        try:
            found[where] = study(path.parent)
        except (OSError, ValueError) as error:
            said = str(error).replace(f"{folder}/", "")
            absent.append(Absent(where, f"the study has no page ({said})"))
    called = names.distinct([{"name": one.name} for one in found.values()], list(found))
    return [one._replace(name=name) for one, name in zip(found.values(), called, strict=True)], absent


def study(path: Path) -> Study:
    """The study in `path`, from <name>.md there. Raises OSError or ValueError if there is none."""
    paragraphs = re.split(r"\n\s*\n", (path / f"{path.name}.md").read_text().strip())
    title, *rest = paragraphs
    return Study(plain(title), [found for paragraph in rest if (found := block(paragraph, path)) is not None])


def block(paragraph: str, path: Path) -> Block | None:
    """One paragraph of the Markdown that studies write; None for a picture that cannot be read."""
    lines = [line for line in paragraph.splitlines() if line.strip()]
    if shown := PICTURE.fullmatch(paragraph.strip()):
        picture = embedded(path / shown[2])
        return Block("picture", (picture, shown[1])) if picture else None
    if all(line.startswith("|") for line in lines):
        rows = [line for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
        return Block("table", [[plain(cell) for cell in row.strip().strip("|").split(" | ")] for row in rows])
    if all(line.startswith("- ") for line in lines):
        return Block("list", [plain(line[2:]) for line in lines])
    return Block("heading" if paragraph.startswith("#") else "text", plain(paragraph))


def plain(text: str) -> str:
    """Text without Markdown's marks of headings and emphasis."""
    return text.replace("**", "").lstrip("#").strip()


def embedded(path: Path) -> str:
    """A picture as a data URI of 16 grey levels; empty if it cannot be read."""
    try:
        return pictures.data_uri(Image.fromarray(pictures.read_picture(path)).quantize(16))
    except UsageError:
        return ""
