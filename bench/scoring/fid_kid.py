"""Quality as functions of feature arrays (N, d) or class probabilities (N, C).

No images, no files, no devices.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from bench.scoring import uncertainty
from bench.scoring.uncertainty import Statistic

VERSION = 2  # raise it when Moments or KidReference change: references are cached
# Of FID by the width of the features; each costs width cubed.
REPLICATES_BELOW = ((256, 500), (1024, 100), (1e9, 25))
BLOCK = 1024  # rows of a kernel matrix held at once; 60 000 columns of them take 250 MB
SIZES, DRAWS = 15, 4  # of FID at infinity: set sizes from N / 2 to N, random sets of each


class Moments(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d) of features, and the symmetric root of that covariance; float64."""

    mean: np.ndarray
    cov: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Moments":
        """From (N, d). Raises ValueError for fewer than two rows."""
        if len(features) < 2:
            raise ValueError(f"FID needs at least 2 images a side; found {len(features)}")
        mean, cov = weighted(features, np.ones(len(features)))
        values, vectors = np.linalg.eigh(cov)
        return cls(mean, cov, vectors * np.sqrt(values.clip(min=0)) @ vectors.T)


def weighted(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d), row i counted weights[i] times; in the precision of the features."""
    if features.dtype != np.float32:
        features = features.astype(np.float64)
    n = weights.sum()
    mean = weights @ features / n
    centred = features - mean
    return mean, (centred.T * weights) @ centred / (n - 1)


def fid(reference: Moments, generated: np.ndarray) -> float:
    """Frechet distance between the Gaussians fitted to two feature sets: Heusel et al. 2017 (arXiv 1706.08500), eq. 6.

    generated  raw features (N, d). Raises ValueError for fewer than two rows.
    """
    moments = Moments.of(generated.astype(np.float64))
    return frechet(reference, moments.mean, moments.cov)


def frechet(reference: Moments, mean: np.ndarray, cov: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), the root through eigenvalues of the symmetric R1 C2 R1, R1 R1 = C1.

    Covariances of fewer images than dimensions are singular; their zero eigenvalues come out as
    rounding of either sign and count as 0.
    """
    overlap = np.sqrt(np.linalg.eigvalsh(reference.root @ cov @ reference.root).clip(min=0)).sum()
    return float(
        np.square(mean - reference.mean).sum()
        + np.trace(reference.cov)
        + np.trace(cov)
        - 2 * overlap
    )


def fid_replicates(reference: Moments, features: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Bootstrap values of FID, float64 (R,): generated rows (N, d) drawn again, those of the reference to first order.

    Resampling raises FID, so that `uncertainty.basic` is the interval to take. R is smaller for
    wide features.
    """
    # Float32 is enough for the spread of replicates.
    generated = (generated - reference.mean).astype(np.float32)
    number = next(number for width, number in REPLICATES_BELOW if generated.shape[1] <= width)
    centred = reference._replace(mean=np.zeros_like(reference.mean))
    resampled = frechet_of_rows if len(generated) < generated.shape[1] else frechet_of_moments
    drawn = np.array(
        list(resampled(centred, generated, uncertainty.counts(len(generated))[:number]))
    )
    change = fid_influence(
        reference, features, *weighted(generated.astype(np.float64), np.ones(len(generated)))
    )
    return drawn + uncertainty.resampled_mean(change, stream=1)[:number]


def frechet_of_moments(
    reference: Moments, features: np.ndarray, draws: np.ndarray
) -> Iterator[float]:
    """FID of rows (N, d), counted as often as each of `draws` (R, N) says."""
    return (frechet(reference, *weighted(features, weights)) for weights in draws)


def frechet_of_rows(reference: Moments, features: np.ndarray, draws: np.ndarray) -> Iterator[float]:
    """The same for fewer rows than columns, through products of rows (N, N): R C R of A'A has the eigenvalues of A A'.

    reference  with mean 0, as the rows are less its own
    """
    features = features.astype(np.float64)
    rotated = features @ reference.root
    plain, moved = features @ features.T, rotated @ rotated.T
    for weights in draws:
        n = weights.sum()
        within = np.trace(covariances(plain, weights)) / (n - 1)
        overlap = np.sqrt(
            np.linalg.eigvalsh(covariances(moved, weights)).clip(min=0) / (n - 1)
        ).sum()
        shift = weights @ plain @ weights / n**2
        yield float(shift + np.trace(reference.cov) + within - 2 * overlap)


def covariances(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Products of rows (N, N) once their weighted mean is taken off and each is counted by the root of its weight."""
    mean = weights @ products / weights.sum()
    root = np.sqrt(weights)
    return root[:, None] * (products - mean - mean[:, None] + weights @ mean / weights.sum()) * root


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
    centred = features - reference.mean
    curvature = np.einsum("ij,ij->i", centred @ (np.eye(len(mean)) - transport), centred)
    influence = curvature - 2 * centred @ mean
    return influence - influence.mean()


def fid_infinity(reference: Moments, generated: np.ndarray) -> float | None:
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
    values = []
    for size in sizes:
        chosen = generated[generator.permutation(len(generated))[:size]]
        values.append(frechet(centred, *weighted(chosen, np.ones(size))))
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
    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    std = np.where(std > 1e-6 * max(1e-30, std.max()), std, 1.0)
    return Scaled(mean, std, ((features - mean) / std).astype(np.float32))


def kernel(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """(x . y / d + 1)^3 for all pairs, in blocks of rows: the polynomial kernel of Binkowski et al. 2018."""
    columns = torch.from_numpy(y).T
    # Torch, because numpy uses one core for all but the product.
    for rows in torch.from_numpy(x).split(BLOCK):
        block = (rows @ columns).div_(x.shape[1]).add_(1)
        yield block.pow_(3).numpy()


def kernel_sums(x: np.ndarray) -> np.ndarray:
    """Sum over j != i of k(x_i, x_j), float64 (N,)."""
    total = np.concatenate([block.sum(1, dtype=np.float64) for block in kernel(x, x)])
    return total - (np.einsum("ij,ij->i", x, x, dtype=np.float64) / x.shape[1] + 1) ** 3


def kid(reference: KidReference, generated: np.ndarray) -> Statistic:
    """Squared MMD over all pairs, unbiased (so it may be negative), and how each row moves it.

    generated  raw features (N, d), N >= 3
    """
    return Statistic.left_out(*kid_without_each(reference, generated))


def kid_without_each(
    reference: KidReference, generated: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """KID of all rows; KID without each generated row (N,); KID without each row of the reference.

    Binkowski et al. 2018 (arXiv 1801.01401), equation 4. No random subsets, hence no seed.

    generated  raw features (N, d), N >= 3
    """
    n, m = len(generated), len(reference.features)
    if min(n, m) < 3:
        raise ValueError(f"KID needs at least 3 images a side; found {m} and {n} (--num)")
    y = ((generated - reference.mean) / reference.std).astype(np.float32)
    own, other = kernel_sums(y), reference.row_sums
    cross, cross_columns = np.empty(n), np.zeros(m)
    for i, block in enumerate(kernel(y, reference.features)):
        cross[i * BLOCK : i * BLOCK + len(block)] = block.sum(1, dtype=np.float64)
        cross_columns += block.sum(0, dtype=np.float64)
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
