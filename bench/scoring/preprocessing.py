"""What is done to images before a network trained on photographs sees them."""

import dataclasses
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def tf1(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear as TensorFlow 1 did it, corners on corners: torch-fidelity, TTUR, torchmetrics up to 1.7."""
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    return interpolate_bilinear_2d_like_tensorflow1x(x, size, align_corners=False)


def half_pixel(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with pixel centres on pixel centres: PyTorch, torchmetrics since 1.8."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def bicubic(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic as Pillow does it on floats: clean-fid."""
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)


RESIZES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "tf1": tf1,
    "half-pixel": half_pixel,
    "bicubic": bicubic,
}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to images before a network sees them; `mean` and `std` are grey levels, one a channel."""

    resize: str  # one of RESIZES, of the whole image: a crop would cut digits
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (B, 1 or C, H, W) to float32 (B, C, *size): resized, grey repeated in every channel, normalised."""
        x = RESIZES[self.resize](images.float(), self.size)
        mean, std = (x.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std
