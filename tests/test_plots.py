"""The figures of a report, from synthetic runs."""

import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bench import report
from bench.report import plots, style


@pytest.fixture
def drawn(make_run, tmp_path):
    """Figures of runs whose names matplotlib could take for something else."""
    for place, name in enumerate(("$x^{", "_hidden", "<b>&amp;", "plain")):
        make_run(f"run{place}", scores={"kid": 0.01 * 4**place}, facts={"denoiser": name, "weights": ""})
    folder = tmp_path / "results"
    (folder / "gauge").mkdir()
    curve = {"sigma": [0.1, 1.0, 10.0], "mse": [0.01, 0.02, 0.03], "mse_mean": 0.07, "dataset": "d", "num": 5}
    for name in ("gaussian", "_hidden"):
        pd.DataFrame(curve | {"denoiser": name}).to_csv(folder / "gauge" / f"{name}.csv", index=False)
    entries, _ = report.collect(folder)
    return folder, plots.draw(folder, report.groups(entries))


def test_each_is_a_picture_and_a_drawing(drawn):
    folder, figures = drawn
    assert [figure.name for figure in figures] == ["quality-cost", "error-noise", "distances"]  # no data set: no map
    for figure in figures:
        with Image.open(folder / "figures" / f"{figure.name}.png") as image:
            assert image.size == tuple(round(300 * side) for side in style.SIZE)
        root = ET.parse(folder / "figures" / f"{figure.name}.svg").getroot()
        assert root.get("width").endswith("pt")
        assert root.find(".//{*}text") is None  # outlines: the same in every paper


def test_on_a_page_they_take_its_colour_and_leave_its_ids(drawn):
    _, figures = drawn
    ids = []
    for figure in figures:
        root = ET.fromstring(figure.svg.replace("xlink:href", "href"))
        ids += [element.get("id") for element in root.iter() if element.get("id")]
        assert root.get("width") is None
        assert "currentColor" in figure.svg
        assert style.INK not in figure.svg
        for link in (element.get("href") for element in root.iter() if element.get("href")):
            assert link[1:] in ids
    assert len(ids) == len(set(ids)) > 10


def test_the_same_runs_give_the_same_files(drawn, tmp_path):
    folder, figures = drawn
    before = {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")}
    entries, _ = report.collect(folder)
    assert plots.draw(folder, report.groups(entries)) == figures
    assert {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")} == before


def test_a_curve_has_the_name_and_colour_of_its_row(make_run, tmp_path):
    """One row, two rows, and none of the denoiser of a curve; curves and runs in nested folders."""
    make_run("unet", facts={"dtype": "float32"}, scores={"kid": 0.001})
    make_run("again", facts={"denoiser": "unet", "dtype": "bfloat16"}, scores={"kid": 0.002})
    make_run("kbnet", facts={"weights": "mnist@00000000"}, scores={"kid": 0.003})
    make_run("nested/kbnet", facts={"denoiser": "kbnet", "weights": "mnist@11111111"}, scores={"kid": 0.004})
    folder = tmp_path / "results"
    curve = {"sigma": [0.1, 1.0, 10.0], "mse": [0.01, 0.02, 0.03], "mse_mean": 0.07, "dataset": "d", "num": 5}
    kept = {"unet": "card@01234567", "kbnet": "mnist@11111111", "other": "x@22222222", "another": ""}
    for place, (name, weights) in enumerate(kept.items()):
        path = folder / ("nested/gauge" if place % 2 else "gauge") / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        denoiser = " ".join([name, *weights.split("@")[:1]]).strip()
        pd.DataFrame(curve | {"denoiser": denoiser, "weights": weights}).to_csv(path, index=False)
    (group,) = report.groups(report.collect(folder)[0])
    colours = {entry.name: f"#{place}{place}{place}" for place, entry in enumerate(group.entries)}
    axes = Figure().subplots()
    assert plots.error_and_noise(axes, plots.Source(folder, folder), group, colours)
    drawn = {line.get_label(): line.get_color() for line in axes.lines}
    assert drawn["unet card"] == colours["unet card (float32)"]  # of two rows: the first
    assert drawn["kbnet mnist (weights 11111111)"] == colours["kbnet mnist (weights 11111111)"]
    assert {"other x", "another"} <= drawn.keys()
    assert not {drawn["other x"], drawn["another"]} & set(colours.values())


def test_the_digits_of_the_uppermost_curves_decide(tmp_path):
    """A user's own curves are drawn although more of others', of other digits, lie below; of one kept twice, one."""
    curve = {"sigma": [0.1], "mse": [0.01], "mse_mean": 0.07, "dataset": "d"}
    for folder, num, names in (("", 1000, "ab"), ("reference", 200, "bcde"), ("old", 1000, "bx")):
        (tmp_path / folder / "gauge").mkdir(parents=True)
        for name in names:
            path = tmp_path / folder / "gauge" / f"{name}.csv"
            pd.DataFrame(curve | {"denoiser": name, "num": num, "mse": [len(folder)]}).to_csv(path, index=False)
    found = {curve.name: curve.frame["mse"].item() for curve in plots.gauged(tmp_path)}
    assert found == {"a": 0, "b": 0, "x": 3}
    assert len(plots.gauged(tmp_path / "reference")) == 4
    assert plots.gauged(tmp_path / "nothing") == []


def test_nothing_to_draw(tmp_path):
    assert plots.draw(tmp_path, []) == []
    assert list(tmp_path.iterdir()) == []
