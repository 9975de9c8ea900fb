"""Sheets of images: the samples, and each sample beside its nearest training image."""

from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw

SCALE = 2  # screen pixels per image pixel
GAP = 4
CAPTION = 14


def grid(images: np.ndarray, file: BinaryIO, columns: int = 16) -> None:
    """The first 16 rows of uint8 images (N, H, W), in the order of their ids, as PNG."""
    images = images[: columns * columns]
    height, width = (side * SCALE + GAP for side in images.shape[1:])
    rows = -(-len(images) // columns)
    sheet = Image.new("L", (min(columns, len(images)) * width + GAP, rows * height + GAP), 96)
    for i, image in enumerate(images):
        sheet.paste(enlarged(image), (i % columns * width + GAP, i // columns * height + GAP))
    sheet.save(file, format="PNG")


def nearest(images: np.ndarray, neighbours: np.ndarray, ratio: np.ndarray, file: BinaryIO, columns: int = 8) -> None:
    """Pairs sample | nearest training image, by rising d1/d2: what looks most like a copy comes first. PNG.

    images, neighbours  uint8 (N, H, W); ratio (N,). The first 64 pairs are drawn, each above its ratio.
    """
    order = np.argsort(ratio, kind="stable")[: columns * 8]
    height, width = images.shape[1] * SCALE + CAPTION + GAP, images.shape[2] * SCALE * 2 + 3 * GAP
    rows = -(-len(order) // columns)
    sheet = Image.new("L", (min(columns, len(order)) * width + GAP, rows * height + GAP), 96)
    draw = ImageDraw.Draw(sheet)
    for place, i in enumerate(order):
        left, top = place % columns * width + GAP, place // columns * height + GAP
        sheet.paste(enlarged(images[i]), (left, top))
        sheet.paste(enlarged(neighbours[i]), (left + images.shape[2] * SCALE + 1, top))
        draw.text((left, top + images.shape[1] * SCALE), f"{ratio[i]:.3f}", fill=255)
    sheet.save(file, format="PNG")


def restored(pairs: list[tuple[np.ndarray, np.ndarray]], file: BinaryIO, scale: int = 1) -> None:
    """Rows noisy | denoised of float images (H, W) in [0, 1], clipped; each pixel drawn scale x scale. PNG."""
    height = sum(noisy.shape[0] * scale + GAP for noisy, _ in pairs) + GAP
    width = 2 * max(noisy.shape[1] * scale + GAP for noisy, _ in pairs) + GAP
    sheet, top = Image.new("L", (width, height), 96), GAP
    for noisy, denoised in pairs:
        for place, image in enumerate((noisy, denoised)):
            drawn = enlarged((image.clip(0, 1) * 255).round().astype(np.uint8), scale)
            sheet.paste(drawn, (GAP + place * (width - GAP) // 2, top))
        top += noisy.shape[0] * scale + GAP
    sheet.save(file, format="PNG")


def enlarged(image: np.ndarray, scale: int = SCALE) -> Image.Image:
    """uint8 (H, W), every pixel drawn scale x scale."""
    return Image.fromarray(image).resize((image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST)


def strips(rows: list[tuple[str, np.ndarray]], file: BinaryIO, label: int = 290) -> None:
    """One row of uint8 images (N, H, W) per label, the label in front. PNG."""
    height, width = (side * SCALE + GAP for side in rows[0][1].shape[1:])
    sheet = Image.new("L", (label + max(len(images) for _, images in rows) * width + GAP, len(rows) * height + GAP), 96)
    draw = ImageDraw.Draw(sheet)
    for row, (text, images) in enumerate(rows):
        top = row * height + GAP
        draw.text((GAP, top + height // 2 - CAPTION // 2), text, fill=255)
        for column, image in enumerate(images):
            sheet.paste(enlarged(image), (label + column * width, top))
    sheet.save(file, format="PNG")
