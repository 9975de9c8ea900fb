"""The reverse diffusion: one update rule over any D(x; sigma), in VE coordinates. Imports nothing of ours."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Sampler(NamedTuple):
    """A member of the family: how much of each step's noise is fresh, which variance it has, order of the solver."""

    eta: float
    variance: str = "posterior"
    order: int = 1


# Ho et al. 2020 section 3.2 offers both variances; Song et al. 2021 (arXiv 2010.02502) equation 16 has eta;
# Lu et al. 2022 (arXiv 2211.01095) the second order, DPM-Solver++(2M), and its stochastic form.
SAMPLERS = {
    "ddpm": Sampler(eta=1.0),
    "ddpm-beta": Sampler(eta=1.0, variance="beta"),
    "ddim": Sampler(eta=0.0),
    "dpmpp_2m": Sampler(eta=0.0, order=2),
    "dpmpp_2m_sde": Sampler(eta=1.0, order=2),
}


class Step(NamedTuple):
    """What a trace may read after the denoiser was called: x is the state before the step."""

    index: int
    sigma: float
    x: Tensor
    denoised: Tensor  # before clipping


def start(noise: Tensor, sigma: float) -> Tensor:
    """The state at the first level: sqrt(1 + sigma^2) z, which is x_T ~ N(0, I) of the VP chain, exactly."""
    return noise * math.sqrt(1 + sigma**2)


def split(sigma: float, sigma_next: float, eta: float, variance: str) -> tuple[float, float]:
    """(sigma_down, sigma_up): how much old noise is kept and how much fresh noise is added.

    posterior  sigma_up = eta sigma' sqrt(1 - sigma'^2 / sigma^2), sigma_down^2 + sigma_up^2 = sigma'^2; eta = 1 is
               DDPM with the posterior variance btilde, eta = 0 is DDIM
    beta       DDPM's mean with variance beta_t: sigma_up^2 = (1 + sigma'^2) / (1 + sigma^2) (sigma^2 - sigma'^2)
    """
    if sigma_next == 0:
        return 0.0, 0.0  # x_0 is the mean: no noise is added after the last call
    if variance == "beta":
        return sigma_next**2 / sigma, math.sqrt((1 + sigma_next**2) / (1 + sigma**2) * (sigma**2 - sigma_next**2))
    sigma_up = eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    return math.sqrt(sigma_next**2 - sigma_up**2), sigma_up


def extrapolated(denoised: Tensor, last: Tensor, levels: list[float]) -> Tensor:
    """D half a step ahead in lambda = -ln sigma, on the line through this D and the last one.

    levels  the last sigma, this one, the next one, all positive

    Lu et al. 2022 (arXiv 2211.01095), algorithm 2: (1 + 1 / 2r) D - (1 / 2r) D_last with r = h_last / h.
    """
    h_last, h = (math.log(high / low) for high, low in itertools.pairwise(levels))
    return denoised + h / (2 * h_last) * (denoised - last)


def sample(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigmas: Tensor,
    noise: Callable[[int], Tensor],
    *,
    eta: float = 1.0,
    variance: str = "posterior",
    order: int = 1,
    clip: bool = True,
    callback: Callable[[Step], None] = lambda step: None,
) -> Tensor:
    """x' = D + (sigma_down / sigma) (x - D) + sigma_up z, down the grid.

    x       (B, C, H, W), the state at sigmas[0], from `start`
    sigmas  float64 (steps + 1,), falling, the last one 0
    noise   noise(k) gives z for step k, shaped like x; not called where sigma_up is 0
    order   2 replaces D by `extrapolated` in every step but the first and the last
    clip    clamp D to [-1, 1] first (DDPM's clip_denoised): beyond sigma = 5 it is part of any eps-model
    returns (B, C, H, W), the last D

    Raises FloatingPointError, naming the step, when D is not finite.
    """
    levels, before = sigmas.tolist(), None
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(levels)):
        denoised = denoiser(x, torch.tensor(sigma, dtype=x.dtype, device=x.device))
        if not torch.isfinite(denoised).all():
            raise FloatingPointError(
                f"the denoiser returned NaN or infinity at step {i} of {len(sigmas) - 1}, sigma {sigma:.4g}"
            )
        callback(Step(i, sigma, x, denoised))
        denoised = denoised.clamp(-1, 1) if clip else denoised
        sigma_down, sigma_up = split(sigma, sigma_next, eta, variance)
        if order == 2:
            last, before = before, denoised
            if last is not None and sigma_next > 0:
                denoised = extrapolated(denoised, last, levels[i - 1 : i + 2])
        x = denoised + (sigma_down / sigma) * (x - denoised)
        if sigma_up:
            x = x + sigma_up * noise(i)
    return x
