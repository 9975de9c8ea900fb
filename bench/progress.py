"""What a person at the terminal sees: results on stdout; on stderr one bar, below all else.

The library tells a `Progress` what it does; a `Bar` shows it. Nothing slow is imported, since the
first line of a command is about what is slow to import. There is no thread, as workers are forked,
and the cursor is never hidden.
"""

import contextlib
import io
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

from bench.text import printable

Advance = Callable[[int], None]

LEAST = 30  # characters of a text beside its name, however narrow a terminal is
WIDTH, WIDEST = 24, 100  # of the bar, and of its line, in characters
OFTEN, SELDOM = 0.1, 30.0  # seconds between two drawings, on a terminal and in a file
ERASE = "\r\x1b[K"


class Progress:
    """What is told while work is done: stages, which may belong to parts of a series.

    This one shows nothing.
    """

    def stage(self, name: str, total: int = 0, done: int = 0) -> Advance:
        """A stage of `total` steps (0: nobody knows) begins, `done` of them made; returns `advance`."""
        return lambda steps: None

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Which stages are to come, and about how long they will take."""

    def part(self, name: str, share: float) -> None:
        """The next part of a series begins, of that share of all its work; its stages follow."""


SILENT = Progress()


class Bar(Progress):
    """Progress as one line of a terminal, with the time that is left; as lines in a file."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.began = self.drawn = self.entered = clock()
        self.name, self.total, self.first, self.done = "", 0, 0, 0
        self.guess: float | None = None  # seconds that the stage was expected to take
        self.coming: dict[str, float] = {}
        self.took: dict[str, float] = {}  # stage -> seconds, in the order in which they began
        self.series = Series()
        self.fraction = 0.0
        self.visible = self.broken = False  # the bar is there; a line of others is unfinished

    def stage(self, name: str, total: int = 0, done: int = 0) -> Advance:
        self.leave()
        self.name, self.total, self.first, self.done = name, total, done, done
        self.entered, self.guess = self.clock(), self.coming.pop(name, None)
        self.took.setdefault(name, 0.0)
        self.draw(now=True)
        return self.advance

    def expect(self, seconds: Mapping[str, float]) -> None:
        self.coming = dict(seconds)

    def part(self, name: str, share: float) -> None:
        self.leave()
        self.series.turn(name, share, self.clock())

    def leave(self) -> None:
        """Add up the stage that ends."""
        if self.name:
            self.took[self.name] += self.clock() - self.entered
        self.name = ""

    def advance(self, steps: int) -> None:
        """So many steps of the stage have been made."""
        self.done += steps
        self.series.worked = True
        self.draw()

    def left(self) -> float | None:
        """Seconds until all is done, as far as can be told."""
        elapsed, made = self.clock() - self.entered, self.done - self.first
        if made > 0:
            this_stage = elapsed / made * (self.total - self.done)
        elif self.guess is not None:
            this_stage = max(self.guess - elapsed, 0.0)
        else:
            return None
        return self.series.left(this_stage + sum(self.coming.values()), self.clock())

    def line(self) -> str:
        """What the bar says now."""
        text, left = self.series.label + self.name, self.left()
        if left is None and not self.fraction:
            return f"{text} ..."
        if left is not None:
            elapsed = self.clock() - self.began
            share = elapsed / (elapsed + left) if elapsed + left else 0.0
            self.fraction = max(self.fraction, share)
        filled = "#" * int(WIDTH * self.fraction)
        remaining = "" if left is None else f", {duration(left)} left"
        return f"{text} [{filled:-<{WIDTH}}] {self.fraction:.0%}{remaining}"

    def draw(self, *, now: bool = False) -> None:
        """Show the line, not too often."""
        pause = self.clock() - self.drawn
        if not (now or pause >= (OFTEN if self.live else SELDOM)):
            return
        self.drawn = self.clock()
        if not self.live:
            self.stream.write(f"{self.series.label}{self.name}\n" if now else f"{self.line()}\n")
        elif not self.broken:
            room = min(shutil.get_terminal_size().columns - 1, WIDEST)
            self.stream.write(ERASE + self.line()[:room])
            self.visible = True
        self.stream.flush()

    def erase(self) -> None:
        """Make way for a line of others."""
        if self.visible:
            self.stream.write(ERASE)
            self.stream.flush()
        self.visible = False

    def summary(self) -> str:
        """How long each stage took, as the last one ends."""
        self.leave()
        spent = [
            f"{name} {duration(seconds)}" for name, seconds in self.took.items() if seconds >= 0.5
        ]
        return f"took {duration(self.clock() - self.began)}: {', '.join(spent)}"


