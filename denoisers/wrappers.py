"""The two ways a network becomes a Denoiser.

Every change of coordinates, range, channels, size and unit is here.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisers.base import Denoiser, Spec, expand_as
from denoisers.errors import UsageError
from denoisers.precision import Doubles, double
from denoisers.schedule import chain_of, sigma_to_t, vp_scale


def to_range(x: Tensor, spec: Spec) -> Tensor:
    """Range [-1, 1] to `value_range`."""
    low, high = spec.value_range
    return (x + 1) * ((high - low) / 2) + low


def from_range(y: Tensor, spec: Spec) -> Tensor:
    """The inverse of `to_range`."""
    low, high = spec.value_range
    return (y - low) * (2 / (high - low)) - 1


def level_in_range(sigma: Tensor, spec: Spec) -> Tensor:
    """Standard deviation of noise on [-1, 1] in the unit of `value_range`."""
    low, high = spec.value_range
    return sigma * ((high - low) / 2)


def fit(x: Tensor, spec: Spec) -> Tensor:
    """Contract to network: range [-1, 1] to `value_range`, reflect-pad to `multiple_of`."""
    return pad(to_range(x, spec), spec.multiple_of)


def unfit(y: Tensor, like: Tensor, spec: Spec) -> Tensor:
    """Network to contract: the inverse of `fit`, cropped to the size of `like`."""
    return from_range(y[..., : like.shape[-2], : like.shape[-1]], spec)


def margins(x: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Columns and rows that x lacks of (H, W), as F.pad takes them; negative: it has too many."""
    rows, columns = (wanted - actual for wanted, actual in zip(size, x.shape[-2:], strict=True))
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2


