"""The bar: what it says of the time, and that what others print comes out above it, whole."""

import io
import re
import sys

import pytest

from bench import progress


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True

    def lines(self):
        """What a person sees in the end, as a terminal takes carriage returns and erasures; the last may be the bar."""
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


class Clock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def percent(line):
    return int(re.search(r"(\d+)%", line)[1])


def seconds_left(line):
    minutes, seconds = re.search(r"(\d+):(\d\d) left", line).groups()
    return 60 * int(minutes) + int(seconds)


def test_one_bar_says_when_all_stages_will_be_done(clock):
    screen = Screen()
    bar = progress.Bar(screen, clock)
    bar.expect({"control sets": 30.0, "scoring": 10.0})
    shown = []
    for stage, steps, each in (
        ("sampling", 100, 1.0),
        ("control sets", 4, 7.5),
        ("scoring", 10, 1.0),
    ):
        advance = bar.stage(stage, steps)
        for _ in range(steps):
            clock.now += each
            advance(1)
            shown.append((clock.now, screen.lines()[-1]))
    for now, line in shown:
        assert seconds_left(line) == pytest.approx(140 - now, abs=1)
        assert percent(line) == pytest.approx(100 * now / 140, abs=1)
    assert len(screen.lines()) == 1
    assert bar.summary() == "took 2:20: sampling 1:40, control sets 0:30, scoring 0:10"


def test_what_was_done_before_says_nothing_of_the_speed(clock):
    screen = Screen()
    advance = progress.Bar(screen, clock).stage("sampling", 100, done=50)
    clock.now += 10
    advance(10)
    assert seconds_left(screen.lines()[-1]) == 40


def test_the_bar_never_goes_back(clock):
    screen = Screen()
    bar = progress.Bar(screen, clock)
    advance = bar.stage("sampling", 10)
    found = []
    for pause in (1, 1, 1, 60, 1, 1):
        clock.now += pause
        advance(1)
        found.append(percent(screen.lines()[-1]))
    assert found == sorted(found)


def test_a_series_says_which_part_and_the_time_for_all_of_it(clock):
    """Two equal parts, of which the first was done before; three more, of ten seconds each."""
    screen = Screen()
    bar = progress.Bar(screen, clock)
    bar.part("rung 1 of 4", 0.25)
    for place in (2, 3, 4):
        bar.part(f"rung {place} of 4", 0.25)
        advance = bar.stage("sampling", 10)
        for step in range(10):
            clock.now += 1
            advance(1)
            line = screen.lines()[-1]
            assert line.startswith(f"rung {place} of 4: sampling [")
            assert seconds_left(line) == 10 * (4 - place) + 9 - step


def test_what_others_print_comes_out_above_and_whole(monkeypatch, capsys):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    terminal = progress.Terminal()
    with terminal.working("loading"):
        print("to standard output", flush=True)
        terminal.bar.stage("sampling", 4)
        sys.stderr.write("half ")
        terminal.bar.draw(now=True)  # not now: it would erase the half
        sys.stderr.write("a line\n")
        terminal.bar.draw(now=True)
        terminal.result("a result\x1b[2J")
    assert screen.lines() == ["to standard output", "half a line", ""]
    assert "\x1b[?25" not in screen.getvalue()  # the cursor is never hidden
    assert capsys.readouterr().out == "a result\\x1b[2J\n"
    assert "100%\n" not in screen.getvalue()


@pytest.mark.parametrize(
    ("columns", "live", "lines"),
    [
        ("44", True, ["name    a text that takes more than one of", "        the lines"]),
        ("10", True, ["name    a text that takes more than", "        one of the lines"]),
        ("44", False, ["name    a text that takes more than one of the lines"]),
    ],
)
def test_a_row_fits_its_terminal_and_is_one_line_for_a_program(columns, live, lines, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    terminal, out = progress.Terminal(), io.StringIO()
    out.isatty = lambda: live
    terminal.out = out
    terminal.row("name  ", "a text that takes more than one of the lines")
    terminal.row("name  ", "")
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [*lines, "name"]


def test_the_bar_fits_its_terminal(monkeypatch, clock):
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    bar = progress.Bar(screen, clock)
    bar.part("rung 4 of 22", 0.1)
    advance = bar.stage("a stage with a long name", 10)
    clock.now += 1
    advance(1)
    assert len(screen.lines()[-1]) < 40


def test_in_a_file_each_stage_is_a_line_and_a_long_one_some_more(clock):
    file = io.StringIO()
    advance = progress.Bar(file, clock).stage("sampling", 100)
    for _ in range(100):
        clock.now += 1
        advance(1)
    first, *more = file.getvalue().splitlines()
    assert first == "sampling"
    assert [percent(line) for line in more] == [30, 60, 90]
    assert "\r" not in file.getvalue()
    assert "\x1b" not in file.getvalue()


def test_a_dumb_terminal_is_a_file(monkeypatch, clock):
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    progress.Bar(screen, clock).stage("sampling", 100)
    assert screen.getvalue() == "sampling\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0:00"), (59.6, "1:00"), (600, "10:00"), (3661, "1:01:01")]
)
def test_durations(seconds, said):
    assert progress.duration(seconds) == said
