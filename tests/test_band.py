"""A fault put into one band of a control: found there, and none where there is none."""

import functools

import numpy as np
import pandas as pd
import pytest

from bench import experiment
from bench.probes import likelihood
from bench.progress import SILENT
from bench.reporting.figures import pages
from bench.reporting.page import studies
from bench.reporting.results import stops
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.shelf import Shelf
from bench.studies import band, band_errors
from bench.studies.band_cells import Place
from denoisers.errors import UsageError

FAULTY = """
import torch
from denoisers import closed_form

class Faulty(closed_form.Gaussian):
    def forward(self, x, sigma):
        clean = super().forward(x, sigma)
        inside = (sigma > {low}) & (sigma < {high})
        blurred = torch.nn.functional.avg_pool2d(clean, 5, stride=1, padding=2)
        return torch.where(inside.reshape(-1, 1, 1, 1), blurred, clean)

def load(train):
    points = train.flatten(1).double()
    return Faulty(points.mean(0), points.T.cov())
"""


@pytest.fixture
def studied(tmp_path, monkeypatch):
    """studied(low, high): a Gaussian model whose answers are blurred between two levels, beside itself."""
    monkeypatch.setattr(band, "LEVELS", LEVELS := (0.8, 2.0, 6.0))
    places = [band.REFERENCE, band.OWN]
    places += [Place(kind, level) for kind in ("below", "above", "start") for level in LEVELS]
    monkeypatch.setattr(band, "PLACES", tuple(places))

    def study(low, high):
        mine = tmp_path / f"from{low:g}.py"
        mine.write_text(FAULTY.format(low=low, high=high))
        return band.band(
            tmp_path / "band",
            f"{mine}:load",
            reference="gaussian",
            num=32,
            dataset="mnist5k",
        )

    return study


def test_a_fault_is_found_in_its_band_and_none_where_there_is_none(studied, tmp_path):
    path = studied(0.8, 2.0)
    frame = pd.read_csv(path.with_suffix(".csv"))
    worst = frame.loc[frame["share"].idxmax()]
    assert (worst["over"], worst["up_to"]) == (0.8, 2.0)
    assert worst["share_low"] <= 1 <= worst["share_high"]
    others = frame.drop(worst.name)
    assert others["carried"].abs().max() == pytest.approx(0, abs=1e-12)  # the very same images
    assert "up to sigma 0.8 and above 2. Between sigma 0.8 and 2 it fails" in path.read_text()
    stop = stops.read(path.parent / stops.FILE)
    assert (stop.kind, stop.fails) == ("somewhere", (0.8, 2.0))
    assert stop.sentence in path.read_text()

    other = studied(1.0, 1.0)  # no noise is above and below the same level
    stop = stops.read(other.parent / stops.FILE)
    assert (stop.kind, stop.excess, stop.fails, stop.parts) == ("nowhere", (0, 0, 0), None, ())
    assert "is as good as gaussian at all noise levels" in other.read_text()

    (whole, *own), absent = studies.read(tmp_path, pages.inlined)
    assert absent == []
    assert [block.kind for block in whole.blocks].count("plot") == 1
    assert "from1.py:load** is as good as" in (tmp_path / "band" / "band.md").read_text()
    assert [study.folded for study in own] == [True, True]
    assert [block.kind for block in own[0].blocks].count("plot") == 2
    # What was measured besides is kept where the report finds it, for the denoiser it is of.
    assert len(list(tmp_path.glob("band/likelihood/*.csv"))) == 3


def test_errors_are_those_that_a_gauge_measures(tmp_path):
    shelf = Shelf("mnist5k", None)
    plan = experiment.resolve(
        "gaussian", SamplingPlan(8, 2), shelf=shelf, worker_count="2", out=tmp_path / "x"
    )
    kept = Run(tmp_path / "errors")
    load = functools.partial(band.loaded, "gaussian", None, {}, shelf)
    found = band_errors.squares(kept, plan, load, print, SILENT)
    assert np.array_equal(found, likelihood.errors(load(), shelf.dataset, 8, 0))
    fail = lambda: pytest.fail("measured again")  # noqa: E731
    assert np.array_equal(found, band_errors.squares(kept, plan, fail, print, SILENT))
    (path,) = kept.path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    assert np.array_equal(found, band_errors.squares(kept, plan, load, print, SILENT))


@pytest.mark.parametrize(
    ("denoiser", "options", "said"),
    [
        ("splice:unet,gaussian@1", {}, "--denoiser: must be no splice"),
        ("gaussian", {"reference": "gaussian"}, "--denoiser: is the reference itself, gaussian"),
        ("gaussian", {"reference": "splice:unet,gaussian@1"}, "--reference: must be no splice"),
        ("gaussian", {"num": 10**6}, "--num: "),
        ("gaussian", {"num": 2}, "--num: "),
        ("none-such", {}, "--denoiser: "),
        ("gaussian", {"reference": "none-such"}, "--reference: none-such: "),
        ("gaussian", {"reference": "ffdnet"}, "--reference: ffdnet: "),
        ("my,file.py:load", {}, "--denoiser: must be no splice"),
    ],
)
def test_what_cannot_be_studied_is_said_before_anything_is_written(
    tmp_path, denoiser, options, said
):
    with pytest.raises(UsageError, match=f"^{said}"):
        band.band(tmp_path / "band", denoiser, dataset="mnist5k", **options)
    assert not (tmp_path / "band").exists()
