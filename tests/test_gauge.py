"""PSNR of denoisers of which it is known: one that does nothing, one that knows the answer."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench import gauge
from bench.report import plots
from denoisers.base import Denoiser, Spec
from denoisers.controls import Identity


class Oracle(Denoiser):
    spec = Spec("oracle", "sample")

    def __init__(self, image):
        super().__init__()
        self.image = torch.from_numpy(image).float() / 127.5 - 1

    def forward(self, x, sigma):
        assert x.shape[-2:] == (24, 32)  # sides are multiples of 8
        return self.image.expand(1, 1, -1, -1).repeat(1, 1, 2, 2)[..., :24, :32]


@pytest.fixture
def image(rng):
    return rng.integers(60, 200, (20, 30), dtype=np.uint8)


def test_noise_is_that_of_the_authors_script(image):
    noisy, same = gauge.restore(Identity(), image, 25)
    np.random.seed(0)
    assert np.array_equal(noisy, image / 255 + np.random.normal(0, 25 / 255, image.shape))
    assert np.allclose(noisy, same, atol=1e-6)


def test_psnr_of_what_is_known(image):
    table = gauge.restoration(Identity(), {"one": image, "two": image})
    assert len(table) == 6
    for level, rows in table.groupby("sigma_255"):
        assert rows["psnr"].to_numpy() == pytest.approx(20 * np.log10(255 / level), abs=0.4)
    assert np.isinf(gauge.restoration(Oracle(image), {"one": image}, levels=(15,))["psnr"]).all()


def test_summary_has_a_row_per_folder(image):
    table = gauge.summary(Identity(), {"a/1": image, "a/2": image, "b/1": image})
    assert table["folder"].tolist() == ["a", "b"]
    assert table["images"].tolist() == [2, 1]
    assert list(table.columns[2:]) == ["PSNR at 15", "PSNR at 25", "PSNR at 50"]


def test_drawing(image, tmp_path):
    gauge.draw(Identity(), {"a": image, "b": image}, tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as sheet:
        assert sheet.size == (2 * 30 + 3 * 4, 2 * 20 + 3 * 4)


def test_curves_are_kept_for_the_report_with_those_they_are_read_against(digits, tmp_path):
    said = []
    frame = gauge.gauge(Identity(), digits, 20)
    path = gauge.keep(frame, "mine.py:load card", digits, 20, tmp_path)
    gauge.bounds(digits, 20, tmp_path, said.append)
    assert sorted(file.name for file in path.parent.iterdir()) == ["gaussian.csv", "ideal.csv", "mine.py-load-card.csv"]
    assert len(said) == 2
    gauge.bounds(digits, 20, tmp_path, said.append)
    assert len(said) == 2  # they are there
    curves = dict(plots.gauged(tmp_path))
    assert curves.keys() == {"mine.py:load card", "gaussian", "ideal"}
    assert np.allclose(curves["mine.py:load card"]["mse"], frame["mse"], rtol=1e-5)
    assert (curves["gaussian"]["mse"] <= curves["gaussian"]["mse_mean"] * 1.02).all()
    gauge.bounds(digits, 10, tmp_path, said.append)
    assert len(said) == 4  # of other digits
    gauge.bounds(digits, 20, tmp_path, said.append)
    gauge.keep(frame, "other", digits, 10, tmp_path)
    assert "other" not in dict(plots.gauged(tmp_path))  # measured on other digits
