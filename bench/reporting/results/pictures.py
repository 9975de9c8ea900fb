"""The images of a run, read back from what it left on disk, as small PNGs for a page."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bench import arrays, sheets
from bench.channels import without_channels
from bench.data import image_files
from denoisers.errors import UsageError

ARRAY = "arr_0"  # of samples.npz
LOOKED_AT = 256  # images; as many as grid.png shows
WIDEST = 512  # pixels of an image
PIXELS = 2**24  # of a sheet; the largest of ours have a twentieth of it
WHOLE = 2**19  # of a sheet that is shown as it is; ours have a fifth of it
THUMBNAILS = 8
SMALL = 28  # pixels of a thumbnail
# Levels of what is seen at a glance, or is mostly noise, which does not compress; in colour more.
GREYS, COLOURS = 16, 64


class Look(NamedTuple):
    """What can be measured on the images themselves, over at most LOOKED_AT of them.

    contrast  median over the images of the standard deviation of their pixels, in [0, 1]
    white     share of the pixels that are full white (250 to 255)
    """

    contrast: float
    white: float
    n: int


class Thumbnails(NamedTuple):
    """A few images side by side in one small picture: its data URI and its size in pixels."""

    picture: str
    width: int
    height: int


def stored(path: Path) -> np.ndarray:
    """The first images of samples.npz, uint8 (n, H, W), or (n, H, W, 3) in colour. Raises UsageError."""
    with arrays.opened(path) as archive:
        if ARRAY not in archive:
            raise UsageError(f"{path} holds no array {ARRAY}")
        declared = archive[ARRAY]()
        shape, dtype = declared.shape, declared.dtype
        fits = dtype == np.uint8 and len(shape) == 4 and all(shape) and shape[3] in (1, 3)
        if not fits or max(shape[1:3]) > WIDEST:
            raise UsageError(
                f"{path} holds {dtype} {shape}, expected uint8 images (N, H, W, 1) or (N, H, W, 3)"
            )
        return without_channels(declared.first(LOOKED_AT))


def drawn(path: Path) -> np.ndarray:
    """The first images, as `stored`, from the sheet of them. Raises UsageError."""
    return tiles(path, sheets.images_of)


def pairs(path: Path) -> np.ndarray:
    """The pairs of sample and nearest training image, uint8 (n, 2, H, W[, 3]), from the sheet of them.

    Raises UsageError.
    """
    return tiles(path, sheets.pairs_of)


def captioned(path: Path) -> np.ndarray:
    """A sheet that is shown as it is, with what stands below its images: uint8 (H, W[, 3]). Raises UsageError."""
    return read_picture(path, WHOLE)


Cut = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def tiles(path: Path, cut: Cut) -> np.ndarray:
    """What is on a sheet, at least one tile. Raises UsageError."""
    try:
        with image_files.opened(path) as sheet:
            size = sheets.size_on(sheet)
        cells = cut(read_picture(path), size)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    if not len(cells):
        raise UsageError(f"{path} has no images on it")
    return cells


def read_picture(path: Path, most: int = PIXELS) -> np.ndarray:
    """A picture that a run or a study left, uint8 (H, W) or (H, W, 3), of no more pixels. Raises UsageError."""
    height, width = image_files.size(path)
    if height * width > most:
        raise UsageError(f"{path} has {width} x {height} pixels, expected {most} at most")
    (picture,) = image_files.read({path.name: path}, str(path), "kept").values()
    return picture


def look(images: np.ndarray) -> Look:
    """Measure uint8 images (n, H, W) or (n, H, W, 3)."""
    # One by one, as floats take eight times the memory.
    contrast = np.median([image.std() / 255 for image in images])
    return Look(float(contrast), float((images >= 250).mean()), len(images))


def sheet(images: np.ndarray, columns: int, gap: int = 1, levels: int = 256) -> str:
    """uint8 images (n, H, W[, 3]) side by side, one screen pixel each, as a data URI.

    levels  grey levels kept: 16 halve the size of what is noise anyway; in colour COLOURS
    """
    drawn = tiled(images, columns, gap)
    few = levels if images.ndim == 3 else COLOURS
    return data_uri(drawn.quantize(few) if levels < 256 else drawn)


def tiled(images: np.ndarray, columns: int, gap: int = 1) -> Image.Image:
    """uint8 images (n, H, W[, 3]) side by side, with `gap` black pixels between them."""
    page = sheets.tiled(images, columns, gap)
    return Image.fromarray(page[: page.shape[0] - gap, : page.shape[1] - gap])


def thumbnails(images: np.ndarray) -> Thumbnails:
    """The first of uint8 images (n, H, W[, 3]) in a row, none larger than SMALL."""
    shown = [Image.fromarray(image) for image in images[:THUMBNAILS]]
    for image in shown:
        image.thumbnail((SMALL, SMALL))
    row = tiled(np.stack([np.asarray(image) for image in shown]), THUMBNAILS)
    few = GREYS if images.ndim == 3 else COLOURS
    return Thumbnails(data_uri(row.quantize(few)), *row.size)


def data_uri(image: Image.Image) -> str:
    """A PNG inside a URL."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
