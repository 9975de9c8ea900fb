"""The pages do what they say: commands can be typed, code runs, links lead somewhere, numbers are tracked."""

import ast
import html
import importlib.util
import inspect
import json
import pkgutil
import re
import runpy
import shlex
from pathlib import Path

import commands
import numpy as np
import pytest
import test_house
import torch
import typer

from bench.cli.entry import app
from bench.data import datasets
from denoisers import schedule

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")))
TUTORIAL = (DOCS / "bring-your-own.md").read_text()
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def script(name):
    """A script of docs/, as a module. It is not on the path, where it could hide others."""
    found = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


fill_numbers = script("fill_numbers")


def blocks(text):
    """The fenced blocks of a page: (language, content); commands have no language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def python_blocks(text):
    return [code for language, code in blocks(text) if language == "python"]


def command_lines(text):
    """The lines of the blocks without a language, as words; comments are left out."""
    lines = (line for language, block in blocks(text) if not language for line in block.split("\n"))
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def spans(text):
    """The code spans of a page, outside its blocks."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


# Commands.

GROUP = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def parse(words):
    """Read a command line of `bench` without carrying it out. Raises typer's usage errors."""
    with GROUP.make_context("bench", words) as context:
        name, command, rest = GROUP.resolve_command(context, words)
        command.make_context(name, rest, parent=context)


def flags_of(path):
    """The flags that a script takes."""
    return set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text()))


def try_line(words, files=()):
    """Raise what is wrong with a command line. `files` are those that its page has one write."""
    program, *rest = words
    if program == "bench":
        parse(rest)
    elif program == "make":
        assert rest
        assert TARGETS.issuperset(rest), words
    elif program == "python" and rest[:2] == ["-m", "pytest"]:
        assert all((ROOT / place).exists() for place in rest[2:]), words
    elif program == "python":
        if rest[0] not in files:
            flags = {word for word in rest[1:] if word.startswith("--")}
            assert flags_of(ROOT / rest[0]).issuperset(flags), words
    else:
        assert words in (["pip", "install", "."], [".", ".venv/bin/activate"]), words


@each_page
def test_the_command_lines_can_be_typed(page):
    text = page.read_text()
    files = re.findall(r"^# (\S+\.py)$", text, re.MULTILINE)
    for words in command_lines(text):
        try_line(words, files)


WRONG = (
    "bench rum --denoiser unet",
    "bench run --denoser unet",
    "bench run unet",
    "bench run",
    "bench info a b",
    "bench run --denoiser unet --num many",
    "bench run --denoiser unet --protocol fast",
    "bench report --format",
    "bench train vgg",
    "bench --list",
    "make everything",
    "python docs/no.py",
    "python examples/vae.py --number 20",
    "python -m pytest tests/test_no.py",
    "pip install bench",
    "frobnicate",
)


@pytest.mark.parametrize("line", WRONG)
def test_a_command_line_that_cannot_be_typed_is_found(line):
    (words,) = command_lines(f"```\n{line}   # a comment\n```\n")
    with pytest.raises((typer.TyperException, AssertionError, FileNotFoundError)):
        try_line(words)


def misspelt(text):
    """Code spans of a text that no command line can begin with; values may be missing."""
    for span in spans(text):
        program, *words = span.split()
        if program == "make" and words and not TARGETS.issuperset(words):
            yield span
        if program == "bench" and words:
            try:
                parse(words)
            except typer.Exit:  # --help
                pass
            except typer.TyperException as error:
                if type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
                    yield span


def test_commands_that_pages_help_and_messages_speak_of_exist():
    folders = [ROOT / name for name in ("bench", "denoisers", "examples", "benchmarks", "docs")]
    places = [*PAGES, *(path for folder in folders for path in folder.rglob("*.py"))]
    assert {place: wrong for place in places if (wrong := list(misspelt(place.read_text())))} == {}
    right = "`bench run --denoiser NAME`, `bench list`, `bench --help`, `make run`, `bench gauge --images`"
    assert list(misspelt(right)) == []
    wrong = ("bench rum", "bench run --denoser", "bench --lst", "make it", "bench train vgg")
    assert list(misspelt(", ".join(f"`{span}`" for span in wrong))) == list(wrong)


def unknown_flags(text):
    """Flags in the code spans of a page that nothing here takes."""
    known = {"--help"} | {
        flag
        for command in GROUP.commands.values()
        for option in command.params
        for flag in (*option.opts, *option.secondary_opts)
    }
    known |= {flag for path in (ROOT / "examples").glob("*.py") for flag in flags_of(path)}
    return [
        flag for span in spans(text) for flag in re.findall(r"--[\w-]+", span) if flag not in known
    ]


