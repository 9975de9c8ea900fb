"""Noise levels: the VP chain (betas, alphas_cumprod), the sigma grids and the map sigma <-> t.

VE and VP describe one process: x_t = sqrt(abar_t) x with x = x0 + sigma_t eps and sigma_t^2 = (1 -
abar_t) / abar_t. Array index i holds the t = i + 1 of the papers, so abar[0] is abar_1 and the
clean image has abar = 1. Everything is float64: 1 - abar_1 is 1e-4, too close to rounding for
float32.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from denoisers.bounds import LEVEL, RHO
from denoisers.errors import UsageError
from denoisers.precision import double

TIMESTEPS = 1000
KARRAS_RHO = 7.0


def linear_betas(timesteps: int = TIMESTEPS, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """The variances beta_t of Ho et al. 2020 (arXiv 2006.11239), section 4.

    They are meant for 1000 timesteps: a shorter chain is a subset of this one, never
    `timesteps=200` here, which would end at sigma = 2.6 and make the start from pure noise wrong.
    """
    return torch.linspace(first, last, timesteps, dtype=torch.float64)


def cosine_betas(
    timesteps: int = TIMESTEPS, offset: float = 0.008, largest: float = 0.999
) -> Tensor:
    """The variances of Nichol & Dhariwal 2021 (arXiv 2102.09672), equation 17, capped at `largest`."""
    level = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + offset) / (1 + offset)
    abar = torch.cos(level * math.pi / 2) ** 2
    return (1 - abar[1:] / abar[:-1]).clamp(max=largest)


def alphas_cumprod(betas: Tensor) -> Tensor:
    """abar_t = prod_{s<=t} (1 - beta_s)."""
    return torch.cumprod(1 - betas.double(), dim=0)


def sigmas_of(abar: Tensor) -> Tensor:
    """VE noise level of each VP step: sqrt((1 - abar) / abar)."""
    return ((1 - abar) / abar).sqrt()


def chain_of(abar: Tensor) -> Tensor:
    """The rising VE noise levels of a chain, float64, without a last step of pure noise (abar = 0: infinite sigma)."""
    levels = sigmas_of(abar.double())
    return levels[levels.isfinite()]


def vp_scale(sigma: Tensor) -> Tensor:
    """sqrt(abar) = 1 / sqrt(1 + sigma^2): multiplies VE x to give VP x_t."""
    return (1 + sigma**2).rsqrt()


def sigma_to_t(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """Position of `sigma` in the rising chain `sigmas`, 0-based, linear in log sigma between its members.

    Outside the chain the nearest end is returned.
    """
    levels = double(sigma).log()
    chain = double(sigmas).to(levels.device).log()
    low = (torch.searchsorted(chain, levels) - 1).clamp(0, len(chain) - 2)
    # Not chain[low]: a GPU would be waited for, to know the number of a single level.
    below, above = chain.take(low), chain.take(low + 1)
    fraction = (levels - below) / (above - below)
    return (low + fraction.clamp(0, 1)).to(sigma)


def abar_at(t: Tensor, log_snr: Tensor) -> Tensor:
    """abar at positions `t` of a chain, 0-based, between its members too: the inverse of `sigma_to_t`.

    log_snr  log(abar / (1 - abar)) = -2 log sigma of the chain's members, float64

    Returns float64 (B,).
    """
    t = double(t)
    log_snr, low = log_snr.to(t.device), t.floor().clamp(0, len(log_snr) - 2)
    return torch.lerp(log_snr[low.long()], log_snr[low.long() + 1], t - low).sigmoid()


def respaced(sigmas: Tensor, steps: int, sigma_max: float | None = None) -> Tensor:
    """A falling grid of `steps` levels out of a rising chain, both ends kept, and the final 0.

    sigma_max  leaves out the levels above it
    """
    lowest = sigmas[0].item()
    sigmas = sigmas if sigma_max is None else sigmas[sigmas <= sigma_max]
    if not len(sigmas):
        raise UsageError(
            f"must be {lowest:.3g}, the lowest level of the grid, or more; found {sigma_max:g}",
            "--sigma-max",
        )
    if not 1 <= steps <= len(sigmas):
        below = "" if sigma_max is None else f" up to --sigma-max {sigma_max:g}"
        raise UsageError(
            f"must lie in 1..{len(sigmas)}, as the grid has {len(sigmas)} noise levels{below}; found {steps}",
            "--steps",
        )
    index = torch.linspace(len(sigmas) - 1, 0, steps, dtype=torch.float64).round().long()
    return torch.cat([sigmas[index], sigmas.new_zeros(1)])


def ddpm_grid(steps: int, sigma_max: float | None = None) -> Tensor:
    """The linear 1000-step chain, respaced: sigma 157.4 ... 0.01, 0."""
    return respaced(sigmas_of(alphas_cumprod(linear_betas())), steps, sigma_max)


def cosine_grid(steps: int, sigma_max: float | None = None) -> Tensor:
    """The cosine 1000-step chain, respaced: sigma 2e4 ... 0.0064, 0."""
    return respaced(sigmas_of(alphas_cumprod(cosine_betas())), steps, sigma_max)


def karras_grid(
    steps: int, sigma_max: float | None = None, sigma_min: float = 0.002, rho: float = KARRAS_RHO
) -> Tensor:
    """Equal steps in sigma^(1/rho) from 80, or `sigma_max`; then 0: Karras et al. 2022 (arXiv 2206.00364), eq. 5."""
    sigma_max = 80.0 if sigma_max is None else sigma_max
    if steps < 1:
        raise UsageError(f"must be at least 1; found {steps}", "--steps")
    if not 0 < sigma_min < sigma_max <= LEVEL.high:
        raise UsageError(
            f"must lie in >{sigma_min:g}..{LEVEL.high:g}, above the lowest level; found {sigma_max:g}",
            "--sigma-max",
        )
    RHO.check(rho, "--rho")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


GRIDS: dict[str, Callable[..., Tensor]] = {
    "ddpm": ddpm_grid,
    "cosine": cosine_grid,
    "karras": karras_grid,
}
