"""PSNR of denoisers of which it is known: one that does nothing, one that knows the answer."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from bench import cards
from bench.probes import denoising, likelihood
from bench.reporting.figures import plots
from denoisers.base import Denoiser, Spec
from denoisers.closed_form import Identity
from denoisers.errors import UsageError
from denoisers.splice import Splice


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
    noisy, same = denoising.restore(Identity(), image, 25)
    np.random.seed(0)
    assert np.array_equal(noisy, image / 255 + np.random.normal(0, 25 / 255, image.shape))
    assert np.allclose(noisy, same, atol=1e-6)


class Narrow(Identity):
    """Trained at 20 to 30 grey levels."""

    def __init__(self):
        super().__init__()
        self.spec = dataclasses.replace(self.spec, sigma_min=20 / 127.5, sigma_max=30 / 127.5)


@pytest.mark.parametrize("noise", [0.4, 3, 25, 200])
def test_psnr_is_the_closed_formula_and_ssim_that_of_scikit_image(rng, noise):
    smooth = gaussian_filter(rng.normal(size=(70, 90)), 3)
    image = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    restored = np.clip(image + rng.normal(0, noise, image.shape), 0, 255).round()
    psnr, ssim = denoising.fidelity(restored, image)
    assert psnr == pytest.approx(
        10 * np.log10(255**2 / np.square(restored - image).mean()), rel=1e-7
    )
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert ssim == pytest.approx(
        structural_similarity(restored, image.astype(float), data_range=255, **window), abs=1e-4
    )


def test_fidelity_of_an_image_to_itself(image):
    assert denoising.fidelity(image.astype(float), image) == (np.inf, 1)
    psnr, ssim = denoising.fidelity(image[:10] / 1.0, image[:10])  # lower than the window
    assert np.isinf(psnr)
    assert np.isnan(ssim)


def test_psnr_of_what_is_known(image):
    table = denoising.restoration(Identity(), {"one": image, "two": image})
    assert len(table) == 6
    assert not table["out_of_band"].any()
    for level, rows in table.groupby("sigma_255"):
        assert rows["psnr"].to_numpy() == pytest.approx(20 * np.log10(255 / level), abs=0.4)
    assert np.isinf(
        denoising.restoration(Oracle(image), {"one": image}, levels=(15,))["psnr"]
    ).all()


def test_summary_has_a_row_per_folder_and_level(image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = {"a/1": image, "a/2": image, "b/c/1": image, "1": image}
    table = denoising.summary(Narrow(), images, Path())
    assert table["folder"].tolist() == sorted(3 * ["a", "b/c", tmp_path.name])
    assert table["sigma_255"].tolist() == 3 * [15, 25, 50]
    assert table.set_index("folder")["images"].to_dict() == {"a": 2, "b/c": 1, tmp_path.name: 1}
    assert table["out_of_band"].tolist() == 3 * [True, False, True]
    single = denoising.restoration(Narrow(), {"1": image})
    assert table.loc[table["folder"] == "b/c", "psnr"].to_numpy() == pytest.approx(
        single["psnr"], abs=0.006
    )


def test_results_outside_the_trained_band_are_marked(image, digits):
    """The issue's own case: a PSNR at 50 grey levels of a network for 25."""
    frame = denoising.summary(Narrow(), {"a/1": image}, Path())
    text = denoising.marked(frame)
    assert list(text.columns) == ["folder", "sigma_255", "images", "psnr", "ssim"]
    assert [value.endswith("*") for value in text["psnr"]] == [True, False, True]
    assert [value.endswith("*") for value in text["ssim"]] == [True, False, True]
    assert (
        not text[["folder", "sigma_255", "images"]].map(lambda value: "*" in value).any(axis=None)
    )
    assert [float(value.rstrip("*")) for value in text["psnr"]] == pytest.approx(
        frame["psnr"], rel=1e-3
    )
    assert denoising.note(frame, Narrow().spec).endswith("(20 to 30 grey levels)")
    single = dataclasses.replace(Narrow().spec, sigma_min=25 / 127.5, sigma_max=25 / 127.5)
    assert denoising.note(frame, single).endswith("trained on: sigma 0.1961 (25 grey levels)")

    curve = denoising.gauge(Narrow(), digits, 6, sigmas=(0.05, 0.2, 1.0))
    assert denoising.marked(curve)["mse"].str.endswith("*").tolist() == [True, False, True]
    assert not denoising.marked(curve)["mse_mean"].str.endswith("*").any()
    inside = denoising.gauge(Identity(), digits, 6, sigmas=(0.2, 1.0))
    assert denoising.note(inside, Identity().spec) == ""
    assert not denoising.marked(inside).map(lambda value: "*" in value).any(axis=None)


def test_bits_that_rest_on_errors_outside_the_band_are_marked(digits):
    found = likelihood.likelihood(Narrow(), digits, 2)
    text = denoising.marked(found).set_index("grey levels")
    assert text.loc["sigma above 255", "out of band"] == "100%"
    assert 0 < found["out_of_band"].iloc[2] < 1  # 10 to 50 grey levels
    assert text["bits"].str.endswith("*").all()
    assert not text["stderr"].str.endswith("*").any()
    assert not likelihood.likelihood(Identity(), digits, 2)["out_of_band"].any()


