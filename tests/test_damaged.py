"""Results trees that are damaged or hostile: each report ends, shows every sound run, and names each bad file."""

import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import synthetic

from bench import folders, reporting
from bench.cli import app
from bench.reporting import exports
from bench.reporting.figures import plots
from bench.reporting.page import html
from bench.reporting.results import parse
from bench.text import CONTROL, printable
from denoisers import memory

ROOT = Path(__file__).parent.parent
TREES = 100
PARTS = 10
SECONDS, BYTES = 20, 2 * 2**30
NPZ = ("samples.npz", "trajectory.npz", "replicates-aaaaaaaa.npz")
CSV = ("trace.csv", "per_sample-aaaaaaaa.csv")
PNG = ("grid.png", "nearest.png", "mixed.png")
JSON = ("run.json", "metrics-aaaaaaaa.json")
FILES = (*NPZ, *CSV, *PNG, *JSON)
SOUND = ("sound-a", "sound-b")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two sound runs, and a third that is damaged anew in each tree."""
    folder = tmp_path_factory.mktemp("template") / "results"
    draw = np.random.default_rng(0)
    for name, kid in ((SOUND[0], 0.003), (SOUND[1], 0.5), ("victim", 0.02)):
        synthetic.write_whole_run(folder, draw, name, kid)
    return folder


# What is done to a run. Each returns the name of the file that must be named; None where the run may as well be shown.


def half_a_sheet(run, draw):
    """As a run leaves it that is killed while it writes, once its samples have been moved elsewhere."""
    (run / "samples.npz").unlink()
    return cut(run, draw, "grid.png")


def cut(run, draw, name=None):
    path = run / (name or draw.choice(FILES))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * draw.randrange(1, 9) // 10])
    return None if path.suffix == ".csv" else path.name


def empty(run, draw):
    path = run / draw.choice(FILES)
    path.write_bytes(b"")
    return path.name


def noise(run, draw):
    path = run / draw.choice(FILES)
    path.write_bytes(draw.randbytes(draw.choice((1, 100, 10_000))))
    return path.name


def nested(run, draw):
    path = run / draw.choice(JSON)
    opening, end = draw.choice((("[", "]"), ('{"a":', "}")))
    path.write_text(
        draw.choice((opening * 100_000, '{"a":' + opening * 900 + "1" + end * 900 + "}"))
    )
    return path.name


def places(value, under=()):
    """The way to every value in JSON."""
    if under:
        yield under
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*under, key))


def holder(content, way):
    for key in way[:-1]:
        content = content[key]
    return content


def changed(run, draw, change, name=None):
    path = run / (name or draw.choice(JSON))
    content = json.loads(path.read_text())
    way = draw.choice(list(places(content)))
    change(holder(content, way), way[-1])
    path.write_text(json.dumps(content))


def without_a_key(run, draw):
    changed(run, draw, lambda within, key: within.pop(key))


SWAPS = [
    None,
    True,
    False,
    "",
    "x",
    "-1",
    "\ud800",
    "\x1b[2J",
    [],
    {},
    [1],
    {"a": 1},
    [[[]]],
    -1,
    -0.5,
    0,
    2**63,
    1e300,
]


def another_type(run, draw):
    value = draw.choice(SWAPS)
    changed(run, draw, lambda within, key: within.__setitem__(key, value))


def strange_number(run, draw):
    """In the text, as json.dumps writes no such thing."""
    token = draw.choice(
        ("1e999", "NaN", "-Infinity", "9" * 400, "9" * 5000, "-" + "9" * 400, "1e300")
    )
    name = draw.choice(JSON)
    key = "nfe" if name == "run.json" else "value"
    path = run / name
    path.write_text(path.read_text().replace(f'"{key}": ', f'"{key}": {token}, "was": ', 1))
    return name


def infinite(run, draw):
    name = draw.choice(CSV)
    lines = (run / name).read_text().splitlines()
    row = draw.randrange(1, len(lines))
    cells = lines[row].split(",")
    cells[{"trace.csv": 1}.get(name, 2)] = draw.choice(
        ("inf", "-inf", "nan", "1e308", "9" * 400, "x", "")
    )
    (run / name).write_text("\n".join([*lines[:row], ",".join(cells), *lines[row + 1 :]]) + "\n")
    return name


def flipped(run, draw):
    """A bit, in the data of an array."""
    name = draw.choice(NPZ[:2])
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1 << draw.randrange(8)
    (run / name).write_bytes(content)
    return name


def patched(run, draw):
    """An archive that says it is encrypted, or compressed in a way that nobody knows."""
    name = draw.choice(NPZ)
    encrypted, method = draw.choice(((1, 0), (0, 99), (0, 12), (0, 14)))
    content = bytearray((run / name).read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            struct.pack_into("<HH", content, start + flags, encrypted, method)
    (run / name).write_bytes(content)
    return name


def other_arrays(run, draw):
    name = draw.choice(NPZ)
    first = {"samples.npz": "arr_0", "trajectory.npz": "x"}.get(name, "kid")
    with np.load(run / name) as found:
        arrays = dict(found)
    usual = arrays[first]
    arrays[first] = draw.choice(
        (
            np.zeros(0, np.uint8),
            np.float32(1),
            np.zeros((3, 4, 0, 28), np.uint8),
            np.array(["a", "b"]),
            np.array([{"a": 1}, None], dtype=object),
            np.full(usual.shape, np.inf),
            usual.astype(complex),
            usual.astype("datetime64[s]"),
            usual[None, None, None],
        )
    )
    if draw.random() < 0.2:
        arrays = {}
    np.savez(run / name, **arrays)
    return name


def bomb(run, draw):
    """Few bytes that unpack to many, or say so."""
    name = draw.choice(NPZ)
    shape, data = draw.choice(
        (((10**8, 28, 28, 1), b""), ((10**5, 28, 28, 1), bytes(10**5 * 784)), ((10**300, 9), b""))
    )
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    with zipfile.ZipFile(run / name, "w", zipfile.ZIP_DEFLATED) as file:
        for member in ("arr_0", "sigma", "x", "denoised", "forward", "kid"):
            file.writestr(
                f"{member}.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data
            )
            data = data[:9]
    return name if name != "samples.npz" or not data else None


def no_file(run, draw):
    """Something else in the place of a file: opening some of them would wait for ever."""
    path = run / draw.choice(FILES)
    path.unlink()
    kind = draw.choice(("pipe", "socket", "device", "folder", "nowhere", "circle"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        # Names of sockets are short.
        with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(run):
            made.bind(path.name)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "nowhere": "nothing", "circle": path.name}[kind])
    return path.name if path.name != "run.json" or kind != "folder" else ""


def holes(run, draw):
    path = run / draw.choice(FILES)
    if draw.random() < 0.5:
        path.write_bytes(b"")
    os.truncate(path, 2**40)
    return path.name


def long_name(run, draw):
    path = run / "run.json"
    content = json.loads(path.read_text())
    content[draw.choice(("denoiser", "weights", "dataset"))] = draw.choice(
        ("x" * 5_000_000, "a-" * 2_500_000)
    )
    path.write_text(json.dumps(content))
    return path.name


def strange_name(run, draw):
    """Nothing is wrong with the run: it is shown, under what can be seen of its name."""
    path = run / "run.json"
    content = json.loads(path.read_text())
    content["denoiser"] = draw.choice(
        ("\ud800", "a\x1b[31mb", "\u202egnp", "a\nb\r\tc", "\x9b2J", "=1+1", "", "\0")
    )
    path.write_text(json.dumps(content))
    start = draw.choice((b"v\xff", b"v\x1b[2J", "v\u202e".encode(), b"v\nw", b"-v"))
    other = run.parent.with_name(os.fsdecode(start) + run.parent.name)
    run.parent.rename(other)


def other_rules(run, draw):
    """Scores of another protocol, or of a later version."""
    field, values = draw.choice(
        (
            ("schema_version", (3, "2", True, None, 2.5, -1)),
            ("fingerprint", ("bbbbbbbb", "../../x", 3, None, "\0")),
            ("scoring", (None, [], {"dataset": ["x"]}, "x")),
        )
    )
    path = run / "metrics-aaaaaaaa.json"
    content = json.loads(path.read_text()) | {field: draw.choice(values)}
    path.write_text(json.dumps(content))
    return path.name if content[field] != -1 else None


def score_of_a_column(run, draw):
    """A score that is called as a column of the table is."""
    path = run / "metrics-aaaaaaaa.json"
    content = json.loads(path.read_text())
    content["scores"][draw.choice(("rank", "name", "kind", "key", "=x", "A", "a\n", ""))] = content[
        "scores"
    ]["kid"]
    path.write_text(json.dumps(content))
    return path.name


def table_of_another_kind(run, draw):
    name = draw.choice(CSV)
    rows = draw.choice(
        (
            "",
            "a,b\n1,2\n",
            "sigma,d1,id,nearest,ratio\n",
            "x," * 10_000 + "\n1\n",
            '"' * 999,
            "a\n" + "1," * 99999,
        )
    )
    (run / name).write_text(rows)
    return name


DAMAGES = (
    half_a_sheet,
    cut,
    empty,
    noise,
    nested,
    without_a_key,
    without_a_key,
    another_type,
    another_type,
    another_type,
    strange_number,
    infinite,
    flipped,
    patched,
    other_arrays,
    other_arrays,
    bomb,
    no_file,
    no_file,
    holes,
    long_name,
    strange_name,
    other_rules,
    score_of_a_column,
    table_of_another_kind,
)


def stranger(folder, draw):
    """Something below the folder that is part of no run; what must be named."""
    name = draw.choice(
        (
            "a.txt",
            "<b>.png",
            "x\x1b[2J",
            os.fsdecode(b"\xff.txt"),
            "pipe",
            "nowhere",
            "gauge/x.csv",
            "s/study.json",
        )
    )
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if name == "pipe":
        os.mkfifo(path)
    elif name == "nowhere":
        path.symlink_to("nothing/at/all")
    else:
        path.write_text("no,table\n1\n")
    return "s" if name == "s/study.json" else printable(name)


def damaged(template, folder, seed):
    """A tree with one to four damaged runs beside the sound ones; what must be named, and what may be, if not shown."""
    draw = random.Random(f"damaged {seed}")
    for name in SOUND:
        shutil.copytree(template / name, folder / name)
    certain, maybe = [], []
    for place in range(draw.randrange(1, 5)):
        damage = DAMAGES[(seed + place * 7) % len(DAMAGES)]
        parent = folder / f"victim{place}"
        shutil.copytree(template / "victim", parent)
        facts = json.loads((parent / "run" / "run.json").read_text()) | {
            "seed": place,
            "denoiser": parent.name,
        }
        (parent / "run" / "run.json").write_text(json.dumps(facts))
        before = {path.name for path in folder.iterdir()} - {parent.name}
        found = damage(parent / "run", draw)
        (called,) = {path.name for path in folder.iterdir()} - before
        if found is None:
            maybe.append(called)
        else:
            certain.append((damage.__name__, called, found))
    if draw.random() < 0.3:
        certain.append(("stranger", "", stranger(folder, draw)))
    return certain, maybe


def outputs(prepared, names=("md", "csv", "tex", "json")):
    """What a report says in every form, without writing anything."""
    texts = {name: printable(exports.FORMATS[name](prepared)) for name in names}
    texts["html"] = printable(
        html.render(
            prepared.folder,
            prepared.groups,
            list(prepared.absent),
            prepared.findings,
            figures=[],
            studies=prepared.studies,
        )
    )
    texts["terminal"] = reporting.tables(prepared.entries, prepared.absent, prepared.groups)
    return texts


def checked(folder, certain, maybe):
    """Make the report of a tree, and look at what it says."""
    entries, absent = reporting.collect(folder)
    prepared = exports.prepare(folder, entries, absent)
    lines = [f"{item.path}: {item.reason}" for item in prepared.absent]
    shown = [entry.where for entry in prepared.entries]
    assert {f"{name}/run" for name in SOUND} <= set(shown)
    for damage, parent, name in certain:
        said = [
            line
            for line in lines
            if line.startswith(parent) and (name in line or f"{parent}/run: " in line)
        ]
        assert said, (damage, parent, name, lines)
    for name in maybe:
        assert any(
            printable(name).replace("\n", " ") in text.replace("\n", " ")
            for text in [*shown, *lines]
        ), (
            name,
            lines,
        )
    assert not any(line.startswith(SOUND) for line in lines)
    # What is expected of a file is said of it.
    assert not any("BENCH_DEBUG" in line for line in lines), lines
    texts = outputs(prepared)
    for form, text in texts.items():
        assert not CONTROL.search(text.replace("\t", "")), form
        text.encode()
    for name in SOUND:
        assert all(f"{name} card" in texts[form] for form in texts if form != "tex")
    assert len(json.loads(texts["json"], parse_constant=pytest.fail)["not_shown"]) == len(lines)
    assert len(list(csv.reader(io.StringIO(texts["csv"])))) == 1 + len(entries) + 2 * len(
        prepared.groups
    )
    counted = f", {len(lines)} not shown or damaged" if lines else " shown"
    assert counted in reporting.summary(prepared.entries, prepared.absent)
    return prepared


@pytest.mark.parametrize("part", range(PARTS))
def test_a_hundred_damaged_trees(template, tmp_path, part):
    """Each report is made, in every format, in little time and memory, and writes nothing by itself."""
    Path("/proc/self/clear_refs").write_text("5")
    before = memory.kilobytes("/proc/self/status", "VmHWM")
    for seed in range(part, TREES, PARTS):
        folder = tmp_path / str(seed) / "results"
        certain, maybe = damaged(template, folder, seed)
        files = sorted(tmp_path.rglob("*"))
        start = time.monotonic()
        prepared = checked(folder, certain, maybe)
        assert time.monotonic() - start < SECONDS
        assert sorted(tmp_path.rglob("*")) == files
        if seed == part:  # figures take longer than all the rest
            drawn = plots.draw(
                folder, prepared.groups, tmp_path / str(seed) / "out", curves=prepared.curves
            )
            assert {"quality-cost", "distances"} <= {figure.name for figure in drawn}
    assert memory.kilobytes("/proc/self/status", "VmHWM") - before < BYTES


# One thing at a time


# A process is said to have held what the one that started it held, so that a small one must.
MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def test_the_command_itself_with_the_worst_of_them(template, tmp_path):
    """Its own process, as a user starts it: status 0, the count at the end, seconds and little memory."""
    folder = tmp_path / "results"
    draw = random.Random(0)
    for name in SOUND:
        shutil.copytree(template / name, folder / name)
    worst = (long_name, bomb, bomb, holes, nested, half_a_sheet, no_file)
    for place, damage in enumerate(worst):
        shutil.copytree(template / "victim", folder / f"victim{place}")
        damage(folder / f"victim{place}" / "run", draw)
    (folder / "figures").mkdir()
    os.mkfifo(folder / "figures" / "distances.csv")
    os.mkfifo(folder / "figures" / "embedding.csv")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "-m", "bench", "report", str(folder), "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert time.monotonic() - start < 2 * SECONDS  # with the start of Python, beside other tests
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].endswith("not shown or damaged, with the reasons above")
    assert int(done.stdout.splitlines()[-1]) * 1024 < BYTES
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(f"{name} card" in page for name in SOUND)
    assert page.count("victim") >= len(worst)


def test_folders_that_cannot_be_read_are_named(template, tmp_path, unreadable):
    folder = tmp_path / "results"
    shutil.copytree(template, folder)
    unreadable("victim")
    entries, absent = reporting.collect(folder)
    assert {entry.where for entry in entries} == {f"{name}/run" for name in SOUND}
    assert absent == [("victim", "cannot be read: Permission denied")]
    lost = []
    folders.files(folder, lost=lambda path, why: lost.append((path.name, why)))
    assert lost == [("victim", "cannot be read: Permission denied")]


def test_a_fault_of_ours_costs_one_run_and_is_seen(template, monkeypatch, capsys):
    """It is not mistaken for damage: the line says what was raised, and BENCH_DEBUG=1 prints where."""
    usual = parse.protocol

    def fails(facts, scoring):
        return {}["bug"] if "victim" in facts["denoiser"] else usual(facts, scoring)

    monkeypatch.setattr(parse, "protocol", fails)
    entries, absent = reporting.collect(template)
    assert len(entries) == 2
    said = "cannot be shown (KeyError: 'bug'; BENCH_DEBUG=1 shows where)"
    assert absent == [("victim/run/metrics-aaaaaaaa.json", said)]
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("BENCH_DEBUG", "1")
    reporting.collect(template)
    assert "in fails" in capsys.readouterr().err


def test_a_study_is_read_with_the_same_care(tmp_path):
    """Its page may be a pipe or lead out of the tree, its pictures may be damaged; none of it ends the report."""
    picture = {"kind": "picture", "content": {"file": "no.png", "alt": "a"}}
    strange = [{"kind": "table", "content": []}, picture, {"kind": "list", "content": ["\ud800"]}]
    pages = {
        "pipe": None,
        "leads-out": None,
        "deep": '{"blocks":' + "[" * 100_000,
        "strange": json.dumps({"schema_version": 1, "title": "x", "blocks": strange}),
        "good": json.dumps({"schema_version": 1, "title": "y", "blocks": []}),
    }
    secret = {"schema_version": 1, "title": "secret", "blocks": []}
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    for name, text in pages.items():
        place = tmp_path / "results" / name
        place.mkdir(parents=True)
        (place / "study.json").write_text("{}")
        if text is not None:
            (place / "page.json").write_text(text)
    os.mkfifo(tmp_path / "results" / "pipe" / "page.json")
    (tmp_path / "results" / "leads-out" / "page.json").symlink_to(tmp_path / "secret.json")
    prepared = exports.prepare(tmp_path / "results", *reporting.collect(tmp_path / "results"))
    assert [study.name for study in prepared.studies] == ["y", "x"]
    said = [item.path for item in prepared.absent]
    assert sorted(said) == ["deep", "leads-out", "pipe", "strange", "strange"]
    texts = outputs(prepared)
    assert "secret" not in texts["html"]
    assert "\\ud800" in texts["html"]


# Escapes: what names, protocols, weights, samplers and options may hold

HOSTILE = (
    "<script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1)) `code` *a* __b__ ~~c~~ $d$ | pipe",
    "http://evil.example www.evil.example <img src=//evil.example>",
    "=HYPERLINK(1)",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "a\n\\input{/etc/passwd}\n%",
    "% & # $ _ { } ~ ^ \\ [ *",
    "\x1b]0;title\x07\x1b[2J",
    "\x9b31m \x85 \u2028 \u202egnp.exe \u2066x \ufeff \U000e0041",
    "]]>--><svg onload=alert(1)>",
    "&lt; &#x3c; %3c",
    "\udfff\ud800",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report in every format of runs in all whose texts such a text stands."""
    folder = tmp_path_factory.mktemp("hostile") / "results"
    draw = np.random.default_rng(0)
    for place, text in enumerate(HOSTILE):
        sampler = synthetic.FACTS["sampler"] | {"sampler": text, "grid": text, "start": text}
        facts = {
            "sampler": sampler,
            "weights": text,
            "options": {text: text},
            "card": {text: [text]},
            "dtype": text,
        }
        facts |= {
            "dataset": text,
            "argv": ["run", text],
            "source": text,
            "warnings": [text],
            "commit": text,
        }
        scoring = {"dataset": text, "features": text}
        verdict = {"memorization": "memorizing", "because": text}
        named = f"{text[:40]}{place}".replace("/", "-").encode("utf-8", "surrogatepass")
        run = synthetic.write_whole_run(
            folder, draw, os.fsdecode(named), facts=facts, scoring=scoring, verdict=verdict
        )
        run.write_json(
            "run.json", json.loads((run.path / "run.json").read_text()) | {"denoiser": text}
        )
        (
            folder / f"bad{text[:40]}{place}".replace("/", "-").encode("utf-8", "replace").decode()
        ).mkdir()
        os.mkfifo(
            folder
            / f"bad{text[:40]}{place}".replace("/", "-").encode("utf-8", "replace").decode()
            / "run.json"
        )
    (folder / "gauge").mkdir()
    prepared = exports.prepare(folder, *reporting.collect(folder), folder.parent / "out")
    assert len(prepared.entries) == len(HOSTILE)
    assert len(prepared.absent) == len(HOSTILE)
    return prepared, {
        path.suffix[1:]: path.read_text() for path in exports.save(prepared, tuple(exports.FORMATS))
    }


