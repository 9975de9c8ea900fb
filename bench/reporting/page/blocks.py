"""A page of a study as data: headings, texts, lists, tables, plots, bars and pictures, in a JSON file.

The study writes it, and its Markdown out of it. The report reads it back: see checked.py.
"""

from typing import Any, NamedTuple

from bench.reporting import words

FILE = "page.json"
SCHEMA_VERSION = 1


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
    shaded  from where to where on x a network was trained; None for everywhere
    """

    file: str
    alt: str
    x: str
    y: str
    lines: list[Line]
    floor: float | None
    shaded: list[float] | None = None


class Bar(NamedTuple):
    """A bar along x.

    parts    [from, to, weight] each, weight 0 to 1: how dark it is there
    framed   [from, to] of what has a frame; None for nothing
    trained  [from, to] of the noise a network was trained on, a line below; None for no network
    """

    name: str
    parts: list[list[float]]
    framed: list[float] | None
    trained: list[float] | None


class Bars(NamedTuple):
    """Bars below each other, drawn as a `Plot` is."""

    file: str
    alt: str
    x: str
    bars: list[Bar]


class Block(NamedTuple):
    """A part of a page. All of it is plain text, which whoever shows it escapes.

    kind     heading, text, list, table, picture, plot or bars
    content  str; spans; a list of lines of spans; rows of str, the first the heading; Picture;
             Plot; Bars
    """

    kind: str
    content: Any


class Page(NamedTuple):
    """What a study has to say.

    folded  whether it is one of many, of which a report shows the title until it is opened
    """

    title: str
    blocks: list[Block]
    folded: bool = False


def spans(*parts: str | Span) -> list[Span]:
    """A line of text, of which some parts may be strong."""
    return [part if isinstance(part, Span) else Span(part) for part in parts]


def about(page: Page, dataset: str) -> Page:
    """A page that speaks of digits, as it is to be read about this dataset, name or name@digest."""
    if words.of_digits(dataset):
        return page
    title = words.said(page.title, dataset)
    return page._replace(title=title, blocks=[reworded(block, dataset) for block in page.blocks])


def reworded(block: Block, dataset: str) -> Block:
    """A part of a page, in other words; files, and the names of what is compared, stay."""

    def said(content: Any) -> Any:
        if isinstance(content, list):
            return [said(part) for part in content]
        if isinstance(content, Span):
            return content._replace(text=words.said(content.text, dataset))
        return words.said(content, dataset)

    kind, content = block
    if kind in ("heading", "text", "list"):
        return Block(kind, said(content))
    if kind == "table":
        return Block(kind, [said(content[0]), *content[1:]])
    texts = {
        name: said(getattr(content, name)) for name in ("alt", "x", "y") if name in content._fields
    }
    return Block(kind, content._replace(**texts))


def to_json(page: Page) -> dict[str, Any]:
    """As the file holds it."""
    blocks = [{"kind": kind, "content": plain(content)} for kind, content in page.blocks]
    whole = {"schema_version": SCHEMA_VERSION, "title": page.title, "blocks": blocks}
    return whole | ({"folded": True} if page.folded else {})


def plain(content: Any) -> Any:
    """What a block holds, as JSON."""
    if isinstance(content, Span):
        return {"strong": content.text} if content.strong else content.text
    if isinstance(content, Picture | Plot | Line | Bars | Bar):
        return {key: plain(value) for key, value in content._asdict().items()}
    return [plain(part) for part in content] if isinstance(content, list) else content
