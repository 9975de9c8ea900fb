"""A page of a study as data: headings, texts, lists, tables, plots and pictures, in a JSON file.

The study writes it, and its Markdown out of it. The report reads it back, and checks it: it may
come from anyone.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from bench.report.results import parse
from denoisers import reading
from denoisers.errors import UsageError

FILE = "page.json"
SCHEMA_VERSION = 1
LONGEST = 2**20  # bytes of the file
TITLE = 300  # letters
BLOCKS = 200
ROWS, COLUMNS = 1000, 50  # of a table
PICTURES = 8
LINES = 12  # of a plot
MOST = 1e15  # of a number that is drawn


class Span(NamedTuple):
    """A part of a line of text."""

    text: str
    strong: bool = False


class Picture(NamedTuple):
    """A file of the study's own folder, and what it shows."""

    file: str
    alt: str


class Line(NamedTuple):
    """A line of a plot; each point is x, y and the bounds of its interval."""

    name: str
    points: list[list[float]]


class Plot(NamedTuple):
    """Lines against x, which is drawn anew in a page, in its colours.

    file   of the study's own folder: the same plot as PNG, with an SVG beside it
    alt    what it shows
    x, y   the titles of the axes
    floor  drawn as a dotted level, what held-out digits have; None for none
    """

    file: str
    alt: str
    x: str
    y: str
    lines: list[Line]
    floor: float | None


class Block(NamedTuple):
    """A part of a page. All of it is plain text, which whoever shows it escapes.

    kind     heading, text, list, table, picture or plot
    content  str; spans; a list of lines of spans; rows of str, the first the heading; Picture; Plot
    """

    kind: str
    content: Any


class Page(NamedTuple):
    """What a study has to say."""

    title: str
    blocks: list[Block]


def spans(*parts: str | Span) -> list[Span]:
    """A line of text, of which some parts may be strong."""
    return [part if isinstance(part, Span) else Span(part) for part in parts]


def to_json(page: Page) -> dict[str, Any]:
    """As the file holds it."""
    blocks = [{"kind": kind, "content": plain(content)} for kind, content in page.blocks]
    return {"schema_version": SCHEMA_VERSION, "title": page.title, "blocks": blocks}


def plain(content: Any) -> Any:
    """What a block holds, as JSON."""
    if isinstance(content, Span):
        return {"strong": content.text} if content.strong else content.text
    if isinstance(content, Picture | Plot | Line):
        return {key: plain(value) for key, value in content._asdict().items()}
    return [plain(part) for part in content] if isinstance(content, list) else content


def read(folder: Path) -> tuple[str, list[Any]]:
    """The title of the page in a folder, and its blocks as JSON has them: see `block`.

    Raises UsageError.
    """
    path = folder / FILE
    refuse_link(path)
    if not os.path.lexists(path):
        raise UsageError(f"no file {path}; the same `bench study` command writes it")
    reading.regular(path, LONGEST)
    content = parse.plain(reading.json_object(path), FILE)
    if content.get("schema_version") != SCHEMA_VERSION:
        version = content.get("schema_version")
        raise UsageError(
            f"{FILE} has schema_version {version!r}, this version reads {SCHEMA_VERSION}"
        )
    title, blocks = content.get("title"), content.get("blocks")
    if not isinstance(title, str) or not isinstance(blocks, list):
        raise UsageError(f"{FILE} has no title, or no list of blocks")
    if len(title) > TITLE or len(blocks) > BLOCKS:
        raise UsageError(
            f"{FILE} has a title of {len(title)} letters and {len(blocks)} blocks, "
            f"expected {TITLE} and {BLOCKS} at most"
        )
    return title, blocks


def block(part: Any) -> Block:
    """One block, from JSON. Raises UsageError."""
    kind = part.get("kind") if isinstance(part, dict) else None
    check = CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise UsageError(f"{FILE} has a block that is none of {', '.join(CHECKS)}")
    return Block(kind, check(part.get("content")))


def heading(content: Any) -> str:
    """Raises UsageError unless it is text."""
    if not isinstance(content, str):
        raise UsageError(f"{FILE} has {type(content).__name__} where text belongs")
    return content


def text(content: Any) -> list[Span]:
    """A line of text. Raises UsageError."""
    parts = content if isinstance(content, list) else [content]
    return [
        Span(heading(part["strong"]), strong=True)
        if isinstance(part, dict) and part.keys() == {"strong"}
        else Span(heading(part))
        for part in parts
    ]


def lines(content: Any) -> list[list[Span]]:
    """The lines of a list. Raises UsageError."""
    return [text(line) for line in some(content, "lines of a list", ROWS)]


def table(content: Any) -> list[list[str]]:
    """The rows of a table, all of one length. Raises UsageError."""
    rows = [
        [heading(cell) for cell in some(row, "cells of a row", COLUMNS)]
        for row in some(content, "rows of a table", ROWS)
    ]
    if len({len(row) for row in rows}) > 1:
        raise UsageError(f"{FILE} has a table whose rows are not of one length")
    return rows


def picture(content: Any) -> Picture:
    """The name of a file, without a folder, and what it shows. Raises UsageError."""
    if not isinstance(content, dict) or content.keys() != {"file", "alt"}:
        raise UsageError(f"{FILE} has a picture without its file, or without what it shows")
    return Picture(own_file(content["file"]), heading(content["alt"]))


def own_file(content: Any) -> str:
    """The name of a file, without a folder. Raises UsageError."""
    file = heading(content)
    if file != Path(file).name or "\\" in file or not file:
        raise UsageError(f"{FILE} has a picture that is not in the folder of the study")
    return file


def plot(content: Any) -> Plot:
    """Lines of finite points, their x positive. Raises UsageError."""
    if not isinstance(content, dict) or content.keys() != set(Plot._fields):
        raise UsageError(f"{FILE} has a plot without one of {', '.join(Plot._fields)}")
    named = {key: heading(content[key]) for key in ("alt", "x", "y")}
    floor = None if content["floor"] is None else number(content["floor"])
    drawn = [line(part) for part in some(content["lines"], "lines of a plot", LINES)]
    return Plot(own_file(content["file"]), **named, lines=drawn, floor=floor)


def line(content: Any) -> Line:
    """A line of a plot. Raises UsageError."""
    if not isinstance(content, dict) or content.keys() != set(Line._fields):
        raise UsageError(f"{FILE} has a line of a plot without its name or points")
    points = [
        [number(value) for value in some(point, "numbers of a point", 4)]
        for point in some(content["points"], "points of a line", ROWS)
    ]
    if any(len(point) != 4 or point[0] <= 0 for point in points):
        raise UsageError(f"{FILE} has a point that is not x > 0, y and the bounds of an interval")
    return Line(heading(content["name"]), points)


def number(content: Any) -> float:
    """A number that can be drawn. Raises UsageError."""
    if isinstance(content, bool) or not isinstance(content, int | float) or not abs(content) < MOST:
        raise UsageError(f"{FILE} has something else than a number where one is drawn")
    return float(content)


def some(content: Any, what: str, most: int) -> list[Any]:
    """A list that is not empty, and no longer than a page has room for. Raises UsageError."""
    if not isinstance(content, list) or not 0 < len(content) <= most:
        raise UsageError(f"{FILE} has no {what}, or more than {most}")
    return content


def refuse_link(path: Path) -> None:
    """Raise UsageError for a link: it may lead to what is not meant to be shown."""
    if path.is_symlink():
        raise UsageError(f"{path} is a link, which is not followed")


CHECKS = {
    "heading": heading,
    "text": text,
    "list": lines,
    "table": table,
    "picture": picture,
    "plot": plot,
}
