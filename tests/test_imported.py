"""Images made elsewhere arrive as they are, however they are stored; whatever else is in a file is refused in words."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench import imported
from denoisers.errors import UsageError


@pytest.fixture
def images(digits):
    return digits.held_out[:8]


def as_npz(path, images):
    np.savez(path / "a.npz", arr_0=images[..., None])
    return path / "a.npz"


def as_named(path, images):
    np.savez(path / "a.npz", samples=np.repeat(images[..., None], 3, -1))
    return path / "a.npz"


def as_npy(path, images):
    np.save(path / "a.npy", images)
    return path / "a.npy"


def as_folder(path, images):
    for i, image in enumerate(images):
        Image.fromarray(image).save(path / f"{i:03d}.png")
    return path


def as_unit(path, images):
    torch.save(torch.from_numpy(images)[:, None] / 255, path / "a.pt")
    return path / "a.pt"


def as_signed(path, images):
    torch.save({"images": torch.from_numpy(images)[:, None] / 127.5 - 1}, path / "a.pt")
    return path / "a.pt"


def as_trained(path, images):
    torch.save((torch.from_numpy(images)[:, None] / 255).requires_grad_(), path / "a.pt")
    return path / "a.pt"


def as_nearly_unit(path, images):
    np.save(path / "a.npy", (images / 255 - 1e-6).astype("f4"))
    return path / "a.npy"


def as_padded(path, images):
    np.save(path / "a.npy", np.pad(images, ((0, 0), (2, 2), (2, 2))))
    return path / "a.npy"


@pytest.mark.parametrize(
    "store", [as_npz, as_named, as_npy, as_folder, as_unit, as_signed, as_trained, as_nearly_unit, as_padded]
)
def test_they_come_back_as_they_were(store, images, digits, tmp_path):
    assert np.array_equal(imported.read(store(tmp_path, images), digits), images)


def npy(values):
    def store(path):
        np.save(path / "a.npy", values)
        return path / "a.npy"

    return store


def text(path):
    (path / "a.npz").write_text("no archive")
    return path / "a.npz"


def pickled(path):
    (path / "a.pt").write_bytes(b"\x80\x04K\x01.")
    return path / "a.pt"


def two(path):
    np.savez(path / "a.npz", x=np.zeros((8, 28, 28), np.uint8), y=np.zeros(3))
    return path / "a.npz"


def sizes(path):
    Image.new("L", (28, 28)).save(path / "a.png")
    Image.new("L", (20, 28)).save(path / "b.png")
    return path


colour = np.zeros((8, 28, 28, 3), np.uint8)
colour[..., 0] = 9
nan = np.full((8, 28, 28), np.nan, "f4")


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (lambda path: path / "none.npz", "no file or folder"),
        (text, "cannot be read as arrays"),
        (pickled, "expected an .npz with arr_0, a folder of PNGs or a tensor saved by torch"),
        (two, "holds x, y; expected arr_0"),
        (lambda path: path, "no images in"),
        (sizes, "2 sizes"),
        (npy(colour), "colour images"),
        (npy(nan), "6272 values that are not finite"),
        (npy(np.full((8, 28, 28), 255.0)), "floats from 255 to 255, expected"),
        (npy(np.full((8, 28, 28), -0.2)), r"floats from -0\.2 to -0\.2, expected \[0, 1\] or \[-1, 1\]"),
        (npy(np.zeros((8, 28, 28), int)), "int64, expected uint8"),
        (npy(np.zeros((8, 64, 64), np.uint8)), "64x64 pixels, expected 28x28"),
        (npy(np.zeros((8, 784), np.uint8)), r"shape \(8, 784\)"),
        (npy(np.zeros((5, 28, 28), np.uint8)), "5 images; scores need at least 6"),
        (npy(np.zeros((0, 28, 28), np.uint8)), "0 images"),
    ],
)
def test_what_is_refused(store, said, digits, tmp_path):
    with pytest.raises(UsageError, match=said):
        imported.read(store(tmp_path), digits)
