"""Closed-form denoisers.

They calibrate the bench: what it must say of them is known before it runs.

`ideal` memorises (every alarm must ring), `gaussian` knows mean and covariance only (no alarm, poor
samples), `gmm` lies between the two; `histogram` knows each pixel by itself, `mean` and `one-image`
know one image, `identity` nothing.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from denoisers.base import Denoiser, Spec, expand_as
from denoisers.bounds import Bound, option
from denoisers.errors import UsageError
from denoisers.precision import Doubles, double
from denoisers.units import GREY


class Ideal(Denoiser):
    """E[x0 | x] when x0 is one of the training images with equal chance; samples are such images.

    sum_i w_i x_i with w = softmax_i(-|x - x_i|^2 / 2 sigma^2). Pixels that are the same in all
    training images add the same to every exponent, so they are left out of the distances (a third
    of MNIST's 1024).
    """

    def __init__(self, train: Tensor) -> None:
        super().__init__()
        self.spec = Spec("ideal", "sample", blind=False)
        points = train.flatten(1)
        self.register_buffer("mean", points.mean(0))
        self.register_buffer("varying", (points != points[0]).any(0).nonzero()[:, 0])
        # Centred: less cancellation.
        self.register_buffer("points", (points - self.mean)[:, self.varying].contiguous())
        self.register_buffer("half_norms", self.points.square().sum(1) / 2)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        points = self.points.to(x.dtype)
        query = (flat(x, self.spec.name, len(self.mean)) - self.mean)[:, self.varying]
        logits = torch.addmm(-self.half_norms.to(x.dtype), query, points.T)  # (B, N)
        weights = logits.div_(expand_as(sigma, logits) ** 2).softmax(1)
        out = self.mean.to(x.dtype).repeat(len(x), 1)
        out[:, self.varying] += weights @ points
        return out.reshape(x.shape)


class Modes(NamedTuple):
    """A covariance: variances l (r,) along the columns of V (CHW, r); those without variance may be left out."""

    variances: Tensor
    basis: Tensor


class Gaussian(Denoiser):
    """E[x0 | x] for x0 ~ N(mu, cov), the Wiener filter: mu + V diag(l / (l + sigma^2)) V^T (x - mu).

    mu, cov  (CHW,), (CHW, CHW); the covariance may be given as its `Modes`
    """

    def __init__(self, mu: Tensor, cov: "Tensor | Modes") -> None:
        super().__init__()
        self.spec = Spec("gaussian", "sample", blind=False)
        if isinstance(cov, Tensor):
            cov = Modes(*torch.linalg.eigh(cov.double()))
        self.model = Doubles(mu, cov.variances.clamp(min=0), cov.basis)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        mu, variances, basis = self.model.like(x)
        modes = (flat(x, self.spec.name, len(mu)) - mu) @ basis  # (B, CHW)
        modes *= variances / (variances + expand_as(sigma, modes) ** 2)
        return (mu + modes @ basis.T).reshape(x.shape)

    def sample(self, z: Tensor) -> Tensor:
        """Images of the model itself, mu + V diag(sqrt(l)) z, from z ~ N(0, I) (B, C, H, W)."""
        mu, variances, basis = self.model.like(z)
        modes = flat(z, self.spec.name, len(mu))[:, : len(variances)] * variances.sqrt()
        return (mu + modes @ basis.T).reshape(z.shape)


class Mixture(Denoiser):
    """E[x0 | x] when x0 is drawn from a mixture of Gaussians: sum_k r_k(x) Wiener_k(x).

    r_k is proportional to pi_k N(x; mu_k, cov_k + sigma^2 I). Components are the groups of training
    images in `groups` int64 (N,), each with its own mean and covariance.
    """

    def __init__(self, train: Tensor, groups: Tensor) -> None:
        super().__init__()
        self.spec = Spec("gmm", "sample", blind=False)
        kinds = groups.unique()
        parts = [train[groups == kind].flatten(1).double() for kind in kinds]
        centred = [part - part.mean(0) for part in parts]
        eigen = [torch.linalg.eigh(part.T @ part / len(part)) for part in centred]
        self.register_buffer("means", torch.stack([part.mean(0) for part in parts]).float())
        self.register_buffer("bases", torch.stack([basis.float() for _, basis in eigen]))
        variances = torch.stack([variances.clamp(min=0) for variances, _ in eigen])
        shares = torch.tensor([len(part) / len(train) for part in parts])
        self.model = Doubles(variances, shares.double().log())

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        query = flat(x, self.spec.name, self.means.shape[1])
        noise = double(sigma).reshape(-1, 1) ** 2
        logits, shrunk = [], []
        parts = zip(self.means, self.bases, *self.model.like(noise), strict=True)
        for mean, basis, variances, prior in parts:
            modes, total = (query - mean.to(x.dtype)) @ basis.to(x.dtype), variances + noise
            logits.append(prior - (double(modes) ** 2 / total + total.log()).sum(1) / 2)
            shrunk.append(modes * (variances / total).to(x))
        chances = torch.stack(logits).softmax(0).to(x)[:, :, None]  # (K, B, 1)
        out = torch.zeros_like(query)
        for chance, mean, modes, basis in zip(chances, self.means, shrunk, self.bases, strict=True):
            out += chance * (mean.to(x.dtype) + modes @ basis.T.to(x.dtype))
        return out.reshape(x.shape)


class Histogram(Denoiser):
    """E[x0 | x] when pixels are independent draws of grey levels by `counts` (1 or C H W, 256)."""

    ROWS = 16  # images at once: 256 weights per pixel are 1 MB an image

    def __init__(self, pixels: int, counts: Tensor) -> None:
        super().__init__()
        self.spec, self.pixels = Spec("histogram", "sample", blind=False), pixels
        self.register_buffer("log_counts", counts.float().log())
        self.register_buffer("levels", torch.arange(256) / GREY - 1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        query, levels = flat(x, self.spec.name, self.pixels), self.levels.to(x.dtype)
        precision = expand_as(sigma, query).expand(len(x), 1) ** -2
        rows = []
        for part, scale in zip(query.split(self.ROWS), precision.split(self.ROWS), strict=True):
            exponents = scale[..., None] * (part[..., None] * levels - levels**2 / 2)
            rows.append((exponents + self.log_counts.to(x.dtype)).softmax(-1) @ levels)
        return torch.cat(rows).reshape(x.shape)

    def code_length(self, images: Tensor) -> Tensor:
        """Exact bits of each pixel of images (N, C, H, W) in [-1, 1]: what likelihood must give."""
        chances = self.log_counts.double().log_softmax(-1).expand(self.pixels, -1)
        pixels = torch.arange(self.pixels)
        return (-chances[pixels, grey_levels(images)] / math.log(2)).reshape(images.shape)


def grey_levels(images: Tensor) -> Tensor:
    """int64 (N, CHW) in 0..255 of images in [-1, 1]."""
    return ((images.flatten(1) + 1) * GREY).round().long().clamp(0, 255)


class Constant(Denoiser):
    """D(x; sigma) = one image, float32 (C, H, W), whatever x is."""

    def __init__(self, name: str, image: Tensor) -> None:
        super().__init__()
        self.spec = Spec(name, "sample")
        self.register_buffer("mean", image.flatten())

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        flat(x, self.spec.name, len(self.mean))
        return self.mean.to(x.dtype).reshape(x.shape[1:]).repeat(len(x), 1, 1, 1)


class Identity(Denoiser):
    """D(x; sigma) = x: removes nothing."""

    spec = Spec("identity", "sample")

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x.clone()


def flat(x: Tensor, name: str, pixels: int) -> Tensor:
    """(B, CHW).

    Raises UsageError for images of another size than those the denoiser was made from.
    """
    if x[0].numel() != pixels:
        raise UsageError(
            f"{name} was made from images of {pixels} pixels and knows no others; "
            f"found {tuple(x.shape[1:])}"
        )
    return x.flatten(1)


def ideal(*, train: Tensor) -> Ideal:
    """The exact posterior mean over `train`, float32 (N, C, H, W) in [-1, 1]."""
    return Ideal(train)


def gaussian(*, train: Tensor) -> Gaussian:
    """The Wiener filter with the mean and covariance of `train`, float32 (N, C, H, W) in [-1, 1]."""
    points = train.flatten(1).double()
    mu, count = points.mean(0), len(points)
    if 2 * count > points.shape[1]:
        return Gaussian(mu, points.T.cov())
    # Of few images with many pixels the covariance has few directions.
    _, scales, directions = torch.linalg.svd(points - mu, full_matrices=False)
    return Gaussian(mu, Modes(scales**2 / max(1, count - 1), directions.T.contiguous()))


def gmm(*, train: Tensor, labels: Tensor | None, components: str = "label") -> Mixture:
    """A mixture of Gaussians: one per class, or --option components=K clusters of k-means.

    train  float32 (N, C, H, W) in [-1, 1];  labels  int64 (N,), or None where there are none

    Raises UsageError for a number of components outside 1..500 (each has a covariance), and for
    classes that are not known.
    """
    if components == "label":
        if labels is None:
            raise UsageError("the dataset has no labels; say a number: components=10", "--option")
        return Mixture(train, labels)
    number = option("components", Bound(1, min(500, len(train))), components, "label or ")
    from sklearn.cluster import MiniBatchKMeans

    means = MiniBatchKMeans(number, batch_size=4096, n_init=3, random_state=0)
    return Mixture(train, torch.from_numpy(means.fit_predict(train.flatten(1).numpy())))


def histogram(*, train: Tensor, of: str = "images") -> Histogram:
    """Independent pixels, all with the one histogram of `train`; --option of=pixels: each with its own.

    train  float32 (N, C, H, W) in [-1, 1]
    """
    if of not in ("images", "pixels"):
        raise UsageError(f"of must be images or pixels; found {of!r}", "--option")
    levels = grey_levels(train)
    pixels = levels.shape[1]
    if of == "images":
        return Histogram(pixels, levels.flatten().bincount(minlength=256)[None])
    cells = (levels + 256 * torch.arange(pixels)).flatten()
    return Histogram(pixels, cells.bincount(minlength=256 * pixels).reshape(-1, 256))


def mean(*, train: Tensor) -> Constant:
    """The mean of `train`, float32 (N, C, H, W), whatever it is given."""
    return Constant("mean", train.mean(0))


def one_image(*, train: Tensor, index: str = "0") -> Constant:
    """One training image, --option index=I, whatever it is given: the smallest possible memory."""
    return Constant("one-image", train[option("index", Bound(0, len(train) - 1), index)])


def identity() -> Identity:
    """The denoiser that does nothing."""
    return Identity()
