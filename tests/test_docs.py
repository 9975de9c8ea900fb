"""The tutorial does what it says: its files are written out, its commands run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from bench.cli.entry import app
from denoisers import schedule

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "bring-your-own.md").read_text()
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FILES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [
    line
    for block in re.findall(r"```\n((?:bench|python) .*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
SHORT = {"run": ["--dataset", "mnist5k", "--num", "6", "--steps", "3"], "check": []}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the page; what is not `bench` in its command lines has been done."""
    folder = tmp_path_factory.mktemp("page")
    for name, code in FILES.items():
        (folder / name).write_text(code)
    for command in COMMANDS:
        program, *words = shlex.split(command)
        assert program in ("bench", "python")
        if program == "python":
            assert run(folder, *words).returncode == 0
    return folder


def run(folder, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=folder, check=False, capture_output=True, text=True
    )


def test_the_page_has_what_the_tests_run():
    assert FILES.keys() == {"lee.py", "chain.py", "tiny.py", "test_lee.py", "renoise.py"}
    assert len(COMMANDS) == 10
    for name in ("lee.py", "chain.py", "renoise.py"):
        assert len([line for line in FILES[name].splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("bench ")])
def test_its_commands(command, folder, checkpoints):
    weights = checkpoints["spandrel"]["weights"]
    words = shlex.split(command.replace("dncnn_25.pth", weights))[1:]
    done = run(folder, "-m", "bench", *words, *SHORT[words[0]])
    untrained = words[1] == "spandrel"
    assert done.returncode == (1 if untrained else 0), done.stderr
    assert "Traceback" not in done.stderr
    if words[0] == "run":
        (page,) = (
            path.read_text()
            for path in (Path(folder) / done.stdout.splitlines()[-1]).glob("metrics-*.json")
        )
        assert '"fid"' in page


def test_the_band_of_its_chain_is_that_of_the_chain_in_its_range(folder):
    facts = json.loads(run(folder, "-m", "bench", "info", "chain.py:load").stdout)["spec"]
    chain = schedule.sigmas_of(schedule.alphas_cumprod(schedule.cosine_betas(500)))
    assert [facts["sigma_min"], facts["sigma_max"]] == pytest.approx(
        [2 * chain[0].item(), 2 * chain[-1].item()]
    )


def test_its_card_and_the_facts_of_its_network(folder):
    facts = json.loads(run(folder, "-m", "bench", "info", "tiny.py:load").stdout)
    assert facts["card"]["summary"] == "three convolutions"
    assert facts["spec"]["weights"] == f"tiny@{facts['card']['sha256'][:8]}"
    assert (facts["spec"]["size"], facts["spec"]["sigma_min"], facts["spec"]["sigma_max"]) == (
        [28, 28],
        0.2,
        1.0,
    )


def test_its_test(folder):
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_lee.py")
    assert "1 passed" in done.stdout, done.stdout


def commands(page):
    """The lines of fenced blocks that call bench, as words. Every second fence opens a block."""
    blocks = re.split(r"^```.*\n", page, flags=re.MULTILINE)[1::2]
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("bench ")]


def parse(words):
    """Read a command line as `bench` does, without carrying it out. Raises typer's usage errors."""
    group = typer.main.get_command(app)
    with group.make_context("bench", words[1:]) as context:
        name, command, rest = group.resolve_command(context, words[1:])
        command.make_context(name, rest, parent=context)


def unknown(text):
    """Calls of bench in the code spans of a text with a command or flag that it has not; values may be missing."""
    group = typer.main.get_command(app)
    for span in re.findall(r"`bench ([^`\n]+)`", text):
        name, *words = span.split()
        if name.startswith("-"):
            name, words = "", [name, *words]
        command = group.commands.get(name) if name else group
        known = (
            {flag for option in command.params for flag in option.opts} | {"--help", "-h"}
            if command
            else set()
        )
        flags = [word for word in words if word.startswith("--")]
        if command is None or not known.issuperset(flags):
            yield f"bench {span}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_lines_of_the_pages_can_be_typed(page):
    found = commands(page.read_text())
    assert len(found) >= 4
    for words in found:
        parse(words)


WRONG = (
    "bench rum --denoiser unet",
    "bench run --denoser unet",
    "bench run unet",
    "bench run",
    "bench info a b",
)
WRONG += ("bench run --denoiser unet --num many", "bench report --format", "bench --list")


@pytest.mark.parametrize("line", WRONG)
def test_a_command_line_that_cannot_be_typed_is_found(line):
    (words,) = commands(f"```\n{line}   # a comment\n```")
    with pytest.raises(typer.TyperException):
        parse(words)


def test_commands_that_pages_help_and_messages_speak_of_exist():
    places = [
        *PAGES,
        *(
            path
            for folder in ("bench", "denoisers", "examples")
            for path in (ROOT / folder).rglob("*.py")
        ),
    ]
    spans = {place.name: list(unknown(place.read_text())) for place in places}
    assert not {name: found for name, found in spans.items() if found}
    wrong = "`bench rum`, `bench run --denoser`, `bench --lst`"
    assert list(unknown(f"{wrong}; `bench run --denoiser NAME`, `bench list`, `bench --help`")) == [
        *("bench rum", "bench run --denoser", "bench --lst")
    ]


def test_the_pictures_of_the_pages_are_there_and_the_screens_are_those_that_are_made():
    for page in PAGES:
        for place in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / place).is_file(), f"{page.name}: {place}"
    shown = re.findall(r"\(screens/([\w-]+)\.svg\)", (ROOT / "docs" / "screens.md").read_text())
    assert sorted(shown) == sorted(path.stem for path in (ROOT / "docs" / "screens").iterdir())
    for name in shown:
        drawn = (ROOT / "docs" / "screens" / f"{name}.svg").read_text()
        assert "$&#160;bench&#160;" in drawn
        assert "@font-face" not in drawn  # nothing is fetched from elsewhere
