"""What the flags of the command line take: numbers within bounds, choices, paths and names, each said by --help."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from bench.bounds import Bound
from denoisers.errors import UsageError

LONGEST = 4096  # characters of a path or word, as Linux has it


def flag(*names: str, read: Callable[[str], Any], shown: str, help: str = "") -> Any:
    """An option whose text `read` turns into its value, or refuses with a UsageError or typer.BadParameter."""
    return typer.Option(*names, parser=speaking(read), metavar=shown, help=help or None)


def argument(*, read: Callable[[str], Any], shown: str, help: str) -> Any:
    """The same without a flag; `shown` is its name, in help and errors."""
    return typer.Argument(parser=speaking(read), metavar=shown, help=help)


def speaking(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    """`read` for text, whose usage errors typer completes with the flag; defaults, which are no text, pass."""

    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return read(value)
        except UsageError as error:
            raise typer.BadParameter(error.message) from None

    return parse


def number(bound: Bound, help: str, *names: str) -> Any:
    """A number within `bound`."""
    return flag(*names, read=bound.parse, shown=str(bound), help=help)


def choice(choices: Iterable[str], help: str, *names: str) -> Any:
    """One of some words."""
    return flag(*names, read=one_of(choices), shown="|".join(choices), help=help)


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    """What reads one of some words."""

    def read(text: str) -> str:
        if text not in choices:
            raise UsageError(f"unknown {text[:100]!r}; available: {', '.join(choices)}")
        return text

    return read


def word(text: str) -> str:
    """Any text that is not empty."""
    if not text.strip():
        raise UsageError("is empty")
    if len(text) > LONGEST:
        raise UsageError(f"takes up to {LONGEST} characters; found {len(text)}")
    return text


def place(text: str) -> Path:
    """A path; an empty one would be the current folder."""
    return Path(word(text))
