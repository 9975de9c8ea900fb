"""Trains KBNet to remove Gaussian noise: `bench train kbnet`."""

import functools
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from denoisers import training
from denoisers.kbnet.net import KBNet

# What two CPU cores can train, 0.8 M parameters: half of the time goes into the blocks of full
# size, where few bases are the largest saving.
MINI = {"width": 16, "encoder": (1, 1, 1), "middle": 4, "decoder": (1, 1, 1), "bases": 4}
# Standard deviation of natural images and of digits, roughly, with grey levels in [0, 1].
SIGNAL = 0.25


def sample_sigma(batch: int, band: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Noise levels of one batch on [0, 1], stratified, float32 (B,).

    Uniform over a band from 0, as blind restoration networks are trained; any other as generative
    ones are.
    """
    low, high = band
    if low not in (0, high):
        return training.sample_sigma(batch, generator, 2 * low, 2 * high).float() / 2
    uniform = torch.rand(batch, generator=generator)
    return low + (high - low) * (torch.arange(batch) + uniform) / batch


def augmented(images: Tensor, patch: int, corners: Tensor, turns: Tensor) -> Tensor:
    """A patch of each image (B, 1, H, W), flipped and turned: (B, 1, patch, patch).

    corners  (B, 2) in [0, 1), where it lies between the first place and the last
    turns    int64 (B,): quarter turns, and 4 more for a mirror image of that
    """
    height, width = images.shape[-2:]
    pixels = ways_to_turn(patch, images.device)[turns]
    rows = pixels // patch + (corners[:, :1] * (height - patch + 1)).long()
    columns = pixels % patch + (corners[:, 1:] * (width - patch + 1)).long()
    taken = images.flatten(2).gather(2, (rows * width + columns)[:, None])
    return taken.unflatten(2, (patch, patch))


@functools.cache
def ways_to_turn(patch: int, device: torch.device) -> Tensor:
    """Which pixel of a square lies at each place once it is turned or mirrored: (8, patch^2)."""
    square = torch.arange(patch * patch).view(patch, patch)
    turned = [square.rot90(quarter) for quarter in range(4)]
    ways = [*turned, *(one.flip(-1) for one in turned)]
    return torch.stack(ways).flatten(1).to(device)


def restoration(
    band: tuple[float, float], norm: Literal["l1", "l2"], patch: int | None
) -> training.Objective:
    """Mean |f(x) - x0| or (f(x) - x0)^2 with x = x0 + sigma eps, for images uint8 or float in [0, 1].

    Over a wide band the plain mean is the error at the largest sigma. There each level is weighted
    so that it counts by its share of what could be known: with 1 / sigma^2 + 1 / SIGNAL^2 (Karras
    et al. 2022, table 1) for l2, with the root of that for l1. A single level or a band from 0 has
    no weights, as restoration networks are trained.
    """
    weighted = 0 < band[0] < band[1]

    def levels(size: int, generator: torch.Generator) -> list[Tensor]:
        places = []
        if patch:
            places.append(torch.rand(size, 2, generator=generator))
            places.append(torch.randint(8, (size,), generator=generator))
        return [sample_sigma(size, band, generator), *places]

    def noised(
        batch: list[Tensor], levels: list[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        (images,), (sigma, *places) = batch, levels
        images = augmented(images, patch, *places) if patch else images
        x0 = images.float() / 255 if images.dtype == torch.uint8 else images
        sigma = sigma[:, None, None, None]
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        weight = (sigma**-2 + SIGNAL**-2) if weighted else torch.ones_like(sigma)
        return [x0 + sigma * noise, x0, weight]

    def loss(net: nn.Module, x: Tensor, x0: Tensor, weight: Tensor) -> Tensor:
        error = net(x).float() - x0
        if norm == "l1":
            return (weight.sqrt() * error.abs()).mean()
        return (weight * error.square()).mean()

    settings = {
        "loss": norm,
        "noise": f"std {band[0]:g} to {band[1]:g} on [0, 1]",
        "patch": patch or "none",
    }
    return training.Objective(noised, loss, levels, settings)


def train(
    images: Tensor,
    checkpoint: Path,
    *,
    band: tuple[float, float],
    norm: Literal["l1", "l2"] = "l1",
    patch: int | None = None,
    size: dict[str, Any] = MINI,
    **options: Any,
) -> training.Trained:
    """A KBNet trained on `images`, (N, C, H, W), uint8 or float32 in [0, 1]; options of `training.fit`.

    band   lowest and highest noise level on [0, 1]; equal for a network of one level
    patch  side of the random patches, flipped and turned; None for whole images as they are
    """
    # The scales of the branches begin at 0.01 and have to rise.
    rates = {"lr": 2e-3, "muon_lr": 2e-3}
    options = {"batch_size": training.most(32, images)} | rates | options
    size = {"channels": images.shape[1]} | size
    return training.fit(
        lambda: KBNet(**size), [images], restoration(band, norm, patch), checkpoint, **options
    )
