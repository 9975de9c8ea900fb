"""The control panel: sets of images whose scores are known in kind, made anew from the dataset at hand.

A statistic is worth what it makes of these: held-out images must pass, copies must not, and noise,
shifts and mixtures show which copies it misses.
"""

from collections.abc import Callable

import numpy as np
import torch

from bench.data.dataset import Dataset
from bench.images import to_float, to_uint8
from bench.noise import noise
from bench.scoring.memorization import shifted
from bench.scoring.nearest import Index
from denoisers import closed_form

VERSION = 1  # raise it when a control changes: their scores are cached
SEED = 20261121
FEW = 100_000  # training images that stand for all in a Gaussian, and in the cells of C_T, at most
SHIFT = 11  # the place in `shifted(images, 2)` of one pixel to the right

Control = Callable[[Dataset, int], np.ndarray]  # dataset, n -> uint8 (n or fewer, H, W[, 3])


def held_out(dataset: Dataset, n: int) -> np.ndarray:
    """What an honest generator cannot be told from; all of them if there are fewer than n."""
    return dataset.held_out[:n]


def chosen(dataset: Dataset, n: int) -> np.ndarray:
    """Indices of n training images, the same for every control; with repeats if there are fewer."""
    order = np.random.default_rng(SEED).permutation(len(dataset.train))
    return np.resize(order, n)


def copies(dataset: Dataset, n: int) -> np.ndarray:
    """Training images."""
    return dataset.train[chosen(dataset, n)]


def noisy(std: float) -> Control:
    """Training images + N(0, std^2) in [0, 1]; clipped."""

    def control(dataset: Dataset, n: int) -> np.ndarray:
        x = to_float(copies(dataset, n))
        return to_uint8(x + 2 * std * noise(SEED, torch.arange(n), 0, tuple(x.shape[1:])))

    return control


def moved(dataset: Dataset, n: int) -> np.ndarray:
    """Training images, one pixel to the right."""
    images = copies(dataset, n)
    return shifted(images, on_black=dataset.on_black)[:, SHIFT].reshape(images.shape)


def midpoints(dataset: Dataset, n: int) -> np.ndarray:
    """Halfway between a training image and its nearest other one."""
    own = chosen(dataset, n)
    flat = dataset.train.reshape(len(dataset.train), -1)
    other = Index.of(flat).nearest(flat[own], 1, own=own).index[:, 0]
    pair = dataset.train[own].astype(np.uint16) + dataset.train[other]
    return ((pair + 1) // 2).astype(np.uint8)


def gaussian(dataset: Dataset, n: int) -> np.ndarray:
    """Samples of the Gaussian with the mean and covariance of the training images, of FEW at most."""
    few = slice(None, None, -(-len(dataset.train) // FEW))
    model = closed_form.gaussian(train=to_float(dataset.train[few]))
    shape = dataset.channels, *dataset.size
    return to_uint8(model.sample(noise(SEED, torch.arange(n), 1, shape)))


CONTROLS: dict[str, Control] = {
    "held_out": held_out,
    "copies": copies,
    "copies_noise_0.05": noisy(0.05),
    "copies_noise_0.1": noisy(0.1),
    "copies_noise_0.2": noisy(0.2),
    "copies_shifted": moved,
    "midpoints": midpoints,
    "gaussian": gaussian,
}
