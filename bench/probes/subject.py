"""A denoiser under test, the digits it is tried on, and what a check finds."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from bench.data import datasets
from bench.data.dataset import Dataset
from bench.images import to_float
from bench.noise import noise
from denoisers.base import Denoiser
from denoisers.wrappers import sized

OK, FAIL, NOTE = "ok", "FAIL", "note"
# Images: for what is measured, for what is compared, for what either is so or is not.
NUM, SOME, FEW = 16, 8, 4
# Noise of a reverse diffusion.
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 40.0, 157.0)
BARE = (28, 28)  # the digits without their frame


class Outcome(NamedTuple):
    """What one check found; `remedy` says what to do about a failure, or what to make of a note."""

    verdict: str
    found: str
    remedy: str = ""


class Unusable(Exception):
    """An answer from which nothing can be measured: not of the shape of x, or not finite."""


class Hopeless(Exception):
    """A failure after which there is nothing left to check; its argument is what was found."""


@dataclasses.dataclass
class Subject:
    """A denoiser under test, with digits x0 (B, 1, H, W) in [-1, 1] and noise of their shape.

    refused  what it raises for images of the size that it is asked about, if so; `denoiser` then
             asks at another
    """

    denoiser: Denoiser
    x0: Tensor
    z: Tensor
    refused: str = ""
    answers: dict[float, Tensor] = dataclasses.field(default_factory=dict)
    # Levels at which an answer was not finite.
    broken: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0  # in which `answers` were given

    def noisy(self, sigma: float, num: int | None = None) -> Tensor:
        """The first `num` digits, or all, under noise of that level."""
        return self.x0[:num] + sigma * self.z[:num]

    def ask(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """D(x; sigma). Raises Unusable."""
        level = torch.as_tensor(sigma)
        answer = self.denoiser(x, level)
        if not isinstance(answer, Tensor) or answer.shape != x.shape:
            raise Unusable(f"it returned {kind(answer)} for images {tuple(x.shape)}")
        if not torch.isfinite(answer).all():
            self.broken += level.flatten().tolist()
            raise Unusable(f"NaN or infinity at sigma {shown(level.flatten().tolist())}")
        return answer

    def call(self, sigma: float) -> Tensor:
        """D of all digits under noise of that level, asked once. Raises Unusable."""
        if sigma not in self.answers:
            began = time.perf_counter()
            self.answers[sigma] = self.ask(self.noisy(sigma), sigma)
            self.seconds += time.perf_counter() - began
        return self.answers[sigma]

    def left(self, sigma: float, denoised: Tensor) -> Tensor:
        """Squared error of `denoised` over that of x, by image: the share of noise that is left."""
        num = len(denoised)
        error, noise = denoised - self.x0[:num], sigma * self.z[:num]
        return error.square().mean((1, 2, 3)) / noise.square().mean()

    def error(self, sigma: float) -> float:
        """The share of noise that D leaves, over all images."""
        return self.left(sigma, self.call(sigma)).mean().item()

    def band(self, low: float, high: float, count: int) -> list[float]:
        """Up to `count` of LEVELS, and the ends, in the declared band; in low..high if it reaches there."""
        spec = self.denoiser.spec
        first = min(max(spec.sigma_min, low), spec.sigma_max)
        last = max(min(spec.sigma_max, high), spec.sigma_min)
        inner = [level for level in LEVELS if 1.1 * first < level < last / 1.1]
        near = {
            end: next((level for level in LEVELS if abs(level / end - 1) < 0.01), end)
            for end in (first, last)
        }
        levels = sorted({near[first], *inner, near[last]})
        steps = min(count, len(levels)) - 1
        return [levels[round(i * (len(levels) - 1) / max(steps, 1))] for i in range(steps + 1)]


def kind(answer: object) -> str:
    """Type and shape of what should have been images."""
    if isinstance(answer, Tensor):
        return f"{answer.dtype} {tuple(answer.shape)}"
    return type(answer).__name__


def shown(levels: Iterable[float], values: Iterable[float] | None = None) -> str:
    """In words, as in: 0.05, 0.4; with values: 0.12 at 0.05, 0.08 at 0.4."""
    if values is None:
        return ", ".join(f"{level:.3g}" for level in levels)
    pairs = zip(levels, values, strict=True)
    return ", ".join(f"{value:.2g} at {level:.2g}" for level, value in pairs)


class Probe(NamedTuple):
    """Digits in their frame, noise like them, and what is known of digits without a network."""

    x0: Tensor
    z: Tensor
    mean: Callable[[Tensor, float], Tensor]
    wiener: Callable[[Tensor, float], Tensor]


@functools.cache
def digits() -> Dataset:
    """The embedded digits."""
    return datasets.load("mnist5k")


@functools.cache
def probe() -> Probe:
    """Held-out digits; the mean and the Wiener filter of the training digits, by solving."""
    shown, points = digits(), to_float(digits().train).flatten(1).double()
    mean, cov = points.mean(0), torch.cov(points.T)

    @functools.cache
    def factor(sigma: float) -> Tensor:
        return torch.linalg.cholesky(cov + sigma**2 * torch.eye(len(cov), dtype=cov.dtype))

    def shrink(x: Tensor, sigma: Tensor) -> Tensor:
        """x - sigma^2 (cov + sigma^2)^-1 (x - mean)."""
        off = x.flatten(1).double() - mean
        noise = sigma.double() ** 2 * torch.cholesky_solve(off.T, factor(sigma.item())).T
        return (x.flatten(1) - noise).reshape(x.shape).float()

    def wiener(x: Tensor, sigma: float) -> Tensor:
        return sized(BARE, shrink, x, torch.tensor(sigma))

    def average(x: Tensor, sigma: float) -> Tensor:
        image = mean.float().reshape(1, 1, *BARE)
        return sized(BARE, lambda x, sigma: image.expand(x.shape), x, torch.tensor(sigma))

    x0 = to_float(shown.held_out[:NUM], shown.pad)
    return Probe(x0, noise(0, torch.arange(NUM), 0, shown.shape), average, wiener)
