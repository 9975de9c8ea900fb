"""Feature extractors: images to the vectors that quality is measured in."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.dataset import Dataset
from bench.images import to_float
from bench.scoring import catalogue, lenet, pretrained, resnet
from denoisers import weights as weights_
from denoisers.errors import UsageError

# Two classifiers, trained apart, by what they know the classes of; the first names the class of a
# sample and how sure it is, whatever the extractor of FID is, and the second is asked whether it agrees.
JUDGES = {"digits": ("lenet-a", "lenet-b"), "cifar10": ("cifar-a", "cifar-b")}


@dataclasses.dataclass(frozen=True)
class Extractor:
    """uint8 images, (N, H, W) or (N, H, W, 3), to float32 features (N, d)."""

    name: str
    digest: str  # of weights and preprocessing; part of every fingerprint
    features: Callable[[np.ndarray], np.ndarray]
    preprocessing: str = "grey levels as they are"
    # For KID; the scale of a home-made network is arbitrary, that of Inception published.
    standardised: bool = True
    device: str = "cpu"  # that it runs on, and that scores in its features are computed on
    block: int = 100  # images that it takes at once

    @property
    def id(self) -> str:
        """Name and digest, as fingerprints hold them."""
        return f"{self.name}@{self.digest}"


def classifier(name: str, weights: Path | None, device: str) -> Extractor:
    """The last hidden layer of a shipped classifier: (N, 128) of digits, (N, 256) of natural images of any size."""
    kind = CLASSIFIERS[name]
    net, card = kind.load(name)
    net, digest, prepared = net.to(device), card["sha256"][:16], {}
    if kind.PREPARED:
        digest = hashlib.sha256(f"{card['sha256']} {kind.PREPARED}".encode()).hexdigest()[:16]
        prepared = {"preprocessing": kind.PREPARED}
    return Extractor(
        name,
        digest,
        lambda images: batched(net.features, images, device),
        device=device,
        block=block(device),
        **prepared,
    )


def pixels(name: str, weights: Path | None, device: str) -> Extractor:
    """The grey levels themselves in [0, 1], (N, H W C): a Gaussian model of the pixels scores well, by construction."""
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
        block=pretrained.block(device),
    )


INCEPTIONS = {
    "inception": "tf1",
    "inception:half-pixel": "half-pixel",
    "inception:bicubic": "bicubic",
}
CLASSIFIERS: dict[str, Any] = {
    "lenet-a": lenet,
    "lenet-b": lenet,
    "cifar-a": resnet,
    "cifar-b": resnet,
}
SHIPPED = (*CLASSIFIERS, "pixels")
EXTRACTORS: dict[str, Callable[[str, Path | None, str], Extractor]] = {
    **dict.fromkeys(CLASSIFIERS, classifier),
    "pixels": pixels,
    "timm:MODEL": timm_model,
    "inception": inception,
}


def load(name: str, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The extractor called `name`, with its weights from a file if it is one of a network trained on photographs.

    Raises UsageError for an unknown one, and for weights that are missing or do not fit.
    """
    family = family_of(name)
    if weights is not None and name in SHIPPED:
        raise UsageError(
            f"{name} is complete as it is; --features-weights is for timm:MODEL and inception"
        )
    return EXTRACTORS[family](name, weights, device)


def family_of(name: str) -> str:
    """The key of EXTRACTORS that a name belongs to. Raises UsageError for an unknown one."""
    family = {"timm": "timm:MODEL", "inception": "inception"}.get(name.partition(":")[0], name)
    if family not in EXTRACTORS:
        raise UsageError(
            f"unknown features {name!r}; available: {', '.join(EXTRACTORS)}", "--features"
        )
    return family


def default(dataset: Dataset) -> str:
    """The extractor of a dataset: for digits the one trained on them, else one trained on photographs."""
    return known(dataset)[0]


def known(dataset: Dataset) -> tuple[str, str]:
    """The two classifiers whose features suit a dataset, whether or not they know its classes."""
    return JUDGES["digits" if dataset.what == "digits" else "cifar10"]


def second(name: str, dataset: Dataset) -> str:
    """The extractor that a finding in the features of `name` is tried on again."""
    first, other = known(dataset)
    return first if name == other else other


def suiting(
    dataset: Dataset, name: str | None = None, weights: Path | None = None, device: str = "cpu"
) -> Extractor:
    """As `load`, by default the one of the dataset. Raises UsageError for one that does not take its images."""
    check(name or default(dataset), dataset)
    return load(name or default(dataset), weights, device)


def check(name: str, dataset: Dataset) -> None:
    """Raise UsageError for an extractor that does not take a dataset's images."""
    shape = (dataset.channels, *dataset.size)
    if CLASSIFIERS.get(name) is lenet and shape != (1, 28, 28):
        raise UsageError(
            f"{name} takes digits of 28 x 28 in grey; {dataset.name} has images of "
            f"{shape[1]} x {shape[2]}{' in colour' * (shape[0] == 3)}; choose {default(dataset)}",
            "--features",
        )


def judges_of(dataset: Dataset) -> tuple[str, str] | None:
    """The two classifiers that know a dataset's classes, by what it is, or were trained on just these images.

    None if there are none: nothing can then be said of classes and confidence.
    """
    if dataset.what in JUDGES:
        return JUDGES[dataset.what]
    pairs = (pair for pair in JUDGES.values() if trained_on(pair[0]) == dataset.digest)
    return next(pairs, None)


@functools.cache
def trained_on(name: str) -> str:
    """The digest of the dataset that a shipped classifier was trained on, by its card."""
    card = weights_.read_card(CLASSIFIERS[name].FOLDER / f"{name}.json")
    return str(card.get("data", "")).rpartition("@")[2]


@functools.cache
def judge(name: str) -> str:
    """A classifier, with the digest of its weights."""
    card = weights_.read_card(CLASSIFIERS[name].FOLDER / f"{name}.json")
    return f"{name}@{card['sha256'][:16]}"


def judges(dataset: Dataset) -> str:
    """The judge and the second one that `quality.mixed` asks, for the fingerprint; catalogue.NO_JUDGE without."""
    pair = judges_of(dataset)
    return ", ".join(map(judge, pair)) if pair else catalogue.NO_JUDGE


def classify(images: np.ndarray, judge: str, device: str = "cpu") -> np.ndarray:
    """Class probabilities float32 (N, classes) of uint8 images, according to a shipped classifier."""
    net = CLASSIFIERS[judge].load(judge)[0].to(device)
    return batched(lambda x: net(x).softmax(1), images, device)


def block(device: str) -> int:
    """Images that a small network takes at once."""
    return 100 if device == "cpu" else 4000


@torch.inference_mode()
def batched(
    function: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """`function` of float images in [-1, 1], over uint8 images, a block at a time."""
    size = block(device)
    parts = (images[i : i + size] for i in range(0, len(images), size))
    return torch.cat([function(to_float(part).to(device)).cpu() for part in parts]).numpy()
