"""Images as arrays: grey levels to [-1, 1] and back, and the noise that is left in them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from denoisers.units import GREY


def to_float(images: np.ndarray, pad: int = 0) -> Tensor:
    """uint8 (N, H, W) to float32 (N, 1, H + 2 pad, W + 2 pad) in [-1, 1]; the padding is black."""
    x = torch.from_numpy(np.ascontiguousarray(images)).float().div_(GREY).sub_(1)[:, None]
    return F.pad(x, (pad,) * 4, value=-1.0)


def to_uint8(x: Tensor, pad: int = 0) -> np.ndarray:
    """float (N, 1, H, W) in [-1, 1] to uint8 (N, H - 2 pad, W - 2 pad), rounded to the nearest level, clipped."""
    height, width = x.shape[-2:]
    x = x[:, 0, pad : height - pad, pad : width - pad]
    return ((x.float() + 1) * GREY).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def noise_std(x: Tensor) -> Tensor:
    """Standard deviation of the white noise in images (B, C, H, W), without knowing them: float32 (B,).

    Median of the absolute diagonal Haar coefficients over 0.6745 (Donoho & Johnstone 1994, section
    4.2): edges are rare enough not to move a median, and flat areas have no coefficients but the
    noise's.
    """
    coefficients = x[..., 0::2, 0::2] - x[..., 0::2, 1::2] - x[..., 1::2, 0::2] + x[..., 1::2, 1::2]
    return (coefficients / 2).abs().flatten(1).median(1).values / 0.6745
