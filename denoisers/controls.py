"""Closed-form denoisers. They calibrate the bench: what it must say of them is known before it runs.

`ideal` memorises (every alarm must ring), `gaussian` knows mean and covariance only (no alarm, poor samples),
`identity` removes nothing (noise in, noise out).
"""

import torch
from torch import Tensor

from denoisers.base import Denoiser, Spec, expand_as


class Ideal(Denoiser):
    """E[x0 | x] when x0 is one of the training images with equal chance; sampling it returns training images.

    sum_i w_i x_i with w = softmax_i(-|x - x_i|^2 / 2 sigma^2). Pixels that are the same in all training images add
    the same to every exponent, so they are left out of the distances (a third of MNIST's 1024).
    """

    def __init__(self, train: Tensor) -> None:
        super().__init__()
        self.spec = Spec("ideal", "sample")
        points = train.flatten(1)
        self.register_buffer("mean", points.mean(0))
        self.register_buffer("varying", (points != points[0]).any(0).nonzero()[:, 0])
        self.register_buffer("points", (points - self.mean)[:, self.varying].contiguous())  # centred: less cancellation
        self.register_buffer("half_norms", self.points.square().sum(1) / 2)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        points = self.points.to(x.dtype)
        query = (flat(x, self) - self.mean)[:, self.varying]
        logits = torch.addmm(-self.half_norms.to(x.dtype), query, points.T)  # (B, N)
        weights = logits.div_(expand_as(sigma, logits) ** 2).softmax(1)
        out = self.mean.to(x.dtype).repeat(len(x), 1)
        out[:, self.varying] += weights @ points
        return out.reshape(x.shape)


class Gaussian(Denoiser):
    """E[x0 | x] when x0 ~ N(mu, cov): the Wiener filter mu + V diag(l / (l + sigma^2)) V^T (x - mu)."""

    def __init__(self, mu: Tensor, cov: Tensor) -> None:
        super().__init__()
        self.spec = Spec("gaussian", "sample")
        variances, basis = torch.linalg.eigh(cov.double())
        self.register_buffer("mean", mu.double())
        self.register_buffer("variances", variances.clamp(min=0))
        self.register_buffer("basis", basis)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        mu, variances, basis = (tensor.to(x.dtype) for tensor in (self.mean, self.variances, self.basis))
        modes = (flat(x, self) - mu) @ basis  # (B, CHW)
        modes *= variances / (variances + expand_as(sigma, modes) ** 2)
        return (mu + modes @ basis.T).reshape(x.shape)

    def sample(self, z: Tensor) -> Tensor:
        """Images of the model itself, mu + V diag(sqrt(l)) z, from z ~ N(0, I) (B, C, H, W)."""
        mu, variances, basis = (tensor.to(z.dtype) for tensor in (self.mean, self.variances, self.basis))
        return (mu + (flat(z, self) * variances.sqrt()) @ basis.T).reshape(z.shape)


class Identity(Denoiser):
    """D(x; sigma) = x: removes nothing."""

    spec = Spec("identity", "sample")

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x.clone()


def flat(x: Tensor, denoiser: Ideal | Gaussian) -> Tensor:
    """(B, CHW). Raises ValueError for images of another size than those the denoiser was made from."""
    if x[0].numel() != len(denoiser.mean):
        raise ValueError(
            f"{denoiser.spec.name} was made from images of {len(denoiser.mean)} pixels and knows no others; "
            f"found {tuple(x.shape[1:])}"
        )
    return x.flatten(1)


def ideal(*, train: Tensor) -> Ideal:
    """The exact posterior mean over `train`, float32 (N, C, H, W) in [-1, 1]."""
    return Ideal(train)


def gaussian(*, train: Tensor) -> Gaussian:
    """The Wiener filter with the mean and covariance of `train`, float32 (N, C, H, W) in [-1, 1]."""
    points = train.flatten(1).double()
    return Gaussian(points.mean(0), points.T.cov())


def identity() -> Identity:
    """The denoiser that does nothing."""
    return Identity()
