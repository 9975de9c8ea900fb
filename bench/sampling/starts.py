"""Where a reverse diffusion begins if not in pure noise: a guess at x0, under the noise of the first level.

A network that was trained up to some noise level can be used inside its band only if something else
supplies what the levels above would have decided.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.data.dataset import Dataset
from bench.images import to_float
from bench.noise import GUESS, noise
from denoisers import closed_form

Guess = Callable[[Tensor], Tensor]  # ids int64 (B,) -> x0 float32 (B, C, H, W) in [-1, 1]


def mean(dataset: Dataset, seed: int) -> Guess:
    """The mean training image: knows nothing but the average."""
    image = to_float(dataset.train, dataset.pad).mean(0)
    return lambda ids: image.to(ids.device).expand(len(ids), *dataset.shape)


def gaussian(dataset: Dataset, seed: int) -> Guess:
    """A sample of the Gaussian with the mean and covariance of the training images: second-order statistics."""
    model = closed_form.gaussian(train=to_float(dataset.train, dataset.pad))
    return lambda ids: model.to(ids.device).sample(noise(seed, ids, GUESS, dataset.shape))


def held_out(dataset: Dataset, seed: int) -> Guess:
    """Held-out digit i for image i: the answer, hidden under noise; what the band alone can do."""
    images = torch.from_numpy(dataset.held_out)

    def guess(ids: Tensor) -> Tensor:
        return to_float(images[ids.cpu()].numpy(), dataset.pad).to(ids.device)

    return guess


STARTS: dict[str, Callable[[Dataset, int], Guess]] = {
    "mean": mean,
    "gaussian": gaussian,
    "held-out": held_out,
}
