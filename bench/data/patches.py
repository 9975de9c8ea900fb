"""Tiles cut from photographs: natural images as small as digits, in grey, 32 x 32."""

from pathlib import Path

import numpy as np

from bench.data import photographs
from bench.data.dataset import SHARE, Dataset, divided, permuted
from denoisers.errors import UsageError, concerning

SIDE = 32
NAME = "patches"
BESIDE = "those of the photographs in test/ held out, in a fixed random order"
DIVIDED = f"those of one photograph in {SHARE} held out, by a fixed permutation"


def load(folder: Path) -> Dataset:
    """All tiles of the photographs below a folder, side by side, flat ones too, in grey.

    Train and held-out tiles are of different photographs: those of the folders `train` and `test`,
    if there are these; else one photograph in six is held out by a fixed permutation.

    Raises UsageError if there are too few photographs, or none is large enough.
    """
    with concerning("--dataset"):
        pair = [folder / "train", folder / "test"]
        if all(part.is_dir() for part in pair):
            (train, _), (test, _) = map(cut, pair)
            return permuted(NAME, train, None, test, None, origin=BESIDE)
        tiles, names = cut(folder)
        return divided(NAME, tiles, None, names, origin=DIVIDED)


def cut(place: Path) -> tuple[np.ndarray, list[str]]:
    """Tiles uint8 (N, SIDE, SIDE) of the photographs below a folder, and the name of the photograph of each.

    They do not overlap; what is left at the right and below is left out, and so are smaller images.
    """
    tiles, names = [], []
    for name, image in photographs.read(place).items():
        rows, columns = (length // SIDE for length in image.shape)
        part = image[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
        tiles.append(part.swapaxes(1, 2).reshape(-1, SIDE, SIDE))
        names += [name] * (rows * columns)
    if not names:
        raise UsageError(f"the photographs in {place} are smaller than {SIDE} x {SIDE} pixels")
    return np.concatenate(tiles), names
