"""Folders of images: read in order, in grey, cut into tiles that cover them."""

import numpy as np
import pytest
from PIL import Image

from bench.data import photographs
from denoisers.errors import UsageError


@pytest.fixture
def folder(tmp_path, rng):
    for name, shape in [("b/two.png", (40, 31, 3)), ("a.jpg", (24, 24)), ("b/one.PNG", (32, 48))]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_all_images_below_a_folder_in_grey(folder):
    found = photographs.read(folder)
    assert {name: image.shape for name, image in found.items()} == {
        "a.jpg": (24, 24),
        "b/one.PNG": (32, 48),
        "b/two.png": (40, 31),
    }
    assert list(found) == sorted(found)
    assert all(image.dtype == np.uint8 for image in found.values())
    with Image.open(folder / "b/one.PNG") as image:
        assert np.array_equal(found["b/one.PNG"], np.asarray(image))


def test_folders_and_files_that_will_not_do(folder, tmp_path):
    for empty in (tmp_path / "nowhere", folder / "notes.txt"):
        with pytest.raises(UsageError, match="no images"):
            photographs.read(empty)
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ValueError, match=r"broken\.png"):
        photographs.read(folder)


def test_tiles_cover_every_pixel(rng):
    image = np.arange(40 * 31, dtype=np.int64).reshape(40, 31)
    found = photographs.tiles({"one": image, "too small": image[:10]}, 16)
    assert found.shape == (3 * 2, 16, 16)
    assert np.array_equal(np.unique(found), image.ravel())
    with pytest.raises(ValueError, match="at least 41 x 41"):
        photographs.tiles({"one": image}, 41)


def test_natural_photographs_are_where_the_flag_or_the_variable_says(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--data FOLDER"):
        photographs.natural(tmp_path)
    (tmp_path / "restoration" / "train").mkdir(parents=True)
    assert photographs.natural(tmp_path) == tmp_path / "restoration" / "train"
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert photographs.natural(None) == tmp_path / "restoration" / "train"


def deep(image):
    return Image.fromarray(image.astype(np.uint16) * 257)


def clear(image):
    found = Image.fromarray(image)
    found.putalpha(255)
    return found


@pytest.mark.parametrize("change", [deep, clear, lambda image: Image.fromarray(image).convert("P")])
def test_how_deep_and_opaque_they_are_stored_changes_nothing(change, tmp_path, rng):
    image = rng.integers(0, 256, (24, 40), dtype=np.uint8)
    change(image).save(tmp_path / "a.png")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    Image.fromarray(image).save(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png")
    (tmp_path / "._a.png").write_bytes(b"of a Mac")
    found = photographs.read(tmp_path)
    assert list(found) == ["a.png"]
    assert np.array_equal(found["a.png"], image)


def test_a_linked_folder_is_read_once(tmp_path, rng):
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(rng.integers(0, 256, (24, 40), dtype=np.uint8)).save(
        tmp_path / "elsewhere" / "a.png"
    )
    (tmp_path / "here").mkdir()
    for link in ("one", "two"):
        (tmp_path / "here" / link).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
    assert list(photographs.read(tmp_path / "here")) == ["one/a.png"]
