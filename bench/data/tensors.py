"""Images in memory, tensors and arrays, as the grey levels that are meant, or a sentence that names the mistake."""

import numpy as np
import torch
from torch import Tensor

from bench.channels import without_channels
from bench.notices import notice
from denoisers.errors import UsageError

LEVEL = 0.5 / 255  # of a range: values are rounded to grey levels, and may lie so far outside it
CHANNELS = (1, 3)
DARK = 0.01  # share of ones in images that may be almost black; digits in {0, 1} have more


def levels(images: np.ndarray | Tensor, value_range: tuple[float, float] | None) -> np.ndarray:
    """Images (N, H, W) or (N, C, H, W) of one or three channels, as uint8 (N, H, W) or (N, H, W, 3).

    Those of NumPy may have their channels last.

    value_range  (black, white) of floats, which are rounded to 256 levels; None where images are uint8

    Raises UsageError, a ValueError, that names the mistake.
    """
    if not isinstance(images, np.ndarray | Tensor):
        found = type(images).__name__
        raise UsageError(
            f"images are a {found}; expected an array or a tensor (bench score reads files)"
        )
    shape = tuple(images.shape)
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.ascontiguousarray(images))
        if images.ndim == 4 and shape[3] in CHANNELS:
            images = images.permute(0, 3, 1, 2)
    if images.ndim == 3:
        images = images[:, None]
    if shape[:1] == (0,):
        raise UsageError(f"images are {shape}: none at all")
    if images.ndim != 4 or images.shape[1] not in CHANNELS or not images.numel():
        last = images.ndim == 4 and images.shape[3] in CHANNELS
        hint = "; channels come second: images.permute(0, 3, 1, 2)" if last else ""
        expected = "expected (N, H, W), (N, 1, H, W) or (N, 3, H, W)"
        raise UsageError(f"images are {shape}; {expected}{hint}")
    if images.dtype == torch.uint8:
        if images.max() == 1 and images.float().mean() > DARK:
            raise UsageError(
                "images are uint8 and none is brighter than 1 of 255: [0, 1] cast to whole numbers; "
                "give floats with value_range=(0, 1), or multiply by 255 before the cast"
            )
    elif not images.is_floating_point():
        raise UsageError(f"images are {images.dtype}; expected uint8, or floats with a value_range")
    else:
        images = rounded(images.float(), value_range)
    return without_channels(images.permute(0, 2, 3, 1).cpu().numpy())


def rounded(images: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Floats in a range as uint8. Raises UsageError for what is not finite, and what lies outside the range."""
    lost = int((~images.isfinite()).sum())
    if lost:
        raise UsageError(f"images hold {lost} values that are not finite numbers")
    low, high = images.min().item(), images.max().item()
    if value_range is None:
        raise UsageError(
            f"images are floats from {low:.4g} to {high:.4g}; say what is black and white, as "
            "value_range=(0, 1) or value_range=(-1, 1), or give uint8"
        )
    black, white = value_range
    slack = LEVEL * (white - black)
    if not black < white:
        raise UsageError(f"value_range is {value_range}; expected (black, white), rising")
    if low < black - slack or high > white + slack:
        raise UsageError(
            f"images hold floats from {low:.4g} to {high:.4g}, outside value_range=({black:g}, {white:g}); "
            "clamp them, or say the range that is meant"
        )
    if black < 0 <= low and high <= 1 + slack and white > 0:
        notice(
            f"images hold floats from {low:.4g} to {high:.4g} where value_range=({black:g}, {white:g}): "
            "none is darker than the middle; if they lie in [0, 1], say value_range=(0, 1)"
        )
    return ((images - black) * (255 / (white - black))).round().clamp(0, 255).to(torch.uint8)
