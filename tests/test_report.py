"""The report of synthetic result folders, written as `bench run` and `bench score` write them."""

import csv
import io
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import FACTS, entry, metrics

from bench import reporting, sheets
from bench.progress import Bar
from bench.reporting import exports, table
from bench.reporting.figures import plots
from bench.reporting.page import blocks, drawings, html, leaderboard
from bench.reporting.results import diagnosis, pictures
from bench.runs import Run
from bench.scoring.schema import Score

EVIL = '<script>alert(1)</script>" onload="x'


class Page(HTMLParser):
    """What a browser would find: elements, their attributes, and all text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.inside = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = [tag]

    def handle_data(self, data):
        if self.inside not in (["script"], ["style"]):
            self.text += data
        self.inside = []

    def all(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


def page(folder):
    return Page((folder / "report.html").read_text())


def test_the_page_needs_nothing_else(make_run, bench):
    make_run("unet")
    make_run("kbnet", scores={"kid": 2.0})
    assert bench("report", "results")[0] == 0
    found = page(Path("results"))
    for tag, attributes in found.elements:
        for name in ("src", "href", "xlink:href"):
            link = attributes.get(name) or "#"
            assert link.startswith(("#", "data:")), (tag, link)
    assert len(found.all("script")) == 1
    assert all(picture["alt"] for picture in found.all("img"))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    linked = {attributes["href"][1:] for attributes in found.all("a")}
    assert linked <= set(ids)
    assert "unet card" in found.text
    assert "does not generate" in found.text.lower()


def test_rows_stand_by_rising_kid_controls_among_them(make_run, tmp_path):
    make_run("worse", scores={"kid": 0.02})
    make_run("better", scores={"kid": 0.001})
    entries, absent = reporting.collect(tmp_path / "results")
    assert absent == []
    (group,) = reporting.groups(entries)
    frame = table.frame(group)
    assert frame["name"].tolist() == [
        "held-out digits",
        "better card",
        "worse card",
        "Gaussian model",
    ]
    assert frame["kind"].tolist() == ["control", "run", "run", "control"]
    assert frame["kid"].is_monotonic_increasing


def test_protocols_are_never_mixed(make_run, tmp_path):
    make_run("one")
    make_run("two", fingerprint="cccccccc")
    entries, _ = reporting.collect(tmp_path / "results")
    assert sorted(len(group.entries) for group in reporting.groups(entries)) == [1, 1]
    assert reporting.tables(entries, []).count("Protocol") == 2


def test_image_sets_join_the_protocols_that_score_alike(make_run, tmp_path):
    make_run("one")
    make_run("two", fingerprint="cccccccc", table="dddddddd")
    images = make_run("zip", fingerprint="eeeeeeee")
    facts = {"schema_version": 2, "kind": "images", "name": "my images", "source": "a.npz"}
    images.write_json("run.json", facts)
    entries, absent = reporting.collect(tmp_path / "results")
    assert absent == []
    sizes = {group.fingerprint: len(group.entries) for group in reporting.groups(entries)}
    assert sizes == {"aaaaaaaa": 2, "cccccccc": 1}


def test_a_run_scored_twice_is_in_two_tables(make_run, tmp_path):
    run = make_run("unet")
    run.write_json("metrics-cccccccc.json", metrics("cccccccc"))
    entries, _ = reporting.collect(tmp_path / "results")
    assert [entry.fingerprint for entry in entries] == ["aaaaaaaa", "cccccccc"]
    assert len({entry.key for entry in entries}) == 2


def test_no_two_rows_of_a_table_have_one_name(make_run, bench, tmp_path):
    for folder in ("one", "nested/one"):  # the same run in two folders
        make_run(folder, facts={"denoiser": "unet", "dtype": "float32"})
    make_run("two", facts={"denoiser": "unet", "dtype": "bfloat16"})
    make_run("three", facts={"denoiser": "unet", "dtype": "float32", "seed": 1})
    make_run("other", facts={"seed": 7, "dtype": "bfloat16"}, scores={"kid": 0.5})
    images = make_run("images", fingerprint="eeeeeeee")
    images.write_json(
        "run.json", {"schema_version": 2, "kind": "images", "name": "held-out digits"}
    )
    expected = {
        "unet card (seed 0, float32)",
        "unet card (seed 0, float32, nested)",
        "unet card (seed 0, bfloat16)",
        "unet card (seed 1, float32)",
        "other card",
        "held-out digits (images)",
    }
    assert bench("report", "results", "--format", "html,md,csv,tex,json")[0] == 0
    results = tmp_path / "results"
    rows = list(csv.DictReader((results / "report.csv").read_text().splitlines()))
    assert sorted(row["name"] for row in rows if row["kind"] != "control") == sorted(expected)
    assert len({row["name"] for row in rows}) == len(rows)
    found = page(results)
    text = " ".join(found.text.split())
    said = {row["name"] for row in json.loads((results / "report.json").read_text())["diagnoses"]}
    assert said == expected
    markdown = (results / "report.md").read_text()
    for name in expected:
        assert f"| {name} " in markdown
        assert f"## {name} (protocol" in markdown
        assert text.count(f"{name} ") >= 3  # verdict, table, card
    (group,) = reporting.groups(reporting.collect(results)[0])
    printed = table.printed(table.frame(group))["denoiser"]
    assert len(set(printed)) == len(printed) == 1 + len(expected)


def test_a_row_alone_has_no_details(make_run, tmp_path):
    make_run("unet", facts={"seed": 3, "dtype": "bfloat16"})
    (group,) = reporting.groups(reporting.collect(tmp_path / "results")[0])
    assert [entry.name for entry in group.entries] == ["unet card"]


APART = {  # what a second run of a denoiser differs in, and what is said of both then
    "sampler": (
        {"sampler": FACTS["sampler"] | {"sampler": "ddim", "eta": 0.0}},
        {},
        ("20 images, 4 steps, ddpm, eta 1", "20 images, 4 steps, ddim, eta 0"),
    ),
    "grid": (
        {"sampler": FACTS["sampler"] | {"grid": "karras"}},
        {},
        ("20 images, 4 steps, ddpm grid", "20 images, 4 steps, karras grid"),
    ),
    "steps": (
        {"sampler": FACTS["sampler"] | {"steps": 9}},
        {},
        ("20 images, 4 steps", "20 images, 9 steps"),
    ),
    "features": (
        {},
        {"scoring": {"dataset": "mnist@d3", "features": "lenet-b@ef"}},
        ("20 images, 4 steps, features lenet-a", "20 images, 4 steps, features lenet-b"),
    ),
    "what no line has a word for": (
        {},
        {"scoring": {"dataset": "mnist@d4", "features": "lenet-a@ef"}},
        ("20 images, 4 steps, protocol aaaaaaaa", "20 images, 4 steps, protocol cccccccc"),
    ),
}


@pytest.mark.parametrize("apart", APART)
def test_the_answer_tells_the_tables_apart(make_run, tmp_path, apart):
    facts, scoring, (first, second) = APART[apart]
    make_run("unet")
    make_run("again", fingerprint="cccccccc", facts={"denoiser": "unet"} | facts, **scoring)
    entries, _ = reporting.collect(tmp_path / "results")
    said = dict(
        zip([entry.fingerprint for entry in entries], html.conditions(entries), strict=True)
    )
    assert said == {"aaaaaaaa": first, "cccccccc": second}


def test_the_answer_says_under_what_conditions(make_run, bench, tmp_path):
    make_run("unet")
    nine = FACTS["sampler"] | {"steps": 9}
    make_run("again", fingerprint="cccccccc", facts={"denoiser": "unet", "sampler": nine})
    assert bench("report", "results")[0] == 0
    text = " ".join(page(tmp_path / "results").text.split())
    assert "unet card 20 images, 4 steps fine" in text
    assert "unet card 20 images, 9 steps fine" in text


def write(text):
    return lambda run: (run.path / "run.json").write_text(text)


DAMAGE = {  # what is done to a run, what is not shown then, and why
    "cut": (
        lambda run: (run.path / "metrics-aaaaaaaa.json").write_text(
            '{"schema_version": 2, "scores"'
        ),
        "x/run/metrics-aaaaaaaa.json",
        "x/run/metrics-aaaaaaaa.json is not readable: Expecting ':' delimiter: line 1 column 31 (char 30)",
    ),
    "other types": (
        lambda run: run.write_json(
            "metrics-aaaaaaaa.json", metrics() | {"scores": [1, 2], "controls": 3}
        ),
        "x/run/metrics-aaaaaaaa.json",
        "list for scores, expected an object",
    ),
    "no numbers": (
        lambda run: run.write_json("metrics-aaaaaaaa.json", metrics() | {"scores": {}}),
        "x/run/metrics-aaaaaaaa.json",
        "metrics-aaaaaaaa.json holds no scores",
    ),
    "a list": (
        lambda run: run.update(versions=[EVIL]),
        "x/run/metrics-aaaaaaaa.json",
        "run.json has list for versions, expected dict",
    ),
    "text as a number": (
        lambda run: run.update(cost={"seconds": "1"}),
        "x/run/metrics-aaaaaaaa.json",
        "run.json has str for seconds, expected a number, not negative",
    ),
    "versions of a scoring": (
        lambda run: run.write_json("metrics-aaaaaaaa.json", metrics() | {"versions": "2.0"}),
        "x/run/metrics-aaaaaaaa.json",
        "metrics-aaaaaaaa.json has str for versions, expected dict",
    ),
    "later": (
        lambda run: run.update(schema_version=9),
        "x/run",
        "run.json has schema_version 9, this version reads up to 2; update bench",
    ),
    "no object": (
        write("[]"),
        "x/run",
        "x/run/run.json is not readable: expected an object, found list",
    ),
    "markup": (
        write("<script>"),
        "x/run",
        "x/run/run.json is not readable: Expecting value: line 1 column 1 (char 0)",
    ),
    "failed": (
        lambda run: (
            [path.unlink() for path in run.path.glob("metrics-*")]
            and run.update(status="failed", error=f"NaN at {EVIL}")
        ),
        "x/run",
        f"failed: NaN at {EVIL}",
    ),
    "started": (
        lambda run: [path.unlink() for path in run.path.glob("metrics-*")],
        "x/run",
        "started, not finished; the same `bench run` command resumes it",
    ),
    "no images": (
        lambda run: (run.path / "samples.npz").unlink(),
        "x/run",
        "samples.npz is not here; pictures are of the first samples, from grid.png",
    ),
    "a stranger": (
        lambda run: (run.path.parents[1] / "<b>photo.png").write_bytes(b"\x89PNG"),
        "<b>photo.png",
        "not part of a run",
    ),
    "a study": (
        lambda run: (
            (run.path.parents[1] / "study").mkdir()
            or (run.path.parents[1] / "study" / "study.json").write_text("{")
        ),
        "study",
        "the study has no page: no file study/page.json; the same `bench study` command writes it",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_shown_is_named_with_the_reason(make_run, bench, tmp_path, damage):
    """In every format alike, beside a run that is shown; without its markup taken for some."""
    make_run("good")
    harm, path, reason = DAMAGE[damage]
    harm(make_run("x"))
    assert bench("report", "results", "--format", "html,md,csv,tex,json")[0] == 0
    results = tmp_path / "results"
    shown = page(results).text
    content = json.loads((results / "report.json").read_text(), parse_constant=pytest.fail)
    assert "good card" in [row["name"] for row in content["rows"]]
    assert content["not_shown"] == [{"path": path, "reason": reason}]
    assert " ".join(f"{path}: {reason}".split()) in " ".join(shown.split("Not shown")[-1].split())
    assert ("x card" in shown) == (damage in ("no images", "a stranger", "a study"))


def test_markup_from_a_run_is_text(make_run, bench, tmp_path):
    results = tmp_path / "results"
    make_run("good")
    make_run(
        "evil",
        facts={
            "denoiser": EVIL,
            "argv": ["run", EVIL],
            "options": {EVIL: EVIL},
            "card": {EVIL: [EVIL]},
        },
    )
    assert bench("report", results)[0] == 0
    found = page(results)
    assert "<script>alert(1)</script>" in found.text
    assert len(found.all("script")) == 1
    assert not any("onload" in attributes for _, attributes in found.elements)
    assert "<script>alert" not in (results / "report.html").read_text()


def test_files_that_are_damaged_leave_the_rest_of_a_card(make_run, bench, tmp_path):
    results = tmp_path / "results"
    bare = make_run("bare")
    for name in (
        "samples.npz",
        "grid.png",
        "nearest.png",
        "mixed.png",
        "trace.csv",
        "trajectory.npz",
        "per_sample-aaaaaaaa.csv",
    ):
        (bare.path / name).write_bytes(b"no")
    (results / "gauge").mkdir()
    (results / "gauge" / "x.csv").write_text("no\n1\n")
    assert bench("report", results)[0] == 0
    shown = page(results).text
    assert "bare card" in shown
    assert "neither samples.npz nor grid.png can be read" in shown
    assert "no trace: " in shown


def test_what_was_not_measured_is_blank(make_run, bench, tmp_path):
    make_run("unet", scores={})
    path = next((tmp_path / "results").rglob("metrics-*.json"))
    content = json.loads(path.read_text())
    content |= {"memorization": None, "class_histogram": None, "controls": None}
    content["scores"] = {"fid": {"value": None}, "kid": entry(0.1)}
    path.write_text(json.dumps(content))
    run_json = path.parent / "run.json"
    facts = json.loads(run_json.read_text())
    for key in ("cost", "out_of_band", "nfe", "argv", "spec", "dataset"):
        facts[key] = None
    run_json.write_text(json.dumps(facts))
    status, out, _ = bench("report", "results", "--format", "html,md,csv,tex,json")
    assert status == 0
    assert "100.0" in out
    for name in ("html", "md", "csv", "tex", "json"):
        assert (
            "nan"
            not in (tmp_path / "results" / f"report.{name}")
            .read_text()
            .split("</head>")[-1]
            .lower()
            .split()
        )


def test_formats_agree(make_run, bench, tmp_path):
    make_run("unet", scores={"kid": 0.0123})
    assert bench("report", "results", "--format", "html,md,csv,tex,json")[0] == 0
    results = tmp_path / "results"
    rows = list(csv.DictReader((results / "report.csv").read_text().splitlines()))
    (row,) = [row for row in rows if row["kind"] == "run"]
    content = json.loads((results / "report.json").read_text())
    assert (
        [found["kid"] for found in content["rows"] if found["kind"] == "run"]
        == [float(row["kid"])]
        == [0.0123]
    )
    for name in ("html", "md", "tex"):
        assert "12.3" in (results / f"report.{name}").read_text()
    printed = json.loads(bench("report", "results", "--json")[1])
    assert printed["rows"] == content["rows"]


def test_the_terminal_has_80_columns(make_run, tmp_path):
    make_run(
        "module.with.a.long.name:attribute",
        facts={"options": {"coupling": "normalised"}},
        scores={"kid": 123.456},
    )
    make_run("splice:unet,kbnet@0.39215686274509803")
    text = reporting.tables(*reporting.collect(tmp_path / "results"))
    assert max(map(len, text.splitlines())) <= 80
    assert "coupling=normalised" in text
    assert "splice:unet,kbnet@0.3921" in text


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_the_bar_moves_while_the_page_is_written(make_run, tmp_path, monkeypatch):
    """With each figure and each file, and not past its end."""
    make_run("unet")
    seconds = itertools.count()
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar(Screen(), clock=lambda: next(seconds))
    prepared = exports.prepare(tmp_path / "results", *reporting.collect(tmp_path / "results"))
    exports.save(prepared, ("html", "md", "csv"), bar)
    lines = [line for line in bar.stream.getvalue().split("\x1b[K") if "writing [" in line]
    shown = [int(re.search(r"(\d+)%", line)[1]) for line in lines]
    assert shown == sorted(shown)
    assert len(set(shown)) >= len(plots.PLOTS)
    assert (bar.done, bar.name) == (bar.total, "writing")


def test_arguments(make_run, bench):
    make_run("unet")
    status, _, err = bench("report", "results", "--format", "pdf")
    assert status == 2
    assert "html, md, csv, tex, json" in err
    assert bench("report", "results", "--format", "md", "--open")[0] == 2
    assert bench("report", "nowhere")[0] == 2


DIGIT = {"contrast": 0.3, "white": 0.06, "n": 20}


@pytest.mark.parametrize(
    ("kind", "scores", "look", "changes"),
    [
        ("fine", {}, {}, {}),
        ("blank", {"kid": 2.0}, {"contrast": 0.01}, {}),
        ("saturated", {"kid": 2.0}, {"white": 0.5}, {}),
        ("residual noise", {"kid": 2.0, "noise_std": 0.417}, {}, {}),
        ("one class", {}, {}, {"class_histogram": [0] * 9 + [20]}),
        ("not digits", {"kid": 1.2}, {}, {}),
        ("mixed digits", {"confidence": 0.8}, {}, {}),
        ("mixed digits", {"ambiguous": 0.4}, {}, {}),
        ("mixed digits", {"kid": 0.1}, {}, {}),
        ("too few images", {"kid": 0.0495}, {}, {}),
        ("too few images", {"kid": 0.0495, "ambiguous": 0.4}, {}, {}),
        (
            "given digits",
            {},
            {},
            {"facts": {"sampler": FACTS["sampler"] | {"start": "held-out", "sigma_max": 0.4}}},
        ),
        ("copies", {}, {}, {"copies": True}),
    ],
)
def test_diagnoses_say_the_value_that_led_to_them(make_run, tmp_path, kind, scores, look, changes):
    copied = changes.pop("copies", False)
    run = make_run("x", scores=scores, **changes)
    path = run.path / "metrics-aaaaaaaa.json"
    content = json.loads(path.read_text())
    content["controls"]["held_out"]["scores"]["ambiguous"] = entry(0.01)
    if copied:
        content["memorization"]["pixels"]["copy_rate"] = entry(0.873)
    path.write_text(json.dumps(content))
    ((found,), _) = reporting.collect(tmp_path / "results")
    first, *_ = diagnosis.diagnose(found, diagnosis.Look(**DIGIT | look))
    assert first.kind == kind
    assert any(character.isdigit() for character in first.because)
    assert (first.verdict == diagnosis.GENERATES) == (kind in ("fine", "mixed digits"))
    assert (first.verdict == diagnosis.UNTOLD) == (kind == "too few images")


def test_the_terminal_says_the_verdict_in_words(make_run, tmp_path):
    """A place in the table alone would praise a denoiser that gives its training set back."""
    make_run("unet")
    copying = make_run("ideal", scores={"kid": 0.001})
    path = copying.path / "metrics-aaaaaaaa.json"
    content = json.loads(path.read_text())
    content["memorization"]["pixels"]["copy_rate"] = entry(1.0)
    path.write_text(json.dumps(content))
    text = reporting.tables(*reporting.collect(tmp_path / "results"))
    assert re.search(r"^ideal card memorizes: 100\.0% of the images are copies", text, re.MULTILINE)
    assert re.search(r"^unet card generates: KID", text, re.MULTILINE)
    # As the table has them.
    assert text.index("ideal card memorizes") < text.index("unet card generates")


def test_sheets_can_be_read_back(rng, tmp_path):
    images = rng.integers(0, 255, (37, 28, 28), dtype=np.uint8)
    other = rng.integers(0, 255, (37, 28, 28), dtype=np.uint8)
    ratio = rng.random(37)
    run = Run(tmp_path)
    run.write("grid.png", lambda file: sheets.grid(images, file))
    run.write("nearest.png", lambda file: sheets.nearest(images, other, ratio, file))
    assert np.array_equal(pictures.drawn(run.path / "grid.png"), images)
    pairs = pictures.pairs(run.path / "nearest.png")
    order = np.argsort(ratio)
    assert np.array_equal(pairs, np.stack([images[order], other[order]], axis=1))
    with pytest.raises(ValueError, match="none of ours"):
        sheets.images_of(np.zeros((61, 70), np.uint8), (28, 28))


def test_the_least_sure_come_first(rng, tmp_path):
    images = rng.integers(0, 255, (37, 28, 28), dtype=np.uint8)
    sure, run = rng.random(37), Run(tmp_path)
    classes = rng.integers(0, 10, (37, 2))
    run.write("mixed.png", lambda file: sheets.mixed(images, classes, sure, file))
    sheet = pictures.captioned(run.path / "mixed.png")
    across, down = 28 * sheets.SCALE, 28 * sheets.SCALE + sheets.CAPTION
    assert sheet.shape == (
        2 * (down + sheets.GAP) + sheets.GAP,
        10 * (across + sheets.GAP) + sheets.GAP,
    )
    order = np.argsort(sure)
    for place, (top, left) in {0: (0, 0), 9: (0, 9), 19: (1, 9)}.items():
        corner = (sheets.GAP + top * (down + sheets.GAP), sheets.GAP + left * (across + sheets.GAP))
        cut = sheet[corner[0] : corner[0] + across : 2, corner[1] : corner[1] + across : 2]
        assert np.array_equal(cut, images[order[place]])


def test_strips_keep_the_order_and_stay_in_the_box(rng):
    values = np.sort(rng.normal(scale=[*[1] * 10, *[1e4] * 10]))
    numbers = [Score(value, 1, value - 1, value + 1) for value in values]
    drawn = drawings.strips([*numbers, None, Score(3.0)], unit=1)
    assert drawn[-2:] == [None, None]
    at = [strip.at for strip in drawn[:-2]]
    assert at == sorted(at)
    assert all(0 <= strip.low <= strip.at <= strip.high <= 100 for strip in drawn[:-2])


def test_the_trained_band_is_where_its_levels_are():
    trace = pd.DataFrame({"sigma": np.geomspace(100, 0.01, 500), "clipped": np.linspace(0, 1, 500)})
    (panel,) = drawings.panels(trace, (0.0, 1.0))
    left, width = panel.band
    assert left == {label: x for x, label in panel.x_ticks}["1"]
    assert left + width == pytest.approx(drawings.WIDTH - 4, abs=0.2)
    assert panel.path.count("L") < 150


def test_numbers_are_short():
    assert [
        table.short(value) for value in (0, 0.123456, 1.23456, 12.3456, 1234.56, None, float("nan"))
    ] == [
        "0",
        "0.123",
        "1.23",
        "12.3",
        "1235",
        "",
        "",
    ]


def test_latex_is_escaped():
    text = exports.latex(pd.DataFrame([[r"a_b & 50% \x", "1 ±2"]], columns=["denoiser", "KID"]))
    assert r"a\_b \& 50\% \textbackslash{}x & 1 $\pm$2 \\" in text


def test_a_folder_is_not_changed_but_for_the_report(make_run, bench, tmp_path):
    run = make_run("unet")
    before = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    assert bench("report", "results")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in run.path.iterdir()} == before
    first = {path.name for path in (tmp_path / "results").iterdir()}
    assert bench("report", "results")[0] == 0
    assert (
        "Everything in the folder is shown." in (tmp_path / "results" / "report.html").read_text()
    )
    assert {path.name for path in (tmp_path / "results").iterdir()} == first
    shutil.rmtree(run.path)
    assert bench("report", "results")[0] == 0


def test_a_report_below_another_is_part_of_it(make_run, bench, tmp_path):
    """As with results/reference: what is in it is shown above it too, and it is not changed."""
    results = tmp_path / "results"
    make_run("reference/unet", facts={"denoiser": "unet"})
    make_run("reference/ladder/runs/kbnet")
    make_run("kbnet")
    for folder in (results, results / "reference"):
        (folder / "ladder").mkdir(exist_ok=True)
        (folder / "ladder" / "study.json").write_text("{}")
        text = blocks.spans("text")
        ladder = blocks.to_json(blocks.Page("The ladder", [blocks.Block("text", text)]))
        (folder / "ladder" / "page.json").write_text(json.dumps(ladder))
        (folder / "gauge").mkdir()
    curve = {
        "sigma": [0.1, 1.0],
        "mse": [0.01, 0.02],
        "mse_mean": 0.07,
        "denoiser": "unet card",
        "dataset": "d",
        "num": 5,
    }
    pd.DataFrame(curve).to_csv(results / "reference" / "gauge" / "unet-card.csv", index=False)
    assert bench("report", "results/reference", "--format", "html,md,csv,tex,json")[0] == 0
    assert (results / "reference" / "figures" / "error-noise.svg").exists()
    before = {path: path.read_bytes() for path in (results / "reference").rglob("*.*")}
    assert bench("report", "results", "--format", "html,md,csv,tex,json")[0] == 0
    assert {path: path.read_bytes() for path in (results / "reference").rglob("*.*")} == before
    content = json.loads((results / "report.json").read_text())
    assert [row["name"] for row in content["rows"] if row["kind"] == "run"] == [
        "kbnet card",
        "unet card",
    ]
    assert content["not_shown"] == []
    shown = page(results).text
    assert "Everything in the folder is shown." in shown
    assert "The ladder (reference)" in shown
    assert "[ladder](<ladder/ladder.md>)" in (results / "report.md").read_text()
    assert "[reference/ladder](<reference/ladder/ladder.md>)" in (results / "report.md").read_text()
    assert (results / "figures" / "error-noise.svg").exists()


def test_ranks_are_shown_where_there_are_any(make_run, tmp_path):
    make_run("one")
    (group,) = reporting.groups(reporting.collect(tmp_path / "results")[0])
    frame = table.frame(group)
    assert "denoiser" in table.printed(frame).columns[0]
    frame["rank"] = ["", "1=", ""]
    assert table.printed(frame).columns[0] == ""
    assert [row.rank for row in leaderboard.rows(frame, {})] == ["", "1=", ""]


def test_paths_of_the_machine_stay_on_it(make_run, bench, tmp_path):
    make_run("good")
    broken = make_run("broken")
    (broken.path / "run.json").write_text("{")
    (tmp_path / "results" / "alien.txt").touch()
    assert bench("report", tmp_path / "results", "--format", "html,md,csv,tex,json")[0] == 0
    for path in (tmp_path / "results").glob("report.*"):
        assert str(tmp_path) not in path.read_text(), path


def test_the_files_of_a_report_go_where_they_are_asked_to(bench, make_run, tmp_path):
    """With links that lead back to the runs; the folder of these is left as it was."""
    make_run("one")
    before = sorted((tmp_path / "results").rglob("*"))
    status, out, _ = bench(
        "report", "results", "--out", "elsewhere/deep", "--format", "html,md,csv"
    )
    assert status == 0
    assert sorted((tmp_path / "results").rglob("*")) == before
    assert "elsewhere/deep/report.html" in out
    target = tmp_path / "elsewhere" / "deep"
    pictures = re.findall(r"\]\(<([^>]+\.png)>\)", (target / "report.md").read_text())
    assert pictures
    assert all((target / picture).is_file() for picture in pictures)
    assert list((target / "figures").glob("*.svg"))


def test_a_place_that_takes_no_report_is_named_with_the_flag_that_helps(bench, make_run):
    make_run("one")
    status, out, err = bench("report", "results", "--out", "/proc/nowhere")
    assert status == 2
    assert "one card" in out  # what was asked for is said before anything is written
    assert err.splitlines()[-1].startswith("error: --out: cannot write into /proc/nowhere: ")
    # Which writes nothing.
    assert bench("report", "results", "--out", "/proc/nowhere", "--json")[0] == 0


def test_images_that_a_sampler_was_not_done_with_have_a_column(make_run, tmp_path):
    make_run("done", facts={"unconverged": 0})
    make_run("usual")
    entries, absent = reporting.collect(tmp_path / "results")
    assert " late " not in reporting.tables(entries, absent)
    make_run("late", facts={"unconverged": 15})
    frames = table.printed(
        table.frame(reporting.groups(reporting.collect(tmp_path / "results")[0])[0])
    ).set_index("denoiser")
    assert {name: row["late"] for name, row in frames.iterrows() if row["late"]} == {
        "late card": "75%"
    }
