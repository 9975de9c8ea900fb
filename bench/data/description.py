"""What a dataset is, in facts: for `bench info`."""

from typing import Any

import numpy as np
from PIL import Image

from bench.channels import with_channels
from bench.data import levels
from bench.data.dataset import Dataset

LETTERS = " .:-=+*#%@"  # from black to white
COLUMNS = 32  # of the mean image


def facts(dataset: Dataset) -> dict[str, Any]:
    """How many images of which size, where from, and what they are on average."""
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in levels.blocks(dataset.train))
    shares, grey = counts / counts.sum(), np.arange(256)
    mean = float(shares @ grey)
    std = float(np.sqrt(shares @ np.square(grey - mean)))
    return {
        "name": dataset.name,
        "id": dataset.id,
        "train": len(dataset.train),
        "held_out": len(dataset.held_out),
        "split": dataset.origin,
        "size": list(dataset.size),
        "channels": dataset.channels,
        "padding": dataset.pad,
        "range": np.flatnonzero(counts)[[0, -1]].tolist(),
        "classes": dataset.classes,
        "digest": dataset.digest,
        "licence": dataset.licence,
        "mean": round(mean, 2),
        "std": round(std, 2),
        "mean_image": in_letters(dataset.train),
    }


def in_letters(images: np.ndarray) -> list[str]:
    """The mean of uint8 images in rows of LETTERS, two for a square, its darkest part black and its lightest white."""
    mean = with_channels(images).mean(axis=(0, 3))
    mean = (mean - mean.min()) / max(float(np.ptp(mean)), 1e-9)
    height, width = mean.shape
    rows = max(1, round(COLUMNS / 2 * height / width))
    drawn = Image.fromarray(mean.astype(np.float32)).resize((COLUMNS, rows), Image.Resampling.BOX)
    places = (np.asarray(drawn) * (len(LETTERS) - 1)).round().astype(int)
    return ["".join(LETTERS[place] for place in row) for row in places]
