"""Trains the U-Net from scratch: `bench train unet`."""

from typing import Any

import torch
from torch import Tensor, nn

from denoisers import schedule, training
from denoisers.unet.net import UNet


def v_loss(net: nn.Module, batch: list[Tensor], generator: torch.Generator) -> Tensor:
    """Mean of (eps_hat - eps)^2 / abar, which is the squared error of v (Salimans & Ho 2022, appendix D)."""
    (x0,) = batch
    sigma = training.sample_sigma(len(x0), generator).to(x0.device)
    eps = torch.randn(x0.shape, generator=generator, device=x0.device)
    scale = schedule.vp_scale(sigma).float()[:, None, None, None]
    x = scale * (x0 + sigma.float()[:, None, None, None] * eps)
    error = net(x, schedule.sigma_to_t(sigma, training.CHAIN.to(sigma.device)).float()) - eps
    return (error / scale).square().mean()


def train(images: Tensor, checkpoint: Any, **options: Any) -> nn.Module:
    """A UNet trained on `images`, float32 (N, 1, 32, 32) in [-1, 1]; options are those of `training.fit`."""
    return training.fit(UNet, [images], v_loss, checkpoint, muon_lr=4e-3, ema_decay=0.9995, **options)
