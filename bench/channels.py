"""Where the channels of images are: nowhere in grey, (N, H, W); last in colour, (N, H, W, 3)."""

import numpy as np


def channels_of(images: np.ndarray) -> int:
    """1 for images in grey, uint8 (N, H, W); 3 for those in colour, (N, H, W, 3)."""
    return 1 if images.ndim == 3 else images.shape[3]


def tripled(grey: np.ndarray) -> np.ndarray:
    """Images in grey (..., H, W) as images in colour, (..., H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=-1)


def with_channels(images: np.ndarray) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3) to (N, H, W, C), as evaluators expect them in files."""
    return images[..., None] if images.ndim == 3 else images


def without_channels(images: np.ndarray) -> np.ndarray:
    """What `with_channels` was given."""
    return images[..., 0] if images.shape[-1] == 1 else images
