"""Images made elsewhere, as uint8: an npz, a folder of PNGs, or a file saved by torch."""

from pathlib import Path

import numpy as np
import torch

from bench import photographs
from bench.data import Dataset
from bench.protocol import LEAST
from denoisers.errors import UsageError

ARRAY = "arr_0"  # what outside evaluators call it, and `samples.npz` too
LEVEL = 0.5 / 255  # that floats may lie outside their range: they are rounded to it


def read(path: Path, dataset: Dataset) -> np.ndarray:
    """Images uint8 (N, H, W) of the dataset's size, N >= 6.

    Accepts (N, H, W), (N, H, W, C) and (N, C, H, W) with C 1 or 3, where the three must be equal; uint8, or floats in
    [0, 1] or (if one is below -0.5) [-1, 1], which are rounded to grey levels; with the padding that samplers work on,
    or without.

    Raises FileNotFoundError, or ValueError naming what was found and expected.
    """
    if not path.exists():
        raise UsageError(f"no file or folder {path}")
    images = levels(grey(array(path), path), path)
    height, width = dataset.train.shape[1:]
    pad = dataset.pad
    if images.shape[1:] == (height + 2 * pad, width + 2 * pad):
        images = images[:, pad : height + pad, pad : width + pad]
    if images.shape[1:] != (height, width):
        found = "x".join(map(str, images.shape[1:]))
        raise UsageError(f"{path} holds images of {found} pixels, expected {height}x{width}, those of {dataset.name}")
    if len(images) < LEAST:
        raise UsageError(f"{path} holds {len(images)} images; scores need at least {LEAST}")
    return np.ascontiguousarray(images)


def array(path: Path) -> np.ndarray:
    """The one array of images in a file, or the images of a folder in order of their names."""
    if path.is_dir():
        images = photographs.read(path)
        sizes = sorted({image.shape for image in images.values()})
        if len(sizes) > 1:
            raise UsageError(
                f"the images in {path} have {len(sizes)} sizes, from {sizes[0]} to {sizes[-1]}, expected one"
            )
        return np.stack(list(images.values()))
    return from_numpy(path) if path.suffix in (".npz", ".npy") else from_torch(path)


def from_numpy(path: Path) -> np.ndarray:
    """`arr_0` of an npz, or its only array, or an npy."""
    try:
        content = np.load(path, allow_pickle=False)
        arrays = {ARRAY: content} if isinstance(content, np.ndarray) else dict(content)
    except Exception as error:  # damaged archives fail in many ways
        raise UsageError(f"{path} cannot be read as arrays: {str(error) or type(error).__name__}") from None
    return only(arrays, path)


def from_torch(path: Path) -> np.ndarray:
    """A tensor saved by torch, or the only one of a dictionary."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
        raise UsageError(
            f"{path} cannot be read: expected an .npz with {ARRAY}, a folder of PNGs or a tensor saved by torch; "
            f"found {reason}"
        ) from None
    tensors = content if isinstance(content, dict) else {ARRAY: content}
    return only({str(name): plain(x) for name, x in tensors.items() if isinstance(x, torch.Tensor)}, path)


def plain(x: torch.Tensor) -> np.ndarray:
    """A tensor as an array, which knows neither gradients nor bfloat16."""
    x = x.detach()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def only(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """`arr_0`, or the only array there is."""
    if ARRAY in arrays:
        return arrays[ARRAY]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise UsageError(f"{path} holds {', '.join(arrays) or 'no array'}; expected {ARRAY}, or one array of images")


def grey(images: np.ndarray, path: Path) -> np.ndarray:
    """One channel: (N, H, W)."""
    if images.ndim == 4:
        axis = next((axis for axis in (3, 1) if images.shape[axis] in (1, 3)), None)
        if axis is not None:
            channels = np.moveaxis(images, axis, 0)
            if not (channels == channels[:1]).all():
                raise UsageError(f"{path} holds colour images, expected grey ones or three equal channels")
            return channels[0]
    if images.ndim == 3:
        return images
    raise UsageError(f"{path} holds an array of shape {images.shape}, expected (N, H, W), (N, H, W, 1) or (N, 1, H, W)")


def levels(images: np.ndarray, path: Path) -> np.ndarray:
    """As uint8, floats rounded to the nearest of 256 levels."""
    if images.dtype == np.uint8 or not images.size:
        return images.astype(np.uint8)
    if not np.issubdtype(images.dtype, np.floating):
        raise UsageError(f"{path} holds {images.dtype}, expected uint8, or floats in [0, 1] or [-1, 1]")
    if bad := int((~np.isfinite(images)).sum()):
        raise UsageError(f"{path} holds {bad} values that are not finite numbers")
    low, high = float(images.min()), float(images.max())
    signed = low < -0.5
    if low < -1 - LEVEL or high > 1 + LEVEL or -0.5 <= low < -LEVEL:
        raise UsageError(f"{path} holds floats from {low:.4g} to {high:.4g}, expected [0, 1] or [-1, 1], or uint8")
    unit = (images.astype(np.float64) + 1) / 2 if signed else images.astype(np.float64)
    return (unit * 255).round().clip(0, 255).astype(np.uint8)
