"""Trains the U-Net from scratch: `bench train unet`."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import schedule, training
from denoisers.unet.net import UNet


def noised(batch: list[Tensor], draws: training.Draws) -> list[Tensor]:
    """What the network sees and answers: x_t, t (B,), eps, and the scale sqrt(abar) (B, 1, 1, 1)."""
    (x0,) = batch
    sigma = training.sample_sigma(len(x0), draws.host)
    eps = torch.randn(x0.shape, generator=draws.device, device=x0.device)
    t = schedule.sigma_to_t(sigma, training.CHAIN)
    levels = torch.stack([t, schedule.vp_scale(sigma), sigma]).float()
    # A GPU is still at the step before.
    t, scale, sigma = levels.to(x0.device, non_blocking=x0.is_cuda)
    scale, sigma = scale[:, None, None, None], sigma[:, None, None, None]
    return [scale * (x0 + sigma * eps), t, eps, scale]


def v_loss(net: nn.Module, x: Tensor, t: Tensor, eps: Tensor, scale: Tensor) -> Tensor:
    """Mean of (eps_hat - eps)^2 / abar: the squared error of v (Salimans & Ho 2022, appendix D)."""
    return ((net(x, t) - eps) / scale).square().mean()


V_LOSS = training.Objective(noised, v_loss, {"loss": "eps-prediction, squared error of v"})


def train(images: Tensor, checkpoint: Path, **options: Any) -> training.Trained:
    """A UNet trained on `images`, float32 (N, 1, 32, 32) in [-1, 1]; options are those of `training.fit`."""
    options = {"batch_size": 256, "muon_lr": 4e-3, "ema_decay": None} | options
    return training.fit(UNet, [images], V_LOSS, checkpoint, **options)
