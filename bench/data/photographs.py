"""Folders of photographs, in grey levels: what restoration networks are trained on and gauged by."""

from pathlib import Path

import numpy as np

from bench.data import image_files
from denoisers.errors import UsageError
from denoisers.places import variable


def read(place: Path) -> dict[str, np.ndarray]:
    """All images below a folder by their names, in order, as uint8 (H, W); or the one in a file.

    Colour is made grey, as papers on grey images do. Raises UsageError if there is none, and for a
    file that is no image, too large or of a kind that cannot be read as it is meant.
    """
    return image_files.read(image_files.paths(place), str(place), "made grey")


def folder_of(name: str, root: Path) -> str:
    """The folder of an image that `read` found, from `root` on; the name of `root` if it is that."""
    parent = Path(name).parent.as_posix()
    return parent if parent != "." else root.resolve().name or str(root.resolve())


def natural(data_dir: Path | None, other: str = "--data FOLDER") -> Path:
    """The folder of training photographs, restoration/train, below `data_dir` or $BENCH_DATA.

    other  the flag that names any other folder

    Raises UsageError, naming the flag, if it is in neither.
    """
    places = [data_dir, variable("BENCH_DATA")]
    for place in places:
        if place is not None and (folder := place / "restoration" / "train").is_dir():
            return folder
    raise UsageError(
        "no natural photographs: expected restoration/train/ below --data-dir or BENCH_DATA; "
        f"any other folder of images will do: {other}"
    )


def starts(length: int, side: int) -> np.ndarray:
    """Where the fewest pieces of `side` begin that cover `length`, evenly spread."""
    return np.unique(np.linspace(0, length - side, -(-length // side)).round().astype(int))


def tiles(photos: dict[str, np.ndarray], side: int) -> np.ndarray:
    """Squares that cover each image, overlapping where they must, uint8 (N, side, side).

    Smaller images are left out.

    Raises UsageError if no image is large enough.
    """
    squares = []
    for image in photos.values():
        if min(image.shape) >= side:
            rows, columns = (starts(length, side) for length in image.shape)
            squares += [image[y : y + side, x : x + side] for y in rows for x in columns]
    if not squares:
        raise UsageError(
            f"training needs images of at least {side} x {side} pixels; all of these are smaller"
        )
    return np.stack(squares)
