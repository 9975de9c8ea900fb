"""How many bits an image costs: the likelihood of any denoiser from its squared errors.

With y = x + sigma eps and gamma = 1 / sigma^2, the entropy of a discrete x is half the integral of
E|x - E[x | y]|^2 over gamma, in nats (Guo, Shamai & Verdu 2005, "Mutual information and minimum
mean-square error in Gaussian channels", equation 147). Any other estimator has larger errors, so
half the integral of its errors bounds a code length. Grey levels are discrete: nothing is added for
quantisation, and units cancel.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.data.dataset import Dataset
from bench.images import inside, to_float
from bench.noise import noise
from denoisers.base import Denoiser
from denoisers.precision import double
from denoisers.units import GREY, from_grey_levels, grey_levels

EDGES = (255.0, 50.0, 10.0)  # grey levels, between the bands
# Grey levels: above, nothing is known of x; below, rounding gives it back.
HIGHEST, LOWEST = 5100.0, 0.0765
ROUNDED = 3.0  # grey levels, below which knowing that x has 256 of them is worth using
PER_BAND = {"above 255": 16, "50 to 255": 20, "10 to 50": 20, "below 10": 40}  # levels


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Falling noise levels for images in [-1, 1], and the band of each interval between them."""
    ends = [HIGHEST, *EDGES, LOWEST]
    bands = zip(itertools.pairwise(ends), PER_BAND.values(), strict=True)
    parts = [np.geomspace(*pair, count + 1)[:-1] for pair, count in bands]
    levels = from_grey_levels(np.concatenate([*parts, [LOWEST]]))
    return levels, np.repeat(np.arange(len(PER_BAND)), list(PER_BAND.values()))


def estimates(denoiser: Denoiser, x: Tensor, sigma: float) -> list[Tensor]:
    """What is guessed from x: D, clipped.

    In very little noise also D rounded, and x rounded, to grey levels.
    """
    denoised = denoiser(x, torch.tensor(sigma)).clamp(-1, 1)
    if not torch.isfinite(denoised).all():
        raise FloatingPointError(
            f"the denoiser returned NaN at sigma {sigma:.4g}; see `bench check`"
        )
    if grey_levels(sigma) > ROUNDED:
        return [denoised]
    return [denoised, rounded(denoised), rounded(x.clamp(-1, 1))]


def rounded(images: Tensor) -> Tensor:
    """Images in [-1, 1], to the nearest grey levels."""
    return ((images + 1) * GREY).round() / GREY - 1


def errors(
    denoiser: Denoiser,
    dataset: Dataset,
    num: int,
    seed: int = 0,
    advance: Callable[[int], None] = lambda levels: None,
) -> np.ndarray:
    """Squared error of each image at each level, (num, levels): see `error`.

    Raises FloatingPointError for a denoiser that returns NaN, UsageError if there are fewer images.
    """
    columns = []
    for level in range(len(grid()[0])):
        columns.append(error(denoiser, dataset, num, seed, level))
        advance(1)
    return np.stack(columns, 1)


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def error(denoiser: Denoiser, dataset: Dataset, num: int, seed: int, level: int) -> np.ndarray:
    """Squared error of each image at one level of the grid, (num,), summed over its inner pixels.

    Where there are several estimates, it is that of the one which is best on average at this level.
    Noise depends on (seed, image, level) alone: every denoiser gets the same.

    Raises FloatingPointError and UsageError as `errors` does.
    """
    images, sigma = to_float(dataset.first(num), dataset.pad), grid()[0][level].item()
    rows = []
    for ids in torch.arange(len(images)).split(250):
        x0 = images[ids]
        x = x0 + sigma * noise(seed, ids, level, tuple(x0.shape[1:]))
        gaps = torch.stack(estimates(denoiser, x, sigma)) - x0
        rows.append(double(inside(gaps, dataset.pad)).square().sum(dim=(2, 3, 4)))
    per_guess = torch.cat(rows, 1)  # (guesses, num)
    return per_guess[per_guess.mean(1).argmin()].numpy()


def nats(squares: np.ndarray) -> np.ndarray:
    """Nats of each image above the first level, and between each level and the one before, (num, levels).

    The trapezoid in ln gamma of gamma times the error, half of which is the integral; above the
    first level the error is the variance of the data.
    """
    gamma = grid()[0] ** -2.0
    rates = gamma * squares
    between = (rates[:, 1:] + rates[:, :-1]) / 2 * np.diff(np.log(gamma))
    return np.hstack([rates[:, :1], between]) / 2


def bits(squares: np.ndarray, pixels: int) -> pd.DataFrame:
    """Bits per pixel of each band and of all, from `errors`.

    bits         trapezoid in ln gamma of gamma times the error: the integral; with the standard
                 error over images
    upper bound  each error taken at the noisier end of its interval (Kingma et al. 2021, arXiv
                 2107.00630, equation 13): a code that can be carried out, in as many steps as there
                 are levels
    """
    sigmas, band = grid()
    gamma = sigmas**-2.0
    integral = nats(squares)
    first, between = integral[:, 0], integral[:, 1:]
    bound = squares[:, :-1] * np.diff(gamma) / 2
    rows = []
    for index, name in enumerate(PER_BAND):
        inside = band == index
        pair = [part[:, inside].sum(1) + (first if index == 0 else 0) for part in (between, bound)]
        rows.append((f"sigma {name}", *pair))
    rows.append(("all", *(sum(row[i] for row in rows) for i in (1, 2))))
    scale = math.log(2) * pixels
    return pd.DataFrame(
        [
            {
                "grey levels": name,
                "bits": per_image.mean() / scale,
                "stderr": per_image.std(ddof=1) / scale / math.sqrt(len(per_image)),
                "upper bound": bound.mean() / scale,
            }
            for name, per_image, bound in rows
        ]
    )


def likelihood(
    denoiser: Denoiser,
    dataset: Dataset,
    num: int,
    seed: int = 0,
    advance: Callable[[int], None] = lambda levels: None,
) -> pd.DataFrame:
    """Bits per pixel of `num` held-out images under a denoiser, by band of noise; see `bits`.

    out_of_band  share of the intervals between two levels where it was not trained at one of them
    """
    frame = bits(errors(denoiser, dataset, num, seed, advance), math.prod(dataset.size))
    sigmas, band = grid()
    outside = np.array([not denoiser.spec.in_band(sigma) for sigma in sigmas.tolist()])
    touched = outside[1:] | outside[:-1]
    shares = [touched[band == index].mean() for index in range(len(PER_BAND))]
    return frame.assign(out_of_band=[*shares, touched.mean()])
