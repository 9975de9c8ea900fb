"""FID, KID and their uncertainty as functions of feature arrays (N, d). No images, no files, no devices."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

VERSION = 1  # raise it when KidReference changes: references are cached
BLOCK = 1024  # rows of a kernel matrix held at once; 60 000 columns of them take 250 MB


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    stderr: float

    def interval(self, unit: float = 1.0, digits: int = 3) -> str:
        """value [95 % interval], times `unit`."""
        low, high = (unit * (self.value + side * 1.96 * self.stderr) for side in (-1, 1))
        return f"{unit * self.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    def sign(self) -> int:
        """1 or -1 if the whole 95 % interval lies on that side of 0, else 0."""
        return 0 if abs(self.value) <= 1.96 * self.stderr else (1 if self.value > 0 else -1)


def fid(reference: np.ndarray, generated: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to two feature sets, (N, d) each: Heusel et al. 2017.

    torchmetrics, given features: float64 sums, unbiased covariances, square root through eigenvalues. Its own image
    path is avoided; it truncates floats to bytes, wraps bytes, and changed its resizing between versions.

    Raises ValueError for fewer than two rows.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes two seconds, which most commands need not wait

    if min(len(reference), len(generated)) < 2:
        raise ValueError(f"FID needs at least 2 images a side; found {len(reference)} and {len(generated)}")
    identity = nn.Identity()
    identity.num_features = reference.shape[1]
    metric = FrechetInceptionDistance(feature=identity)
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(reference).double(), real=True)
    metric.update(torch.from_numpy(generated).double(), real=False)
    return metric.compute().item()


@dataclasses.dataclass(frozen=True)
class KidReference:
    """The half of KID that depends on the reference alone; with 60 000 rows it is worth keeping.

    features  float32 (N, d), standardised by `mean` and `std`
    row_sums  float64 (N,), sum over j != i of k(x_i, x_j)
    """

    mean: np.ndarray
    std: np.ndarray
    features: np.ndarray
    row_sums: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "KidReference":
        """From raw features (N, d), N >= 2. Dimensions that never vary are left as they are."""
        mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
        std = np.where(std > 1e-6 * max(1e-30, std.max()), std, 1.0)
        standard = ((features - mean) / std).astype(np.float32)
        return cls(mean, std, standard, kernel_sums(standard))


def kernel(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """(x . y / d + 1)^3 for all pairs, in blocks of rows: the polynomial kernel of Binkowski et al. 2018."""
    columns = torch.from_numpy(y).T
    for rows in torch.from_numpy(x).split(BLOCK):  # torch, because numpy uses one core for all but the product
        block = (rows @ columns).div_(x.shape[1]).add_(1)
        yield block.pow_(3).numpy()


def kernel_sums(x: np.ndarray) -> np.ndarray:
    """Sum over j != i of k(x_i, x_j), float64 (N,)."""
    total = np.concatenate([block.sum(1, dtype=np.float64) for block in kernel(x, x)])
    return total - (np.einsum("ij,ij->i", x, x, dtype=np.float64) / x.shape[1] + 1) ** 3


def kid(reference: KidReference, generated: np.ndarray) -> Estimate:
    """Squared MMD over all pairs, unbiased (so it may be negative), with its jackknife standard error.

    generated  raw features (N, d), N >= 3
    """
    value, left_out, left_out_reference = kid_without_each(reference, generated)
    return Estimate(value, float(np.sqrt(jackknife(left_out) + jackknife(left_out_reference))))


def kid_difference(reference: KidReference, first: np.ndarray, second: np.ndarray) -> Estimate:
    """KID of the second minus KID of the first, raw features (N, d) each, row i of both made from the same noise.

    The jackknife leaves out row i of both at once, so that what the pairs share cancels.
    """
    if len(first) != len(second):
        raise ValueError(f"paired sets have as many images; found {len(first)} and {len(second)}")
    a, b = kid_without_each(reference, first), kid_without_each(reference, second)
    return Estimate(b[0] - a[0], float(np.sqrt(jackknife(b[1] - a[1]) + jackknife(b[2] - a[2]))))


def paired_difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Mean of second minus first (N,), row by row of the same noise, with its standard error."""
    change = second - first
    return Estimate(float(change.mean()), float(change.std(ddof=1) / np.sqrt(len(change))))


def kid_without_each(reference: KidReference, generated: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """KID of all rows; KID without each generated row (N,); KID without each row of the reference.

    Binkowski et al. 2018 (arXiv 1801.01401), equation 4, on features standardised by the reference: the scale of a
    home-made extractor is arbitrary. No random subsets, hence no seed.

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
    fixed_generated, fixed_reference = within_generated / (n * (n - 1)), within_reference / (m * (m - 1))
    value = fixed_generated + fixed_reference - 2 * between / (n * m)
    # Each value as it would be without one row; a row's pairs are counted twice in the within-sums.
    left_out = (
        (within_generated - 2 * own) / ((n - 1) * (n - 2)) + fixed_reference - 2 * (between - cross) / ((n - 1) * m)
    )
    left_out_reference = (
        fixed_generated
        + (within_reference - 2 * other) / ((m - 1) * (m - 2))
        - 2 * (between - cross_columns) / (n * (m - 1))
    )
    return float(value), left_out, left_out_reference


def jackknife(left_out: np.ndarray) -> float:
    """Variance of a statistic from its leave-one-out values: Efron & Stein 1981."""
    n = len(left_out)
    return float((n - 1) / n * np.square(left_out - left_out.mean()).sum())
