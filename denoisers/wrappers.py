"""The two ways a network becomes a Denoiser. Every change of coordinates, range, channels, size and unit is here."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisers.base import Denoiser, Spec, expand_as
from denoisers.schedule import sigma_to_t, sigmas_of, vp_scale


def fit(x: Tensor, spec: Spec) -> Tensor:
    """Contract to network: range [-1, 1] to `value_range`, reflect-pad to `multiple_of`."""
    low, high = spec.value_range
    return pad((x + 1) * ((high - low) / 2) + low, spec.multiple_of)


def unfit(y: Tensor, like: Tensor, spec: Spec) -> Tensor:
    """Network to contract: the inverse of `fit`, cropped to the size of `like`."""
    low, high = spec.value_range
    return (y[..., : like.shape[-2], : like.shape[-1]] - low) * (2 / (high - low)) - 1


def split_noise(x: Tensor, sigma: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Grey x = x0 + sigma eps as an image of n channels with independent noise of sqrt(n) sigma in each; both.

    x_c = x + sqrt(n) sigma (xi_c - mean_c xi) with xi ~ N(0, I): variances sigma^2 + (n - 1) sigma^2, covariances
    sigma^2 - sigma^2 = 0, and the mean over the channels is x again. Copying x into the channels would give a colour
    network noise that is the same in all of them, which it was never trained on. xi depends on sigma alone, so that
    the denoiser stays a function.
    """
    levels = sigma.expand(len(x))
    xi = torch.empty(len(x), channels, *x.shape[2:], dtype=x.dtype)
    for level in levels.unique().tolist():
        seed = torch.tensor(level, dtype=torch.float32).view(torch.int32).item()  # torch reads 32 bits of a seed
        pattern = torch.randn(xi.shape[1:], generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
        xi[(levels == level).cpu()] = pattern
    wider = channels**0.5 * expand_as(sigma, x)
    return x + wider * (xi - xi.mean(1, keepdim=True)).to(x.device), channels**0.5 * sigma


def pad(x: Tensor, multiple: int) -> Tensor:
    """`x` with rows and columns added at the end by reflection, until both sides are multiples of `multiple`."""
    rows, columns = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, columns, 0, rows), mode="reflect") if rows or columns else x


class EpsDenoiser(Denoiser):
    """A network eps(x_t, t) trained on a VP chain, as D(x; sigma) = x - sigma * eps.

    Ho et al. 2020 (arXiv 2006.11239), equation 9 solved for x0, after x = x_t / sqrt(abar_t). The network gets
    x_t (B, C, H, W) float32 and t (B,) float32, 0-based; levels between two steps become fractions of t.
    """

    def __init__(self, net: nn.Module, alphas_cumprod: Tensor, spec: Spec) -> None:
        super().__init__()
        self.net, self.spec = net, spec
        self.chain = sigmas_of(alphas_cumprod.double())  # not a buffer: stays float64 when the weights are cast

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s = expand_as(sigma, x)
        t = sigma_to_t(sigma, self.chain.to(sigma.device)).expand(len(x))
        x_t = pad(vp_scale(s) * x, self.spec.multiple_of)
        eps = self.net(x_t, t.to(x.dtype))[..., : x.shape[-2], : x.shape[-1]]
        return x - s * eps.to(x.dtype)


Network = Callable[[Tensor], Tensor]
Coupling = Callable[[Network, Network, Tensor, Tensor], Tensor]


def naive(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """The original experiment: feed x_t as it is and take eps := x_t - f(x_t)."""
    x_t = vp_scale(s) * x
    return x - s * (x_t - raw(x_t))


def normalised(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """`naive`, with the residual of each image divided by its own standard deviation."""
    x_t = vp_scale(s) * x
    residual = x_t - raw(x_t)
    return x - s * residual / residual.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8)


def scaled(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """`naive`, with the residual divided by sqrt(1 - abar), the standard deviation of the noise in x_t."""
    x_t = vp_scale(s) * x
    return x - s * (x_t - raw(x_t)) / (s * vp_scale(s))


def vp(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """Feed x_t in the network's range and divide what comes back by sqrt(abar)."""
    return fitted(vp_scale(s) * x) / vp_scale(s)


def ve(raw: Network, fitted: Network, x: Tensor, s: Tensor) -> Tensor:
    """Feed x = x0 + sigma * eps in the network's range: the situation the network was trained for."""
    return fitted(x)


COUPLINGS: dict[str, Coupling] = {c.__name__: c for c in (naive, normalised, scaled, vp, ve)}


class ResidualDenoiser(Denoiser):
    """A restoration network f(noisy) -> clean, which is told no noise level; its noise is noisy minus denoised.

    Grey images enter a colour network by `split_noise`, and its channels are averaged.

    `coupling` names how the network is called; `ve` is correct, the others are the historical failure and its
    partial repairs. `raw` in a coupling is the network with channels and padding only, `fitted` also maps the
    range [-1, 1] to `spec.value_range` and back.
    """

    def __init__(self, net: nn.Module, spec: Spec, coupling: str = "ve") -> None:
        super().__init__()
        if coupling not in COUPLINGS:
            raise ValueError(f"unknown coupling {coupling!r}; available: {', '.join(COUPLINGS)} (--option coupling=ve)")
        self.net, self.spec, self.coupling = net, spec, COUPLINGS[coupling]
        self.raw_spec = Spec(spec.name, spec.prediction_type, spec.in_channels, spec.multiple_of)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        def call(x: Tensor, spec: Spec) -> Tensor:
            return unfit(self.net(fit(x, spec)).to(x.dtype), x, spec)

        raw, fitted = (lambda x: call(x, self.raw_spec)), (lambda x: call(x, self.spec))
        if self.spec.in_channels == x.shape[1]:
            return self.coupling(raw, fitted, x, expand_as(sigma, x))
        x, sigma = split_noise(x, sigma, self.spec.in_channels)
        return self.coupling(raw, fitted, x, expand_as(sigma, x)).mean(1, keepdim=True)
