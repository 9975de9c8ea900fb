"""Sheets of images: samples, and each beside its nearest training image; matplotlib for plots."""

import contextlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np
from einops import rearrange, repeat
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

SCALE = 2  # screen pixels per image pixel
GAP = 4
CAPTION = 14
BACKGROUND = 96
LONGEST = 2048  # pixels of a side of a sheet, about
USUAL, SIZE = (
    (28, 28),
    "size of the images",
)  # that a sheet does not say, and the word before another


def matplotlib() -> ModuleType:
    """matplotlib with its figures, whatever MPLBACKEND or a matplotlibrc says.

    All else that a user has set for it stays, for the user's own figures. Raises ImportError.
    """
    try:
        importlib.import_module("matplotlib.figure")
    except (ValueError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # half of it
        with unset():
            importlib.import_module("matplotlib.figure")
    return sys.modules["matplotlib"]


@contextlib.contextmanager
def unset() -> Iterator[None]:
    """Inside, matplotlib is told no backend, and finds its own matplotlibrc.

    It looks for one in the current folder first.
    """
    shipped = Path(importlib.util.find_spec("matplotlib").origin).with_name("mpl-data")
    before = {
        name: os.environ.pop(name) for name in ("MPLBACKEND", "MPLCONFIGDIR") if name in os.environ
    }
    if "MPLCONFIGDIR" in before:  # which holds what it knows of fonts, and may be relative
        os.environ["MPLCONFIGDIR"] = os.path.abspath(os.path.expanduser(before["MPLCONFIGDIR"]))
    try:
        with contextlib.chdir(shipped):
            yield
    finally:
        os.environ.update(before)


def grid(images: np.ndarray, file: BinaryIO, columns: int = 16) -> None:
    """The first 16 rows of uint8 images, (N, H, W) or (N, H, W, 3), by their ids, as PNG; of large ones fewer."""
    big = "n h w ... -> n (h scale) (w across) ..."
    columns = fitting(images.shape[2] * SCALE + GAP, columns)
    rows = fitting(images.shape[1] * SCALE + GAP, columns)
    drawn = repeat(images[: rows * columns], big, scale=SCALE, across=SCALE)
    sheet = padded(tiled(drawn, columns, GAP, BACKGROUND), ((GAP, 0), (GAP, 0)), BACKGROUND)
    save(Image.fromarray(sheet), images.shape[1:3], file)


def fitting(pixels: int, most: int) -> int:
    """How many places of so many pixels stand side by side on a sheet, `most` at most."""
    return max(1, min(most, LONGEST // pixels))


def padded(images: np.ndarray, sides: tuple[tuple[int, int], ...], value: int) -> np.ndarray:
    """Images with their first axes continued; those after them, of channels, are left as they are."""
    rest = ((0, 0),) * (images.ndim - len(sides))
    return np.pad(images, (*sides, *rest), constant_values=value)


def tiled(images: np.ndarray, columns: int, gap: int, background: int = 0) -> np.ndarray:
    """uint8 images, (N, H, W) or (N, H, W, 3), in rows of `columns`, with `gap` pixels below and beside each."""
    columns = max(1, min(columns, len(images)))
    empty = -len(images) % columns
    framed = padded(images, ((0, empty), (0, gap), (0, gap)), background)
    page = "(rows columns) h w ... -> (rows h) (columns w) ..."
    return rearrange(framed, page, columns=columns)


def save(sheet: Image.Image, size: tuple[int, int], file: BinaryIO) -> None:
    """A sheet as PNG, which says the size of its images (H, W) if that is not the usual."""
    said = PngInfo()
    if size != USUAL:
        said.add_text(SIZE, "{}x{}".format(*size))
    sheet.save(file, format="PNG", pnginfo=said)


def size_on(sheet: Image.Image) -> tuple[int, int]:
    """(H, W) of the images on a sheet. Raises ValueError if it says what no size is."""
    said = re.fullmatch(r"(\d{1,4})x(\d{1,4})", str(sheet.info.get(SIZE, "{}x{}".format(*USUAL))))
    if said is None or not int(said[1]) or not int(said[2]):
        raise ValueError("a sheet of images of no size")
    return int(said[1]), int(said[2])


def images_of(sheet: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The images (H, W) of a `grid` sheet, uint8 (n, H, W), or (n, H, W, 3); empty places are left out.

    Raises ValueError for a sheet of another size.
    """
    height, width = (side * SCALE for side in size)
    return tiles(sheet, (height, width), (height + GAP, width + GAP))


def pairs_of(sheet: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pairs of a `nearest` sheet, uint8 (n, 2, H, W), or (n, 2, H, W, 3), by rising d1/d2.

    Raises ValueError for a sheet of another size.
    """
    height, width = size
    wide = 2 * width * SCALE + 1
    pitch = height * SCALE + CAPTION + GAP, wide - 1 + 3 * GAP
    cells = tiles(sheet, (height * SCALE, wide), pitch)
    # One pixel of frame is between the two: after every second was taken, column `width`.
    return (
        cells
        if not len(cells)
        else np.stack([cells[:, :, :width], cells[:, :, width + 1 :]], axis=1)
    )


def tiles(sheet: np.ndarray, size: tuple[int, int], pitch: tuple[int, int]) -> np.ndarray:
    """Every SCALE-th pixel of the tiles of a sheet, uint8 (n, H, W) or (n, H, W, 3), but of empty ones."""
    rows, columns = (
        (length - GAP) // step for length, step in zip(sheet.shape[:2], pitch, strict=True)
    )
    whole = rows * pitch[0] + GAP, columns * pitch[1] + GAP
    if rows < 1 or columns < 1 or sheet.shape[:2] != whole:
        raise ValueError(f"a sheet of {sheet.shape[1]} x {sheet.shape[0]} pixels is none of ours")
    tile = "(rows h) (columns w) ... -> (rows columns) h w ..."
    cut = rearrange(sheet[GAP:, GAP:], tile, h=pitch[0], w=pitch[1])[:, : size[0], : size[1]]
    drawn = (cut != BACKGROUND).reshape(len(cut), -1).any(axis=1)
    return cut[drawn, ::SCALE, ::SCALE]


def nearest(
    images: np.ndarray, neighbours: np.ndarray, ratio: np.ndarray, file: BinaryIO, columns: int = 8
) -> None:
    """Pairs sample | nearest training image, what looks most like a copy first. PNG.

    images, neighbours  uint8 (N, H, W), or (N, H, W, 3); ratio (N,). The first 64 pairs are drawn, each above its
                        ratio.
    """
    columns = fitting(2 * images.shape[2] * SCALE + 3 * GAP, columns)
    rows = fitting(images.shape[1] * SCALE + CAPTION + GAP, 8)
    order = np.argsort(ratio, kind="stable")[: columns * rows]
    pairs = np.stack([images[order], neighbours[order]], axis=1)
    captioned(pairs, [f"{ratio[i]:.3f}" for i in order], file, columns)


def mixed(
    images: np.ndarray, classes: np.ndarray, sure: np.ndarray, file: BinaryIO, columns: int = 10
) -> None:
    """The twenty images whose class is least sure, that first, each above what it is taken for. PNG.

    images   uint8 (N, H, W), or (N, H, W, 3)
    classes  (N, 2), what two classifiers see; sure (N,), the larger of their confidences
    """
    columns = fitting(images.shape[2] * SCALE + GAP, columns)
    order = np.argsort(sure, kind="stable")[: columns * 2]
    seen = [f"{classes[i, 0]}|{classes[i, 1]}  {sure[i]:.2f}" for i in order]
    captioned(images[order, None], seen, file, columns)


def captioned(cells: np.ndarray, captions: list[str], file: BinaryIO, columns: int) -> None:
    """Cells of images side by side, uint8 (n, k, H, W), or (n, k, H, W, 3), in rows, each above its caption. PNG."""
    count, across = cells.shape[:2]
    high, wide = (side * SCALE for side in cells.shape[2:4])
    height, width = high + CAPTION + GAP, across * wide + (2 * across - 1) * GAP
    size = (min(columns, count) * width + GAP, -(-count // columns) * height + GAP)
    sheet = blank(size, cells.ndim == 5)
    draw = ImageDraw.Draw(sheet)
    for place, (images, caption) in enumerate(zip(cells, captions, strict=True)):
        left, top = place % columns * width + GAP, place // columns * height + GAP
        for column, image in enumerate(images):
            sheet.paste(enlarged(image), (left + column * (wide + 1), top))
        draw.text((left, top + high), caption, fill="white")
    save(sheet, cells.shape[2:4], file)


def blank(size: tuple[int, int], colour: bool) -> Image.Image:
    """An empty sheet (width, height), in grey or for images in colour."""
    return Image.new("RGB" if colour else "L", size, (BACKGROUND,) * 3 if colour else BACKGROUND)


def restored(pairs: list[tuple[np.ndarray, np.ndarray]], file: BinaryIO, scale: int = 1) -> None:
    """Rows noisy | denoised of float images (H, W) in [0, 1], clipped. PNG.

    scale  screen pixels per image pixel
    """
    height = sum(noisy.shape[0] * scale + GAP for noisy, _ in pairs) + GAP
    width = 2 * max(noisy.shape[1] * scale + GAP for noisy, _ in pairs) + GAP
    sheet, top = Image.new("L", (width, height), BACKGROUND), GAP
    for noisy, denoised in pairs:
        for place, image in enumerate((noisy, denoised)):
            drawn = enlarged((image.clip(0, 1) * 255).round().astype(np.uint8), scale)
            sheet.paste(drawn, (GAP + place * (width - GAP) // 2, top))
        top += noisy.shape[0] * scale + GAP
    sheet.save(file, format="PNG")


def enlarged(image: np.ndarray, scale: int = SCALE) -> Image.Image:
    """uint8 (H, W) or (H, W, 3), every pixel drawn scale x scale."""
    return Image.fromarray(image).resize(
        (image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST
    )


def strips(
    rows: list[tuple[str, np.ndarray]], file: BinaryIO, label: int = 290, scale: int = SCALE
) -> None:
    """One row of uint8 images, (N, H, W) or (N, H, W, 3), per label, the label in front. PNG.

    label  screen pixels for it
    """
    high = max(images.shape[1] for _, images in rows) * scale + GAP
    wide = label + max(len(x) * (x.shape[2] * scale + GAP) for _, x in rows) + GAP
    sheet = blank((wide, len(rows) * high + GAP), any(images.ndim == 4 for _, images in rows))
    draw = ImageDraw.Draw(sheet)
    for row, (text, images) in enumerate(rows):
        top, width = row * high + GAP, images.shape[2] * scale + GAP
        draw.text((GAP, top + high // 2 - CAPTION // 2), text, fill="white")
        for column, image in enumerate(images):
            sheet.paste(enlarged(image, scale), (label + column * width, top))
    sheet.save(file, format="PNG")
