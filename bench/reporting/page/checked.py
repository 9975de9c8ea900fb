"""A page of a study read back from its file, and checked: it may come from anyone."""

import os
from pathlib import Path
from typing import Any

from bench.reporting.page.blocks import (
    FILE,
    SCHEMA_VERSION,
    Bar,
    Bars,
    Block,
    Line,
    Page,
    Picture,
    Plot,
    Span,
)
from bench.reporting.results import parse
from denoisers import reading
from denoisers.errors import UsageError

LONGEST = 2**20  # bytes of the file
TITLE = 300  # letters
BLOCKS = 200
ROWS, COLUMNS = 1000, 50  # of a table
PICTURES = 8
LINES = 12  # of a plot
BARS = 100
MOST = 1e15  # of a number that is drawn


def read(folder: Path) -> Page:
    """The page in a folder; its blocks are as JSON has them: see `block`.

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
    return Page(title, blocks, content.get("folded") is True)


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
    """Lines of finite points, their x positive; earlier versions shaded nothing. Raises UsageError."""
    if not isinstance(content, dict) or {*content, "shaded"} != set(Plot._fields):
        raise UsageError(f"{FILE} has a plot without one of {', '.join(Plot._fields)}")
    named = {key: heading(content[key]) for key in ("alt", "x", "y")}
    floor = None if content["floor"] is None else number(content["floor"])
    drawn = [line(part) for part in some(content["lines"], "lines of a plot", LINES)]
    shaded = stretch(content.get("shaded"))
    return Plot(own_file(content["file"]), **named, lines=drawn, floor=floor, shaded=shaded)


def stretch(content: Any) -> list[float] | None:
    """From where to where on x, or None. Raises UsageError."""
    if content is None:
        return None
    ends = [number(end) for end in some(content, "ends of a stretch", 2)]
    if len(ends) != 2 or not 0 <= ends[0] <= ends[1]:
        raise UsageError(f"{FILE} has something else than a stretch from one x to a higher one")
    return ends


def bars(content: Any) -> Bars:
    """Bars whose parts are stretches, each with a weight of 0 to 1. Raises UsageError."""
    if not isinstance(content, dict) or content.keys() != set(Bars._fields):
        raise UsageError(f"{FILE} has bars without one of {', '.join(Bars._fields)}")
    drawn = [bar(part) for part in some(content["bars"], "bars", BARS)]
    named = {key: heading(content[key]) for key in ("alt", "x")}
    return Bars(own_file(content["file"]), **named, bars=drawn)


def bar(content: Any) -> Bar:
    """One bar. Raises UsageError."""
    if not isinstance(content, dict) or content.keys() != set(Bar._fields):
        raise UsageError(f"{FILE} has a bar without one of {', '.join(Bar._fields)}")
    parts = content["parts"]
    if not isinstance(parts, list) or len(parts) > ROWS:
        raise UsageError(f"{FILE} has a bar without a list of parts, or with more than {ROWS}")
    drawn = [darkness(part) for part in parts]
    stretches = (stretch(content[key]) for key in ("framed", "trained"))
    return Bar(heading(content["name"]), drawn, *stretches)


def darkness(content: Any) -> list[float]:
    """A part of a bar: a stretch, and a weight of 0 to 1. Raises UsageError."""
    numbers = [number(value) for value in some(content, "numbers of a part", 3)]
    if len(numbers) != 3 or not (0 <= numbers[0] <= numbers[1] and 0 <= numbers[2] <= 1):
        raise UsageError(f"{FILE} has a part of a bar that is no stretch with a weight of 0 to 1")
    return numbers


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
    "bars": bars,
}