def to_size(x: Tensor, sigma: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of x = x0 + sigma eps, cut out or continued to (H, W).

    What lies around x0 is black, so nothing is lost with what is cut off. What is added is black
    under noise of the same level, which is what a network was trained on whose images have a wider
    border; its noise depends on sigma alone, so that the denoiser stays a function.
    """
    sides = margins(x, size)
    middle = F.pad(x, sides, value=-1.0)
    if max(sides) <= 0:
        return middle
    added = F.pad(torch.zeros_like(x), sides, value=1.0)
    # Minus: not the pattern that `split_noise` takes.
    z = pattern(-sigma.expand(len(x)), middle).to(x.device)
    return middle + added * expand_as(sigma, x) * z


def from_size(y: Tensor, like: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of `to_size`, for images without noise: black around what the network saw."""
    return F.pad(y, [-side for side in margins(like, size)], value=-1.0)


def sized(
    size: tuple[int, int] | None, call: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor
) -> Tensor:
    """call(x, sigma) of a network for images of (H, W), None for any: by `to_size` and `from_size`."""
    if size is None or size == tuple(x.shape[-2:]):
        return call(x, sigma)
    return from_size(call(to_size(x, sigma, size), sigma), x, size)


def pattern(levels: Tensor, like: Tensor) -> Tensor:
    """Noise z ~ N(0, I) like `like` (B, C, H, W), on the CPU; a function of the levels (B,)."""
    z = torch.empty(like.shape, dtype=like.dtype)
    for level in levels.unique().tolist():
        # Torch reads 32 bits of a seed.
        seed = int(torch.tensor(level, dtype=torch.float32).view(torch.int32).item())
        one = torch.randn(z.shape[1:], generator=torch.Generator().manual_seed(seed), dtype=z.dtype)
        z[(levels == level).cpu()] = one
    return z


def split_noise(x: Tensor, sigma: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Grey x = x0 + sigma eps with independent noise of sqrt(n) sigma in n channels, and that level.

    x_c = x + sqrt(n) sigma (xi_c - mean_c xi) with xi ~ N(0, I): variances sigma^2 + (n - 1)
    sigma^2, covariances sigma^2 - sigma^2 = 0, and the mean over the channels is x again. Copying x
    into the channels would give a colour network noise that is the same in all of them, which it
    was never trained on. xi depends on sigma alone, so that the denoiser stays a function.
    """
    xi = pattern(sigma.expand(len(x)), x.expand(-1, channels, -1, -1))
    wider = channels**0.5 * expand_as(sigma, x)
    return x + wider * (xi - xi.mean(1, keepdim=True)).to(x.device), channels**0.5 * sigma


def split_band(band: tuple[float, float], channels: int) -> dict[str, float]:
    """A network's band for grey images: `split_noise` gives n channels sqrt(n) times their noise."""
    return {"sigma_min": band[0] / channels**0.5, "sigma_max": band[1] / channels**0.5}


def through(
    channels: int, call: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor
) -> Tensor:
    """D(x; sigma) of a network with n channels: a grey x enters by `split_noise`, and is averaged.

    Raises UsageError for any other number of channels.
    """
    if channels == x.shape[1]:
        return call(x, sigma)
    if x.shape[1] != 1:
        raise UsageError(f"the network has {channels} channels; found images of {x.shape[1]}")
    return call(*split_noise(x, sigma, channels)).mean(1, keepdim=True)


def shaped(
    spec: Spec, call: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor
) -> Tensor:
    """D(x; sigma) of a network for images of the spec's size, with its number of channels."""
    return sized(spec.size, lambda x, sigma: through(spec.in_channels, call, x, sigma), x, sigma)


def pad(x: Tensor, multiple: int) -> Tensor:
    """`x` with rows and columns added at the end by reflection: sides are multiples of `multiple`.

    An image too small to be reflected that far is continued by its edge.
    """
    rows, columns = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    mode = "reflect" if rows < x.shape[-2] and columns < x.shape[-1] else "replicate"
    return F.pad(x, (0, columns, 0, rows), mode=mode) if rows or columns else x


def chain_band(chain: Tensor, spec: Spec) -> dict[str, float]:
    """The band, for grey images in [-1, 1], of a network on a chain in the unit of `value_range`."""
    unit = level_in_range(torch.ones((), dtype=chain.dtype), spec)
    return split_band(((chain[0] / unit).item(), (chain[-1] / unit).item()), spec.in_channels)


class VPDenoiser(Denoiser):
    """A network f(x_t, t) trained on a VP chain, as D(x; sigma) with x = x_t / sqrt(abar_t).

    epsilon       D = x - sigma f: Ho et al. 2020 (arXiv 2006.11239), equation 9 solved for x0
    sample        D = f
    v_prediction  D = sqrt(abar) x_t - sqrt(1 - abar) f: Salimans & Ho 2022 (arXiv 2202.00512),
                  appendix D

    The network gets x_t (B, C, H, W) float32 and t (B,) float32, 0-based; levels between two steps
    become fractions of t, levels outside the chain its ends. A last level of pure noise (abar = 0)
    is left out of the chain. If it was trained on images in another range than [-1, 1], the chain
    runs in `spec.value_range`.

    A spec that says no band (neither sigma_min nor sigma_max) gets that of the chain.
    """

    def __init__(self, net: nn.Module, alphas_cumprod: Tensor, spec: Spec) -> None:
        super().__init__()
        if spec.prediction_type not in PREDICTIONS:
            raise UsageError(
                f"prediction_type must be one of {', '.join(PREDICTIONS)}; "
                f"found {spec.prediction_type!r}"
            )
        self.chain = chain_of(alphas_cumprod)
        # Not a buffer: stays float64 when the weights are cast; copied to a device once.
        self.levels = Doubles(self.chain)
        undeclared = (spec.sigma_min, spec.sigma_max) == (0.0, math.inf)
        band: dict[str, Any] = chain_band(self.chain, spec) if undeclared else {}
        self.net, self.spec = net, dataclasses.replace(spec, blind=False, **band)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return shaped(self.spec, self.denoise, x, sigma)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x; sigma) once x has the network's size and channel count."""
        if self.spec.value_range == (-1.0, 1.0):  # where x is large, there and back would round
            return self.on_chain(x, sigma)
        denoised = self.on_chain(to_range(x, self.spec), level_in_range(sigma, self.spec))
        return from_range(denoised, self.spec)

    def on_chain(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x; sigma) once x and sigma are in the network's own range."""
        s = expand_as(sigma, x)
        (chain,) = self.levels.like(double(sigma))
        t = sigma_to_t(sigma, chain).expand(len(x))
        x_t = pad(vp_scale(s) * x, self.spec.multiple_of)
        output = self.net(x_t, t.to(x.dtype))[..., : x.shape[-2], : x.shape[-1]]
        return PREDICTIONS[self.spec.prediction_type](x, s, output.to(x.dtype))


PREDICTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": lambda x, s, eps: x - s * eps,
    "sample": lambda x, s, x0: x0,
    "v_prediction": lambda x, s, v: vp_scale(s) * (vp_scale(s) * x - s * v),
}

