"""Docstrings for the site: two columns of names and what they mean become a list; the rest is Markdown as it is."""

import re
from collections.abc import Iterator

import griffe

ROW = re.compile(r"(\S+(?:, \S+)*) {2,}(\S.*)")


def listed(docstring: str) -> str:
    """The docstring with its columns as lists, and doctests as code."""
    return "\n\n".join(written(part) for part in docstring.split("\n\n"))


def written(paragraph: str) -> str:
    """A paragraph, as a list if each of its lines begins a row or goes on with one."""
    lines = paragraph.splitlines()
    if paragraph.startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    if not ROW.match(lines[0] if lines else ""):
        return paragraph
    return "\n".join(rows(lines))


def rows(lines: list[str]) -> Iterator[str]:
    """A point of a list for each row; lines that are indented go on with the row above them."""
    for line in lines:
        row = ROW.match(line)
        yield f"- `{row[1]}`: {row[2]}" if row else f"  {line.strip()}"


class Columns(griffe.Extension):
    """Every docstring that is collected."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite it in place."""
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)
