"""Images made elsewhere, as uint8: an npz, a folder of PNGs, a file of torch's; measured first."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import arrays, folders
from bench.arrays import Declared
from bench.bounds import LEAST
from bench.channels import tripled
from bench.data import image_files, inspection, levels
from bench.data.dataset import Dataset
from denoisers import checkpoints
from denoisers.errors import UsageError
from denoisers.pickled import Stored

ARRAY = "arr_0"  # what outside evaluators call it, and `samples.npz` too


def read(path: Path, dataset: Dataset) -> np.ndarray:
    """Images uint8 (N, H, W) of the dataset's size, or (N, H, W, 3) if that is in colour, N >= 6.

    A frame as samplers have is taken off. Of the types of `levels.levels`, as (N, H, W), (N, H, W, C)
    or (N, C, H, W) with the channels of `levels.grey` or `levels.in_colour`; or of any mode that
    `image_files.read` takes.

    Raises UsageError naming what was found and expected.
    """
    if not os.path.exists(path):
        raise UsageError(f"no file or folder {str(path)[:300]}")
    height, width = dataset.size
    pad = dataset.pad
    with declared(path, "refused" if dataset.channels == 1 else "kept") as array:
        sizes = {(height, width), (height + 2 * pad, width + 2 * pad)}
        axis = channels(array.shape, path)
        number, *size = (n for i, n in enumerate(array.shape) if i != axis)
        if tuple(size) not in sizes:
            sides = "x".join(map(str, size))
            raise UsageError(
                f"{path} holds images of {sides} pixels, "
                f"expected {height}x{width}, those of {dataset.name}"
            )
        if number < LEAST:
            count = "1 image" if number == 1 else f"{number} images"
            more = "; a folder of PNGs is read whole" if image_files.is_image(path) else ""
            raise UsageError(f"{path} holds {count}; scores need at least {LEAST}{more}")
        levels.check_type(array.dtype, str(path))
        images = as_images(array.read(), axis, path, dataset.channels)
    if images.shape[1:3] != (height, width):
        inspection.framed(images, dataset, str(path))
        images = images[:, pad : height + pad, pad : width + pad]
    return np.ascontiguousarray(images)


def as_images(values: np.ndarray, axis: int | None, path: Path, count: int) -> np.ndarray:
    """uint8 of an array whose channels are in that axis: (N, H, W), or (N, H, W, 3) for a `count` of 3."""
    values = values[..., None] if axis is None else np.moveaxis(values, axis, -1)
    convert = levels.levels(levels.blocks(values), [str(path)])
    channels_of = levels.grey if count == 1 else levels.in_colour
    return np.concatenate([channels_of(convert(part), path) for part in levels.blocks(values)])


@contextmanager
def declared(path: Path, colour: image_files.Colour) -> Iterator[Declared]:
    """The one array of images in a file, or of the images of a folder in order of their names."""
    if path.is_dir() or image_files.is_image(path):
        yield from_images(path, colour)
    elif path.suffix in (".npz", ".npy"):
        with arrays.opened(path) as held:
            yield held[only(held, path)]()
    else:
        with ExitStack() as stack:
            try:
                content = stack.enter_context(checkpoints.opened(path))
            except UsageError as error:
                expected = f"an .npz with {ARRAY}, a folder of PNGs or a tensor saved by torch"
                raise UsageError(f"{error.message}; expected {expected}") from None
            yield from_torch(content)


def from_images(path: Path, colour: image_files.Colour) -> Declared:
    """Images in files of their own."""
    files = image_files.paths(path)
    sizes = sorted({image_files.size(file) for file in files.values()})
    if len(sizes) > 1:
        raise UsageError(
            f"the images in {path} have {len(sizes)} sizes, "
            f"from {sizes[0]} to {sizes[-1]}, expected one"
        )

    shape = (len(files), *sizes[0], *((3,) if colour == "kept" else ()))

    def read_all() -> np.ndarray:
        found = image_files.stacked(image_files.read(files, str(path), colour))
        return found if found.ndim == len(shape) else tripled(found)

    return Declared(shape, np.dtype(np.uint8), read_all)


def from_torch(content: checkpoints.Content) -> Declared:
    """A tensor saved by torch, or the only one of a dictionary.

    Floats that NumPy does not know become float32.
    """
    value = content.value if isinstance(content.value, dict) else {ARRAY: content.value}
    tensors = {str(name): x for name, x in value.items() if isinstance(x, Stored | torch.Tensor)}
    name = only(tensors, content.path)
    stored, dtype = tensors[name], str(tensors[name].dtype).removeprefix("torch.")
    known = hasattr(np, dtype)

    def read() -> np.ndarray:
        tensor = content.read({name: stored})[name]
        return (tensor if known else tensor.float()).numpy()

    return Declared(tuple(stored.shape), np.dtype(dtype if known else "float32"), read)


def only(names: Mapping[str, Any], path: Path) -> str:
    """`arr_0`, or the only name there is, beside what a Mac's archiver adds."""
    shown = [name for name in names if not any(map(folders.hidden, name.split("/")))]
    if ARRAY in shown:
        return ARRAY
    if len(shown) == 1:
        return shown[0]
    held = ", ".join(name[:60] for name in shown[:6]) or "no array"
    raise UsageError(f"{path} holds {held}; expected {ARRAY}, or one array of images")


def channels(shape: tuple[int, ...], path: Path) -> int | None:
    """The axis of the channels, 1 to 4 of them; None if the shape is (N, H, W) already."""
    if len(shape) == 3:
        return None
    axis = next((axis for axis in (3, 1) if len(shape) == 4 and 1 <= shape[axis] <= 4), None)
    if axis is None:
        given = str(shape)[:100]
        raise UsageError(
            f"{path} holds an array of shape {given}, "
            "expected (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels"
        )
    return axis
