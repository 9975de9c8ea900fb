"""Tiles of photographs: which, how many, and that no photograph is on both sides."""

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets, patches
from denoisers.errors import UsageError


@pytest.fixture
def photos(tmp_path, rng):
    """Twelve photographs of 70 x 100 pixels, each of one level in 20..240, but for its tiles' places."""
    for i in range(12):
        level = np.full((70, 100), 20 * (i + 1), np.uint8)
        level[:64, :96] += np.arange(6, dtype=np.uint8).reshape(2, 3).repeat(32, 0).repeat(32, 1)
        Image.fromarray(level).save(tmp_path / f"{i}.png")
    return tmp_path


def test_tiles_lie_side_by_side_and_flat_ones_are_kept(photos):
    found = datasets.load(f"patches:{photos}")
    assert (found.name, found.shape, found.pad) == ("patches", (1, 32, 32), 0)
    assert (len(found.train), len(found.held_out)) == (60, 12)
    whole = np.concatenate([found.train, found.held_out])
    assert sorted(np.unique(whole)) == sorted(20 * (i + 1) + j for i in range(12) for j in range(6))
    assert all(np.ptp(tile) == 0 for tile in whole)


def test_train_and_held_out_tiles_are_of_different_photographs(photos):
    found = datasets.load(f"patches:{photos}")
    seen, held = (
        {int(tile.min()) // 20 for tile in part} for part in (found.train, found.held_out)
    )
    assert len(held) == 2
    assert seen.isdisjoint(held)
    assert datasets.load(f"patches:{photos}").id == found.id


def test_folders_called_train_and_test_divide_the_photographs(photos):
    for name, chosen in (("train", range(10)), ("test", range(10, 12))):
        (photos / name).mkdir()
        for i in chosen:
            (photos / f"{i}.png").rename(photos / name / f"{i}.png")
    found = datasets.load(f"patches:{photos}")
    assert {int(tile.min()) // 20 for tile in found.held_out} == {11, 12}


def test_colour_is_made_grey(tmp_path):
    for i in range(6):
        Image.new("RGB", (96, 64), (10 * i, 200, 30)).save(tmp_path / f"{i}.png")
    assert datasets.load(f"patches:{tmp_path}").channels == 1


def test_what_cannot_be_cut_is_said(tmp_path, photos):
    with pytest.raises(UsageError, match=r"^--dataset: no images in .*nowhere"):
        datasets.load(f"patches:{tmp_path / 'nowhere'}")
    few = tmp_path / "few"
    few.mkdir()
    for i in range(5):
        Image.new("L", (64, 64)).save(few / f"{i}.png")
    with pytest.raises(UsageError, match="patches has 5 photographs; expected 6"):
        datasets.load(f"patches:{few}")
    small = tmp_path / "small"
    small.mkdir()
    Image.new("L", (31, 64)).save(small / "a.png")
    with pytest.raises(UsageError, match="smaller than 32 x 32"):
        patches.cut(small)
