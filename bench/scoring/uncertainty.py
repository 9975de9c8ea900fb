"""Errors, intervals and tests: what turns two numbers into a difference.

Functions of arrays; knows no scores.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to import

REPLICATES = 500
KEPT = 200_000  # images of which all draws are held in memory, 0.4 GB
# Replicate r draws the same rows of any two sets of n images: their difference is then paired.
SEED = 20261121


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    stderr: float

    @property
    def ci95(self) -> tuple[float, float]:
        """The interval of a normal error."""
        return self.value - 1.96 * self.stderr, self.value + 1.96 * self.stderr

    def interval(self, unit: float = 1.0, digits: int = 3) -> str:
        """value [95 % interval], times `unit`."""
        low, high = (unit * bound for bound in self.ci95)
        return f"{unit * self.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    def sign(self) -> int:
        """1 or -1 if the whole 95 % interval lies on that side of 0, else 0."""
        return 0 if abs(self.value) <= 1.96 * self.stderr else (1 if self.value > 0 else -1)


class Rate(NamedTuple):
    """A share of n images, with its exact 95 % interval."""

    value: float
    low: float
    high: float
    n: int


class Statistic(NamedTuple):
    """A number made from n images, and how each of them moves it: the infinitesimal jackknife (Efron 1982, chapter 6).

    influence  float64 (n,), mean 0: to first order, drawing the images again changes the value by
               the mean influence of those drawn
    reference  float64 (m,), the same for the reference set; None where that is not a sample
    """

    value: float
    influence: np.ndarray
    reference: np.ndarray | None = None

    @classmethod
    def mean(cls, values: np.ndarray) -> "Statistic":
        """The mean of (n,)."""
        values = values.astype(np.float64)
        return cls(float(values.mean()), values - values.mean())

    @classmethod
    def left_out(cls, value: float, left_out: np.ndarray, reference: np.ndarray) -> "Statistic":
        """From its values without each image (n,) and without each row of the reference (m,)."""
        return cls(
            value,
            *((len(values) - 1) * (values.mean() - values) for values in (left_out, reference)),
        )

    @property
    def stderr(self) -> float:
        """Of n and m as they are, both independent samples."""
        parts = [self.influence] if self.reference is None else [self.influence, self.reference]
        return float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts if len(part) > 1)))

    @property
    def estimate(self) -> Estimate:
        """Without the influences."""
        return Estimate(self.value, self.stderr)

    def minus(self, other: "Statistic") -> "Statistic":
        """The difference from another; image i of both was made from the same noise, and what they share cancels."""
        if len(self.influence) != len(other.influence):
            raise ValueError(
                f"paired sets have as many images; found {len(other.influence)} and {len(self.influence)}"
            )
        reference = None if self.reference is None else self.reference - other.reference
        return Statistic(self.value - other.value, self.influence - other.influence, reference)

    def replicates(self) -> np.ndarray:
        """Bootstrap values, float64 (REPLICATES,), to first order."""
        change = resampled_mean(self.influence)
        return self.value + (
            change if self.reference is None else change + resampled_mean(self.reference, stream=1)
        )


def paired_difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Mean of second minus first (N,), row by row of the same noise, with its standard error."""
    return Statistic.mean(second).minus(Statistic.mean(first)).estimate


def rate(hits: int, n: int) -> Rate:
    """hits / n with its Clopper-Pearson interval."""
    low = special.betaincinv(hits, n - hits + 1, 0.025) if hits else 0.0
    high = special.betaincinv(hits + 1, n - hits, 0.975) if hits < n else 1.0
    return Rate(hits / n, float(low), float(high), n)


def surely_more(ours: Rate, theirs: Rate) -> bool:
    """Whether a share is above another for certain (95 %): the lower bound of their difference is above 0.

    The bound joins those of both shares: method 10 of Newcombe 1998, Statistics in Medicine 17, 873.
    """
    return ours.value - theirs.value > math.hypot(ours.value - ours.low, theirs.high - theirs.value)


@functools.lru_cache(maxsize=4)
def counts(n: int, *, stream: int = 0) -> np.ndarray:
    """How often each of n rows is drawn in each bootstrap replicate: float32 (REPLICATES, n), each row's sum n.

    stream  0 for the images scored; others for sets that are resampled independently of them
    """
    return np.stack(list(drawn(n, stream)))


def drawn(n: int, stream: int) -> Iterator[np.ndarray]:
    """The rows of `counts`, one after the other: of a million rows they take 2 GB."""
    generator = np.random.default_rng([SEED, stream, n])
    for _ in range(REPLICATES):
        yield np.bincount(generator.integers(n, size=n), minlength=n).astype("f4")


def resampled_mean(values: np.ndarray, *, stream: int = 0) -> np.ndarray:
    """Mean of (n,) in each replicate: float64 (REPLICATES,)."""
    n, small = len(values), values.astype(np.float32)
    few = n <= KEPT
    sums = counts(n, stream=stream) @ small if few else [row @ small for row in drawn(n, stream)]
    return np.asarray(sums, np.float64) / n


def basic(value: float, replicates: np.ndarray) -> tuple[float, float]:
    """The 95 % basic (reverse percentile) interval, 2 value - quantile: Davison & Hinkley 1997, equation 5.6.

    Where resampling moves a statistic by a bias, as it raises FID, this interval moves the other
    way.
    """
    low, high = np.quantile(replicates, (0.025, 0.975))
    return float(2 * value - high), float(2 * value - low)


def p_value(
    difference: np.ndarray, mean: np.ndarray, spread: np.ndarray, replicates: int = REPLICATES
) -> np.ndarray:
    """Two-sided p of "no difference" from mean and standard deviation of its bootstrap values, with Student's tail.

    Their bias is taken away, as in `basic`. Counting replicates beyond 0 instead would end at 2 /
    (replicates + 1), which no correction for many comparisons survives. All arguments broadcast.
    """
    centre = np.abs(2 * difference - mean)
    certain = np.where(centre > 0, np.inf, 0.0)  # without spread
    found = np.divide(centre, spread, out=certain, where=spread > 0)
    return 2 * special.stdtr(replicates - 1, -found)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (m,) corrected for being m: Holm 1979.

    Reject at 5 % where the result is below 0.05.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = stepped.clip(max=1)
    return corrected
