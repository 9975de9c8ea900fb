"""Files of NumPy's that others made: what an array declares is looked at before it is unpacked."""

import functools
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from denoisers import reading
from denoisers.errors import UsageError, in_one_line

DIRECTORY = 2**20  # bytes of the directory of an archive of arrays, which has a few
# Bytes of an array that are unpacked to see whether they are whole, where fewer are asked for.
CHECKED = 2**28


class Declared(NamedTuple):
    """An array that has not been read yet, which is done while the file is open.

    read    all of it
    first   its first so many rows, of a file of NumPy's; the others are looked through, if there are
            not too many, as checksums are at the end
    mapped  all of it as it lies in an npy, which memory need not hold; None of one that must be read
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    first: Callable[[int], np.ndarray] | None = None
    mapped: Callable[[], np.ndarray] | None = None


Look = Callable[[], Declared]


def size(array: Declared) -> int:
    """The bytes that an array takes in memory."""
    return math.prod(array.shape) * array.dtype.itemsize


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, Look]]:
    """The arrays of an npz by their names, or the one of an npy as "".

    Raises UsageError for what is neither.
    """
    with reading.opened(path) as file:
        if file.read(2) == b"PK":
            with reading.zipped(file, path, DIRECTORY) as archive:
                names = archive.namelist()
                yield {
                    name.removesuffix(".npy"): functools.partial(of_archive, archive, name, path)
                    for name in names
                }
        else:
            file.seek(0)
            yield {"": lambda: declared(file, path)._replace(mapped=lambda: mapped(path))}


def of_archive(archive: zipfile.ZipFile, name: str, path: Path) -> Declared:
    """One array of an npz."""

    @contextmanager
    def again() -> Iterator[Declared]:
        with readable(path), reading.member(archive, name) as file:
            yield declared(file, path)

    def read() -> np.ndarray:
        with again() as array:
            return array.read()

    def first(count: int) -> np.ndarray:
        with again() as array:
            return array.first(count)

    with again() as array:
        return Declared(array.shape, array.dtype, read, first)


def declared(file: Any, path: Path) -> Declared:
    """What an array in the form of an npy says of itself at its beginning."""
    with readable(path):
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_2_0
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise UsageError(
                f"{path} holds objects of Python's, which are not loaded; expected numbers"
            )
        if min(shape, default=0) < 0:
            raise ValueError(f"an array of shape {shape}")
    bytes_ = math.prod(shape) * dtype.itemsize

    def read() -> np.ndarray:
        reading.hold(bytes_, f"{path}, with an array of {dtype},")
        with readable(path):
            flat = np.empty(0, dtype)
            if bytes_:
                flat = np.frombuffer(reading.exactly(file, bytes_), dtype)
            return flat.reshape(shape, order="F" if fortran else "C")

    def first(count: int) -> np.ndarray:
        if not shape or fortran or count >= shape[0] or not bytes_:
            return read()[:count]
        part = bytes_ // shape[0] * count
        reading.hold(part, f"{path}, with an array of {dtype},")
        with readable(path):
            flat = np.frombuffer(reading.exactly(file, part), dtype)
            if bytes_ <= CHECKED:
                reading.skip(file, bytes_ - part)
            return flat.reshape(count, *shape[1:])

    return Declared(shape, dtype, read, first)


def mapped(path: Path) -> np.ndarray:
    """The array of an npy, where it lies, to be read alone: what could be written to would count as memory."""
    with readable(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever a damaged file provokes inside becomes a UsageError."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # headers and archives fail in many ways
        reason = in_one_line(error)
        if isinstance(error, ValueError) and str(error):
            reason = str(error).splitlines()[0]
        raise UsageError(f"{path} cannot be read as arrays: {reason[:200]}") from None
