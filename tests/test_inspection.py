"""Sets that cannot be meant are refused, those that may not be are told of, and what denoisers make passes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import inspection
from bench.reporting.results import pictures
from denoisers.errors import UsageError

N = 60
REFERENCE = Path(__file__).parents[1] / "results" / "reference"


def resized(images, side):
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), 2)) for image in images]
    )


def framed(images, value=0):
    return np.pad(images, ((0, 0), (2, 2), (2, 2)), constant_values=value)


REFUSED = {
    "all black": (lambda x: x * 0, "grey level 0 all over"),
    "all white": (lambda x: x * 0 + 255, "grey level 255 all over"),
    "each of one grey": (
        lambda x: x * 0 + np.arange(len(x), dtype=np.uint8)[:, None, None],
        "one of 60 grey levels",
    ),
    "zeros and ones": (lambda x: x // 128, "0 and 1 of 255, all but black: values in .0, 1. cast"),
    "[0, 1] cast": (lambda x: (x / 255).astype(np.uint8), "0 and 1 of 255"),
    "[-1, 1] cast": (
        lambda x: (x / 127.5 - 1).astype(np.int8).view(np.uint8),
        r"0, 1, 255 only: values in \[-1, 1\]",
    ),
    "copies of one": (lambda x: x[:1].repeat(len(x), 0), "holds one image, 60 times"),
}
WARNED = {
    "dim": (lambda x: x // 16, "brightest pixel of all is 15 of 255"),
    "black and white": (lambda x: (x > 127) * np.uint8(255), "only the grey levels 0 and 255"),
    "inverted": (lambda x: 255 - x, "frame of 1 pixels is of grey level 255"),
    "half the range": (lambda x: 128 + x // 2, "frame of 1 pixels is of grey level 128"),
    "some copies": (lambda x: np.concatenate([x, x[:5]]), "5 of 65 images are copies of others"),
    "enlarged and cut": (lambda x: resized(x, 32)[:, 2:-2, 2:-2], r"1\.1. times the usual size"),
    "made smaller": (lambda x: resized(framed(x), 28), r"0\.[89]. times the usual size"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sets_that_cannot_be_meant(case, digits):
    change, said = REFUSED[case]
    with pytest.raises(UsageError, match=said) as refused:
        inspection.inspect(change(digits.held_out[:N]), digits, "x.npz")
    assert "x.npz" in str(refused.value)


@pytest.mark.parametrize("case", WARNED)
def test_sets_that_may_not_be_meant(case, digits):
    change, said = WARNED[case]
    (line,) = inspection.inspect(change(digits.held_out[:N]), digits, "x.npz")
    assert re.search(said, line)


@pytest.mark.parametrize("number", [6, 24, 1000])
def test_digits_raise_no_doubt(number, digits):
    for images in (digits.held_out[:number], digits.train[:number]):
        assert inspection.inspect(images, digits, "") == []
        inspection.framed(framed(images), digits, "")


@pytest.mark.parametrize(
    "path", sorted(REFERENCE.rglob("grid.png")), ids=lambda path: path.parents[1].name
)
def test_what_denoisers_made_raises_no_doubt_however_bad_it_is(path, digits):
    images = pictures.drawn(path)
    # Of `ideal`, and true.
    assert all("copies" in line for line in inspection.inspect(images, digits, ""))
    inspection.framed(framed(images), digits, "")


@pytest.mark.parametrize("number", [24, 500])
@pytest.mark.parametrize("how", ["NEAREST", "BILINEAR", "BICUBIC", "LANCZOS", "BOX"])
def test_digits_resized_to_the_framed_size_are_refused(number, how, digits):
    way = Image.Resampling[how]
    images = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((32, 32), way))
            for image in digits.held_out[:number]
        ]
    )
    with pytest.raises(
        UsageError,
        match=r"x\.npz holds images of 32x32 whose digits have 1\.1.* times the usual size",
    ):
        inspection.framed(images, digits, "x.npz")


@pytest.mark.parametrize("value", [255, 200, 128])
def test_frames_that_are_not_black_are_refused(value, digits):
    with pytest.raises(UsageError, match=f"x.npz: the frame of 2 pixels is of grey level {value}"):
        inspection.framed(framed(digits.held_out[:N], value), digits, "x.npz")


def test_noise_has_no_background_and_no_size(digits, rng):
    noise = rng.integers(0, 256, (N, 32, 32), dtype=np.uint8)
    inspection.framed(noise, digits, "")
    assert inspection.inspect(noise[:, 2:-2, 2:-2], digits, "") == []
    faint = (
        np.clip(framed(digits.held_out[:N]) + rng.normal(0, 20, noise.shape), 0, 255)
        .round()
        .astype(np.uint8)
    )
    inspection.framed(faint, digits, "")
    assert inspection.inspect(faint[:, 2:-2, 2:-2], digits, "") == []
