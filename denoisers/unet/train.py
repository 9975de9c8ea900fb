"""Trains the U-Net from scratch: `bench train unet`."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import schedule, training
from denoisers.unet.net import UNet

CHAIN = schedule.sigmas_of(schedule.alphas_cumprod(schedule.linear_betas()))


def sample_sigma(batch: int, generator: torch.Generator) -> Tensor:
    """Noise levels of one batch, stratified, float64 (B,).

    Four fifths follow ln sigma ~ N(0.6, 1.5^2), the shape of Karras et al. 2022 moved up: digits are decided between
    0.4 and 8, and real images noised to sigma = 0.8 come back as good as they were, so that more practice below
    would buy nothing. One fifth is uniform in ln sigma, so that no level of the chain goes untrained.
    """
    uniform = (
        torch.arange(batch, dtype=torch.float64) + torch.rand(batch, generator=generator, dtype=torch.float64)
    ) / batch
    log_low, log_high = math.log(CHAIN[0]), math.log(CHAIN[-1])
    normal = 0.6 + 1.5 * torch.special.ndtri((uniform * 1.25).clamp(1e-6, 1 - 1e-6))
    flat = log_low + (log_high - log_low) * (uniform * 5 - 4)
    return torch.where(uniform < 0.8, normal, flat).clamp(log_low, log_high).exp()


def v_loss(net: nn.Module, batch: list[Tensor], generator: torch.Generator) -> Tensor:
    """Mean of (eps_hat - eps)^2 / abar, which is the squared error of v (Salimans & Ho 2022, appendix D)."""
    (x0,) = batch
    sigma = sample_sigma(len(x0), generator).to(x0.device)
    eps = torch.randn(x0.shape, generator=generator, device=x0.device)
    scale = schedule.vp_scale(sigma).float()[:, None, None, None]
    x = scale * (x0 + sigma.float()[:, None, None, None] * eps)
    error = net(x, schedule.sigma_to_t(sigma, CHAIN.to(sigma.device)).float()) - eps
    return (error / scale).square().mean()


def train(images: Tensor, checkpoint: Any, **options: Any) -> nn.Module:
    """A UNet trained on `images`, float32 (N, 1, 32, 32) in [-1, 1]; options are those of `training.fit`."""
    return training.fit(UNet, [images], v_loss, checkpoint, muon_lr=4e-3, ema_decay=0.9995, **options)
