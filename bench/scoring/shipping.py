"""What comes with the package: what scoring measures once, for MNIST in the features of the two classifiers.

    python -m bench.scoring.shipping      (or: make controls)

Each file has the name that it has in $BENCH_HOME/cache, of the versions, data and networks that it
depends on: when one of these changes it is not found, and what it held is measured as if nothing
were shipped. The features of the training images are not among them: 30 MB that take seconds.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import files, machine
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.scoring import control_scores, control_sets, extractors, reference
from bench.scoring.reference import Reference

MNIST = "d3a53d8b21379d5b"  # the digest of the data set
EXTRACTORS = ("lenet-a", "lenet-b")
NUMBERS = (256, 2000, 10_000)  # images of the protocols: see `plan.PRESETS`


def pieces(against: Reference) -> dict[str, Callable[[], Any]]:
    """Key -> what has it measured, unless it is kept."""
    found: dict[str, Callable[[], Any]] = {
        against.cells_key: lambda: against.cells,
        against.sums_key: lambda: against.kid,
        against.null_key: lambda: against.null,
    }
    for n in NUMBERS:
        for name in control_sets.CONTROLS:
            key = control_scores.key(against, n, name)
            found[key] = partial(control_scores.one, against, n, name, print)
    return found


def keys(dataset: Dataset) -> set[str]:
    """Of all that is shipped."""
    return {key for name in EXTRACTORS for key in pieces(Reference(dataset, extractors.load(name)))}


@contextmanager
def nothing_kept() -> Iterator[Path]:
    """A cache, empty at first, beside which nothing is shipped."""
    before, shipped = os.environ.get("BENCH_HOME"), reference.SHIPPED
    with tempfile.TemporaryDirectory() as home:
        os.environ["BENCH_HOME"], reference.SHIPPED = home, Path(home) / "shipped"
        try:
            yield Path(home) / "cache"
        finally:
            del os.environ["BENCH_HOME"]
            os.environ |= {} if before is None else {"BENCH_HOME": before}
            reference.SHIPPED = shipped


def make(dataset: Dataset, folder: Path, say: files.Say = print) -> None:
    """Measure everything anew into `folder`, and remove from it what is of other versions."""
    with nothing_kept() as cache:
        for name in EXTRACTORS:
            for key, ask in pieces(Reference(dataset, extractors.load(name))).items():
                began, path = time.monotonic(), folder / f"{key}.npz"
                ask()
                arrays = files.unpacked(cache / path.name)  # sealed
                files.write(path, partial(np.savez_compressed, **arrays))
                say(f"{path.stat().st_size:7,} bytes  {time.monotonic() - began:5.0f} s  {key}")
    for path in folder.glob("*.npz"):
        if path.stem not in keys(dataset):
            path.unlink()
            say(f"removed: {path.stem}")


def main() -> None:
    """Needs MNIST; exit status 1 without."""
    dataset = datasets.load("mnist")
    if dataset.digest != MNIST:
        sys.exit(f"these are made of mnist@{MNIST}; found {dataset.id}")
    print(f"made by {machine.commit()}")
    make(dataset, reference.SHIPPED)
    made = list(reference.SHIPPED.glob("*.npz"))
    print(f"{len(made)} files, {sum(path.stat().st_size for path in made) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
