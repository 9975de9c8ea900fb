"""The command line itself: what every command has in common, and what it says to the person at the terminal."""

import functools
import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from bench import __version__, ranks
from bench.bounds import option_name
from bench.progress import Terminal
from bench.text import printable
from denoisers.errors import UsageError

if TYPE_CHECKING:
    from bench.runs import Run

app = typer.Typer(
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
terminal = Terminal()
WRONG = ("error: ", "warning: ", "failed: ")  # what such lines begin with


def shown(work: Callable[..., None], first: str, *, shared: bool = False) -> Callable[..., None]:
    """`work`, with its progress on the terminal.

    first   what it does before anything else, if that takes a while
    shared  whether the ranks of torchrun share it; the first alone does what they do not, and it
            alone says what goes on
    """

    @functools.wraps(work)
    def command(**options: object) -> None:
        leads = ranks.world().leads
        with terminal.working(first, muted=not leads):
            if leads or shared:
                work(**options)

    return command


def print_version(asked: bool) -> None:
    """What --version does."""
    if asked:
        typer.echo(f"bench {__version__}")
        raise typer.Exit


def be_quiet(asked: bool) -> None:
    """What --quiet does."""
    terminal.quiet = asked


EXITS = "Exit status: 0 done, 1 failed, 2 wrong usage, 128 + N stopped by signal N (130: Ctrl-C)."


@app.callback(epilog=EXITS)
def all_commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=be_quiet,
            help="Say results, warnings and errors alone; before the command.",
        ),
    ] = False,
) -> None:
    """I have a denoiser: is it a generative prior, and if not, where does it fail?"""


def show(run: "Run", fingerprint: str, json_: bool) -> None:
    """The table of a run and, last, where it is; or its scores, as the one JSON document on standard output."""
    from bench import reporting

    if json_:
        terminal.result(json.dumps(run.read_json(f"metrics-{fingerprint}.json"), indent=2))
        say(run.path)
    else:
        terminal.result(reporting.tables(*reporting.collect(run.path)))
        terminal.result(run.path)


def finish(*following: object) -> None:
    """How long it took, and which command to type next; nothing of it to one who wants quiet."""
    if terminal.quiet:
        return
    say(terminal.bar.summary())
    say(f"next: {shlex.join(['bench', *map(str, following)])}")


def parse_options(pairs: list[str]) -> dict[str, str]:
    """["k=v"] to {"k": "v"}. Raises UsageError for what is no option, or is said twice."""
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"takes key=value; found {pair!r}", "--option")
        if option_name(key, "--option") in options:
            raise UsageError(f"{key!r} is said twice", "--option")
        options[key] = value
    return options


class Stopped(BaseException):
    """SIGTERM or SIGHUP, by its number: it ends a command as Ctrl-C does, with nothing half-written.

    No Exception, which could be taken for one of the code that it strikes.
    """


def stop(request: int, frame: object) -> None:
    """What these signals do."""
    raise Stopped(request)


@contextmanager
def resumable() -> Iterator[None]:
    """A command that is stopped inside says that the same command resumes it."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        say("interrupted; what is finished is on disk, and the same command resumes")
        raise


def warn(lines: Iterable[str]) -> None:
    """Say what a user should know before believing a number."""
    for line in lines:
        say(f"warning: {line}")


def complain(name: str | None = None) -> None:
    """Warn of plug-ins that are hidden or broken; of all, or of those called `name`."""
    from denoisers import registry

    for line in registry.complaints(name):
        say(f"warning: {line}")


def say(line: object) -> None:
    """A line to the person at the terminal; of one who wants quiet, of what is wrong alone."""
    wanted = not terminal.quiet or str(line).startswith(WRONG)
    if wanted and not terminal.muted:
        typer.echo(printable(str(line)), err=True)
