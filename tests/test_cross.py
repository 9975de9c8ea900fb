"""The crossed experiment, with small networks in the place of the trained ones: cells, files, the picture."""

import json

import numpy as np
import pytest
from PIL import Image

from bench.reporting import collect
from bench.reporting.results import pictures
from bench.studies import cross as study
from bench.studies import cross_page
from bench.studies.crossing import PLACES
from denoisers.errors import UsageError

STAND_INS = {
    ("U-Net", "digits"): ("gaussian", None),
    ("U-Net", "patches"): ("identity", None),
    ("KBNet", "digits"): ("median", None),
    ("KBNet", "patches"): ("mean", None),
}


@pytest.fixture
def photos(tmp_path, rng):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        ramp = np.add.outer(np.arange(64), np.arange(96)) + rng.integers(0, 40, (64, 96)) + 5 * i
        Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def quick(monkeypatch, few_control_sets):
    monkeypatch.setattr(study, "PRIORS", STAND_INS)
    monkeypatch.setattr(study, "STEPS", 3)


@pytest.mark.usefixtures("quick")
def test_eight_cells_both_floors_a_picture_and_a_verdict(tmp_path, photos):
    said = []
    options = {"photos": photos, "num": 8, "dataset": "mnist5k", "say": said.append}
    path = study.cross(tmp_path / "out" / "cross", **options)
    text = path.read_text()
    assert text.count("| held-out |") == 2
    assert "Prior or architecture?" in text
    verdict = json.loads((path.parent / "verdict-cross.json").read_text())
    assert verdict["verdict"] in text
    assert all(sentence in text for sentence in verdict["sentences"])
    assert {len(pairs) for pairs in verdict["better"].values()} == {6}
    sheet = np.asarray(Image.open(path.parent / "cross.png"))
    assert sheet.shape[1] > 1000
    entries, absent = collect(path.parent / "runs")
    assert not absent
    assert len(entries) == len(PLACES)
    made = len(said)
    study.cross(tmp_path / "out" / "cross", **options)
    assert any("complete:" in line for line in said[made:])
    assert path.read_text() == text
    with pytest.raises(UsageError, match=r"--out: .*holds a study with num 8"):
        study.cross(tmp_path / "out" / "cross", **options | {"num": 9})


@pytest.mark.usefixtures("quick")
def test_a_prior_draws_the_same_for_both_kinds_that_it_is_asked_for(tmp_path, photos):
    """What it is asked for decides what the images are held against, not what they are."""
    study.cross(tmp_path / "cross", photos=photos, num=8, dataset="mnist5k")
    runs = sorted((tmp_path / "cross" / "runs" / "identity").glob("*/samples.npz"))
    digits, patches = sorted((pictures.stored(path) for path in runs), key=lambda x: x.shape[1])
    assert (digits.shape, patches.shape) == ((8, 28, 28), (8, 32, 32))
    assert np.array_equal(patches[:, 2:-2, 2:-2], digits)


def test_without_photographs_it_says_which_flag_names_them(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(UsageError, match=r"no natural photographs: .* --photographs FOLDER"):
        study.cross(tmp_path / "cross", dataset="mnist5k", num=8)


def test_the_priors_are_shipped():
    import denoisers

    for (_, learnt), (name, weights) in study.PRIORS.items():
        card = denoisers.load(name, weights).card
        natural = "patches@" in card["data"] or "photographs" in card["data"]
        assert natural == (learnt == "patches")


def test_a_small_image_stands_in_the_middle_of_its_place():
    framed = cross_page.framed(np.full((28, 28), 7, np.uint8))
    assert framed.shape == (32, 32)
    assert (framed[2:-2, 2:-2] == 7).all()
    assert (framed[:2] == cross_page.sheets.BACKGROUND).all()


def test_the_flag_of_another_study_is_refused(bench):
    code, _, err = bench("study", "samplers", "--denoiser", "mean", "--photographs", "x")
    assert code == 2
    assert "--photographs" in err
    assert "is for cross; samplers takes none" in err


def test_the_digits_are_digits(tmp_path, photos):
    np.savez(tmp_path / "mine.npz", arr_0=np.zeros((60, 8, 8), np.uint8))
    with pytest.raises(UsageError, match="--dataset: must be of digits"):
        study.cross(tmp_path / "cross", photos=photos, dataset=str(tmp_path / "mine.npz"), num=8)