class Series:
    """The parts of a series, shares of all work, and the time left, by the speed so far."""

    def __init__(self) -> None:
        self.label, self.share, self.begun = "", 1.0, 0.0
        # Shares gone by, and made here; in how long.
        self.before, self.made, self.seconds = 0.0, 0.0, 0.0
        self.worked = False

    def turn(self, name: str, share: float, now: float) -> None:
        """From one part to the next; one in which nothing was to be done says nothing of the speed."""
        if self.label:
            self.before += self.share
            if self.worked:
                self.made, self.seconds = self.made + self.share, self.seconds + now - self.begun
        self.label, self.share, self.begun, self.worked = f"{name}: ", share, now, False

    def left(self, this_part: float, now: float) -> float:
        """Seconds for all parts, if this one takes `own` more."""
        if not self.label:
            return this_part
        spent = now - self.begun
        rate = (self.seconds + spent + this_part) / (self.made + self.share)
        return this_part + rate * max(1 - self.before - self.share, 0.0)


class Above:
    """A stream of the terminal that the bar is on: the bar makes way for what is written."""

    def __init__(self, stream: TextIO, bar: Bar) -> None:
        self.stream, self.bar = stream, bar

    def write(self, text: str) -> int:
        """As a file does."""
        self.bar.erase()
        if text:
            self.bar.broken = not text.endswith("\n")
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Terminal:
    """Where results, lines and progress go.

    Results go to standard output, and nothing else does.
    """

    def __init__(self) -> None:
        self.bar: Bar | Progress = SILENT
        self.out: TextIO | None = None  # standard output, while a command works
        self.muted = self.quiet = False

    def result(self, text: object) -> None:
        """A result, to be read by a person or a program."""
        out = self.out or sys.stdout
        if isinstance(self.bar, Bar):
            self.bar.erase()
        out.write(f"{printable(str(text))}\n")
        out.flush()

    def row(self, label: str, text: str) -> None:
        """A result of a name and what it is: one line for a program, on a terminal as many as it takes, indented."""
        if not (self.out or sys.stdout).isatty():
            return self.result(f"{label}  {text}".rstrip())
        indent = " " * (len(label) + 2)
        width = max(shutil.get_terminal_size().columns, len(indent) + LEAST)
        whole = {"break_long_words": False, "break_on_hyphens": False}
        lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, **whole)
        return self.result(label + "\n".join(lines)[len(label) :])

    @contextlib.contextmanager
    def working(self, first: str, *, muted: bool = False) -> Iterator[None]:
        """A command works, and begins with the stage `first`, if that is not empty.

        muted  whether another process says what goes on, and prints the same; what goes wrong is
               said afterwards

        What others print, as a denoiser or its library may, is said on standard error, above the
        bar.
        """
        if muted:
            self.muted, nowhere = True, io.StringIO()
            try:
                with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                    yield
            finally:
                self.muted = False
            return
        self.out = sys.stdout
        if self.quiet:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    yield
            finally:
                self.out, self.quiet = None, False
            return
        bar = self.bar = Bar(sys.stderr)
        above = Above(sys.stderr, bar)
        try:
            with contextlib.redirect_stdout(above), contextlib.redirect_stderr(above):
                if first:
                    bar.stage(first)
                yield
        finally:
            bar.erase()
            self.bar, self.out = SILENT, None


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
