"""Images as arrays: grey levels to [-1, 1] and back, and the noise that is left in them."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.channels import without_channels
from denoisers.units import GREY


def as_tensor(array: np.ndarray) -> Tensor:
    """The same memory as a tensor, which nothing writes to: the array may be one that can only be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))


def to_float(images: np.ndarray, pad: int = 0) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, 3) to float32 (N, C, H + 2 pad, W + 2 pad) in [-1, 1]; the padding is black."""
    x = as_tensor(images).float().div_(GREY).sub_(1)
    x = x[:, None] if images.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
    return F.pad(x, (pad,) * 4, value=-1.0)


def to_uint8(x: Tensor, pad: int = 0) -> np.ndarray:
    """float (N, C, H, W) in [-1, 1] to uint8 (N, H - 2 pad, W - 2 pad), or (..., 3) in colour, rounded, clipped."""
    x = inside(x, pad).permute(0, 2, 3, 1)
    levels = ((x.float() + 1) * GREY).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return without_channels(levels)


def inside(x: Tensor, pad: int) -> Tensor:
    """Images (..., H, W) without their padding."""
    height, width = x.shape[-2:]
    return x[..., pad : height - pad, pad : width - pad]


def noise_std(x: Tensor) -> Tensor:
    """Standard deviation of the white noise in images (B, C, H, W), without knowing them: float32 (B,).

    Median of the absolute diagonal Haar coefficients over 0.6745 (Donoho & Johnstone 1994, section
    4.2): edges are rare enough not to move a median, and flat areas have no coefficients but the
    noise's.
    """
    height, width = (side // 2 * 2 for side in x.shape[-2:])  # pairs of rows and columns
    x = x[..., :height, :width]
    coefficients = x[..., 0::2, 0::2] - x[..., 0::2, 1::2] - x[..., 1::2, 0::2] + x[..., 1::2, 1::2]
    return (coefficients / 2).abs().flatten(1).median(1).values / 0.6745