@pytest.mark.parametrize("name", exports.FORMATS)
def test_control_characters_reach_no_file(hostile, name):
    assert not CONTROL.search(hostile[1][name])


def test_nor_the_terminal(hostile, capsys):
    prepared, _ = hostile
    text = reporting.tables(prepared.entries, prepared.absent, prepared.groups)
    assert not CONTROL.search(text)
    assert "\\x1b]0;title\\x07" in text.replace("\n ", "")
    app.say("\x1b[2J\u202e")
    assert capsys.readouterr().err == "\\x1b[2J\\u202e\n"


def test_markdown_shows_text_as_text(hostile):
    text = hostile[1]["md"].partition("## Words")[0]
    own = re.sub(r"!?\[[\w-]+\]\(<[\w/.%=@,+~-]+>\)", "", text)  # its links, to folders of the tree
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", own)
    assert not re.search(r"[<\[\]`~$]|://|\bwww\.|&(?!(amp|lt|gt);)", bare)
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", bare)  # inside words it is a letter
    assert text.count("![") == 3 * len(HOSTILE)


def test_spreadsheets_find_no_formulas_and_numbers_stay_numbers(hostile):
    rows = list(csv.DictReader(io.StringIO(hostile[1]["csv"])))
    texts = ("fingerprint", "rank", "kind", "name", "diagnosis", "memorization", "path")
    assert not any((row[key] or "x")[0] in "=+-@\t\r" for row in rows for key in texts)
    assert sum(row["name"].startswith(("'=", "'+", "'-", "'@")) for row in rows) >= 4
    assert {row["fid_low"] for row in rows if row["kind"] == "run"} == {"4.998"}
    assert exports.cell(-0.5) == -0.5
    assert exports.cell("-0.5") == "'-0.5"


