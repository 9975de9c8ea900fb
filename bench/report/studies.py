"""What a study left: its page, cut into headings, lines, lists and tables; and its picture."""

import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from bench.report import pictures
from bench.report.entries import Absent


class Part(NamedTuple):
    """A stretch of a study's page, below one heading; all of it plain text, escaped by the template."""

    heading: str
    lines: list[str]
    items: list[str]
    table: list[list[str]]
    picture: str
    text: str  # what the picture shows


class Study(NamedTuple):
    """A study below a folder of runs."""

    name: str
    parts: list[Part]


def read(folder: Path) -> tuple[list[Study], list[Absent]]:
    """Every study below `folder`, and those that cannot be read."""
    found, absent = [], []
    for path in sorted(folder.rglob("study.json")):
        try:
            found.append(study(path.parent))
        except (OSError, ValueError) as error:
            absent.append(Absent(path.parent.as_posix(), f"the study has no page yet ({error})"))
    return found, absent


def study(path: Path) -> Study:
    """The study in `path`, from <name>.md. Raises OSError or ValueError if there is none."""
    title, *rest = (path / f"{path.name}.md").read_text().split("\n## ")
    head, _, body = title.partition("\n")
    parts = [part("", body, path)] + [part(*text.split("\n", 1), path) for text in rest if "\n" in text]
    return Study(plain(head.lstrip("# ")), parts)


def part(heading: str, body: str, path: Path) -> Part:
    """One part, out of the Markdown that studies write: paragraphs, lists, one table, one picture."""
    lines = [line for line in body.splitlines() if line.strip()]
    rows = [line for line in lines if line.startswith("|")]
    table = [
        [plain(cell) for cell in row.strip("|").split(" | ")] for row in rows if not re.fullmatch(r"[|\s:-]+", row)
    ]
    shown = [match for line in lines if (match := re.fullmatch(r"!\[(.*)\]\(([\w.-]+)\)", line))]
    rest = [line for line in lines if not line.startswith(("|", "!["))]
    return Part(
        heading,
        [plain(line) for line in rest if not line.startswith("- ")],
        [plain(line[2:]) for line in rest if line.startswith("- ")],
        table,
        embedded(path / shown[0][2]) if shown else "",
        shown[0][1] if shown else "",
    )


def plain(text: str) -> str:
    """Text without Markdown's marks of emphasis."""
    return text.replace("**", "").strip()


def embedded(path: Path) -> str:
    """A picture as a data URI of 16 grey levels; empty if it cannot be read."""
    try:
        with Image.open(path) as image:
            return pictures.data_uri(image.convert("L").quantize(16))
    except pictures.UNREADABLE:
        return ""