@each_page
def test_the_flags_that_are_spoken_of_exist(page):
    assert unknown_flags(page.read_text()) == []
    assert unknown_flags("`--etta 1`, `--eta 0`") == ["--etta"]


# Links, files and names.


def anchors(path):
    """What links to a page may end in, as GitHub makes it of the headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(text, page):
    """Links and pictures of a page that lead nowhere in this repository."""
    for place in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        target, _, anchor = next(filter(None, place)).partition("#")
        if target.startswith("https:"):
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            yield f"{target}#{anchor}" if anchor else target


# What paths in this repository begin with; all else in results/ is a user's own.
OURS = ("bench/", "denoisers/", "docs/", "tests/", "examples/", "benchmarks/", "results/reference")


def absent(text):
    """Files and names of modules in the code spans of a page that are not there."""
    for span in spans(text):
        path = span.removesuffix("/")
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+", path) and path.startswith(OURS):
            if not (ROOT / path).exists():
                yield span
        elif name := re.match(r"(?:bench|denoisers)(?:\.\w+)+", span):
            try:
                pkgutil.resolve_name(name[0])
            except (ImportError, AttributeError):
                yield span


@each_page
@pytest.mark.filterwarnings("ignore::FutureWarning")  # the former addresses that a page speaks of
def test_what_a_page_links_to_and_names_is_there(page):
    text = page.read_text()
    assert list(dead_links(text, page)) == []
    assert list(absent(text)) == []


def test_a_link_or_a_name_that_leads_nowhere_is_found():
    page = ROOT / "README.md"
    links = "[a](docs/no.md) ![b](docs/no.png) [c](docs/design.md#no) [d](docs/design.md#the-house) [e](LICENSE)"
    assert list(dead_links(links, page)) == ["docs/no.md", "docs/no.png", "docs/design.md#no"]
    names = "`bench/no.py` `bench/` `bench.no` `denoisers.base.Spec` `denoisers.base.No(x)` `results/reference/no`"
    assert list(absent(names)) == [
        *("bench/no.py", "bench.no", "denoisers.base.No(x)", "results/reference/no")
    ]


def test_every_page_is_linked_from_the_index():
    index = (DOCS / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]
    assert "(docs/README.md)" in (ROOT / "README.md").read_text()


def strangers(section):
    """Names of code in a section of CONTRIBUTING that are in none of the files it names."""
    files = [path for span in spans(section) if (path := ROOT / span).is_file()]
    code = "\n".join(path.read_text() for path in files)
    names = [span for span in spans(section) if re.fullmatch(r"[A-Za-z_]{3,}", span)]
    return [name for name in names if not re.search(rf"\b{name}\b", code)]


def test_what_contributing_says_is_in_a_file_is_in_it():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    sections = text.partition("## Where things go")[2].partition("\n## ")[0].split("\n### ")[1:]
    assert len(sections) == 4
    assert [strangers(section) for section in sections] == [[]] * 4
    assert strangers("`SAMPLERS` and `NOTHING` in `bench/sampling/samplers.py`") == ["NOTHING"]


# Code.


@each_page
def test_the_code_of_a_page_can_be_compiled(page):
    text = page.read_text()
    assert {language for language, _ in blocks(text)} <= {"", "python", "toml", "text"}
    for code in python_blocks(text):
        compile(code, page.name, "exec")


def test_the_readme_is_short_and_its_picture_small():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 140
    assert (DOCS / "report.png").stat().st_size < 200_000


def test_the_python_of_the_readme(tmp_path, monkeypatch, capsys, one_thread):
    monkeypatch.chdir(tmp_path)
    first, _ = python_blocks((ROOT / "README.md").read_text())
    assert len([line for line in first.splitlines() if line and "import" not in line]) <= 10
    short = first.replace("256, steps=20", "6, steps=3")
    assert short != first
    names = {}
    exec(short, names)
    assert names["clean"].shape == (1, 1, 32, 32)
    assert names["images"].shape == (6, 28, 28)
    assert names["images"].dtype == np.uint8
    kid = names["found"]["kid"]
    assert f"{kid.value} ± {kid.stderr}\n" in capsys.readouterr().out


def test_the_denoiser_of_the_readme(bench, tmp_path):
    _, code = python_blocks((ROOT / "README.md").read_text())
    lines = [line for line in code.splitlines() if line.strip()]
    assert lines[0] == "# mine.py"
    assert len(lines) <= 12
    (tmp_path / "mine.py").write_text(code)
    status, out, err = bench("check", "mine.py:load")
    assert status == 0, out + err


def test_the_contract_is_that_of_the_code():
    (code,) = python_blocks((DOCS / "design.md").read_text())
    (shown,) = ast.parse(code).body
    from denoisers.base import Denoiser

    assert ast.get_docstring(shown) == inspect.getdoc(Denoiser)
    (forward,) = [node for node in shown.body if isinstance(node, ast.FunctionDef)]
    assert [a.arg for a in forward.args.args] == [*inspect.signature(Denoiser.forward).parameters]


def test_the_arrows_that_must_never_be_are_those_of_the_house():
    text = (DOCS / "design.md").read_text().partition("| from | never to |")[2]
    rows = dict(re.findall(r"^\| (\w+) \| (\w.+) \|$", text.partition("\n\n")[0], re.MULTILINE))
    every = (*test_house.WINGS, "ground", "experiment", "recipes", "door")
    words = {"any wing": test_house.WINGS, "anything in bench": every}
    said = {
        start: {room for word in ends.split(", ") for room in words.get(word, (word,))}
        for start, ends in rows.items()
    }
    assert said == {
        **{start: set(ends) for start, ends in test_house.NEVER.items()},
        "anyone": {"cli"},
    }


# Numbers.


@each_page
def test_the_numbers_are_those_of_the_tracked_files(page):
    text = page.read_text()
    assert fill_numbers.filled(text) == text, "make numbers"
    assert text.count("<!-- numbers:") == text.count("<!-- /numbers -->")
    # A comment that begins a line ends the paragraph before it.
    assert not re.search(r"^ *<!-- numbers:[^\n]*/numbers", text, re.MULTILINE)


def test_the_tracked_report_has_the_tables_of_the_tracked_studies():
    reference = ROOT / "results" / "reference"
    report = (reference / "report.html").read_text()
    studies = sorted(reference.rglob("page.json"))
    assert len(studies) > 10
    for study in studies:
        tables = [
            b["content"] for b in json.loads(study.read_text())["blocks"] if b["kind"] == "table"
        ]
        cells = {html.escape(cell) for table in tables for row in table for cell in row}
        assert [cell for cell in cells if cell not in report] == [], f"{study}: make reference"


def test_a_wrong_number_is_found_and_put_right():
    page = "is <!-- numbers:standard/unet mnist (seed 0)/FID -->1.23<!-- /numbers -->, or"
    report = json.loads((ROOT / "results" / "reference" / "report.json").read_text())
    (fid,) = [row["fid"] for row in report["rows"] if row["name"] == "unet mnist (seed 0)"]
    assert fill_numbers.filled(page) == page.replace("1.23", f"{fid:.2f}")
    table = "<!-- numbers:lenet -->\nno table\n<!-- /numbers -->"
    assert "| `lenet-b` |" in fill_numbers.filled(table)
    for name in ("standard/no/FID", "standard/unet mnist (seed 0)/no", "no"):
        with pytest.raises(KeyError):
            fill_numbers.filled(f"<!-- numbers:{name} -->1<!-- /numbers -->")


def test_every_module_is_on_the_map():
    listed = fill_numbers.files()
    for path in sorted({*(ROOT / "bench").rglob("*.py"), *(ROOT / "denoisers").rglob("*.py")}):
        if path.name != "__init__.py":
            assert f"`{path.name}`" in listed, path
        assert f"`{path.parent.relative_to(ROOT)}/`" in listed, path


def test_the_screens_are_those_that_are_made():
    shown = re.findall(r"\(screens/([\w-]+)\.svg\)", (DOCS / "screens.md").read_text())
    assert sorted(shown) == sorted(path.stem for path in (DOCS / "screens").iterdir())
    for name in shown:
        drawn = (DOCS / "screens" / f"{name}.svg").read_text()
        assert "$&#160;bench&#160;" in drawn
        assert "@font-face" not in drawn  # nothing is fetched from elsewhere


# The tutorial: its files are written out, its commands carried out.

FILES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", TUTORIAL, re.DOTALL))
COMMANDS = command_lines(TUTORIAL)
SHORT = {"run": ["--dataset", "mnist5k", "--num", "6", "--steps", "3"], "check": []}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of the tutorial; what is not `bench` in its command lines has been done."""
    folder = tmp_path_factory.mktemp("page")
    for name, code in FILES.items():
        (folder / name).write_text(code)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small layers are faster so
    for program, *words in COMMANDS:
        if program == "python":
            runpy.run_path(str(folder / words[0]), run_name="__main__")
    torch.set_num_threads(before)
    return folder


