"""Trains the feature network: `bench train lenet`."""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.scoring.lenet.net import LeNet
from denoisers import training


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image turned by up to 12 degrees, scaled by up to 10 % and moved by up to 2 pixels."""
    draw = torch.rand(4, len(images), generator=generator, device=images.device) * 2 - 1
    angle, scale, move = (
        draw[0] * math.radians(12),
        1 + 0.1 * draw[1],
        draw[2:] * 4 / images.shape[-1],
    )
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack(
        [torch.stack([cos, -sin, move[0]], 1), torch.stack([sin, cos, move[1]], 1)], 1
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # Outside the frame is black, -1.
    return F.grid_sample(images + 1, grid, align_corners=False) - 1


def shown(batch: list[Tensor], levels: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Jittered images and their labels."""
    images, labels = batch
    return [jitter(images, generator), labels]


def cross_entropy(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Classification loss.

    No label smoothing: it would cap the confidence of every image, and pull the features of a class
    together until FID sees the classes and little else.
    """
    return F.cross_entropy(net(images).float(), labels)


CLASSIFICATION = training.Objective(
    shown, cross_entropy, settings={"loss": "cross-entropy; digits turned, scaled and shifted"}
)


def train(images: Tensor, labels: Tensor, checkpoint: Path, **options: Any) -> training.Trained:
    """A LeNet trained on `images`, float32 (N, 1, 28, 28) in [-1, 1], and `labels`, int64 (N,)."""
    options = {"batch_size": training.most(128, images)} | options
    return training.fit(LeNet, [images, labels], CLASSIFICATION, checkpoint, **options)


@torch.inference_mode()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of `images` put in the right class."""
    right = [
        (net(i).argmax(1) == k).sum()
        for i, k in zip(images.split(1000), labels.split(1000), strict=True)
    ]
    return sum(right).item() / len(labels)
