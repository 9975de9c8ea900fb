"""How good a denoiser is as a denoiser: its squared error against the noise level."""

import numpy as np
import pandas as pd
import torch

from bench.data import Dataset, to_float
from bench.noise import noise
from denoisers.base import Denoiser

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 80.0)


@torch.inference_mode()
def gauge(
    denoiser: Denoiser, dataset: Dataset, num: int, sigmas: tuple[float, ...] = SIGMAS, seed: int = 0
) -> pd.DataFrame:
    """Mean squared error per pixel on the first `num` held-out images, one row per noise level.

    sigma     in [-1, 1] units; std = sigma / 2 is the same on [0, 1], and 127.5 sigma on 0 .. 255
    mse       of the clipped estimate, with images in [0, 1], over the image without its padding
    mse_mean  the same of the constant mean training image, which needs no denoiser
    psnr      -10 log10(mse)

    Noise depends on (seed, image, level) alone: every denoiser gets the same.
    """
    images = to_float(dataset.held_out[:num], dataset.pad)
    inner = slice(dataset.pad, images.shape[-1] - dataset.pad)
    mean = to_float(dataset.train, dataset.pad).mean(0)
    baseline = ((images - mean) / 2)[..., inner, inner].square().mean().item()
    rows = []
    for level, sigma in enumerate(sigmas):
        total = 0.0
        for ids in torch.arange(len(images)).split(250):
            x0 = images[ids]
            x = x0 + sigma * noise(seed, ids, level, tuple(x0.shape[1:]))
            error = (denoiser(x, torch.tensor(sigma)).clamp(-1, 1) - x0) / 2
            total += error[..., inner, inner].square().mean(dim=(1, 2, 3)).sum().item()
        mse = total / len(images)
        rows.append({"sigma": sigma, "std": sigma / 2, "mse": mse, "mse_mean": baseline, "psnr": -10 * np.log10(mse)})
    return pd.DataFrame(rows)
