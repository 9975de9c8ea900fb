"""The figures of a report, from synthetic runs."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bench import reporting
from bench.reporting import exports
from bench.reporting.figures import curves, plots, style

ROOT = Path(__file__).parent.parent

CURVE = {
    "sigma": [0.1, 1.0, 10.0],
    "mse": [0.01, 0.02, 0.03],
    "mse_mean": 0.07,
    "dataset": "d",
    "num": 5,
}


@pytest.fixture
def drawn(make_run, tmp_path):
    """Figures of runs whose names matplotlib could take for something else."""
    for place, name in enumerate(("$x^{", "_hidden", "<b>&amp;", "plain")):
        make_run(
            f"run{place}", scores={"kid": 0.01 * 4**place}, facts={"denoiser": name, "weights": ""}
        )
    folder = tmp_path / "results"
    (folder / "gauge").mkdir()
    for name in ("gaussian", "_hidden"):
        pd.DataFrame(CURVE | {"denoiser": name}).to_csv(
            folder / "gauge" / f"{name}.csv", index=False
        )
    entries, _ = reporting.collect(folder)
    return folder, plots.draw(folder, reporting.groups(entries))


def test_each_is_a_picture_and_a_drawing(drawn):
    folder, figures = drawn
    # No data set: no map.
    assert [figure.name for figure in figures] == ["quality-cost", "error-noise", "distances"]
    for figure in figures:
        with Image.open(folder / "figures" / f"{figure.name}.png") as image:
            assert image.size == tuple(round(300 * side) for side in style.SIZE)
        root = ET.parse(folder / "figures" / f"{figure.name}.svg").getroot()
        assert root.get("width").endswith("pt")
        assert root.find(".//{*}text") is None  # outlines: the same in every paper


def test_on_a_page_they_take_its_colour_and_leave_its_ids(drawn):
    folder, figures = drawn
    ids = []
    for figure in figures:
        root = ET.fromstring(figure.svg.replace("xlink:href", "href"))
        ids += [element.get("id") for element in root.iter() if element.get("id")]
        assert root.get("width") is None
        assert "currentColor" in figure.svg
        assert style.INK not in figure.svg
        assert "fill: #ffffff" not in figure.svg  # no ground of its own, as the file has
        assert "fill: #ffffff" in (folder / "figures" / f"{figure.name}.svg").read_text()
        for link in (element.get("href") for element in root.iter() if element.get("href")):
            assert link[1:] in ids
    assert len(ids) == len(set(ids)) > 10


def test_the_same_runs_give_the_same_files(drawn, tmp_path):
    folder, figures = drawn
    before = {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")}
    entries, _ = reporting.collect(folder)
    assert plots.draw(folder, reporting.groups(entries)) == figures
    assert {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")} == before


def test_a_curve_has_the_name_and_colour_of_its_row(make_run, tmp_path):
    """One row, two rows, and none of the denoiser of a curve; curves and runs in nested folders."""
    make_run("unet", facts={"dtype": "float32"}, scores={"kid": 0.001})
    make_run("again", facts={"denoiser": "unet", "dtype": "bfloat16"}, scores={"kid": 0.002})
    make_run("kbnet", facts={"weights": "mnist@00000000"}, scores={"kid": 0.003})
    make_run(
        "nested/kbnet",
        facts={"denoiser": "kbnet", "weights": "mnist@11111111"},
        scores={"kid": 0.004},
    )
    folder = tmp_path / "results"
    kept = {
        "unet": "card@01234567",
        "kbnet": "mnist@11111111",
        "other": "x@22222222",
        "another": "",
    }
    for place, (name, weights) in enumerate(kept.items()):
        path = folder / ("nested/gauge" if place % 2 else "gauge") / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        denoiser = " ".join([name, *weights.split("@")[:1]]).strip()
        pd.DataFrame(CURVE | {"denoiser": denoiser, "weights": weights}).to_csv(path, index=False)
    (group,) = reporting.groups(reporting.collect(folder)[0])
    colours = {entry.name: f"#{place}{place}{place}" for place, entry in enumerate(group.entries)}
    axes = Figure().subplots()
    assert curves.error_and_noise(
        axes, curves.Source(group, colours, curves.gauged(folder), folder)
    )
    drawn = {line.get_label(): line.get_color() for line in axes.lines}
    assert drawn["unet card"] == colours["unet card (float32)"]  # of two rows: the first
    assert drawn["kbnet mnist (weights 11111111)"] == colours["kbnet mnist (weights 11111111)"]
    assert {"other x", "another"} <= drawn.keys()
    assert not {drawn["other x"], drawn["another"]} & set(colours.values())


def test_the_digits_of_the_uppermost_curves_decide(tmp_path):
    """A user's own curves are drawn although more of others lie below; of one kept twice, one."""
    curve = {"sigma": [0.1], "mse": [0.01], "mse_mean": 0.07, "dataset": "d"}
    for folder, num, names in (("", 1000, "ab"), ("reference", 200, "bcde"), ("old", 1000, "bx")):
        (tmp_path / folder / "gauge").mkdir(parents=True)
        for name in names:
            path = tmp_path / folder / "gauge" / f"{name}.csv"
            pd.DataFrame(curve | {"denoiser": name, "num": num, "mse": [len(folder)]}).to_csv(
                path, index=False
            )
    found = {curve.name: curve.frame["mse"].item() for curve in curves.gauged(tmp_path)}
    assert found == {"a": 0, "b": 0, "x": 3}
    assert len(curves.gauged(tmp_path / "reference")) == 4
    assert curves.gauged(tmp_path / "nothing") == []


