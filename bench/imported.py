"""Images made elsewhere, as uint8: an npz, a folder of PNGs, or a file saved by torch; measured before being read."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import arrays, photographs
from bench.arrays import Declared
from bench.bounds import LEAST
from bench.data import Dataset
from denoisers import checkpoints
from denoisers.errors import UsageError
from denoisers.pickled import Stored

ARRAY = "arr_0"  # what outside evaluators call it, and `samples.npz` too
LEVEL = 0.5 / 255  # that floats may lie outside their range: they are rounded to it
BLOCK = 2**22  # values that are looked at or rounded at once


def read(path: Path, dataset: Dataset) -> np.ndarray:
    """Images uint8 (N, H, W) of the dataset's size, N >= 6.

    Accepts (N, H, W), (N, H, W, C) and (N, C, H, W) with C 1 or 3, where the three must be equal; uint8, or floats in
    [0, 1] or (if one is below -0.5) [-1, 1], which are rounded to grey levels; with the padding that samplers work on,
    or without.

    Raises UsageError naming what was found and expected.
    """
    if not os.path.exists(path):
        raise UsageError(f"no file or folder {str(path)[:300]}")
    height, width = dataset.train.shape[1:]
    pad = dataset.pad
    with declared(path) as found:
        sizes = {(height, width), (height + 2 * pad, width + 2 * pad)}
        axis = channels(found.shape, path)
        number, *size = (n for i, n in enumerate(found.shape) if i != axis)
        if tuple(size) not in sizes:
            said = f"images of {'x'.join(map(str, size))} pixels"
            raise UsageError(f"{path} holds {said}, expected {height}x{width}, those of {dataset.name}")
        if number < LEAST:
            more = "; a folder of PNGs is read whole" if is_image(path) else ""
            raise UsageError(f"{path} holds {number} image{'s' * (number != 1)}; scores need at least {LEAST}{more}")
        if found.dtype != np.uint8 and not np.issubdtype(found.dtype, np.floating):
            raise UsageError(f"{path} holds {found.dtype}, expected uint8, or floats in [0, 1] or [-1, 1]")
        images = levels(grey(found.read(), axis, path), path)
    if images.shape[1:] != (height, width):
        images = images[:, pad : height + pad, pad : width + pad]
    return np.ascontiguousarray(images)


def is_image(path: Path) -> bool:
    """Whether a file is one image, by its name."""
    return path.suffix.lower() in photographs.SUFFIXES and path.is_file()


@contextmanager
def declared(path: Path) -> Iterator[Declared]:
    """The one array of images in a file, or of the images of a folder in order of their names."""
    if path.is_dir() or is_image(path):
        yield from_images(path)
    elif path.suffix in (".npz", ".npy"):
        with arrays.opened(path) as found:
            yield found[only(found, path)]()
    else:
        with ExitStack() as stack:
            try:
                content = stack.enter_context(checkpoints.opened(path))
            except UsageError as error:
                expected = f"an .npz with {ARRAY}, a folder of PNGs or a tensor saved by torch"
                raise UsageError(f"{error.message}; expected {expected}") from None
            yield from_torch(content)


def from_images(path: Path) -> Declared:
    """Images in files of their own."""
    found = photographs.paths(path)
    sizes = sorted({photographs.size(file) for file in found.values()})
    if len(sizes) > 1:
        raise UsageError(f"the images in {path} have {len(sizes)} sizes, from {sizes[0]} to {sizes[-1]}, expected one")
    shape = (len(found), *sizes[0])
    return Declared(shape, np.dtype(np.uint8), lambda: np.stack(list(photographs.read(path).values())))


def from_torch(content: checkpoints.Content) -> Declared:
    """A tensor saved by torch, or the only one of a dictionary. Floats that NumPy does not know become float32."""
    value = content.value if isinstance(content.value, dict) else {ARRAY: content.value}
    tensors = {str(name): x for name, x in value.items() if isinstance(x, Stored | torch.Tensor)}
    name = only(tensors, content.path)
    found, dtype = tensors[name], str(tensors[name].dtype).removeprefix("torch.")
    known = hasattr(np, dtype)

    def read() -> np.ndarray:
        tensor = content.read({name: found})[name]
        return (tensor if known else tensor.float()).numpy()

    return Declared(tuple(found.shape), np.dtype(dtype if known else "float32"), read)


def only(names: Mapping[str, Any], path: Path) -> str:
    """`arr_0`, or the only name there is."""
    if ARRAY in names:
        return ARRAY
    if len(names) == 1:
        return next(iter(names))
    held = ", ".join(name[:60] for name in list(names)[:6]) or "no array"
    raise UsageError(f"{path} holds {held}; expected {ARRAY}, or one array of images")


def channels(shape: tuple[int, ...], path: Path) -> int | None:
    """The axis of the channels, 1 or 3 of them; None if the shape is (N, H, W) already."""
    if len(shape) == 3:
        return None
    axis = next((axis for axis in (3, 1) if len(shape) == 4 and shape[axis] in (1, 3)), None)
    if axis is None:
        found = str(shape)[:100]
        raise UsageError(f"{path} holds an array of shape {found}, expected (N, H, W), (N, H, W, 1) or (N, 1, H, W)")
    return axis


def grey(images: np.ndarray, axis: int | None, path: Path) -> np.ndarray:
    """One channel: (N, H, W)."""
    if axis is None:
        return images
    first, *others = np.moveaxis(images, axis, 0)
    if not all(np.array_equal(first, other) for other in others):
        raise UsageError(f"{path} holds colour images, expected grey ones or three equal channels")
    return first


def levels(images: np.ndarray, path: Path) -> np.ndarray:
    """As uint8, floats rounded to the nearest of 256 levels."""
    if images.dtype == np.uint8:
        return images
    if bad := sum(each(images, lambda block: int((~np.isfinite(block)).sum()))):
        raise UsageError(f"{path} holds {bad} values that are not finite numbers")
    low, high = min(each(images, lambda block: float(block.min()))), max(each(images, lambda block: float(block.max())))
    signed = low < -0.5
    if low < -1 - LEVEL or high > 1 + LEVEL or -0.5 <= low < -LEVEL:
        raise UsageError(f"{path} holds floats from {low:.4g} to {high:.4g}, expected [0, 1] or [-1, 1], or uint8")

    def rounded(block: np.ndarray) -> np.ndarray:
        unit = (block.astype(np.float64) + 1) / 2 if signed else block.astype(np.float64)
        return (unit * 255).round().clip(0, 255).astype(np.uint8)

    return np.concatenate(list(each(images, rounded)))


def each(images: np.ndarray, work: Callable[[np.ndarray], Any]) -> Iterator[Any]:
    """`work` of a few images after the other: float64 values of all of them might not fit into memory."""
    count = max(1, BLOCK // max(1, math.prod(images.shape[1:])))
    return (work(images[i : i + count]) for i in range(0, len(images), count))
