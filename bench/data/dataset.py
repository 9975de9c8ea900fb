"""What a dataset is: images to learn from and images held out, and how one set is made two."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.bounds import LEAST
from bench.channels import channels_of
from bench.images import to_float
from denoisers.errors import UsageError

PERMUTATION_SEED = 20261120
SHARE = 6  # one image of so many is held out, where nothing else says which
DIVIDED = f"one image in {SHARE} held out by a fixed permutation"
OLDER = ("mnist", "mnist5k")  # whose digests are of their images alone
FEWEST = SHARE * LEAST  # images that can be told apart so


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images uint8 of both sets, (N, H, W) in grey or (N, H, W, 3) in colour, and labels int64 (N,).

    `held_out` is in the order of a fixed permutation, so its first n images are a random subset.
    MNIST's test file is ordered (5000 tidy writers, then 5000 untidy ones): its own first n images
    have several times the FID.

    pad      black pixels around each image while it is sampled: 28 -> 32; only of images on black
    what     its images are: "digits", in white on black, which a classifier of ours knows; "cifar10",
             whose classes another knows; or "images" of any kind
    licence  of the images, in words
    origin   how the two sets were told apart, in words
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray | None
    held_out: np.ndarray
    held_out_labels: np.ndarray | None
    pad: int = 0
    what: str = "images"
    licence: str = "not stated"
    origin: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of all that a dataset holds, first 16 digits: part of every cache key and fingerprint."""
        digest = hashlib.sha256(np.ascontiguousarray(self.train).data)
        digest.update(np.ascontiguousarray(self.held_out).data)
        if self.name not in OLDER:
            digest.update(f"{self.train.shape}{f' {self.pad}' if self.pad else ''}".encode())
            for labels in (self.train_labels, self.held_out_labels):
                digest.update(b"" if labels is None else labels.tobytes())
        return digest.hexdigest()[:16]

    @property
    def id(self) -> str:
        """Name and digest, as fingerprints and cards hold them."""
        return f"{self.name}@{self.digest}"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of an image, without the padding."""
        return self.train.shape[1:3]

    @property
    def on_black(self) -> bool:
        """Whether what lies around an image is black."""
        return self.pad > 0

    @property
    def channels(self) -> int:
        """1 in grey, 3 in colour."""
        return channels_of(self.train)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images a sampler works on."""
        height, width = self.size
        return self.channels, height + 2 * self.pad, width + 2 * self.pad

    @property
    def classes(self) -> int:
        """How many classes the labels have; 0 without labels."""
        return 0 if self.train_labels is None else int(self.train_labels.max()) + 1

    def first(self, num: int) -> np.ndarray:
        """The first `num` held-out images, uint8 (num, H, W) or (num, H, W, 3).

        Raises UsageError about --num if there are fewer.
        """
        if num > len(self.held_out):
            raise UsageError(
                f"{self.name} has {len(self.held_out)} held-out images; found {num}", "--num"
            )
        return self.held_out[:num]

    def labels(self) -> np.ndarray:
        """The classes of the training images, int64 (N,). Raises UsageError if there are none."""
        if self.train_labels is None:
            raise UsageError(
                f"{self.name} has no labels, which a classifier learns; a folder has them as folders "
                "in it, an npz as `labels`, a zip in dataset.json",
                "--dataset",
            )
        return self.train_labels


def ingredients(dataset: Callable[[], Dataset]) -> dict[str, Callable[[], Any]]:
    """`train` and `labels`, as `denoisers.load` takes them; what is in them is read when called.

    Labels are None where there are none.
    """

    def labels() -> Tensor | None:
        found = dataset().train_labels
        return None if found is None else torch.from_numpy(found)

    return {"train": lambda: to_float(dataset().train, dataset().pad), "labels": labels}


def shuffled(number: int) -> np.ndarray:
    """The indices below `number` in the order of the fixed permutation, int64 (number,)."""
    return np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(number)


def permuted(
    name: str,
    train: np.ndarray,
    train_labels: np.ndarray | None,
    test: np.ndarray,
    test_labels: np.ndarray | None,
    **facts: Any,
) -> Dataset:
    """A Dataset whose held-out set is `test` in the order of the fixed permutation."""
    order = shuffled(len(test))
    labels = None if test_labels is None else test_labels[order]
    return Dataset(name, train, train_labels, test[order], labels, **facts)


def divided(
    name: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    groups: Sequence[object] | None = None,
    **facts: Any,
) -> Dataset:
    """A Dataset that holds one image in SHARE out, by the fixed permutation.

    groups  what each image was cut from: all of a group are on one side

    Raises UsageError for fewer than FEWEST images, or SHARE groups.
    """
    names = list(dict.fromkeys(groups)) if groups is not None else range(len(images))
    least, what = (SHARE, "photographs") if groups is not None else (FEWEST, "images")
    if len(names) < least:
        raise UsageError(
            f"{name} has {len(names)} {what if len(names) > 1 else what[:-1]}; expected {least} at least, "
            f"as one in {SHARE} is held out"
        )
    away = shuffled(len(names))[: len(names) // SHARE]
    if groups is not None:
        chosen = {names[index] for index in away}
        away = np.array([i for i, group in enumerate(groups) if group in chosen])
        away = away[shuffled(len(away))]
    stay = np.setdiff1d(np.arange(len(images)), away)
    parts = (None, None) if labels is None else (labels[stay], labels[away])
    return Dataset(name, images[stay], parts[0], images[away], parts[1], **facts)
