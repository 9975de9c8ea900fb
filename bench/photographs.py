"""Folders of photographs, in grey levels: what restoration networks are trained on and gauged by."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from denoisers import reading
from denoisers.errors import UsageError, said

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")  # whatever a file is called, nothing else is tried on it
DECODED = 5  # bytes of a pixel, at most, while an image is decoded and made grey


def read(place: Path) -> dict[str, np.ndarray]:
    """All images below a folder by their names, in order of these, as uint8 (H, W); or the one in a file.

    Raises UsageError if there is none, and for a file that is no image or too large.
    """
    found, total = {}, 0
    for name, path in paths(place).items():
        with opened(path) as image:
            total += image.width * image.height
            reading.hold(total, f"{place}, with its images so far,")
            found[name] = np.asarray(image.convert("L"))
    return found


def paths(place: Path) -> dict[str, Path]:
    """The files of images below a folder, by their names in it; or the one file. Raises UsageError if there is none."""
    if place.is_file() and place.suffix.lower() in SUFFIXES:
        return {place.name: place}
    files = [path for path in sorted(place.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not files:
        raise UsageError(f"no images in {place}: expected files ending in {', '.join(SUFFIXES)}")
    return {str(path.relative_to(place)): path for path in files}


def size(path: Path) -> tuple[int, int]:
    """(H, W) of an image, from the beginning of its file."""
    with opened(path) as image:
        return image.height, image.width


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image of one of FORMATS, not decoded yet, and no larger than allowed. Raises UsageError for anything else."""
    with reading.opened(path) as file, warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(file, formats=FORMATS) as image:
                reading.hold(DECODED * image.width * image.height, str(path))
                yield image
        except (UsageError, MemoryError):
            raise
        except Exception as error:  # damaged files provoke whatever a decoder can raise
            raise UsageError(f"{path} cannot be read as an image: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Why Pillow cannot read a file, in words that do not name its objects."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return "it declares more pixels than any photograph has"
    return str(error)[:200] if isinstance(error, OSError | ValueError) and str(error) else said(error)[:200]


def folder_of(name: str, root: Path) -> str:
    """The folder of an image that `read` found below `root`, from there on; the name of `root` if it lies in it."""
    parent = Path(name).parent.as_posix()
    return parent if parent != "." else root.resolve().name or str(root.resolve())


def natural(data_dir: Path | None) -> Path:
    """The folder of training photographs, restoration/train, below `data_dir` or $BENCH_DATA.

    Raises UsageError, naming the flag, if it is in neither.
    """
    places = [data_dir, Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None]
    for place in places:
        if place is not None and (found := place / "restoration" / "train").is_dir():
            return found
    raise UsageError(
        "no natural photographs: expected restoration/train/ below --data-dir or BENCH_DATA; "
        "any other folder of images will do: --data FOLDER"
    )


def tiles(images: dict[str, np.ndarray], side: int) -> np.ndarray:
    """Squares that cover each image, overlapping where they must, uint8 (N, side, side). Smaller images are left out.

    Raises UsageError if no image is large enough.
    """
    found = []
    for image in images.values():
        starts = [np.unique(np.linspace(0, n - side, -(-n // side)).round().astype(int)) for n in image.shape]
        if min(image.shape) >= side:
            found += [image[y : y + side, x : x + side] for y in starts[0] for x in starts[1]]
    if not found:
        raise UsageError(f"training needs images of at least {side} x {side} pixels; all of these are smaller")
    return np.stack(found)
