"""Datasets by name: those with names, a user's own files, tiles of photographs, code of others.

A dataset can be named as

    NAME               one of DATASETS, or an entry point `bench.datasets` of any distribution
    PATH               a folder of images, an npz, a zip as EDM's tools lay it out: see own.py
    patches:FOLDER     tiles cut from photographs: see patches.py
    module:attr        an attribute of an importable module
    path/to/file.py:attr

What code leads to is a Dataset, or a function that returns one; a mapping of its arrays will do.
"""

import dataclasses
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.bounds import LEAST
from bench.data import cifar, lookup, mnist, own, patches
from bench.data.dataset import Dataset
from denoisers import plugins
from denoisers.errors import UsageError, concerning, foreign
from denoisers.places import expand

PATCHES = "patches:"
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "mnist": mnist.mnist,
    "mnist5k": mnist.mnist5k,
    "fashion-mnist": mnist.fashion_mnist,
    "kmnist": mnist.kmnist,
    "cifar10": cifar.cifar10,
}
KINDS = ("digits", "cifar10", "images")
MOST_PAD = 64  # pixels around an image
ARRAYS = ("train", "train_labels", "held_out", "held_out_labels")


def load(name: str = "mnist", data_dir: Path | None = None) -> Dataset:
    """The dataset called `name`: see above.

    Those with names are looked for in `data_dir`, $BENCH_DATA and $BENCH_HOME/data, then downloaded;
    if there is no network either, `mnist5k` takes the place of `mnist`, with a notice on stderr.

    Raises UsageError for an unknown name, if `data_dir` is given and does not hold it, for files that
    are damaged or are no images of one size; ForeignError for code that fails.
    """
    if name in DATASETS:
        return DATASETS[name](data_dir)
    if name.startswith(PATCHES):
        folder = name.removeprefix(PATCHES)
        if not folder.strip():
            raise UsageError("names no folder of photographs; expected patches:FOLDER", "--dataset")
        return enough(patches.load(Path(expand(folder))))
    if name in (points := plugins.plug_ins(plugins.DATASETS)):
        return apart(of_code(name, points[name].value))
    if os.path.lexists(name):
        return apart(own.load(Path(name)))
    if ":" in name:
        return apart(of_code(name, name))
    close = difflib.get_close_matches(name, [*DATASETS, *points], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise UsageError(
        f"unknown {name[:300]!r}{hint} available: {', '.join([*DATASETS, *points])}; or a folder, "
        "an npz or a zip of images, patches:FOLDER, module:attr, or path/to/file.py:attr",
        "--dataset",
    )


def enough(dataset: Dataset) -> Dataset:
    """A dataset with enough images to be scored against. Raises UsageError if it has fewer."""
    for what, images in (("to train on", dataset.train), ("held out", dataset.held_out)):
        if len(images) < LEAST:
            raise UsageError(
                f"{dataset.name} has {len(images)} images {what}; expected {LEAST} at least",
                "--dataset",
            )
    return dataset


def apart(dataset: Dataset) -> Dataset:
    """`enough`, of a dataset of a user's own, under a name that is none of ours."""
    name = enough(dataset).name.replace("@", "-").strip() or "images"
    own_name = f"own-{name}" if name in (*DATASETS, patches.NAME) else name
    return dataclasses.replace(dataset, name=own_name)


def is_dataset(name: str) -> bool:
    """Whether a name can only be a dataset's, as opposed to a denoiser's."""
    known = name in DATASETS or name.startswith(PATCHES)
    known = known or name in plugins.plug_ins(plugins.DATASETS)
    return known or os.path.isdir(name) or name.endswith((".npz", ".npy", ".zip"))


def has_name(named: str) -> bool:
    """Whether name@digest is of a dataset that can be found again by its name."""
    return named.partition("@")[0] in DATASETS


def at_hand(named: str, data_dir: Path | None = None) -> Dataset | None:
    """The dataset called name@digest, if it is one with a name and on this machine; None if it is not.

    Nothing is downloaded.
    """
    name = named.partition("@")[0]
    dataset = None
    if name == "mnist5k":
        dataset = mnist.mnist5k(None)
    elif name in mnist.SETS:
        dataset = lookup.here(mnist.source(name), data_dir)
    elif name == "cifar10":
        dataset = lookup.here(cifar.SOURCE, data_dir)
    return dataset if dataset is not None and dataset.id == named else None


def of_code(name: str, target: str) -> Dataset:
    """What code of others gives. Raises UsageError if that is no dataset, ForeignError if it fails."""
    with concerning("--dataset"):
        value = plugins.imported(target, "the dataset")
        if callable(value) and not isinstance(value, Dataset):
            with foreign(f"dataset {name}"):
                value = value()
        return described(name, value)


def described(name: str, value: Any) -> Dataset:
    """A Dataset as it is, or of a mapping with its arrays. Raises UsageError for what is none."""
    if isinstance(value, Mapping):
        known = dict(value)
        title = str(known.pop("name", name.rpartition(":")[2]))
        missing = [key for key in ("train", "held_out") if key not in known]
        allowed = {*ARRAYS, "pad", "licence", "origin"}
        if missing or not known.keys() <= allowed:
            raise UsageError(
                f"{name} gives {', '.join(map(str, value))}; expected train and held_out, "
                f"and of {', '.join(sorted(allowed - {'train', 'held_out'}))} what there is"
            )
        value = Dataset(title, **dict.fromkeys(ARRAYS) | known)
    if not isinstance(value, Dataset):
        raise UsageError(
            f"{name} gives something else ({type(value).__name__}); "
            "expected a bench.data.dataset.Dataset, or a mapping with train and held_out"
        )
    labels: dict[str, Any] = {}
    for part in ("train", "held_out"):
        images, given = getattr(value, part), getattr(value, f"{part}_labels")
        check_images(f"{part} of {name}", images)
        given = None if given is None else np.asarray(given)
        labels[f"{part}_labels"] = own.checked(given, len(images), Path(f"{part} of {name}"))
    if len({known is None for known in labels.values()}) > 1:
        raise UsageError(f"{name} has labels of one set alone; give them to both, or to none")
    if type(value.pad) is not int or not 0 <= value.pad <= MOST_PAD:
        raise UsageError(f"{name} has pad {value.pad!r}; expected a whole number in 0..{MOST_PAD}")
    shape = (value.channels, *value.size)
    if value.what not in KINDS or (value.what == "digits" and shape != (1, 28, 28)):
        raise UsageError(
            f"{name} is of {value.what!r}, {shape[1]} x {shape[2]} in {shape[0]} channels; "
            f"expected one of {', '.join(KINDS)}, and digits of 28 x 28 in grey"
        )
    if value.train.shape[1:] != value.held_out.shape[1:]:
        raise UsageError(
            f"{name} has images {value.train.shape[1:]} to train on, and {value.held_out.shape[1:]} "
            "held out; expected one shape"
        )
    return dataclasses.replace(value, name=str(value.name), **labels)


def check_images(what: str, images: object) -> None:
    """Raise UsageError for what is no array of images."""
    expected = "expected uint8 (N, H, W), or (N, H, W, 3) in colour"
    if not isinstance(images, np.ndarray):
        raise UsageError(f"{what} is {type(images).__name__}; {expected}")
    in_colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or in_colour):
        raise UsageError(f"{what} is {images.dtype} {images.shape}; {expected}")
    if len(images) < LEAST or min(images.shape[1:3]) < own.SIDE:
        raise UsageError(
            f"{what} has {len(images)} images of {images.shape[1]}x{images.shape[2]}; "
            f"expected {LEAST} or more, of {own.SIDE} pixels a side or more"
        )
