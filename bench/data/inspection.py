"""What a set of images looks like before it is scored: what cannot, and what may not, be meant.

For images made elsewhere. Those that `bench run` makes are as they are: that a denoiser draws
nothing is its result.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from bench.data.dataset import Dataset
from bench.data.levels import blocks, is_grey
from denoisers.errors import UsageError

DIM = 128  # grey level that the brightest pixel of all images reaches, if there is white in them
# Share of a set that may be copies of others in it; 2000 training digits of MNIST have 1.7 %.
COPIES = 0.01
CLEAR, WHITE = 16, 192  # grey levels: a background is neither below the one, nor above the other
# Grey levels of standard deviation, above which a frame is no background but noise or a texture.
FLAT = 32
ALIKE = 0.2  # of the usual size: digits that are drawn into a box differ less in size than that
# Of the usual size: digits that were resized, 28 to 32 pixels or back, differ by an eighth.
SIZES = 0.08, 0.25
COMPARED = 1000  # held-out digits whose size is the usual


class Extent(NamedTuple):
    """How large what is drawn is: the longer side of the box around pixels brighter than half."""

    low: float  # 10 % of the images are smaller
    median: float
    high: float  # 10 % are larger

    def against(self, usual: float) -> float:
        """The size over the usual; 1 if sizes vary, as those of noise, or are too far from it."""
        if not usual or self.high - self.low > ALIKE * usual:
            return 1.0
        ratio = self.median / usual
        return ratio if SIZES[0] < abs(ratio - 1) < SIZES[1] else 1.0


def inspect(images: np.ndarray, dataset: Dataset, what: str) -> list[str]:
    """Sentences about what may not be meant in uint8 images, N > 1, like a dataset's.

    Of images other than digits less is known: only what no images can be.

    Raises UsageError for a set in which nothing is drawn, or drawn in a range that was lost.
    """
    refuse(
        images,
        what,
        "digits, white (255) on black (0)" if dataset.on_black else "images that differ",
    )
    if dataset.what != "digits":
        colourless = dataset.channels == 3 and is_grey(images)
        said = [f"the images are grey, and those of {dataset.name} in colour"] if colourless else []
        return [*said, *repeated(images)]
    sentences = [*contrast(images), *background(images, 1, dataset), *repeated(images)]
    ratio = extent(images).against(usual(dataset))
    if ratio != 1:
        height, width = dataset.size
        bare, framed_size = f"{height}x{width}", in_frame(height, width, dataset.pad)
        was = f"framed to {framed_size} and resized to {bare}"
        if ratio > 1:
            was = f"resized from {bare} to {framed_size} and cut"
        sentences.append(f"the digits have {ratio:.2f} times the usual size; were they {was}?")
    return sentences


def in_frame(height: int, width: int, pad: int) -> str:
    """The size of images with their frame, in words: 32x32."""
    return f"{height + 2 * pad}x{width + 2 * pad}"


def refuse(images: np.ndarray, what: str, expected: str) -> None:
    """Raise UsageError for a set of which no score would say anything."""
    flat = images.reshape(len(images), -1)
    if not np.ptp(flat, axis=1).any():
        only = np.unique(flat[:, 0])
        shown = f"grey level {only[0]}" if len(only) == 1 else f"one of {len(only)} grey levels"
        raise UsageError(f"{what} holds images that are {shown} all over, expected {expected}")
    used = occurring(images)
    if used[-1] <= 1:
        raise UsageError(
            f"{what} holds the grey levels 0 and 1 of 255, all but black: "
            "values in [0, 1] cast to uint8; round 255 times them, or save them as floats"
        )
    if used.tolist() == [0, 1, 255] or used.tolist() == [1, 255]:
        raise UsageError(
            f"{what} holds the grey levels {', '.join(map(str, used))} only: "
            "values in [-1, 1] cast to uint8; round 127.5 times them plus 1, or save them as floats"
        )
    if not (flat != flat[0]).any():
        raise UsageError(
            f"{what} holds one image, {len(images)} times; expected images that differ; "
            "was one saved again and again?"
        )


def contrast(images: np.ndarray) -> list[str]:
    """A sentence if nothing is white, or nothing grey."""
    used = occurring(images)
    if used[-1] < DIM:
        return [
            f"the brightest pixel of all is {used[-1]} of 255; were the values scaled to [0, 255]?"
        ]
    if len(used) == 2:
        return [
            f"only the grey levels {used[0]} and {used[1]} occur; "
            "digits in black and white score worse than grey"
        ]
    return []


def occurring(images: np.ndarray) -> np.ndarray:
    """The grey levels that occur, rising."""
    return np.flatnonzero(sum(np.bincount(part.ravel(), minlength=256) for part in blocks(images)))


def background(images: np.ndarray, width: int, dataset: Dataset) -> list[str]:
    """A sentence if a frame of that width is a background but black; noise is no background."""
    inside = np.zeros(images.shape[1:], bool)
    inside[width:-width, width:-width] = True
    frame = images[:, ~inside]
    level = float(np.median(frame))
    if level < CLEAR or (level < WHITE and frame.std() > FLAT):
        return []
    mend = "invert them: 255 - x" if level >= WHITE else "black is 0 in uint8, -1 or 0 in floats"
    return [
        f"the frame of {width} pixels is of grey level {level:.0f}; "
        f"digits of {dataset.name} are on black; {mend}"
    ]


def repeated(images: np.ndarray) -> list[str]:
    """A sentence if many images are copies of others."""
    copies = len(images) - len({hashlib.sha256(image.tobytes()).digest() for image in images})
    if copies <= COPIES * len(images):
        return []
    return [
        f"{copies} of {len(images)} images are copies of others among them; "
        "was something generated or read twice?"
    ]


def framed(images: np.ndarray, dataset: Dataset, what: str) -> None:
    """Raise UsageError if framed uint8 images (N, H, W) are not like a dataset's in a black frame.

    Such a frame is taken off; what was resized instead, or framed in white, would be cut.
    """
    pad = dataset.pad
    height, width = images.shape[1:3]
    if lines := background(images, pad, dataset):
        raise UsageError(f"{what}: {lines[0]}, and frame them in black, or leave the frame out")
    ratio = extent(images).against(usual(dataset))
    if ratio > 1:
        inner = f"{height - 2 * pad}x{width - 2 * pad}"
        raise UsageError(
            f"{what} holds images of {height}x{width} whose digits have {ratio:.2f} times "
            f"the usual size: resized, where a frame of {pad} black pixels was expected; "
            f"resize them to {inner}, or cut them to it if they are meant to be so"
        )


def usual(dataset: Dataset) -> float:
    """The size of a dataset's digits: half of them are no larger."""
    return extent(dataset.held_out[:COMPARED]).median


def extent(images: np.ndarray) -> Extent:
    """Of uint8 images (N, H, W)."""
    bright = images >= DIM
    sides = np.maximum(*(reach(bright.any(axis)) for axis in (1, 2)))
    return Extent(*np.quantile(sides, [0.1, 0.5, 0.9]).tolist())


def reach(bright: np.ndarray) -> np.ndarray:
    """From the first to the last that is so, in each row of (N, n); 0 where none is."""
    first, last = bright.argmax(1), bright.shape[1] - bright[:, ::-1].argmax(1)
    return np.where(bright.any(1), last - first, 0)
