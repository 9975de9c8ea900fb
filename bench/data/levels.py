"""What the numbers of images mean: types and channels of arrays, to grey levels, uint8; or a refusal."""

import math
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image

from bench.channels import tripled
from denoisers.errors import UsageError
from denoisers.units import GREY

LEVEL = 0.5 / 255  # that floats may lie outside their range: they are rounded to it
# Above it floats that reach 255 are grey levels; what only just leaves [0, 1] was not clipped.
BRIGHT = 127
ROUNDING = 1  # grey levels between equal channels, after a lossy format has mixed and unmixed them
PIXELS = 2**22  # of an array that are looked at or converted at once


def transparent(path: Path) -> UsageError:
    """The error for an image that can be seen through: what would be seen is not in the file."""
    return UsageError(
        f"{path} is transparent in places, and nobody knows on what; "
        "flatten it onto the ground it needs"
    )


def grey(channels: np.ndarray, path: Path) -> np.ndarray:
    """One channel of uint8 images (..., C): grey, or three of colour, each with or without alpha.

    Alpha must be opaque, colours equal but for rounding. Raises UsageError.
    """
    channels = opaque(channels, path)
    if channels.shape[-1] < 3:
        return channels[..., 0]
    if not is_grey(channels):
        raise UsageError(
            f"{path} holds colour images, expected grey ones or three equal channels; "
            "make them grey"
        )
    return luma(channels)


def in_colour(channels: np.ndarray, path: Path) -> np.ndarray:
    """Three channels of uint8 images (..., C): of colour, or grey three times, each with or without alpha.

    Raises UsageError unless alpha is opaque.
    """
    channels = opaque(channels, path)
    return channels if channels.shape[-1] == 3 else tripled(channels[..., 0])


def opaque(channels: np.ndarray, path: Path) -> np.ndarray:
    """Images without their alpha, if that is so everywhere. Raises UsageError if it is not."""
    if channels.shape[-1] not in (2, 4):
        return channels
    if (channels[..., -1] != 255).any():
        raise transparent(path)
    return channels[..., :-1]


def is_grey(images: np.ndarray) -> bool:
    """Whether the three channels of uint8 images (..., 3) are equal, but for rounding."""
    return not (images.max(-1) - images.min(-1) > ROUNDING).any()


def luma(images: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) to (...): ITU-R 601, as Pillow rounds it."""
    rows = np.ascontiguousarray(images).reshape(-1, images.shape[-2], 3)
    return np.asarray(Image.fromarray(rows).convert("L")).reshape(images.shape[:-1])


def levels(parts: Iterable[np.ndarray], names: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    """What makes grey levels, uint8, of the values of one set, in parts that are all of one type.

    bool     black and white
    uint8    as they are
    uint16   white is 65535; rounded to the nearest level, so that 257 v is v
    floats   in [0, 1]; in [-1, 1] if one is below -0.5; in [0, 255] if one is above 127; rounded

    names  of the parts, or one for all of them

    Raises UsageError, naming the part, for values outside these ranges, not finite or of another
    type.
    """
    ranges = [span(part, names[min(i, len(names) - 1)]) for i, part in enumerate(parts)]
    low, _, lowest, kind = min(ranges, key=itemgetter(0))
    _, high, highest, _ = max(ranges, key=itemgetter(1))
    if kind is np.bool_:
        return lambda part: part.astype(np.uint8) * np.uint8(255)
    if kind is np.uint8:
        return lambda part: part
    if kind is np.uint16:
        if 0 < high <= 255:
            raise UsageError(
                f"{highest} holds 16-bit values up to {high:.0f}, where white is 65535: "
                "all but black; save them as 8 bit, or times 257"
            )
        return lambda part: ((part.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if low < -0.5 and low >= -1 - LEVEL and high <= 1 + LEVEL:
        scale, shift = GREY, GREY
    elif low >= -LEVEL and high <= 1 + LEVEL:
        scale, shift = 255.0, 0.0
    elif low >= -0.5 and BRIGHT < high <= 255.5:
        scale, shift = 1.0, 0.0
    else:
        which = highest if high > 1 + LEVEL and low >= -1 - LEVEL else lowest
        raise UsageError(
            f"{which} holds floats from {low:.4g} to {high:.4g}, "
            "expected [0, 1], [-1, 1] or [0, 255], or uint8; clip or scale them before they are saved"
        )

    def rounded(part: np.ndarray) -> np.ndarray:
        grey_levels = part.astype(np.float64) * scale + shift
        return grey_levels.round().clip(0, 255).astype(np.uint8)

    return rounded


Span = tuple[float, float, str, type]


def span(part: np.ndarray, name: str) -> Span:
    """Lowest and highest value of a part, with its name and type.

    Raises UsageError if it cannot be grey levels.
    """
    check_type(part.dtype, name)
    if np.issubdtype(part.dtype, np.floating) and (bad := int((~np.isfinite(part)).sum())):
        raise UsageError(f"{name} holds {bad} values that are not finite numbers")
    return float(part.min()), float(part.max()), name, part.dtype.type


def check_type(dtype: np.dtype, name: str) -> None:
    """Raise UsageError for values that cannot be grey levels."""
    if dtype.type not in (np.bool_, np.uint8, np.uint16) and not np.issubdtype(dtype, np.floating):
        raise UsageError(
            f"{name} holds {dtype}, expected uint8, uint16, bool or floats; cast levels to uint8"
        )


def blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """A few images after the other: float64 values of all of them might not fit into memory."""
    count = max(1, PIXELS // max(1, math.prod(images.shape[1:])))
    return (images[i : i + count] for i in range(0, len(images), count))
