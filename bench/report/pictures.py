"""The images of a run, read back from what it left on disk, as small PNGs for a page."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bench import figures, images
from bench.runs import Run
from denoisers.errors import UsageError

LOOKED_AT = 256  # images; as many as grid.png shows


class Look(NamedTuple):
    """What can be measured on the images themselves, over at most LOOKED_AT of them.

    contrast  median over the images of the standard deviation of their pixels, in [0, 1]
    white     share of the pixels that are full white (250 to 255)
    """

    contrast: float
    white: float
    n: int


def samples(run: Run) -> np.ndarray | None:
    """The first images of a run, uint8 (n, H, W), from samples.npz or else grid.png; None if neither can be read."""
    stored = run.read_npz("samples.npz")
    if stored is not None and "arr_0" in stored and stored["arr_0"].ndim == 4:
        return stored["arr_0"][:LOOKED_AT, ..., 0].astype(np.uint8)
    sheet = read_sheet(run, "grid.png")
    return None if sheet is None else figures.images_of(sheet)


def read_sheet(run: Run, name: str) -> np.ndarray | None:
    """A sheet, uint8 (H, W); None if it cannot be read."""
    try:
        return read_picture(run.path / name)
    except UsageError:
        return None


def read_picture(path: Path) -> np.ndarray:
    """A picture that a run or a study left, uint8 (H, W). Raises UsageError."""
    (found,) = images.read({path.name: path}, str(path), colour=True).values()
    return found


def look(images: np.ndarray) -> Look:
    """Measure uint8 images (n, H, W)."""
    contrast = np.median((images / 255).std(axis=(1, 2)))
    return Look(float(contrast), float((images >= 250).mean()), len(images))


def sheet(images: np.ndarray, columns: int, gap: int = 1, levels: int = 256) -> str:
    """uint8 images (n, H, W) side by side, one screen pixel each, as a data URI; between them is transparent.

    levels  grey levels kept: 16 halve the size of what is noise anyway
    """
    page = figures.tiled(images, columns, gap)
    drawn = Image.fromarray(page[: page.shape[0] - gap, : page.shape[1] - gap])
    return data_uri(drawn.quantize(levels) if levels < 256 else drawn)


def data_uri(image: Image.Image) -> str:
    """A PNG inside a URL."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
