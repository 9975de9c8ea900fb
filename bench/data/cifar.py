"""CIFAR-10 as torchvision lays it out: 50 000 + 10 000 photographs of ten classes, 32 x 32, in colour."""

import tempfile
from pathlib import Path

import numpy as np

from bench.data import lookup, reachable
from bench.data.dataset import Dataset, permuted
from bench.data.lookup import Source
from bench.data.mnist import ORIGIN
from bench.notices import notice
from denoisers.errors import UsageError, in_one_line

FOLDER = "cifar-10-batches-py"
LICENCE = "not stated; published for research (Krizhevsky 2009)"


def cifar10(data_dir: Path | None) -> Dataset:
    """Krizhevsky 2009, "Learning multiple layers of features from tiny images"."""
    return lookup.required(SOURCE, data_dir)


def read(root: Path, about: str = "") -> Dataset | None:
    """CIFAR-10 below `root`; None if there is none.

    Raises UsageError about that flag for files whose md5 is not the one that torchvision knows: they
    are pickles, and are not opened.
    """
    if not (root / FOLDER).is_dir():
        return None
    from torchvision.datasets import CIFAR10  # slow to import

    try:
        parts = [CIFAR10(root, train=train) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise UsageError(
            f"{root / FOLDER} is damaged, or not CIFAR-10's ({in_one_line(error)}); "
            "delete it, put the right files there, or choose another folder",
            about,
        ) from None
    train, test = (
        (np.ascontiguousarray(part.data), np.array(part.targets, np.int64)) for part in parts
    )
    facts = {"what": "cifar10", "licence": LICENCE, "origin": ORIGIN}
    return permuted("cifar10", *train, *test, **facts)


def download(root: Path | None) -> Dataset | None:
    """CIFAR-10 downloaded by torchvision, below `root` if there is one; None if it cannot be had."""
    from torchvision.datasets import CIFAR10

    if not reachable.reachable([CIFAR10.url]):
        return None
    with tempfile.TemporaryDirectory() as passing:
        place = root or Path(passing)
        try:
            place.mkdir(parents=True, exist_ok=True)
            with reachable.patience():
                CIFAR10(place, download=True)
            return read(place)
        except Exception as error:  # torchvision asserts, and tar files fail in many ways
            notice(f"the download of CIFAR-10 failed: {in_one_line(error)}")
            return None


SOURCE = Source("CIFAR-10", f"{FOLDER}/data_batch_1 and the other files", read, download)
