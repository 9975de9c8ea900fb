"""Quality as functions of feature arrays (N, d) or class probabilities (N, C).

No images, no files. What takes long is done on the device that is named; the CPU stands in for one
without float64.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.scoring import uncertainty
from bench.scoring.devices import ROWS, one_thread, place, room
from bench.scoring.frechet import Moments, frechet, frechet_of_rows, weighted
from bench.scoring.uncertainty import Statistic

VERSION = 2  # raise it when Moments or KidReference change: references are cached
# Of FID by the width of the features; each costs width cubed.
REPLICATES_BELOW = ((256, 500), (1024, 100), (1e9, 25))
BLOCK = 2**18  # values of a kernel held at once: with their float64 copy 3 MB, in reach of a cache
SIZES, DRAWS = 15, 4  # of FID at infinity: set sizes from N / 2 to N, random sets of each


@one_thread()
def fid(reference: Moments, generated: np.ndarray, device: str = "cpu") -> float:
    """Frechet distance between the Gaussians fitted to two feature sets: Heusel et al. 2017 (arXiv 1706.08500), eq. 6.

    generated  raw features (N, d). Raises ValueError for fewer than two rows.
    """
    if len(generated) < 2:
        raise ValueError(f"FID needs at least 2 images a side; found {len(generated)}")
    (value,) = frechet(reference, generated, np.ones((1, len(generated))), device)
    return float(value)


@one_thread()
def fid_replicates(
    reference: Moments, features: np.ndarray, generated: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """Bootstrap values of FID, float64 (R,): generated rows (N, d) drawn again, those of the reference to first order.

    Resampling raises FID, so that `uncertainty.basic` is the interval to take. R is smaller for
    wide features.
    """
    # Float32 is enough for the spread of replicates.
    generated = (generated - reference.mean).astype(np.float32)
    number = next(number for width, number in REPLICATES_BELOW if generated.shape[1] <= width)
    centred = reference._replace(mean=np.zeros_like(reference.mean))
    resampled = frechet_of_rows if len(generated) < generated.shape[1] else frechet
    drawn = resampled(centred, generated, uncertainty.counts(len(generated))[:number], device)
    change = fid_influence(
        reference, features, *weighted(generated, np.ones(len(generated)), device)
    )
    return drawn + uncertainty.resampled_mean(change, stream=1)[:number]


def fid_influence(
    reference: Moments, features: np.ndarray, mean: np.ndarray, cov: np.ndarray
) -> np.ndarray:
    """How each row of the reference (M, d) moves FID to a set of these moments (mean less the reference's): (M,).

    The derivative of FID by the reference's covariance is I - T, with T = R^-1 (R C R)^1/2 R^-1 the
    map of optimal transport between the two Gaussians.
    """
    values, vectors = np.linalg.eigh(reference.root @ cov @ reference.root)
    inverse = np.linalg.pinv(reference.root, rcond=1e-6, hermitian=True)
    transport = inverse @ (vectors * np.sqrt(values.clip(min=0)) @ vectors.T) @ inverse
    bending = np.eye(len(mean)) - transport

    def of(rows: np.ndarray) -> np.ndarray:
        centred = rows - reference.mean
        return np.einsum("ij,ij->i", centred @ bending, centred) - 2 * centred @ mean

    influence = np.concatenate([of(features[i : i + ROWS]) for i in range(0, len(features), ROWS)])
    return influence - influence.mean()


@one_thread()
def fid_infinity(reference: Moments, generated: np.ndarray, device: str = "cpu") -> float | None:
    """FID of endlessly many images: Chong & Forsyth 2020 (arXiv 1911.07023), section 4.

    FID of n images is biased by c / n, c depending on the generator; a line is fitted to FID
    against 1 / n for subsets of N / 2 to N of the features (N, d), drawn without replacement from a
    fixed seed. None for N < 4 d, where the bias has no such form.
    """
    if len(generated) < 4 * generated.shape[1]:
        return None
    generator = np.random.default_rng([uncertainty.SEED, len(generated)])
    generated = generated - reference.mean
    centred = reference._replace(mean=np.zeros_like(reference.mean))
    sizes = np.linspace(len(generated) / 2, len(generated), SIZES).astype(int).repeat(DRAWS)
    chosen = np.zeros((len(sizes), len(generated)), np.float32)
    for row, size in zip(chosen, sizes, strict=True):
        row[generator.permutation(len(generated))[:size]] = 1
    values = frechet(centred, generated, chosen, device)
    return float(np.polyfit(1 / sizes, values, 1)[1])


@dataclasses.dataclass(frozen=True)
class KidReference:
    """The half of KID that depends on the reference alone; with 60 000 rows it is worth keeping.

    features  float32 (N, d), less `mean` and over `std`, which are 0 and 1 where features are taken
              as they are
    row_sums  float64 (N,), sum over j != i of k(x_i, x_j)
    """

    mean: np.ndarray
    std: np.ndarray
    features: np.ndarray
    row_sums: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, *, standardised: bool = True) -> "KidReference":
        """From raw features (N, d), N >= 2: see `scaled`."""
        found = scaled(features, standardised=standardised)
        return cls(*found, kernel_sums(found.features))


class Scaled(NamedTuple):
    """Features (N, d) as KID takes them, and the mean and scale (d,) that they were brought to it by."""

    mean: np.ndarray
    std: np.ndarray
    features: np.ndarray


def scaled(features: np.ndarray, *, standardised: bool) -> Scaled:
    """Raw features less their mean, over their standard deviation, where KID is of standardised ones.

    Dimensions that never vary are left as they are.
    """
    if not standardised:
        raw = features.astype(np.float32)
        return Scaled(np.zeros(raw.shape[1]), np.ones(raw.shape[1]), raw)
    blocks = [features[i : i + ROWS] for i in range(0, len(features), ROWS)]
    mean = sum(block.sum(0, dtype=np.float64) for block in blocks) / len(features)
    squared = sum(np.square(block - mean).sum(0) for block in blocks) / len(features)
    std = np.where(squared > 1e-12 * max(1e-60, squared.max()), np.sqrt(squared), 1.0)
    parts = [((block - mean) / std).astype(np.float32) for block in blocks]
    return Scaled(mean, std, np.concatenate(parts))


def kernel(x: Tensor, y: Tensor, *, half: bool = False) -> Iterator[tuple[slice, slice, Tensor]]:
    """(x . y / d + 1)^3 for all pairs, in tiles: the polynomial kernel of Binkowski et al. 2018.

    Tiles are float64, of products in float32; each comes with its rows and its columns.

    half  of x and x, only the tiles on and above the diagonal
    """
    side = max(1, math.isqrt(room(BLOCK, x.device)))
    for i in range(0, len(x), side):
        for j in range(i if half else 0, len(y), side):
            rows, columns = slice(i, i + side), slice(j, j + side)
            yield (
                rows,
                columns,
                (x[rows] @ y[columns].T).div_(x.shape[1]).add_(1).pow_(3).double(),
            )


def kernel_sums(features: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Sum over j != i of k(x_i, x_j), float64 (N,), of features float32 (N, d)."""
    x = torch.from_numpy(features).to(place(device))
    squared = torch.cat([block.double().square().sum(1) for block in x.split(ROWS)])
    total = -((squared / x.shape[1] + 1) ** 3)
    for rows, columns, block in kernel(x, x, half=True):
        total[rows] += block.sum(1)
        if rows != columns:
            total[columns] += block.sum(0)
    return total.cpu().numpy()


def cross_sums(
    first: np.ndarray, second: np.ndarray, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of k(x_i, y_j) over j and over i, float64 (N,) and (M,), of features float32 (N, d) and (M, d)."""
    x, y = (torch.from_numpy(each).to(place(device)) for each in (first, second))
    over = [x.new_zeros(len(each), dtype=torch.float64) for each in (x, y)]
    for rows, columns, block in kernel(x, y):
        over[0][rows] += block.sum(1)
        over[1][columns] += block.sum(0)
    return over[0].cpu().numpy(), over[1].cpu().numpy()


def kid(reference: KidReference, generated: np.ndarray, device: str = "cpu") -> Statistic:
    """Squared MMD over all pairs, unbiased (so it may be negative), and how each row moves it.

    generated  raw features (N, d), N >= 3
    """
    return Statistic.left_out(*kid_without_each(reference, generated, device))


def kid_without_each(
    reference: KidReference, generated: np.ndarray, device: str = "cpu"
) -> tuple[float, np.ndarray, np.ndarray]:
    """KID of all rows; KID without each generated row (N,); KID without each row of the reference.

    Binkowski et al. 2018 (arXiv 1801.01401), equation 4. No random subsets, hence no seed.

    generated  raw features (N, d), N >= 3
    """
    n, m = len(generated), len(reference.features)
    if min(n, m) < 3:
        raise ValueError(f"KID needs at least 3 images a side; found {m} and {n} (--num)")
    y = ((generated - reference.mean) / reference.std).astype(np.float32)
    own, other = kernel_sums(y, device), reference.row_sums
    cross, cross_columns = cross_sums(y, reference.features, device)
    within_generated, within_reference, between = own.sum(), other.sum(), cross.sum()
    fixed_generated, fixed_reference = (
        within_generated / (n * (n - 1)),
        within_reference / (m * (m - 1)),
    )
    value = fixed_generated + fixed_reference - 2 * between / (n * m)
    # Each value as it would be without one row; a row's pairs are counted twice in the within-sums.
    left_out = (
        (within_generated - 2 * own) / ((n - 1) * (n - 2))
        + fixed_reference
        - 2 * (between - cross) / ((n - 1) * m)
    )
    left_out_reference = (
        fixed_generated
        + (within_reference - 2 * other) / ((m - 1) * (m - 2))
        - 2 * (between - cross_columns) / (n * (m - 1))
    )
    return float(value), left_out, left_out_reference


def classifier_score(probabilities: np.ndarray) -> Statistic:
    """exp(mean KL(p(y|x) || p(y))) of class probabilities (N, C), 1 to C: Salimans et al. 2016 (arXiv 1606.03498).

    The Inception score with another classifier, over all images at once.
    """
    p = probabilities.astype(np.float64)
    mean = p.mean(0)
    entropies = -(p * np.log(p.clip(min=1e-12))).sum(1)
    surprise = -(p * np.log(mean.clip(min=1e-12))).sum(1)
    score = float(np.exp((surprise - entropies).mean()))
    # The derivative of the entropy of the mean is the surprise itself, less a constant.
    gain = surprise - entropies
    return Statistic(score, score * (gain - gain.mean()))


def class_distance(classes: np.ndarray, number: int = 10) -> Statistic:
    """Total variation between the histogram of predicted classes (N,) and a uniform one, 0 to 1 - 1 / number."""
    one_hot = np.eye(number)[classes]
    departure = one_hot.mean(0) - 1 / number
    return Statistic(
        float(np.abs(departure).sum() / 2), (one_hot - one_hot.mean(0)) @ np.sign(departure) / 2
    )


def mifid(fid_: float, cosine: float, threshold: float) -> float:
    """Memorization-informed FID, Bai et al. 2021 (arXiv 2106.03062): FID / s where s lies below the threshold.

    cosine  s, the mean over *generated* images of the smallest cosine distance to a training image.
            torchmetrics takes it over training images instead, and rewards copies.
    """
    return fid_ / (cosine + 1e-6) if cosine < threshold else fid_
