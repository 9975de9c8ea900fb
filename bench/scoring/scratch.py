"""Arrays that may be larger than memory: made a block after the other, in a file that goes with its last user."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

from denoisers.weights import home

HELD = 2**30  # bytes of an array that is held in memory; a larger one is mapped from a file
BLOCK = 2**26  # bytes that are made at once


def blocks(rows: np.ndarray) -> Iterator[slice]:
    """Places of rows that take about BLOCK bytes, one after the other."""
    size = max(1, BLOCK // max(1, math.prod(rows.shape[1:]) * rows.itemsize))
    return (slice(i, i + size) for i in range(0, len(rows), size))


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """In memory, or in a file without a name in $BENCH_HOME/cache, which ends with the array.

    Raises OSError if the disk is too small for it.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= HELD:
        return np.empty(shape, dtype)
    place = home() and home() / "cache"
    with tempfile.TemporaryFile(dir=place if place and os.access(place, os.W_OK) else None) as file:
        if hasattr(os, "posix_fallocate"):  # or a full disk would be a fault of the processor
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # macOS
            file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape)


def mapped(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """`function` of each row, whatever comes out of how many."""
    one = function(rows[:1])
    whole = empty((len(rows), *one.shape[1:]), one.dtype)
    for place in blocks(rows):
        whole[place] = function(rows[place])
    return whole
