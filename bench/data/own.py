"""Datasets of a user's own: a folder of images, an npz, or a zip of images as EDM's tools lay it out.

What is train and what is held out: folders `train` and `test`; a file with `train` in its name and
one with `test` in that place beside it; else one image in six is held out by a fixed permutation.

Images are of one size, in grey if all are: equal channels are grey, and where some are in colour
the grey ones are, too. A palette stands for its colours, 16 bits in grey are rounded to 8, alpha is
left out where it is opaque. What has no one meaning is refused, naming the file.
"""

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from bench import arrays, folders
from bench.channels import tripled
from bench.data import given, image_files, levels
from bench.data.dataset import DIVIDED, Dataset, divided, permuted
from denoisers import reading
from denoisers.errors import UsageError, concerning, in_one_line

LABELS = "labels"  # of an npz
DESCRIPTION = "dataset.json"  # of a zip
DIRECTORY = 2**26  # bytes of the directory of a zip: half a million images
TRAIN, TEST = "train", "test"
MAPPED = 2**28  # bytes of an npy that is left where it is; a smaller one is read
SIDE = 4  # pixels of an image, at least


class Images(NamedTuple):
    """uint8 (N, H, W) or (N, H, W, 3), and classes int64 (N,), if there are any.

    kinds    the files that they were in, in words: what is compressed with losses is worth knowing
    classes  what the classes are called, if they have names
    """

    images: np.ndarray
    labels: np.ndarray | None
    kinds: str
    classes: tuple[str, ...] = ()


def load(path: Path) -> Dataset:
    """The dataset at a path: see above. Raises UsageError, naming the file that is not as it must be."""
    with concerning("--dataset"):
        name, pairs = title(path), parts(path)
        if pairs is None:
            images, labels, kinds, _ = read(path)
            return divided(name, images, labels, origin=f"{kinds}; {DIVIDED}")
        train, test = alike(*map(read, pairs), pairs)
        said = f"{train.kinds}; {pairs[1].name} held out, in a fixed random order"
        return permuted(name, *train[:2], *test[:2], origin=said)


def title(path: Path) -> str:
    """What a dataset is called: its file or folder."""
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def parts(path: Path) -> tuple[Path, Path] | None:
    """What is trained on and what is held out, if that is said by names; else None."""
    if path.is_dir():
        pair = path / TRAIN, path / TEST
        if pair[0].is_dir() and not pair[1].is_dir():
            raise UsageError(
                f"{path} has a folder {TRAIN} and no folder {TEST} beside it; name both so"
            )
        return pair if all(part.is_dir() for part in pair) else None
    before, found, after = path.name.rpartition(TRAIN)
    test = path.with_name(before + TEST + after)
    return (path, test) if found and test.is_file() else None


def read(path: Path) -> Images:
    """The images of a folder or file."""
    if path.is_dir():
        found = of_folder(path)
    elif path.suffix.lower() == ".zip":
        found = of_zip(path)
    elif path.suffix.lower() in (".npz", ".npy"):
        found = of_npz(path)
    else:
        raise UsageError(f"{path} is no dataset; expected a folder of images, an npz or a zip")
    images = found.images
    height, width = images.shape[1:3]
    if min(height, width) < SIDE:
        raise UsageError(f"{path} holds images of {height}x{width}; expected {SIDE} pixels a side")
    if images.ndim == 4 and all(levels.is_grey(part) for part in levels.blocks(images)):
        images = np.concatenate([levels.luma(part) for part in levels.blocks(images)])
    images = np.ascontiguousarray(images)
    return found._replace(images=images, labels=checked(found.labels, len(images), path))


def checked(labels: np.ndarray | None, number: int, path: Path) -> np.ndarray | None:
    """Labels as int64. Raises UsageError unless there is one for each image, a whole number from 0."""
    if labels is None:
        return None
    if labels.shape != (number,) or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"{path} has labels {labels.dtype} {labels.shape} for {number} images; "
            "expected one whole number for each"
        )
    if number and labels.min() < 0:
        raise UsageError(f"{path} has the label {labels.min()}; expected classes from 0 on")
    return labels.astype(np.int64)


def alike(train: Images, test: Images, pairs: tuple[Path, Path]) -> tuple[Images, Images]:
    """Both sets with the same channels. Raises UsageError if their sizes differ, or one has labels alone."""
    sizes = ["x".join(map(str, part.images.shape[1:3])) for part in (train, test)]
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"images of several sizes: those in {pairs[0]} have {sizes[0]}, "
            f"those in {pairs[1]} {sizes[1]}"
        )
    if (train.labels is None) != (test.labels is None):
        lacking = pairs[train.labels is not None]
        raise UsageError(f"{lacking} has no labels, as the other has; give them to both, or none")
    if train.classes != test.classes:
        test = test._replace(labels=renumbered(test, train.classes, pairs))
    if train.images.ndim != test.images.ndim:
        train, test = (
            part._replace(images=tripled(part.images)) if part.images.ndim == 3 else part
            for part in (train, test)
        )
    return train, test


