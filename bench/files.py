"""Files that are either absent or whole: every write is temporary, then renamed. And what they may be called."""

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


def write(path: Path, fill: Callable[[BinaryIO], Any]) -> None:
    """Fill a file; if that fails or is interrupted, the file is as it was before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            fill(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Arrays without compression; the same arrays give the same bytes."""
    write(path, lambda file: np.savez(file, **arrays))


def read_npz(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file, or None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except UNREADABLE:
        return None


def slug(name: str) -> str:
    """A name as part of a path: paths, modules and splices have signs that folders should not."""
    return re.sub(r"[^\w.=,@+-]+", "-", name).strip("-.")
