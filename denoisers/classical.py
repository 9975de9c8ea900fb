"""Restoration without learning: median, bilateral, total variation, non-local means, BM3D.

None of them knows digits. They keep the mean of an image at every noise level, which a generative
prior must not. scikit-image comes with the extra `classical`, bm3d with the extra `bm3d`.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from denoisers.adapters import extra
from denoisers.base import Denoiser, Spec
from denoisers.bounds import Bound, option
from denoisers.errors import UsageError

LARGEST = Bound(1, 31)  # side of a median filter: it takes side x side times the memory of an image

Filter = Callable[[np.ndarray, float], np.ndarray]  # float64 (H, W), sigma -> float64 (H, W)


class Classical(Denoiser):
    """A filter for one grey image, as a denoiser: channels and images one by one, on the CPU."""

    def __init__(self, name: str, restore: Filter) -> None:
        super().__init__()
        self.spec, self.restore = Spec(name, "sample", blind=False), restore

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        levels = sigma.flatten().expand(len(x)).tolist()
        rows = [
            np.stack([self.restore(channel, level) for channel in image])
            for image, level in zip(x.cpu().double().numpy(), levels, strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).to(x)


class Median(Denoiser):
    """The median of k x k pixels, k = 2 round(2 sigma) + 1 and at most `largest`."""

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.spec, self.largest = Spec("median", "sample", sigma_min=0.3, blind=False), largest

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        levels, out = sigma.flatten().expand(len(x)), torch.empty_like(x)
        sides = (2 * (2 * levels).round() + 1).clamp(max=self.largest).long()
        for side in sides.unique().tolist():
            out[sides == side] = median_filter(x[sides == side], side)
        return out


def median_filter(x: Tensor, side: int) -> Tensor:
    """Median of side x side pixels around each of x (B, C, H, W), its edge continued outwards."""
    windows = F.unfold(F.pad(x.flatten(0, 1)[:, None], (side // 2,) * 4, mode="replicate"), side)
    return windows.median(1).values.reshape(x.shape)


def median(largest: str = "9") -> Median:
    """A median filter that grows with the noise, up to --option largest=9 pixels a side (odd, in 1..31)."""
    side = option("largest", LARGEST, largest)
    if side % 2 == 0:
        raise UsageError(f"largest must be an odd number of pixels; found {largest!r}", "--option")
    return Median(side)


def tv() -> Classical:
    """Total variation: Chambolle 2004, "An algorithm for total variation minimization", with weight sigma."""
    restoration = extra("skimage.restoration", "classical")

    def restore(image: np.ndarray, sigma: float) -> np.ndarray:
        return restoration.denoise_tv_chambolle(image, weight=sigma)

    return Classical("tv", restore)


def nlm() -> Classical:
    """Non-local means: Buades, Coll & Morel 2005; 5 x 5 patches within 6 pixels, h = 0.8 sigma."""
    restoration = extra("skimage.restoration", "classical")
    fixed = {"patch_size": 5, "patch_distance": 6, "fast_mode": True}

    def restore(image: np.ndarray, sigma: float) -> np.ndarray:
        return restoration.denoise_nl_means(image, h=0.8 * sigma, sigma=sigma, **fixed)

    return Classical("nlm", restore)


def bilateral() -> Classical:
    """Bilateral filter: Tomasi & Manduchi 1998; 2 sigma in grey levels, 2 pixels in space."""
    restoration = extra("skimage.restoration", "classical")

    def restore(image: np.ndarray, sigma: float) -> np.ndarray:
        low = image.min()  # it refuses negative grey levels, and does not depend on their origin
        return low + restoration.denoise_bilateral(
            image - low, sigma_color=2 * sigma, sigma_spatial=2, mode="edge"
        )

    return Classical("bilateral", restore)


def bm3d() -> Classical:
    """BM3D: Dabov et al. 2007, "Image denoising by sparse 3-D transform-domain collaborative filtering"."""
    package = extra("bm3d", "bm3d")
    return Classical("bm3d", lambda image, sigma: package.bm3d(image, sigma_psd=sigma))
