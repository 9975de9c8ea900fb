"""Folders of photographs, in grey levels: what restoration networks are trained on and gauged by."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from denoisers.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm")


def read(folder: Path) -> dict[str, np.ndarray]:
    """All images below `folder` by their names, in order of these, as uint8 (H, W).

    Raises FileNotFoundError if there is none, ValueError for a file that is no image.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not paths:
        raise UsageError(f"no images in {folder}: expected files ending in {', '.join(SUFFIXES)}")
    images = {}
    for path in paths:
        try:
            with Image.open(path) as image:
                images[str(path.relative_to(folder))] = np.asarray(image.convert("L"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise UsageError(f"{path} cannot be read as an image: {error}") from None
    return images


def natural(data_dir: Path | None) -> Path:
    """The folder of training photographs, restoration/train, below `data_dir` or $BENCH_DATA.

    Raises FileNotFoundError, naming the flag, if it is in neither.
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

    Raises ValueError if no image is large enough.
    """
    found = []
    for image in images.values():
        starts = [np.unique(np.linspace(0, n - side, -(-n // side)).round().astype(int)) for n in image.shape]
        if min(image.shape) >= side:
            found += [image[y : y + side, x : x + side] for y in starts[0] for x in starts[1]]
    if not found:
        raise UsageError(f"training needs images of at least {side} x {side} pixels; all of these are smaller")
    return np.stack(found)
