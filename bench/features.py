"""Feature extractors, and the reference features of a dataset, cached by the digests of what they depend on."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from bench import files, lenet, memorization, metrics
from bench.data import Dataset, to_float
from bench.memorization import Neighbours
from bench.metrics import KidReference
from denoisers.weights import home

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


def classify(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted class int64 (N,) and its probability float32 (N,), according to JUDGE."""
    net, _ = lenet.load(JUDGE)
    probabilities = batched(lambda x: net(x).softmax(1), images)
    return probabilities.argmax(1), probabilities.max(1)


@torch.inference_mode()
def batched(function: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray, size: int = 500) -> np.ndarray:
    """`function` of float images in [-1, 1], over uint8 images (N, H, W)."""
    return np.concatenate([function(to_float(images[i : i + size])).numpy() for i in range(0, len(images), size)])


def reference(dataset: Dataset, extractor: Extractor) -> tuple[np.ndarray, KidReference]:
    """Features of the training set, raw (for FID) and prepared for KID."""

    def compute() -> dict[str, np.ndarray]:
        raw = extractor.features(dataset.train)
        return {"raw": raw, **vars(KidReference.of(raw))}

    arrays = cached(f"reference-{metrics.VERSION}-{dataset.digest}-{extractor.name}-{extractor.digest}", compute)
    return arrays.pop("raw"), KidReference(**arrays)


def held_out_neighbours(dataset: Dataset) -> Neighbours:
    """Nearest training images of the whole held-out set: the control of every memorization number."""
    key = f"neighbours-{memorization.VERSION}-{dataset.digest}"
    return Neighbours(**cached(key, lambda: memorization.nearest(dataset.held_out, dataset.train)._asdict()))


def cached(key: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays stored under `key` in $BENCH_HOME/cache, computed and stored if missing or unreadable."""
    path = home() / "cache" / f"{key}.npz"
    arrays = files.read_npz(path)
    if arrays is None:
        arrays = compute()
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, never the run
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_npz(path, **arrays)
    return arrays