OTHER = {
    "text.usetex": True,
    "text.parse_math": True,
    "figure.dpi": 31,
    "figure.facecolor": "red",
    "figure.constrained_layout.use": True,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "savefig.format": "pdf",
    "svg.fonttype": "none",
    "font.family": "serif",
    "font.weight": "bold",
    "lines.marker": "x",
    "axes.grid": True,
    "axes.formatter.use_locale": True,
    "axes.xmargin": 0.3,
    "path.sketch": (1, 100, 2),
    "legend.loc": "lower left",
}


def test_whatever_a_user_has_set_the_files_are_the_same_and_the_settings_stay(drawn):
    folder, before = drawn
    entries, _ = reporting.collect(folder)
    written = lambda: {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}  # noqa: E731
    first = written()
    assert len(first) == 6
    with matplotlib.rc_context(OTHER):
        found = dict(matplotlib.rcParams)
        assert plots.draw(folder, reporting.groups(entries)) == before
        assert dict(matplotlib.rcParams) == found
    assert written() == first


DRAWS = """
import hashlib, os, sys
from pathlib import Path
from bench import sheets
before = dict(os.environ), os.getcwd()
from bench.reporting.figures import curves, plots, style
assert (dict(os.environ), os.getcwd()) == before
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
print(matplotlib.rcParams["figure.dpi"])
with style.ours():
    figure = style.Figure(figsize=style.SIZE)
    axes = figure.subplots()
    axes.plot([1, 2], label="$x^{")
    axes.legend()
    style.export(figure, Path(sys.argv[1]))
for path in sorted(Path(sys.argv[1]).parent.iterdir()):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""
BROKEN = b"\xff\xfe text.usetex: True\n"
SET = (
    b"text.usetex: True\nbackend: tkagg\nfigure.dpi: 31\nsavefig.bbox: tight\nnonsense\n"
    b"lines.marker: 7 8\n"
)
OUTSIDE = {  # environment, then the matplotlibrc of the current folder and that of the user's own
    "nothing": ({}, None, None),
    "a screen's backend": ({"MPLBACKEND": "qtagg"}, SET, None),
    "a notebook's": ({"MPLBACKEND": "module://matplotlib_inline.no_such"}, None, SET),
    "no such backend": ({"MPLBACKEND": "nonsense"}, None, BROKEN),
    "a file that is none": ({"MATPLOTLIBRC": "nowhere/at/all"}, BROKEN, None),
}


@pytest.fixture(scope="module")
def drawn_outside(tmp_path_factory):
    """What a process draws and says that is started in such a place; all side by side."""
    started = {}
    for name, (environment, here, home) in OUTSIDE.items():
        folder = tmp_path_factory.mktemp("outside")
        for where, content in (("here", here), ("home", home)):
            (folder / where).mkdir()
            if content is not None:
                (folder / where / "matplotlibrc").write_bytes(content)
        # Which takes seconds to make.
        for path in Path(matplotlib.get_cachedir()).glob("fontlist*"):
            shutil.copy(path, folder / "home")
        around = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MPL", "MATPLOTLIB"))
        }
        around |= {"MPLCONFIGDIR": "../home", "PYTHONPATH": str(ROOT)} | environment
        command = [sys.executable, "-c", DRAWS, str(folder / "drawn" / "figure")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started[name] = subprocess.Popen(command, cwd=folder / "here", env=around, **pipes)
    return {name: (process.communicate(), process.returncode) for name, process in started.items()}


@pytest.mark.parametrize("name", OUTSIDE)
def test_whatever_is_set_outside_the_files_are_the_same(drawn_outside, name):
    (out, said), status = drawn_outside[name]
    assert status == 0, said
    assert out.splitlines()[1:] == drawn_outside["nothing"][0][0].splitlines()[1:]
    assert len(out.splitlines()) == 3


def test_what_a_user_has_set_can_still_be_read(drawn_outside):
    assert drawn_outside["a screen's backend"][0][0].startswith("31")
    assert drawn_outside["nothing"][0][0].startswith("100")


def test_nothing_to_draw(tmp_path):
    assert plots.draw(tmp_path, []) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_figures_that_is_a_link_is_left_out(make_run, tmp_path):
    make_run("a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "results" / "figures").symlink_to(tmp_path / "outside")
    entries, absent = reporting.collect(tmp_path / "results")
    exports.write(tmp_path / "results", entries, absent)
    assert not list((tmp_path / "outside").iterdir())
    text = (tmp_path / "results" / "report.html").read_text()
    assert "is a link, which is not followed: no figures are drawn" in text