def test_the_band_of_a_splice_is_that_of_both_parts(digits):
    spliced = Splice(Identity(), Narrow(), 1.0)
    curve = denoising.gauge(spliced, digits, 6, sigmas=(0.05, 0.2, 2.0))
    assert curve["out_of_band"].tolist() == [True, False, False]
    said = denoising.note(curve, spliced.spec)
    assert "above 1 sigma 0 to inf" in said
    assert said.endswith("(20 to 30 grey levels)")


def test_drawing(image, tmp_path):
    denoising.draw(Identity(), {"a": image, "b": image}, tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as sheet:
        assert sheet.size == (2 * 30 + 3 * 4, 2 * 20 + 3 * 4)


def test_a_card_says_which_of_its_numbers_are_outside_the_band(image, digits, tmp_path):
    for place in ("set/1.png", "small/1.png"):
        (tmp_path / place).parent.mkdir()
        Image.fromarray(image if place.startswith("set") else image[:9]).save(tmp_path / place)
    card = json.loads(json.dumps(cards.on_photographs(Narrow(), tmp_path), allow_nan=False))
    assert card["psnr"].keys() == {"set", "small"}
    assert card["ssim"].keys() == {"set"}  # the others are smaller than the window
    assert card["psnr"]["set"].keys() == {"15", "25", "50"}
    assert card["psnr"]["set"]["25"] == pytest.approx(20 * np.log10(255 / 25), abs=0.4)
    assert card["out_of_band"] == ["15", "50"]
    assert "out_of_band" not in cards.on_photographs(Identity(), tmp_path)
    assert cards.on_photographs(Narrow(), tmp_path / "nowhere") == {}

    few = dataclasses.replace(digits, held_out=digits.held_out[:6])
    card = json.loads(json.dumps(cards.on_held_out(Narrow(), few), allow_nan=False))
    assert (
        list(card["held_out_mse_x_1e3"])
        == card["out_of_band"]
        == ["std 0.2", "std 0.5", "std 0.7", "std 1"]
    )
    assert cards.on_held_out(Identity(), few).keys() == {"held_out_mse_x_1e3"}


def test_curves_are_kept_for_the_report_with_those_they_are_read_against(digits, tmp_path):
    said = []
    frame = denoising.gauge(Identity(), digits, 20)
    path = denoising.keep(
        frame, {"denoiser": "mine.py:load", "weights": "card@0a1b2c3d"}, digits, 20, tmp_path
    )
    denoising.bounds(digits, 20, tmp_path, said.append)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "gaussian.csv",
        "ideal.csv",
        "mine.py-load-card-0a1b2c3d.csv",
    ]
    assert len(said) == 2
    denoising.bounds(digits, 20, tmp_path, said.append)
    assert len(said) == 2  # they are there
    curves = {curve.name: curve.frame for curve in plots.gauged(tmp_path)}
    assert curves.keys() == {"mine.py:load card", "gaussian", "ideal"}
    assert np.allclose(curves["mine.py:load card"]["mse"], frame["mse"], rtol=1e-5)
    assert not curves["mine.py:load card"]["out_of_band"].any()
    assert (curves["gaussian"]["mse"] <= curves["gaussian"]["mse_mean"] * 1.02).all()
    denoising.bounds(digits, 10, tmp_path, said.append)
    assert len(said) == 4  # of other digits
    denoising.bounds(digits, 20, tmp_path, said.append)
    denoising.keep(frame, {"denoiser": "other"}, digits, 10, tmp_path)
    # Measured on other digits.
    assert "other" not in {curve.name for curve in plots.gauged(tmp_path)}


def test_no_more_digits_are_recorded_than_there_are(digits, tmp_path):
    frame = denoising.gauge(Identity(), digits, 20, (0.1,))
    for do in (
        lambda: denoising.gauge(Identity(), digits, 1001, (0.1,)),
        lambda: denoising.keep(frame, {"denoiser": "identity"}, digits, 1001, tmp_path),
        lambda: likelihood.errors(Identity(), digits, 1001),
    ):
        with pytest.raises(
            UsageError, match=r"--num: mnist5k has 1000 held-out images; found 1001"
        ):
            do()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", [lambda text: text[:300], lambda text: text.replace("mnist5k", "other", 1), str.upper]
)
def test_a_curve_that_is_damaged_is_measured_again(digits, tmp_path, damage):
    denoising.keep(
        denoising.gauge(Identity(), digits, 5), {"denoiser": "ideal"}, digits, 5, tmp_path
    )
    path = tmp_path / "gauge" / "ideal.csv"
    assert denoising.is_kept(path, digits, 5)
    path.write_text(damage(path.read_text()))
    assert not denoising.is_kept(path, digits, 5)


def test_curves_do_not_leave_the_folder_and_a_picture_goes_where_its_name_leads(
    image, digits, tmp_path
):
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    results.mkdir()
    elsewhere.mkdir()
    (results / "gauge").symlink_to(elsewhere)
    with pytest.raises(
        UsageError, match=r"results/gauge, where there is a link, which is not followed"
    ):
        denoising.keep(
            denoising.gauge(Identity(), digits, 5, (0.1,)),
            {"denoiser": "identity"},
            digits,
            5,
            results,
        )
    assert not list(elsewhere.iterdir())
    (tmp_path / "link.png").symlink_to(elsewhere / "picture.png")
    denoising.draw(Identity(), {"a": image}, tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert (elsewhere / "picture.png").read_bytes().startswith(b"\x89PNG")
