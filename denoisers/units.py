"""The two units of noise: images in [-1, 1] are grey levels 0 to 255, as restoration networks count."""

from typing import TypeVar

T = TypeVar("T")  # float, array or tensor
GREY = 127.5  # grey levels in one unit of sigma


def grey_levels(sigma: T) -> T:
    """A noise level of images in [-1, 1] in grey levels."""
    return GREY * sigma


def from_grey_levels(level: T) -> T:
    """A noise level in grey levels as one of images in [-1, 1]."""
    return level / GREY
