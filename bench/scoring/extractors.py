"""Feature extractors: images to the vectors that quality is measured in."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.images import to_float
from bench.scoring import lenet, pretrained
from denoisers.errors import UsageError

# Names the class of a sample and how sure it is, whatever the extractor of FID is.
JUDGE = "lenet-a"


@dataclasses.dataclass(frozen=True)
class Extractor:
    """uint8 images (N, H, W) to float32 features (N, d)."""

    name: str
    digest: str  # of weights and preprocessing; part of every fingerprint
    features: Callable[[np.ndarray], np.ndarray]
    preprocessing: str = "grey levels as they are"
    # For KID; the scale of a home-made network is arbitrary, that of Inception published.
    standardised: bool = True
    device: str = "cpu"  # that it runs on, and that scores in its features are computed on

    @property
    def id(self) -> str:
        """Name and digest, as fingerprints hold them."""
        return f"{self.name}@{self.digest}"


def classifier(name: str, weights: Path | None, device: str) -> Extractor:
    """The last hidden layer of a shipped MNIST classifier, (N, 128)."""
    net, card = lenet.load(name)
    net = net.to(device)
    return Extractor(
        name,
        card["sha256"][:16],
        lambda images: batched(net.features, images, device),
        device=device,
    )


def pixels(name: str, weights: Path | None, device: str) -> Extractor:
    """The grey levels themselves in [0, 1], (N, H W): a Gaussian model of the pixels scores well, by construction."""
    return Extractor(
        name,
        "1",
        lambda images: images.reshape(len(images), -1).astype(np.float32) / 255,
        device=device,
    )


def timm_model(name: str, weights: Path | None, device: str) -> Extractor:
    """Pooled features of any model of timm's, trained on photographs; resized as it was evaluated, not cropped."""
    return from_network(name, pretrained.timm_model(name.removeprefix("timm:"), weights), device)


def inception(name: str, weights: Path | None, device: str) -> Extractor:
    """The 2015 network of FID, (N, 2048), resized as TensorFlow 1 did; or inception:half-pixel, inception:bicubic."""
    if name not in INCEPTIONS:
        raise UsageError(
            f"unknown features {name!r}; available: {', '.join(INCEPTIONS)}", "--features"
        )
    return from_network(name, pretrained.inception(INCEPTIONS[name], weights), device)


def from_network(name: str, network: pretrained.Network, device: str) -> Extractor:
    """An extractor that runs a network trained on photographs on `device`."""
    net, prepare = network
    digest, net = pretrained.digest(net, prepare), net.to(device)
    return Extractor(
        name,
        digest,
        functools.partial(pretrained.features, net, prepare, device),
        str(prepare),
        standardised=False,
        device=device,
    )


INCEPTIONS = {
    "inception": "tf1",
    "inception:half-pixel": "half-pixel",
    "inception:bicubic": "bicubic",
}
SHIPPED = ("lenet-a", "lenet-b", "pixels")
EXTRACTORS: dict[str, Callable[[str, Path | None, str], Extractor]] = {
    "lenet-a": classifier,
    "lenet-b": classifier,
    "pixels": pixels,
    "timm:MODEL": timm_model,
    "inception": inception,
}


def load(name: str, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The extractor called `name`, with its weights from a file if it is one of a network trained on photographs.

    Raises UsageError for an unknown one, and for weights that are missing or do not fit.
    """
    family = {"timm": "timm:MODEL", "inception": "inception"}.get(name.partition(":")[0], name)
    if family not in EXTRACTORS:
        raise UsageError(
            f"unknown features {name!r}; available: {', '.join(EXTRACTORS)}", "--features"
        )
    if weights is not None and name in SHIPPED:
        raise UsageError(
            f"{name} is complete as it is; --features-weights is for timm:MODEL and inception"
        )
    return EXTRACTORS[family](name, weights, device)


def second(name: str) -> str:
    """The extractor that a finding in the features of `name` is tried on again."""
    return "lenet-a" if name == "lenet-b" else "lenet-b"


def judge(name: str = JUDGE) -> str:
    """JUDGE, or another classifier, with the digest of its weights."""
    return f"{name}@{lenet.load(name)[1]['sha256'][:16]}"


def judges() -> str:
    """JUDGE and the second one that `quality.mixed` asks, for the fingerprint."""
    return f"{judge()}, {judge(second(JUDGE))}"


def classify(images: np.ndarray, judge: str = JUDGE, device: str = "cpu") -> np.ndarray:
    """Class probabilities float32 (N, 10) of uint8 images (N, H, W), according to a shipped classifier."""
    net = lenet.load(judge)[0].to(device)
    return batched(lambda x: net(x).softmax(1), images, device)


@torch.inference_mode()
def batched(
    function: Callable[[torch.Tensor], torch.Tensor],
    images: np.ndarray,
    device: str = "cpu",
    size: int = 100,
) -> np.ndarray:
    """`function` of float images in [-1, 1], over uint8 images (N, H, W), `size` at a time on a CPU."""
    size = size if device == "cpu" else 40 * size
    parts = [images[i : i + size] for i in range(0, len(images), size)]
    return torch.cat([function(to_float(part).to(device)) for part in parts]).cpu().numpy()