# Image, standard deviation of the noise in it -> image.
Network = Callable[[Tensor, Tensor], Tensor]
Coupling = Callable[[Network, Network, Tensor, Tensor], Tensor]


def naive(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """The original experiment: feed x_t as it is and take eps := x_t - f(x_t)."""
    x_t = vp_scale(s) * x
    return x - s * (x_t - raw(x_t, s * vp_scale(s)))


def normalised(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """`naive`, with the residual of each image divided by its own standard deviation."""
    x_t = vp_scale(s) * x
    residual = x_t - raw(x_t, s * vp_scale(s))
    return x - s * residual / residual.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8)


def scaled(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """`naive`, with the residual divided by sqrt(1 - abar), the std of the noise in x_t."""
    x_t = vp_scale(s) * x
    return x - s * (x_t - raw(x_t, s * vp_scale(s))) / (s * vp_scale(s))


def vp(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """Feed x_t in the network's range and divide what comes back by sqrt(abar)."""
    return fitted(vp_scale(s) * x, s * vp_scale(s)) / vp_scale(s)


def ve(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """Feed x = x0 + sigma * eps in the network's range: what the network was trained for."""
    return fitted(x, s)


COUPLINGS: dict[str, Coupling] = {c.__name__: c for c in (naive, normalised, scaled, vp, ve)}


class ResidualDenoiser(Denoiser):
    """A restoration network as D(x; sigma); its noise is noisy minus denoised.

    spec.blind    the network is f(noisy) -> clean and is told no noise level
    otherwise     it is f(noisy, level) -> clean, level float32 (B,) the standard deviation of the
                  noise in the unit of `spec.value_range` (sigma_255 / 255 where that is [0, 1]):
                  what FFDNet's or DRUNet's noise map holds

    Grey images enter a colour network by `split_noise`, and its channels are averaged.

    `coupling` names how the network is called; `ve` is correct, the others are the historical
    failure and its partial repairs. `raw` in a coupling is the network with channels and padding
    only, `fitted` also maps the range [-1, 1] to `spec.value_range` and back.
    """

    def __init__(self, net: nn.Module, spec: Spec, coupling: str = "ve") -> None:
        super().__init__()
        if coupling not in COUPLINGS:
            raise UsageError(
                f"unknown coupling {coupling!r}; available: {', '.join(COUPLINGS)}", "--option"
            )
        if spec.prediction_type != "sample":
            raise UsageError(
                f"a restoration network returns the image, 'sample'; found {spec.prediction_type!r}"
            )
        self.net, self.spec, self.coupling = net, spec, COUPLINGS[coupling]
        self.raw_spec = dataclasses.replace(spec, value_range=(-1.0, 1.0))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        def call(spec: Spec) -> Network:
            return lambda x, s: unfit(self.ask(fit(x, spec), s, spec).to(x.dtype), x, spec)

        def couple(x: Tensor, sigma: Tensor) -> Tensor:
            return self.coupling(call(self.raw_spec), call(self.spec), x, expand_as(sigma, x))

        return shaped(self.spec, couple, x, sigma)

    def ask(self, image: Tensor, s: Tensor, spec: Spec) -> Tensor:
        """The network's answer to an image in its own range, with noise of std `s` on [-1, 1]."""
        if spec.blind:
            return self.net(image)
        return self.net(image, level_in_range(s, spec).flatten().expand(len(image)))
