"""Nearest-neighbour memorization: functions of image arrays. A number here means nothing without its control."""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from sklearn.neighbors import NearestNeighbors

VERSION = 1  # raise it when `nearest` changes: the neighbours of the held-out set are cached
COPY_RATIO = 1 / 3  # Yoon et al. 2023; Gu et al. 2023 (arXiv 2310.02664)


class Neighbours(NamedTuple):
    """The two nearest training images of each query: index of the first, distances to both, all (N,)."""

    index: np.ndarray
    d1: np.ndarray
    d2: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """d1 / d2 in [0, 1]; 0 where both are 0, an exact copy of a training image that occurs twice."""
        return np.divide(self.d1, self.d2, out=np.zeros_like(self.d1), where=self.d2 > 0)


class Rate(NamedTuple):
    """A share of n images, with its exact 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def nearest(queries: np.ndarray, train: np.ndarray) -> Neighbours:
    """Exact search over all of `train`, uint8 (M, H, W) with M >= 2, for uint8 (N, H, W).

    Distances are Euclidean over pixels in [0, 1]. Sums of squared grey levels are integers below 2^53, so float64
    gives them without rounding, and an exact copy has d1 = 0.
    """
    search = NearestNeighbors(n_neighbors=2, algorithm="brute", metric="sqeuclidean")
    search.fit(train.reshape(len(train), -1).astype(np.float64))
    squared, index = search.kneighbors(queries.reshape(len(queries), -1).astype(np.float64))
    d1, d2 = (np.sqrt(squared) / 255).T
    return Neighbours(index[:, 0], d1, d2)


def rate(hits: int, n: int) -> Rate:
    """hits / n with its Clopper-Pearson interval."""
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="exact")
    return Rate(hits / n, float(interval.low), float(interval.high), n)


def copy_rate(neighbours: Neighbours) -> Rate:
    """Share of images with d1 / d2 < 1/3: far nearer to one training image than to any other."""
    return rate(int((neighbours.ratio < COPY_RATIO).sum()), len(neighbours.d1))
