"""Feature extractors: images to the vectors that quality is measured in."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from bench import lenet
from bench.data import to_float

SECOND = ("lenet-b", "lenet-a")  # the extractor beside the one asked for; the latter if that is the former
JUDGE = "lenet-a"  # names the class of a sample and how sure it is, whatever the extractor of FID is


@dataclasses.dataclass(frozen=True)
class Extractor:
    """uint8 images (N, H, W) to float32 features (N, d)."""

    name: str
    digest: str  # of the weights; part of every fingerprint
    features: Callable[[np.ndarray], np.ndarray]


def classifier(name: str) -> Extractor:
    """The last hidden layer of a shipped MNIST classifier, (N, 128)."""
    net, card = lenet.load(name)
    return Extractor(name, card["sha256"][:16], lambda images: batched(net.features, images))


def pixels(name: str) -> Extractor:
    """The grey levels themselves in [0, 1], (N, H W): a Gaussian model of the pixels scores well, by construction."""
    return Extractor(name, "1", lambda images: images.reshape(len(images), -1).astype(np.float32) / 255)


EXTRACTORS: dict[str, Callable[[str], Extractor]] = {"lenet-a": classifier, "lenet-b": classifier, "pixels": pixels}


def load(name: str) -> Extractor:
    """The extractor called `name`. Raises LookupError for an unknown one."""
    if name not in EXTRACTORS:
        raise LookupError(f"unknown features {name!r}; available: {', '.join(EXTRACTORS)} (--features)")
    return EXTRACTORS[name](name)


def judge() -> str:
    """JUDGE with the digest of its weights, for the fingerprint."""
    return f"{JUDGE}@{lenet.load(JUDGE)[1]['sha256'][:16]}"


def classify(images: np.ndarray) -> np.ndarray:
    """Class probabilities float32 (N, 10), according to JUDGE."""
    net, _ = lenet.load(JUDGE)
    return batched(lambda x: net(x).softmax(1), images)


@torch.inference_mode()
def batched(function: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray, size: int = 500) -> np.ndarray:
    """`function` of float images in [-1, 1], over uint8 images (N, H, W)."""
    return np.concatenate([function(to_float(images[i : i + size])).numpy() for i in range(0, len(images), size)])