def renumbered(test: Images, classes: tuple[str, ...], pairs: tuple[Path, Path]) -> np.ndarray:
    """The labels of a test set in the numbers that a training set gives its classes.

    Raises UsageError for a class that the training set does not have.
    """
    if unknown := sorted({*test.classes} - {*classes}):
        raise UsageError(f"{pairs[1]} has a class {unknown[0]!r}, which {pairs[0]} has not")
    return np.array([classes.index(name) for name in test.classes])[test.labels]


def of_folder(path: Path) -> Images:
    """All images below a folder; if each lies in a folder of it, those are the classes, in order of their names."""
    files = image_files.paths(path)
    images = image_files.read(files, str(path), "kept")
    tops = [Path(name).parts[0] if len(Path(name).parts) > 1 else "" for name in files]
    kinds = sorted(set(tops))
    if "" in kinds or len(kinds) == 1:
        return Images(stacked(images), None, suffixes(files))
    labels = np.array([kinds.index(top) for top in tops])
    return Images(stacked(images), labels, suffixes(files), tuple(kinds))


def of_npz(path: Path) -> Images:
    """`arr_0`, or the only other array there is, and `labels`."""
    with arrays.opened(path) as held:
        name = given.only({key: held[key] for key in held if key != LABELS}, path)
        declared = held[name]()
        axis = given.channels(declared.shape, path)
        levels.check_type(declared.dtype, str(path))
        if not math.prod(declared.shape):
            raise UsageError(f"{path} holds no images: {name} has the shape {declared.shape}")
        ready = declared.dtype == np.uint8 and declared.shape[3:] in ((), (3,))
        if declared.mapped and ready and arrays.size(declared) > MAPPED:
            images = declared.mapped()
        else:
            images = given.as_images(declared.read(), axis, path, 1 if axis is None else 3)
        labels = held[LABELS]().read() if LABELS in held else None
        return Images(images, labels, f"{declared.dtype} in {path.suffix}")


def of_zip(path: Path) -> Images:
    """The images of a zip, by their names, and the classes that its dataset.json says."""
    with (
        reading.opened(path) as file,
        reading.zipped(file, path, most=DIRECTORY) as archive,
    ):
        entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
        if odd := [name for name in entries if PurePosixPath("/", name).as_posix() != f"/{name}"]:
            raise UsageError(f"{path} holds {odd[0][:100]!r}; expected names of files in folders")

        @contextmanager
        def member(name: Path) -> Iterator[BinaryIO]:
            entry = entries[name.relative_to(path).as_posix()]
            reading.hold(entry.file_size, str(name))
            try:
                with reading.member(archive, entry.filename) as inside:
                    yield io.BytesIO(inside.read())
            except UsageError:
                raise
            except Exception as error:  # archives fail in many ways
                raise UsageError(f"{name} cannot be read: {in_one_line(error)}") from None

        shown = [name for name in sorted(entries) if not any(map(folders.hidden, name.split("/")))]
        names = [name for name in shown if Path(name).suffix.lower() in image_files.SUFFIXES]
        if not names:
            expected = ", ".join(image_files.SUFFIXES)
            raise UsageError(f"no images in {path}: expected files ending in {expected}")
        files = {name: path / name for name in names}
        images = stacked(image_files.read(files, str(path), "kept", member))
        if DESCRIPTION not in entries:
            return Images(images, None, suffixes(names))
        with member(path / DESCRIPTION) as text:
            labels = described(text.read(), names, path / DESCRIPTION)
        return Images(images, labels, suffixes(names))


def described(text: bytes, names: list[str], path: Path) -> np.ndarray | None:
    """The classes of the images `names` in EDM's dataset.json; None if it has none.

    Raises UsageError for anything else.
    """
    try:
        content: Any = json.loads(text)
        rows = content["labels"]
        table = None if rows is None else dict(rows)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        expected = 'expected {"labels": [[NAME, CLASS], ...]} or {"labels": null}'
        raise UsageError(f"{path} is not readable ({in_one_line(error)}); {expected}") from None
    if table is None:
        return None
    if absent := next((name for name in names if name not in table), None):
        raise UsageError(f"{path} has no label for {absent}; expected one for each image")
    found = [table[name] for name in names]
    if any(type(label) is not int for label in found):
        raise UsageError(f"{path} has labels that are no whole numbers; expected classes from 0 on")
    return np.array(found)


def suffixes(names: Iterable[str]) -> str:
    """The kinds of files, in words, as in: .jpg and .png."""
    return " and ".join(sorted({Path(name).suffix.lower() for name in names}))


def stacked(images: Mapping[str, np.ndarray]) -> np.ndarray:
    """As `image_files.stacked`, which says what can be done about several sizes."""
    try:
        return image_files.stacked(images)
    except UsageError as error:
        raise UsageError(
            f"{error.message}; make them one size, or cut tiles of them: --dataset patches:FOLDER"
        ) from None
