"""The reverse diffusion: samplers over any D(x; sigma), in VE coordinates.

A sampler is a function

    sampler(denoiser, x, sigmas, noise, *, clip=True, callback=..., **settings) -> images (B, C, H,
    W)

    x         (B, C, H, W), the state at sigmas[0], from `start`
    sigmas    float64 (steps + 1,), falling, the last one 0
    noise     noise(k) gives z for step k, shaped like x
    clip      clamp D to [-1, 1] first (DDPM's clip_denoised): beyond sigma = 5 it is part of any
              eps-model
    callback  gets a `Step` for every step

and raises FloatingPointError, naming the step, when D is not finite.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from denoisers.errors import UsageError
from denoisers.precision import able, double


class Step(NamedTuple):
    """What a trace may read after the denoiser was called: x is the state before the step."""

    index: int
    sigma: float | Tensor  # (B,) where images have levels of their own
    x: Tensor
    denoised: Tensor  # before clipping
    # Images that are given up after this step, above the noise they were to come down to.
    unconverged: int = 0

    @property
    def level(self) -> float:
        """sigma, or its mean over the images."""
        return (
            double(self.sigma).mean().item()
            if isinstance(self.sigma, Tensor)
            else float(self.sigma)
        )


Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[int], Tensor]
Callback = Callable[[Step], None]


def start(noise: Tensor, sigma: float) -> Tensor:
    """The state at the first level: sqrt(1 + sigma^2) z, which is x_T ~ N(0, I) of the VP chain, exactly."""
    return noise * math.sqrt(1 + sigma**2)


def split(sigma: float, sigma_next: float, eta: float, variance: str) -> tuple[float, float]:
    """(sigma_down, sigma_up): how much old noise is kept and how much fresh noise is added.

    posterior  sigma_up = eta sigma' sqrt(1 - sigma'^2 / sigma^2), sigma_down^2 + sigma_up^2 =
               sigma'^2; eta = 1 is DDPM with the posterior variance btilde, eta = 0 is DDIM
    beta       DDPM's mean with variance beta_t: sigma_up^2 = (1 + sigma'^2) / (1 + sigma^2)
               (sigma^2 - sigma'^2)
    """
    if sigma_next == 0:
        return 0.0, 0.0  # x_0 is the mean: no noise is added after the last call
    if variance == "beta":
        return sigma_next**2 / sigma, math.sqrt(
            (1 + sigma_next**2) / (1 + sigma**2) * (sigma**2 - sigma_next**2)
        )
    sigma_up = eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    return math.sqrt(sigma_next**2 - sigma_up**2), sigma_up


def extrapolated(denoised: Tensor, last: Tensor, levels: list[float]) -> Tensor:
    """D half a step ahead in lambda = -ln sigma, on the line through this D and the last one.

    levels  the last sigma, this one, the next one, all positive

    Lu et al. 2022 (arXiv 2211.01095), algorithm 2: (1 + 1 / 2r) D - (1 / 2r) D_last with r = h_last
    / h.
    """
    h_last, h = (math.log(high / low) for high, low in itertools.pairwise(levels))
    return denoised + h / (2 * h_last) * (denoised - last)


def told(sigmas: Tensor, x: Tensor) -> Tensor:
    """Noise levels as denoisers are told them: in the dtype of x, and on its device, copied once for all steps."""
    return sigmas.to(x.dtype).to(x.device)


class Checked:
    """A denoiser whose answers are checked: to be images at once, to be finite as soon as that costs no waiting.

    A CPU knows it at once; an accelerator, which is still at the steps before, is asked by `settle`.
    """

    def __init__(self, denoiser: Denoise, steps: int) -> None:
        self.denoiser, self.steps = denoiser, steps
        self.sums: list[Tensor] = []
        self.asked: list[tuple[int, float | Tensor]] = []

    def __call__(self, x: Tensor, sigma: Tensor, step: int, level: float | Tensor) -> Tensor:
        """D(x; sigma) of a step at that level.

        Raises UsageError if it is no image; FloatingPointError as `settle` does, on a CPU.
        """
        denoised = self.denoiser(x, sigma)
        if not isinstance(denoised, Tensor) or denoised.shape != x.shape:
            what = (
                tuple(denoised.shape) if isinstance(denoised, Tensor) else type(denoised).__name__
            )
            raise UsageError(
                f"the denoiser returned {what}, expected images of shape {tuple(x.shape)}; "
                "see `bench check`",
                "--denoiser",
            )
        # One sum, which no finite images make infinite: a pass over memory instead of four.
        self.sums.append(able(denoised).sum(dtype=torch.float64))
        self.asked.append((step, level))
        if x.device.type == "cpu":
            self.settle()
        return denoised

    def settle(self) -> None:
        """Raise FloatingPointError, naming the step, at the first answer since the last time that was not finite."""
        finite = torch.stack(self.sums).isfinite().tolist() if self.sums else []
        asked, self.sums, self.asked = self.asked, [], []
        for fine, (step, sigma) in zip(finite, asked, strict=True):
            if not fine:
                level = (
                    f"{sigma:.4g}"
                    if isinstance(sigma, float)
                    else f"{sigma.min():.4g} to {sigma.max():.4g}"
                )
                raise FloatingPointError(
                    f"the denoiser returned NaN or infinity at step {step} of {self.steps}, sigma {level}"
                )


def sample(
    denoiser: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    variance: str = "posterior",
    order: int = 1,
    clip: bool = True,
    callback: Callback = lambda step: None,
) -> Tensor:
    """x' = D + (sigma_down / sigma) (x - D) + sigma_up z, down the grid: DDPM, DDIM, DPM-Solver++(2M).

    eta, variance  see `split`
    order          2 replaces D by `extrapolated` in every step but the first and the last
    returns        the last D
    """
    levels, on_device, before = sigmas.tolist(), told(sigmas, x), None
    ask = Checked(denoiser, len(levels) - 1)
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(levels)):
        denoised = ask(x, on_device[i], i, sigma)
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
    ask.settle()
    return x


def heun(
    denoiser: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    churn: float = 0.0,
    clip: bool = True,
    callback: Callback = lambda step: None,
) -> Tensor:
    """Heun's method on dx / dsigma = (x - D) / sigma: Karras et al. 2022 (arXiv 2206.00364), algorithm 2.

    churn  S_churn: each step first adds noise, up to sigma (1 + min(churn / steps, sqrt 2 - 1)); 0
           is deterministic

    Two calls a step, one in the last: 2 steps - 1 in all.
    """
    levels = sigmas.tolist()
    steps = len(levels) - 1
    extra = min(churn / steps, math.sqrt(2) - 1)
    raised, plain = told(sigmas * (1 + extra), x), told(sigmas, x)
    ask = Checked(denoiser, steps)
    for i, (level, sigma_next) in enumerate(itertools.pairwise(levels)):
        sigma = level * (1 + extra)
        if extra:
            x = x + math.sqrt(sigma**2 - level**2) * noise(i)
        denoised = ask(x, raised[i], i, sigma)
        callback(Step(i, sigma, x, denoised))
        slope = (x - (denoised.clamp(-1, 1) if clip else denoised)) / sigma
        ahead = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            denoised = ask(ahead, plain[i + 1], i, sigma_next)
            slope = (
                slope + (ahead - (denoised.clamp(-1, 1) if clip else denoised)) / sigma_next
            ) / 2
        x = x + (sigma_next - sigma) * slope
    ask.settle()
    return x


def ks(
    denoiser: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    beta: float = 0.5,
    h0: float = 0.01,
    clip: bool = True,
    callback: Callback = lambda step: None,
) -> Tensor:
    """The coarse-to-fine sampler for blind denoisers: Kadkhodaie & Simoncelli 2021 (arXiv 2007.13640), algorithm 1.

    x' = x - h (x - D) + gamma z with h = h0 t / (1 + h0 (t - 1)), gamma^2 = ((1 - beta h)^2 - (1 -
    h)^2) sigma^2, and sigma the RMS of x - D of each image: no grid is followed. An image is done,
    and its D returned, when its sigma has come down to the last positive level of `sigmas`, or
    after as many steps as `sigmas` has; how many had not come down by then, the last `Step` says.
    Only the images that are not done are denoised.

    beta  share of the noise that a step removes for good: 1 adds none; (1 - sqrt(1 - h)) / h is
          DDPM
    h0    first step size

    A denoiser that is told sigma gets (1 - beta h) times the last one, which x' has if x - D was
    noise.
    """
    steps, out = len(sigmas) - 1, torch.empty_like(x)
    going = torch.arange(len(x), device=x.device)
    level, last = told(sigmas[0], x).expand(len(x)), told(sigmas[-2], x)
    ask = Checked(denoiser, steps)
    for i in range(steps):
        denoised = ask(x, level, i, level)
        residual = x - (denoised.clamp(-1, 1) if clip else denoised)
        sigma = residual.square().mean(dim=(1, 2, 3)).sqrt()
        left = sigma > last
        late = int(left.sum()) if i == steps - 1 else 0
        left &= i < steps - 1
        callback(Step(i, sigma, x, denoised, late))
        out[going[~left]] = (x - residual)[~left]
        if not left.any():
            break
        going, x, residual, sigma = going[left], x[left], residual[left], sigma[left]
        h = h0 * (i + 1) / (1 + h0 * i)
        gamma = math.sqrt((1 - beta * h) ** 2 - (1 - h) ** 2)
        x = x - h * residual
        if gamma:
            x = x + gamma * sigma.reshape(-1, 1, 1, 1) * noise(i)[going]
        level = (1 - beta * h) * sigma
    ask.settle()
    return out


class Sampler(NamedTuple):
    """A sampler and its settings."""

    solve: Callable[..., Tensor]
    settings: dict[str, Any]

    def set(self, **settings: Any) -> "Sampler":
        """The same sampler with other settings. Raises KeyError for one that it does not have."""
        for name in settings.keys() - self.settings.keys():
            raise KeyError(name)
        return Sampler(self.solve, self.settings | settings)


# Ho et al. 2020 section 3.2 offers both variances; Song et al. 2021 (arXiv 2010.02502) equation 16 has eta;
# Lu et al. 2022 (arXiv 2211.01095) the second order, DPM-Solver++(2M), and its stochastic form.
SAMPLERS = {
    "ddpm": Sampler(sample, {"eta": 1.0, "variance": "posterior", "order": 1}),
    "ddpm-beta": Sampler(sample, {"eta": 1.0, "variance": "beta", "order": 1}),
    "ddim": Sampler(sample, {"eta": 0.0, "variance": "posterior", "order": 1}),
    "dpmpp_2m": Sampler(sample, {"eta": 0.0, "variance": "posterior", "order": 2}),
    "dpmpp_2m_sde": Sampler(sample, {"eta": 1.0, "variance": "posterior", "order": 2}),
    "heun": Sampler(heun, {"churn": 0.0}),
    "ks": Sampler(ks, {"beta": 0.5, "h0": 0.01}),
}
