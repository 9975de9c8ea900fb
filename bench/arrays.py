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
from denoisers.errors import UsageError, said


class Declared(NamedTuple):
    """An array that has not been read yet; `read` does it, while the file is open."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


Look = Callable[[], Declared]


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, Look]]:
    """The arrays of an npz by their names, or the one of an npy as "". Raises UsageError for what is neither."""
    with reading.opened(path) as file:
        if file.read(2) == b"PK":
            with reading.zipped(file, path) as archive:
                names = archive.namelist()
                yield {name.removesuffix(".npy"): functools.partial(member, archive, name, path) for name in names}
        else:
            file.seek(0)
            yield {"": lambda: declared(file, path)}


def member(archive: zipfile.ZipFile, name: str, path: Path) -> Declared:
    """One array of an npz."""

    def again(read: bool) -> Any:
        with readable(path), reading.member(archive, name) as file:
            found = declared(file, path)
            return found.read() if read else found

    return again(False)._replace(read=lambda: again(True))


def declared(file: Any, path: Path) -> Declared:
    """What an array in the form of an npy says of itself at its beginning."""
    with readable(path):
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise UsageError(f"{path} holds objects of Python's, which are not loaded; expected numbers")
        if min(shape, default=0) < 0:
            raise ValueError(f"an array of shape {shape}")
    size = math.prod(shape) * dtype.itemsize

    def read() -> np.ndarray:
        reading.hold(size, f"{path}, with an array of {dtype},")
        with readable(path):
            flat = np.frombuffer(reading.exactly(file, size), dtype) if size else np.empty(0, dtype)
            return flat.reshape(shape, order="F" if fortran else "C")

    return Declared(shape, dtype, read)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever a damaged file provokes inside becomes a UsageError."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # headers and archives fail in many ways
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) and str(error) else said(error)
        raise UsageError(f"{path} cannot be read as arrays: {reason[:200]}") from None
