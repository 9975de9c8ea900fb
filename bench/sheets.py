"""Sheets of images: samples, and each beside its nearest training image; matplotlib for plots."""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np
from einops import rearrange, repeat
from PIL import Image, ImageDraw

SCALE = 2  # screen pixels per image pixel
GAP = 4
CAPTION = 14
BACKGROUND = 96


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
    """The first 16 rows of uint8 images (N, H, W), in the order of their ids, as PNG."""
    drawn = repeat(
        images[: columns * columns], "n h w -> n (h scale) (w across)", scale=SCALE, across=SCALE
    )
    sheet = np.pad(
        tiled(drawn, columns, GAP, BACKGROUND), ((GAP, 0), (GAP, 0)), constant_values=BACKGROUND
    )
    Image.fromarray(sheet).save(file, format="PNG")


def tiled(images: np.ndarray, columns: int, gap: int, background: int = 0) -> np.ndarray:
    """uint8 images (N, H, W) in rows of `columns`, with `gap` pixels below and beside each."""
    columns = max(1, min(columns, len(images)))
    empty = -len(images) % columns
    framed = np.pad(images, ((0, empty), (0, gap), (0, gap)), constant_values=background)
    return rearrange(framed, "(rows columns) h w -> (rows h) (columns w)", columns=columns)


def images_of(sheet: np.ndarray, side: int = 28) -> np.ndarray:
    """The images of a `grid` sheet, uint8 (n, side, side); empty places are left out.

    Raises ValueError for a sheet of another size.
    """
    return tiles(sheet, (side * SCALE, side * SCALE), (side * SCALE + GAP, side * SCALE + GAP))


def pairs_of(sheet: np.ndarray, side: int = 28) -> np.ndarray:
    """The pairs of a `nearest` sheet, uint8 (n, 2, side, side), by rising d1/d2.

    Raises ValueError for a sheet of another size.
    """
    wide = 2 * side * SCALE + 1
    cells = tiles(sheet, (side * SCALE, wide), (side * SCALE + CAPTION + GAP, wide - 1 + 3 * GAP))
    # One pixel of frame is between the two: after every second was taken, column `side`.
    return (
        cells if not len(cells) else np.stack([cells[:, :, :side], cells[:, :, side + 1 :]], axis=1)
    )


def tiles(sheet: np.ndarray, size: tuple[int, int], pitch: tuple[int, int]) -> np.ndarray:
    """Every SCALE-th pixel of the tiles of a sheet, uint8 (n, H, W), but of empty ones."""
    rows, columns = (
        (length - GAP) // step for length, step in zip(sheet.shape, pitch, strict=True)
    )
    if rows < 1 or columns < 1 or sheet.shape != (rows * pitch[0] + GAP, columns * pitch[1] + GAP):
        raise ValueError(f"a sheet of {sheet.shape[1]} x {sheet.shape[0]} pixels is none of ours")
    tile = "(rows h) (columns w) -> (rows columns) h w"
    cut = rearrange(sheet[GAP:, GAP:], tile, h=pitch[0], w=pitch[1])[:, : size[0], : size[1]]
    drawn = (cut != BACKGROUND).any(axis=(1, 2))
    return cut[drawn, ::SCALE, ::SCALE]


def nearest(
    images: np.ndarray, neighbours: np.ndarray, ratio: np.ndarray, file: BinaryIO, columns: int = 8
) -> None:
    """Pairs sample | nearest training image, what looks most like a copy first. PNG.

    images, neighbours  uint8 (N, H, W); ratio (N,). The first 64 pairs are drawn, each above its
                        ratio.
    """
    order = np.argsort(ratio, kind="stable")[: columns * 8]
    pairs = np.stack([images[order], neighbours[order]], axis=1)
    captioned(pairs, [f"{ratio[i]:.3f}" for i in order], file, columns)


def mixed(
    images: np.ndarray, classes: np.ndarray, sure: np.ndarray, file: BinaryIO, columns: int = 10
) -> None:
    """The twenty images whose class is least sure, that first, each above what it is taken for. PNG.

    images   uint8 (N, H, W)
    classes  (N, 2), what two classifiers see; sure (N,), the larger of their confidences
    """
    order = np.argsort(sure, kind="stable")[: columns * 2]
    seen = [f"{classes[i, 0]}|{classes[i, 1]}  {sure[i]:.2f}" for i in order]
    captioned(images[order, None], seen, file, columns)


def captioned(cells: np.ndarray, captions: list[str], file: BinaryIO, columns: int) -> None:
    """Cells of images side by side, uint8 (n, k, H, W), in rows, each above its caption. PNG."""
    count, across = cells.shape[:2]
    high, wide = (side * SCALE for side in cells.shape[2:])
    height, width = high + CAPTION + GAP, across * wide + (2 * across - 1) * GAP
    size = (min(columns, count) * width + GAP, -(-count // columns) * height + GAP)
    sheet = Image.new("L", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, (images, caption) in enumerate(zip(cells, captions, strict=True)):
        left, top = place % columns * width + GAP, place // columns * height + GAP
        for column, image in enumerate(images):
            sheet.paste(enlarged(image), (left + column * (wide + 1), top))
        draw.text((left, top + high), caption, fill=255)
    sheet.save(file, format="PNG")


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
    """uint8 (H, W), every pixel drawn scale x scale."""
    return Image.fromarray(image).resize(
        (image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST
    )


def strips(
    rows: list[tuple[str, np.ndarray]], file: BinaryIO, label: int = 290, scale: int = SCALE
) -> None:
    """One row of uint8 images (N, H, W) per label, the label in front. PNG.

    label  screen pixels for it
    """
    height, width = (side * scale + GAP for side in rows[0][1].shape[1:])
    sheet = Image.new(
        "L",
        (label + max(len(images) for _, images in rows) * width + GAP, len(rows) * height + GAP),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    for row, (text, images) in enumerate(rows):
        top = row * height + GAP
        draw.text((GAP, top + height // 2 - CAPTION // 2), text, fill=255)
        for column, image in enumerate(images):
            sheet.paste(enlarged(image, scale), (label + column * width, top))
    sheet.save(file, format="PNG")
