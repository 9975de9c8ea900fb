"""Images in colour and of odd sizes through the whole pipe: sampled, scored, drawn, read back, reported."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import denoisers
from bench import channels, images, sheets
from bench.data import dataset as data
from bench.data import given, inspection
from bench.data.dataset import divided
from bench.reporting.results import pictures
from bench.scoring import control_sets, extractors, guard, measure, memorization
from bench.scoring.nearest import Index
from bench.scoring.reference import Reference
from denoisers import framing
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.splice import Splice
from denoisers.wrappers import ResidualDenoiser


def blobs(count, rng, height=37, width=29):
    """Soft spots of any colour anywhere: images of a kind, no two alike."""
    rows, columns = np.mgrid[:height, :width]
    drawn = []
    for _ in range(count):
        y, x = rng.uniform(5, height - 5), rng.uniform(5, width - 5)
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / rng.uniform(20, 90))
        drawn.append(
            spot[..., None] * rng.uniform(60, 230, 3) + rng.uniform(0, 20, (height, width, 3))
        )
    return np.stack(drawn).astype(np.uint8)


@pytest.fixture(scope="module")
def coloured():
    """A dataset of 240 spots, 24 x 20, in colour."""
    return divided("spots", blobs(240, np.random.default_rng(0), 24, 20), np.arange(240) % 3)


def test_grey_and_colour_become_floats_and_come_back(rng):
    for shape in ((5, 7, 6), (5, 7, 6, 3)):
        whole = rng.integers(0, 256, shape, np.uint8)
        x = images.to_float(whole, pad=2)
        assert x.shape == (5, channels.channels_of(whole), 11, 10)
        assert np.array_equal(images.to_uint8(x, pad=2), whole)
        assert np.array_equal(channels.without_channels(channels.with_channels(whole)), whole)


def test_noise_is_measured_on_odd_sizes_too(generator):
    noise = 0.3 * torch.randn(8, 3, 37, 29, generator=generator)
    assert images.noise_std(noise) == pytest.approx(0.3 * np.ones(8), rel=0.15)


def test_a_folder_of_500_pictures_runs_from_run_to_report(bench, tmp_path, few_control_sets, rng):
    folder = tmp_path / "mine"
    folder.mkdir()
    for i, image in enumerate(blobs(500, rng)):
        Image.fromarray(image).save(folder / f"{i}.png")
    asked = ("--dataset", folder, "--num", 60, "--steps", 10, "--json")
    code, out, _ = bench("run", "--denoiser", "ideal", *asked)
    assert code == 0
    scores = json.loads(out)
    assert scores["memorization"]["pixels"]["copy_rate"]["value"] == 1
    assert scores["scoring"]["judge"] == "none"
    assert not {"confidence", "ambiguous", "mixed", "class_distance"} & scores["scores"].keys()
    assert scores["class_histogram"] == []
    code, out, err = bench("run", "--denoiser", "gaussian", *asked)
    assert code == 0
    code, out, err = bench("report", "results")
    assert code == 0
    assert "ideal memorizes: 100.00% of the images are copies" in " ".join(out.split())
    assert "held-out images" in out
    assert "digit" not in out
    assert "2 results shown" in err
    page = (tmp_path / "results" / "report.html").read_text()
    assert page.count("data:image/png;base64") > 10
    code, out, err = bench("compare", "results")
    assert code == 0
    assert "kid" in out
    assert "confidence" not in out


@pytest.mark.parametrize("name", ["ideal", "gaussian", "gmm", "histogram", "mean", "median"])
def test_closed_forms_take_colour(coloured, name):
    denoiser = denoisers.load(name, **data.ingredients(lambda: coloured))
    assert framing.fit(denoiser, coloured.size, coloured.pad, channels=3) == []
    x0 = images.to_float(coloured.held_out[:4])
    denoised = denoiser(x0 + 0.5 * torch.ones_like(x0), torch.tensor(0.5))
    assert denoised.shape == x0.shape
    assert torch.isfinite(denoised).all()


def test_a_gaussian_of_few_images_is_that_of_their_covariance(coloured):
    few = images.to_float(coloured.train[:100])
    thin = denoisers.closed_form.gaussian(train=few)
    points = few.flatten(1).double()
    whole = denoisers.closed_form.Gaussian(points.mean(0), points.T.cov())
    x = few[:3] + 0.4
    assert torch.allclose(thin(x, torch.tensor(0.4)), whole(x, torch.tensor(0.4)), atol=1e-4)
    assert thin.model.like(x)[2].shape == (1440, 100)


def test_a_network_in_grey_says_so_before_the_first_image(bench, tmp_path):
    np.savez(tmp_path / "mine.npz", arr_0=blobs(60, np.random.default_rng(0), 16, 16))
    for name in ("unet", "kbnet", "splice:unet,kbnet@1"):
        code, _, err = bench(
            "run", "--denoiser", name, "--dataset", "mine.npz", "--protocol", "quick"
        )
        assert code == 2
        assert "--denoiser" in err
        assert "takes images in grey, and these have 3 channels" in " ".join(err.split())
    assert not (tmp_path / "results").exists() or not any((tmp_path / "results").rglob("run.json"))


def test_the_band_of_a_network_in_colour_is_its_own_on_colour():
    spec = Spec("net", "sample", in_channels=3, sigma_min=0.1, sigma_max=0.4)
    net = ResidualDenoiser(nn.Identity(), spec).eval()
    again = framing.banded(ResidualDenoiser(nn.Identity(), spec).eval(), 1)
    assert again.spec == spec
    wider = framing.banded(net, 3).spec
    assert (wider.sigma_min, wider.sigma_max) == pytest.approx((0.1 * 3**0.5, 0.4 * 3**0.5))
    pair = [ResidualDenoiser(nn.Identity(), dataclasses.replace(spec)).eval() for _ in range(2)]
    both = framing.banded(Splice(*pair, 1.0), 3).spec
    assert both.above.sigma_max == pytest.approx(0.4 * 3**0.5)


def test_sheets_in_colour_and_of_any_size_can_be_read_back(tmp_path, rng):
    for shape in ((20, 37, 29, 3), (20, 12, 40)):
        first, other = (rng.integers(0, 255, shape, np.uint8) for _ in range(2))
        ratio = rng.random(20)
        with (tmp_path / "grid.png").open("wb") as file:
            sheets.grid(first, file)
        with (tmp_path / "nearest.png").open("wb") as file:
            sheets.nearest(first, other, ratio, file)
        assert np.array_equal(pictures.drawn(tmp_path / "grid.png"), first)
        order = np.argsort(ratio)
        expected = np.stack([first[order], other[order]], axis=1)
        assert np.array_equal(pictures.pairs(tmp_path / "nearest.png"), expected)
        assert pictures.thumbnails(first).picture.startswith("data:image/png;base64,")


def test_a_sheet_of_no_size_is_refused(tmp_path):
    sheet = Image.fromarray(np.zeros((64, 64), np.uint8))
    for said in ("0x28", "28", "x"):
        sheet.info = {sheets.SIZE: said}
        with pytest.raises(ValueError, match="of no size"):
            sheets.size_on(sheet)


def test_shifts_and_the_guard_of_colour_are_those_of_its_channels(rng):
    whole = rng.integers(0, 256, (6, 9, 7, 3), np.uint8)
    guarded, moved = guard.guarded(whole), memorization.shifted(whole)
    assert moved.shape == (6, 25, 9 * 7 * 3)
    for channel in range(3):
        alone = whole[..., channel]
        assert np.array_equal(guarded[..., channel], guard.guarded(alone))
        assert np.array_equal(
            moved.reshape(6, 25, 9, 7, 3)[..., channel].reshape(6, 25, -1),
            memorization.shifted(alone),
        )


@pytest.mark.parametrize("name", control_sets.CONTROLS)
def test_control_sets_in_colour(coloured, name):
    made = control_sets.CONTROLS[name](coloured, 12)
    assert made.shape == (12, 24, 20, 3)
    assert made.dtype == np.uint8


def test_copies_in_colour_are_called_and_honest_images_are_not(coloured):
    """Of photographs under noise too: see docs/datasets.md."""
    against = Reference(coloured, extractors.load("cifar-a"))
    rates = {}
    for name, control in control_sets.CONTROLS.items():
        made = control(coloured, 40)
        found = against.distances(made)
        rates[name] = {space: float(part.copies.mean()) for space, part in found.items()}
    assert rates["copies"]["pixels"] == 1
    assert rates["copies_shifted"]["shifted"] > 0.9
    assert rates["copies_shifted"]["pixels"] < 0.1
    assert rates["held_out"]["pixels"] < 0.1
    assert rates["gaussian"]["pixels"] < 0.1


def test_what_enters_a_shifted_photograph_goes_on_as_its_edge():
    ramp = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (1, 25, 1))
    dark, on = (
        memorization.shifted(ramp + 5, on_black=black)[0, control_sets.SHIFT].reshape(25, 25)
        for black in (True, False)
    )
    assert (dark[:, 0] == 0).all()
    assert (on[:, 0] == 5).all()
    assert (dark[:, 1:] == on[:, 1:]).all()


def test_shifts_are_searched_in_blocks_with_the_same_result(coloured, monkeypatch):
    index = Index.of(coloured.train.reshape(len(coloured.train), -1))
    whole = memorization.nearest_shifted(coloured.held_out, index, on_black=False)
    monkeypatch.setattr(memorization, "SHIFTED", 1)
    parts = memorization.nearest_shifted(coloured.held_out, index, on_black=False)
    assert np.array_equal(whole.index, parts.index)
    assert np.array_equal(whole.distance, parts.distance)


@pytest.mark.parametrize("side", [64, 200, 500])
def test_sheets_of_large_images_are_no_larger(tmp_path, rng, side):
    large = rng.integers(0, 255, (40, side, side, 3), np.uint8)
    with (tmp_path / "grid.png").open("wb") as file:
        sheets.grid(large, file)
    with (tmp_path / "nearest.png").open("wb") as file:
        sheets.nearest(large, large, np.arange(40.0), file)
    found = pictures.drawn(tmp_path / "grid.png")
    assert np.array_equal(found, large[: len(found)])
    assert len(pictures.pairs(tmp_path / "nearest.png")) >= 1
    assert max(Image.open(tmp_path / "grid.png").size) < 2200


def test_grey_pictures_against_a_dataset_in_colour(coloured, tmp_path, rng):
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (24, 20), np.uint8)).save(tmp_path / f"{i}.png")
    assert given.read(tmp_path, coloured).shape == (8, 24, 20, 3)


def test_pictures_that_are_turned_have_the_size_that_is_seen(coloured, tmp_path, rng):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(8):
        stored = Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8))
        stored.save(tmp_path / f"{i}.jpg", exif=exif)
    assert given.read(tmp_path, coloured).shape == (8, 24, 20, 3)


def test_what_is_measured_without_a_judge(coloured):
    bare = dataclasses.replace(coloured, train_labels=None, held_out_labels=None)
    against = Reference(bare, extractors.load("pixels"))
    assert against.judges is None
    found = measure.measure(coloured.held_out[:20], np.zeros(20, "f4"), against, bootstrap=False)
    assert {"fid", "kid", "precision", "ink"} <= found.scores.scores.keys()
    assert "confidence" not in found.scores.scores
    assert "class" not in found.rows
    assert found.scores.histogram == []


def test_images_made_elsewhere_are_in_colour_as_their_dataset_is(coloured, tmp_path, rng):
    whole = rng.integers(0, 256, (8, 24, 20, 3), np.uint8)
    np.savez(tmp_path / "x.npz", arr_0=whole)
    assert np.array_equal(given.read(tmp_path / "x.npz", coloured), whole)
    np.savez(tmp_path / "grey.npz", arr_0=whole[..., 0])
    grey = given.read(tmp_path / "grey.npz", coloured)
    assert np.array_equal(grey, np.repeat(whole[..., :1], 3, axis=-1))
    assert inspection.inspect(whole, coloured, "x") == []
    assert inspection.inspect(grey, coloured, "x") == [
        "the images are grey, and those of spots in colour"
    ]
    with pytest.raises(
        UsageError, match="that are grey level 0 all over, expected images that differ"
    ):
        inspection.inspect(np.zeros_like(whole), coloured, "x")


def test_digits_are_no_colour(digits, tmp_path, rng):
    np.savez(tmp_path / "x.npz", arr_0=rng.integers(0, 256, (8, 28, 28, 3), np.uint8))
    with pytest.raises(UsageError, match=r"x.npz holds colour images, expected grey ones"):
        given.read(tmp_path / "x.npz", digits)


def test_an_extractor_of_digits_takes_no_others(coloured, digits):
    with pytest.raises(
        UsageError, match="--features: lenet-a takes digits of 28 x 28 in grey; spots"
    ):
        extractors.suiting(coloured, "lenet-a")
    assert extractors.suiting(coloured).name == "cifar-a"
    assert extractors.suiting(digits).name == "lenet-a"
    assert extractors.second("cifar-a", coloured) == "cifar-b"
    assert extractors.second("cifar-b", coloured) == "cifar-a"
    assert extractors.second("pixels", digits) == "lenet-b"
    assert extractors.judges(coloured) == "none"
    assert extractors.judges(digits).startswith("lenet-a@")


def test_the_data_that_a_classifier_learnt_has_it_for_a_judge(coloured):
    assert extractors.judges_of(coloured) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractors, "trained_on", lambda name: coloured.digest)
        assert extractors.judges_of(coloured) == ("lenet-a", "lenet-b")
    named = dataclasses.replace(coloured, what="cifar10")
    assert extractors.judges_of(named) == ("cifar-a", "cifar-b")


@pytest.mark.parametrize("network", ["unet", "kbnet"])
def test_networks_learn_colour_and_are_asked_about_it(network, coloured, tmp_path, monkeypatch):
    from bench import recipes

    monkeypatch.setattr("bench.data.datasets.load", lambda *_: coloured)
    if network == "unet":
        with pytest.raises(UsageError, match="--dataset: spots has images of 24 x 20; the U-Net"):
            recipes.train(network, dataset="spots", epochs=1, out=tmp_path)
        square = dataclasses.replace(
            coloured, train=coloured.train[:, :16, :16], held_out=coloured.held_out[:, :16, :16]
        )
        monkeypatch.setattr("bench.data.datasets.load", lambda *_: square)
    path = recipes.train(network, dataset="spots", epochs=1, batch_size=50, out=tmp_path)
    assert path.name == "spots.safetensors"
    denoiser = denoisers.load(network, str(path))
    assert denoiser.spec.in_channels == 3
    assert denoiser.card["data"].startswith("spots@")
    assert denoiser.card["held_out_mse_x_1e3"].keys() == {"std 0.2", "std 0.5", "std 0.7", "std 1"}
    size = (16, 16) if network == "unet" else coloured.size
    assert framing.fit(denoiser, size, 0, channels=3) == []
    band = framing.banded(denoiser, 3).spec
    assert band.sigma_max == pytest.approx(denoiser.card["sigma_max"], rel=1e-3)
