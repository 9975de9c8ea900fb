"""Frechet distances from one Gaussian to those fitted to many draws of the same rows, on a device."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.scoring.devices import ROWS, doubles, one_thread, place, room

COVARIANCES = 2**22  # numbers of them held at once
EIGENVALUES_ON_GPU = 512  # width from which a GPU finds them sooner than the CPU


class Moments(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d) of features, and the symmetric root of that covariance; float64."""

    mean: np.ndarray
    cov: np.ndarray
    root: np.ndarray

    @classmethod
    @one_thread()
    def of(cls, features: np.ndarray, device: str = "cpu") -> "Moments":
        """From (N, d). Raises ValueError for fewer than two rows."""
        if len(features) < 2:
            raise ValueError(f"FID needs at least 2 images a side; found {len(features)}")
        mean, cov = weighted(features, np.ones(len(features)), device)
        values, vectors = np.linalg.eigh(cov)
        return cls(mean, cov, vectors * np.sqrt(values.clip(min=0)) @ vectors.T)


def weighted(
    features: np.ndarray, weights: np.ndarray, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d), row i counted weights[i] times; float64."""
    found = moments(torch.from_numpy(features).to(place(device)), doubles(weights, device))
    return tuple(part.cpu().numpy() for part in found)


def moments(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """`weighted` of tensors on one device, the weights float64; of ROWS features at once, as they may be a million."""
    n = weights.sum()
    blocks = list(zip(features.split(ROWS), weights.split(ROWS), strict=True))
    mean = sum(own @ block.double() for block, own in blocks) / n
    cov = sum(
        (centred * own[:, None]).T @ centred
        for centred, own in ((block.double() - mean, own) for block, own in blocks)
    )
    return mean, cov / (n - 1)


def frechet(
    reference: Moments, features: np.ndarray, draws: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """FID of rows (N, d), counted as often as each of `draws` (R, N) says: float64 (R,).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), the root through eigenvalues of the symmetric R1 C2
    R1, R1 R1 = C1. Covariances of fewer images than dimensions are singular; their zero eigenvalues
    come out as rounding of either sign and count as 0.
    """
    x, draws = doubles(features, device), doubles(draws, device)
    mean, root = doubles(reference.mean, device), doubles(reference.root, device)
    values = []
    for part in draws.split(max(1, room(COVARIANCES, x.device) // x.shape[1] ** 2)):
        means, covs = (
            torch.stack(each) for each in zip(*(moments(x, one) for one in part), strict=True)
        )
        apart = (means - mean).square().sum(1) + covs.diagonal(dim1=1, dim2=2).sum(1)
        values.append(apart - 2 * sum_of_roots(root @ covs @ root))
    return torch.cat(values).cpu().numpy() + np.trace(reference.cov)


def frechet_of_rows(
    reference: Moments, features: np.ndarray, draws: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """The same for fewer rows than columns, through products of rows (N, N): R C R of A'A has the eigenvalues of A A'.

    reference  with mean 0, as the rows are less its own
    """
    x, draws = doubles(features, device), doubles(draws, device)
    rotated = x @ doubles(reference.root, device)
    plain, moved = x @ x.T, rotated @ rotated.T
    values = []
    for weights in draws:
        n = weights.sum()
        within = covariances(plain, weights).trace() / (n - 1)
        overlap = sum_of_roots(covariances(moved, weights)[None] / (n - 1))[0]
        values.append(weights @ plain @ weights / n**2 + within - 2 * overlap)
    return torch.stack(values).cpu().numpy() + np.trace(reference.cov)


def covariances(products: Tensor, weights: Tensor) -> Tensor:
    """Products of rows (N, N) once their weighted mean is taken off and each is counted by the root of its weight."""
    mean = weights @ products / weights.sum()
    root = weights.sqrt()
    return root[:, None] * (products - mean - mean[:, None] + weights @ mean / weights.sum()) * root


def sum_of_roots(matrices: Tensor) -> Tensor:
    """Of the eigenvalues of symmetric matrices (R, d, d), (R,); what is below 0 counts as 0."""
    small = matrices.shape[-1] < EIGENVALUES_ON_GPU
    values = torch.linalg.eigvalsh(matrices.cpu() if small else matrices)
    return values.clamp(min=0).sqrt().sum(1).to(matrices.device)
