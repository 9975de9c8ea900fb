"""Trains the U-Net from scratch: `bench train unet`."""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import schedule, training
from denoisers.unet.net import UNet


def levels(size: int, generator: torch.Generator) -> list[Tensor]:
    """Where a batch is on the chain: t, sqrt(abar) and sigma of each image, float32 (3, size)."""
    sigma = training.sample_sigma(size, generator)
    t = schedule.sigma_to_t(sigma, training.CHAIN)
    return [torch.stack([t, schedule.vp_scale(sigma), sigma]).float()]


def noised(batch: list[Tensor], levels: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """What the network sees and answers: x_t, t (B,), eps, and the scale sqrt(abar) (B, 1, 1, 1)."""
    (x0,), ((t, scale, sigma),) = batch, levels
    eps = torch.randn(x0.shape, generator=generator, device=x0.device)
    scale, sigma = scale[:, None, None, None], sigma[:, None, None, None]
    return [scale * (x0 + sigma * eps), t, eps, scale]


def v_loss(net: nn.Module, x: Tensor, t: Tensor, eps: Tensor, scale: Tensor) -> Tensor:
    """Mean of (eps_hat - eps)^2 / abar: the squared error of v (Salimans & Ho 2022, appendix D)."""
    return ((net(x, t) - eps) / scale).square().mean()


V_LOSS = training.Objective(noised, v_loss, levels, {"loss": "eps-prediction, squared error of v"})


def train(images: Tensor, checkpoint: Path, **options: Any) -> training.Trained:
    """A UNet trained on `images`, float32 (N, C, H, W) in [-1, 1]; options are those of `training.fit`."""
    size = training.most(256, images)
    options = {"batch_size": size, "muon_lr": 4e-3, "ema_decay": None} | options
    build = functools.partial(UNet, images=images.shape[1])
    return training.fit(build, [images], V_LOSS, checkpoint, **options)
