"""The U-Net with a fault in one band of noise: its answers are blurred there.

What `bench study band` finds of a denoiser whose fault is known:

    bench study band --denoiser examples/faulty.py:load --option low=0.8 --option high=2
"""

import torch
from torch import Tensor
from torch.nn import functional

import denoisers
from denoisers.base import Denoiser
from denoisers.bounds import LEVEL


class Faulty(Denoiser):
    """A denoiser whose D(x; sigma) is blurred, a mean of 5 x 5 pixels, where low < sigma < high."""

    def __init__(self, whole: Denoiser, low: float, high: float) -> None:
        super().__init__()
        self.whole, self.low, self.high = whole, low, high
        self.spec, self.card = whole.spec, whole.card

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        clean = self.whole(x, sigma)
        blurred = functional.avg_pool2d(clean, 5, stride=1, padding=2, count_include_pad=False)
        faulty = (sigma > self.low) & (sigma < self.high)
        return torch.where(faulty.reshape(-1, 1, 1, 1), blurred, clean)


def load(low: str = "0.8", high: str = "2") -> Faulty:
    """Where the fault begins and ends, noise levels for images in [-1, 1]; the same twice for no fault."""
    return Faulty(
        denoisers.load("unet"), LEVEL.parse(low, "--option"), LEVEL.parse(high, "--option")
    )
