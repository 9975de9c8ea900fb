"""Pages in Markdown: whatever a template puts in is escaped, unless it is `Markdown` already."""

import functools
import os
import re
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.reporting import table
from bench.reporting.page.blocks import Page
from bench.text import one_line

# What Markdown reads as more than a letter: inside words '_' is one, and a link needs no brackets.
# An interval, as [0.1, 0.2], is none either, where nothing follows that makes a link of it.
MARKUP = re.compile(
    r"(?P<interval>\[-?[\d.]+, -?[\d.]+\](?![\[(:]))"
    r"|(?i:[\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|(?<=www)\.|^[#+-](?=\s))"
)
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Markdown(str):
    """Text that is Markdown."""

    __slots__ = ()


def escaped(text: str) -> Markdown:
    """Text that Markdown shows as it is, in one line, markup included."""
    marked = MARKUP.sub(
        lambda part: part[0] if part["interval"] else f"\\{part[0]}", one_line(text)
    )
    return Markdown(re.sub("[&<>]", lambda letter: ENTITIES[letter[0]], marked))


def address(path: str) -> Markdown:
    """A relative path as a relative URL, whatever folders are called."""
    return Markdown(quote(os.fsencode(path), safe="/=@,+~"))


def render(template: str, **content: Any) -> str:
    """A page, out of one of the templates."""
    return environment().get_template(template).render(**content)


def study(page: Page) -> str:
    """The page of a study."""
    return render("study.md", page=page)


@functools.cache
def environment() -> Environment:
    """Where templates are compiled, once."""
    pages = Environment(
        loader=PackageLoader("bench.reporting.page"),
        finalize=lambda value: value if isinstance(value, Markdown) else escaped(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {"markdown": Markdown, "address": address, "table": framed, "rows": rows}
    return pages


def framed(frame: pd.DataFrame) -> Markdown:
    """A table of text."""
    return Markdown(table.markdown(frame.map(escaped).rename(columns=escaped)))


def rows(lines: list[list[str]]) -> Markdown:
    """A table of text, of which the first row is the heading."""
    return framed(pd.DataFrame(lines[1:], columns=lines[0], dtype=object))