def test_latex_finds_no_commands(hostile):
    known = r"% .*|\\begin\{tabular\}\{[lr]+\}|\\(toprule|midrule|bottomrule)|\\end\{tabular\}|.* & .* \\\\|"
    for line in hostile[1]["tex"].splitlines():
        assert re.fullmatch(known, line), line
        if not line.startswith("%"):
            plain = re.sub(
                r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[%_&#${}]|\$\\pm\$|\{[\[*]\}",
                "",
                line,
            )
            assert not re.search(r"[%#$_~^\[*]", plain), line
            assert re.fullmatch(
                r"[^\\]*(\\\\)?|\\(toprule|midrule|bottomrule|begin\{tabular\}.*|end\{tabular\})",
                plain,
            ), line


def test_pages_and_drawings_have_no_elements_of_others(hostile):
    elements = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: elements.append((tag, dict(attributes)))
    parser.feed(hostile[1]["html"])
    assert [tag for tag, _ in elements].count("script") == 1
    for tag, attributes in elements:
        links = [attributes.get(name) or "#" for name in ("src", "href", "xlink:href")]
        assert all(link.startswith(("#", "data:image/png")) for link in links), (tag, links)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    for path in (hostile[0].target / "figures").glob("*.svg"):
        names = {element.tag.rpartition("}")[2] for element in ET.parse(path).iter()}
        assert not names & {"script", "image", "foreignObject", "a"}, path


def test_json_is_ascii(hostile):
    text = hostile[1]["json"]
    assert text.isascii()
    assert len(json.loads(text, parse_constant=pytest.fail)["diagnoses"]) == len(HOSTILE)


# Order


def test_the_table_is_printed_before_anything_is_written(template, bench, monkeypatch):
    """So that it is there where nothing can be written: on a full disk, in a folder that takes no files."""

    def full(path, fill):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.files.write", full)
    status, out, err = bench("report", template, "--out", "out")
    assert status == 1
    assert all(f"{name} card" in out for name in SOUND)
    assert "No space left on device" in err.splitlines()[-1]
    status, out, err = bench("report", template, "--out", "/proc/nowhere")
    assert status == 2
    assert all(f"{name} card" in out for name in SOUND)
    assert "--out: cannot write into /proc/nowhere" in err
