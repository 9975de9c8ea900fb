"""Images made elsewhere arrive as they are, however they are stored; whatever else is in a file is refused in words."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data import datasets, given
from bench.scoring import extractors, fid_kid, record
from bench.scoring.reference import Reference
from denoisers.errors import UsageError


@pytest.fixture
def images(digits):
    return digits.held_out[:24]


def npz(change, **options):
    """A way to store images: changed, in an npz."""

    def store(path, images):
        np.savez(path / "a.npz", **{options.get("name", "arr_0"): change(images)})
        return path / "a.npz"

    return store


def npy(change):
    def store(path, images):
        np.save(path / "a.npy", change(images))
        return path / "a.npy"

    return store


def tensor(change):
    def store(path, images):
        torch.save(change(torch.from_numpy(images)[:, None]), path / "a.pt")
        return path / "a.pt"

    return store


def files(suffix, change, **options):
    """A way to store images: each changed, in a file of its own."""

    def store(path, images):
        for i, image in enumerate(images):
            change(image).save(path / f"{i:03d}{suffix}", **options)
        return path

    return store


def among_leftovers(path, images):
    """Copies and files of machines between the images, and all behind a link that leads in a circle too."""
    folder = files(".png", Image.fromarray)(path, images)
    for place in (".ipynb_checkpoints", "__MACOSX"):
        (folder / place).mkdir()
        Image.fromarray(images[0]).save(folder / place / "000.png")
    for name in ("._000.png", "Thumbs.db", ".DS_Store", "notes.txt"):
        (folder / name).write_bytes(b"no image")
    (folder / "again").symlink_to(".")
    (folder / "own").mkdir()
    (folder / "000.png").rename(folder / "own" / "000.png")
    return folder


def zipped_by_a_mac(path, images):
    np.savez(path / "a.npz", **{"images": images, "__MACOSX/._images": np.zeros(3)})
    return path / "a.npz"


def coloured(image):
    return Image.fromarray(image).convert("RGB")


def opaque(mode):
    def change(image):
        found = Image.fromarray(image).convert(mode)
        found.putalpha(255)
        return found

    return change


def framed(images):
    return np.pad(images, ((0, 0), (2, 2), (2, 2)))


def thrice(images, axis):
    return np.stack([images] * 3, axis)


def with_alpha(images):
    return np.concatenate([thrice(images, -1), np.full((*images.shape, 1), 255, np.uint8)], -1)


FORMS = {
    "npz": npz(lambda x: x[..., None]),
    "npz, named": npz(lambda x: x, name="samples"),
    "npz of a Mac": zipped_by_a_mac,
    "npy": npy(lambda x: x),
    "framed": npy(framed),
    "three channels last": npy(lambda x: thrice(framed(x), -1)),
    "three channels first": npy(lambda x: thrice(framed(x), 1)),
    "three channels of floats": npy(lambda x: (thrice(x, 1) / 255).astype("f4")),
    "three channels but for rounding": npy(
        lambda x: x[..., None] / 255 * np.array([1, 1 - 1e-7, 1])
    ),
    "four channels": npy(with_alpha),
    "Fortran order": npy(np.asfortranarray),
    "[0, 1]": npy(lambda x: (x / 255).astype("f4")),
    "[0, 1], nearly": npy(lambda x: (x / 255 - 1e-6).astype("f4")),
    "[0, 1] of 64 bit": npy(lambda x: x / 255),
    "[-1, 1]": npy(lambda x: (x / 127.5 - 1).astype("f4")),
    "[-1, 1], framed": npy(lambda x: (framed(x) / 127.5 - 1).astype("f4")),
    "[0, 255]": npy(lambda x: x.astype("f4")),
    "uint16": npy(lambda x: x.astype(np.uint16) * 257),
    "uint16, big endian": npy(lambda x: x.astype(">u2") * 257),
    "tensor": tensor(lambda x: x),
    "tensor in [0, 1]": tensor(lambda x: x / 255),
    "tensor in [-1, 1]": tensor(lambda x: {"images": x / 127.5 - 1}),
    "trained tensor": tensor(lambda x: (x / 255).requires_grad_()),
    "L": files(".png", Image.fromarray),
    "L, framed": files(".png", lambda x: Image.fromarray(np.pad(x, 2))),
    "LA": files(".png", opaque("L")),
    "P": files(".png", lambda x: Image.fromarray(x).convert("P")),
    "RGB": files(".png", coloured),
    "RGBA": files(".png", opaque("RGB")),
    "RGB as BMP": files(".bmp", coloured),
    "RGB as WebP": files(".webp", coloured, lossless=True),
    "I;16": files(".png", lambda x: Image.fromarray(x.astype(np.uint16) * 257)),
    "I;16 as TIFF": files(".tif", lambda x: Image.fromarray(x.astype(np.uint16) * 257)),
    "I, of 16 bit": files(".pgm", lambda x: Image.fromarray(x.astype(np.uint16) * 257)),
    "F": files(".tif", lambda x: Image.fromarray((x / 255).astype("f4"))),
    "F in [-1, 1]": files(".tif", lambda x: Image.fromarray((x / 127.5 - 1).astype("f4"))),
    "among leftovers": among_leftovers,
}


@pytest.mark.parametrize("form", FORMS)
def test_they_come_back_as_they_were(form, images, digits, tmp_path):
    found = given.read(FORMS[form](tmp_path, images), digits)
    if form == "among leftovers":  # the first of them lies in a folder of its own
        found = np.roll(found, 1, axis=0)
    assert np.array_equal(found, images)


@pytest.fixture(scope="module")
def of_mnist(mnist):
    """MNIST, as what images are scored against."""
    return Reference(mnist, extractors.load("lenet-a"))


@pytest.mark.mnist
@pytest.mark.parametrize("form", FORMS)
def test_the_fid_of_24_digits_does_not_depend_on_the_form(form, of_mnist, mnist, tmp_path):
    found = of_mnist.extractor.features(
        given.read(FORMS[form](tmp_path, mnist.held_out[:24]), mnist)
    )
    assert fid_kid.fid(of_mnist.moments, found) == pytest.approx(207.05, abs=0.005)


@pytest.mark.parametrize(
    "store", [npy(lambda x: x > 127), files(".png", lambda x: Image.fromarray(x > 127))]
)
def test_black_and_white_are_the_ends_of_the_range(store, images, digits, tmp_path):
    assert np.array_equal(given.read(store(tmp_path, images), digits), (images > 127) * 255)


def array(values):
    return lambda path: npy(lambda _: values)(path, None)


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


def one_in_colour(path):
    return files(".png", lambda i: Image.new("RGB", (28, 28), (0, 0, 9 * (i == 3))))(path, range(8))


def one_clear(path):
    return files(".png", lambda i: Image.new("LA", (28, 28), (0, 255 - (i == 3))))(path, range(8))


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
        (one_in_colour, r"3\.png holds colour images"),
        (one_clear, r"3\.png is transparent in places"),
        (array(colour), "colour images"),
        (array(nan), "6272 values that are not finite"),
        (array(np.full((8, 28, 28), 256.0)), "floats from 256 to 256, expected"),
        (array(np.full((8, 28, 28), 1.1)), "floats from 1.1 to 1.1, expected"),
        (array(np.full((8, 28, 28), 9, np.uint16)), "16-bit values up to 9, where white is 65535"),
        (array(np.zeros((8, 28, 28), complex)), "complex128, expected uint8"),
        (array(np.zeros((8, 28, 28, 4), np.uint8)), "transparent"),
        (array(np.zeros((8, 28, 28, 5), np.uint8)), r"shape \(8, 28, 28, 5\)"),
        (array(np.full((8, 32, 32), 255, np.uint8)), "frame of 2 pixels is of grey level 255"),
        (
            array(np.full((8, 28, 28), -0.2)),
            r"floats from -0\.2 to -0\.2, expected \[0, 1\], \[-1, 1\]",
        ),
        (array(np.zeros((8, 28, 28), int)), "int64, expected uint8"),
        (array(np.zeros((8, 64, 64), np.uint8)), "64x64 pixels, expected 28x28"),
        (array(np.zeros((8, 784), np.uint8)), r"shape \(8, 784\)"),
        (array(np.zeros((5, 28, 28), np.uint8)), "5 images; scores need at least 6"),
        (array(np.zeros((0, 28, 28), np.uint8)), "0 images"),
    ],
)
def test_what_is_refused(store, said, digits, tmp_path):
    with pytest.raises(UsageError, match=said):
        given.read(store(tmp_path), digits)


@pytest.fixture
def scored(digits, tmp_path, monkeypatch):
    """`scored(images)`: what `bench score` says of images before it scores them."""
    monkeypatch.setattr(datasets, "load", lambda name, folder: digits)
    monkeypatch.setattr(record, "finish", lambda *args: None)

    def score(images, **options):
        np.savez(tmp_path / "a.npz", arr_0=images)
        lines = []
        run, _ = record.score_path(
            tmp_path / "a.npz", out=tmp_path / "results", say=lines.append, **options
        )
        return [line for line in lines if line.startswith("warning")], run.read_json("run.json")[
            "warnings"
        ]

    return score


def test_what_a_set_looks_like_is_looked_at_before_it_is_scored(scored, images, tmp_path):
    assert scored(images) == ([], [])
    for wrong in (images // 255, images * 0, images * 0 + 255, images[:1].repeat(9, 0)):
        with pytest.raises(UsageError, match=r"PATH: .*a\.npz holds"):
            scored(wrong)
    (line,), (kept,) = scored(255 - images)
    assert line == f"warning: {tmp_path}/a.npz: {kept}"
    assert "invert them" in kept


def test_only_the_images_that_are_scored_are_looked_at(scored, images):
    several = np.concatenate([images, images[:6]])
    assert len(scored(several)[0]) == 1
    assert scored(several, num=24) == ([], [])