@pytest.fixture
def folder(bench, written, monkeypatch):
    """The folder of the tutorial's files, which is also the current one."""
    monkeypatch.chdir(written)
    return written


def test_the_tutorial_has_what_the_tests_run():
    assert FILES.keys() == {"lee.py", "chain.py", "tiny.py", "test_lee.py", "renoise.py"}
    assert len(COMMANDS) == 10
    assert len(python_blocks(TUTORIAL)) == len(FILES)
    for name in ("lee.py", "chain.py", "renoise.py"):
        assert len([line for line in FILES[name].splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize(
    "words", [words for words in COMMANDS if words[0] == "bench"], ids=" ".join
)
def test_its_commands(words, bench, folder, checkpoints, one_thread):
    weights = checkpoints["spandrel"]["weights"]
    words = [weights if word == "dncnn_25.pth" else word for word in words[1:]]
    status, out, err = bench(*words, *SHORT[words[0]])
    untrained = words[1] == "spandrel"
    assert status == (1 if untrained else 0), err
    if words[0] == "run":
        (scores,) = (folder / out.splitlines()[-1]).glob("metrics-*.json")
        assert '"fid"' in scores.read_text()


def test_the_band_of_its_chain_is_that_of_the_chain_in_its_range(bench, folder):
    facts = json.loads(bench("info", "chain.py:load")[1])["spec"]
    chain = schedule.sigmas_of(schedule.alphas_cumprod(schedule.cosine_betas(500)))
    assert [facts["sigma_min"], facts["sigma_max"]] == pytest.approx(
        [2 * chain[0].item(), 2 * chain[-1].item()]
    )


def test_its_card_and_the_facts_of_its_network(bench, folder):
    facts = json.loads(bench("info", "tiny.py:load")[1])
    assert facts["card"]["summary"] == "three convolutions"
    assert facts["spec"]["weights"] == f"tiny@{facts['card']['sha256'][:8]}"
    assert (facts["spec"]["size"], facts["spec"]["sigma_min"], facts["spec"]["sigma_max"]) == (
        [28, 28],
        0.2,
        1.0,
    )


def test_its_test(folder):
    runpy.run_path("test_lee.py")["test_lee"]()


def test_the_dataset_in_code_is_one(tmp_path):
    (code,) = python_blocks((DOCS / "datasets.md").read_text())
    (tmp_path / "spots.py").write_text(code)
    found = datasets.load(f"{tmp_path / 'spots.py'}:load")
    assert (len(found.train), len(found.held_out), found.classes) == (500, 100, 2)
    assert (found.shape, found.licence) == ((1, 24, 24), "CC0")


def test_the_python_of_four_functions(capsys, one_thread):
    first, _ = python_blocks((DOCS / "in-python.md").read_text())
    exec(compile(first, "in-python.md", "exec"), {})
    kid, held_out, verdict = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"-?0\.\d+ ± 0\.\d+", kid)
    assert "held-out digits" in held_out
    assert verdict.startswith("no evidence: ")


def test_the_images_of_a_decoder_are_scored_as_the_page_saves_them(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = python_blocks((DOCS / "score-any-generator.md").read_text())
    decoder = torch.nn.Sequential(torch.nn.Linear(4, 784), torch.nn.Unflatten(1, (1, 28, 28)))
    with torch.no_grad():
        exec(code, {"np": np, "torch": torch, "decoder": decoder, "z": torch.randn(6, 4)})
    status, _, err = bench("score", "vae.npz", "--dataset", "mnist5k")
    assert status == 0, err


def test_every_block_of_python_is_run_by_a_test_here():
    run = {"README.md": 2, "bring-your-own.md": 5, "datasets.md": 1, "in-python.md": 2}
    run |= {"score-any-generator.md": 1, "design.md": 1}  # the last is held to the code
    found = {page: len(python_blocks(page.read_text())) for page in PAGES}
    assert {page.name: count for page, count in found.items() if count} == run


def test_the_training_loop_logs_the_same_on_two_ranks(tmp_path):
    _, loop = python_blocks((DOCS / "in-python.md").read_text())
    assert len([line for line in loop.splitlines()[1:] if line]) <= 30
    (tmp_path / "loop.py").write_text(loop)
    found = []
    for count in "12":
        done = commands.by_ranks(count, tmp_path / "loop.py")
        assert done.returncode == 0, done.stderr
        found.append([float(line.rpartition(" ")[2]) for line in done.stdout.splitlines()])
    alone, shared = found
    assert len(alone) == 3
    assert alone == sorted(alone, reverse=True)  # it learns
    assert shared == pytest.approx(alone, rel=1e-3)
