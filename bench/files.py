"""What is kept in files: arrays that are checked when they are read back, and what files may be called."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import arrays as arrays_
from denoisers import reading
from denoisers.errors import UsageError, in_one_line
from denoisers.files import (
    alone,
    check_links,
    created,
    followed,
    make_folder,
    naming,
    remove,
    sweep,
    temporary,
    write,
)
from denoisers.places import whoami

# Beside what is defined here:
__all__ = [
    "alone",
    "check_links",
    "created",
    "followed",
    "make_folder",
    "naming",
    "remove",
    "sweep",
    "temporary",
    "whoami",
    "write",
]

SEAL = "seal"  # the array that holds the digest of the others
# Dtype and shape of each array, or all of its values.
Layout = Mapping[str, tuple[str, tuple[int, ...]] | np.ndarray]
Say = Callable[[str], None]
OTHER = "its seal is of other content, or of another name"


class Told:
    """`say`, that remembers whether it was told anything."""

    def __init__(self, say: Say) -> None:
        self.say, self.anything = say, False

    def __call__(self, line: str) -> None:
        self.anything = True
        self.say(line)


def write_npz(path: Path, within: Path | None = None, /, **arrays: np.ndarray) -> None:
    """Arrays without compression; the same arrays give the same bytes. `within` as of `write`."""
    write(path, lambda file: np.savez(file, **arrays), within)


def read_npz(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file, or None if it is missing or damaged."""
    try:
        return unpacked(path)
    except Exception:  # a damaged archive provokes nearly any of them
        return None


def unpacked(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, none larger than it; what `write_npz` writes is not compressed."""
    with reading.allowing(path.stat().st_size), arrays_.opened(path) as found:
        return {name: look().read() for name, look in found.items()}


def write_sealed(
    path: Path, name: str, arrays: Mapping[str, np.ndarray], within: Path | None = None
) -> None:
    """Arrays with a digest of them and of `name`, which says what they are: see `read_back`.

    `within` as of `write`.
    """
    write_npz(path, within, **arrays, **{SEAL: np.array(digest(arrays, name))})


def read_back(
    path: Path, say: Say, *, name: str | None = None, layout: Layout | None = None
) -> dict[str, np.ndarray] | None:
    """The arrays that were stored at `path`, without their seal; None if they must be made, or made again.

    name    what they were sealed as; None for files without a seal
    layout  all arrays that there must be, with dtype and shape, or whole. None for any

    Without a seal, which vouches for what was stored, floats must be finite.

    A line says why a file that is there is not used. Raises UsageError where a file cannot be.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise UsageError(f"a file belongs at {path}, where there is a folder; move it away")
    arrays: dict[str, np.ndarray] = {}
    try:
        # Before anything is unpacked.
        reason = "" if layout is None else misfit(declared(path), layout)
        if not reason:
            arrays = unpacked(path)
            seal = arrays.pop(SEAL, None)
            reason = unexpected(arrays, layout or {}, finite=name is None)
            if not reason and name is not None:
                reason = broken(seal, digest(arrays, name))
    except Exception as error:
        reason = why(error, path)
    if reason:
        say(f"{path} does not fit ({reason}); made again")
        return None
    return arrays


def why(error: Exception, path: Path) -> str:
    """What is wrong with a file, in words that need not name it."""
    return in_one_line(error).replace(f"{path} ", "it ", 1)


def declared(path: Path) -> dict[str, arrays_.Declared]:
    """What the arrays of a file say of themselves, without the seal."""
    with reading.allowing(path.stat().st_size), arrays_.opened(path) as found:
        return {name: look() for name, look in found.items() if name != SEAL}


def misfit(held: Mapping[str, Any], layout: Layout) -> str:
    """Which names, dtypes or shapes are not as expected, in words; nothing if all are."""
    if held.keys() != layout.keys():
        return (
            f"it holds {', '.join(sorted(held)) or 'nothing'}, expected {', '.join(sorted(layout))}"
        )
    for key, expected in layout.items():
        dtype, shape = (
            (expected.dtype, expected.shape) if isinstance(expected, np.ndarray) else expected
        )
        if (held[key].dtype, held[key].shape) != (np.dtype(dtype), shape):
            return f"{key} {held[key].dtype} {held[key].shape}, expected {np.dtype(dtype)} {shape}"
    return ""


def unexpected(arrays: Mapping[str, np.ndarray], layout: Layout, *, finite: bool) -> str:
    """Which values are not as expected, in words; nothing if all are."""
    for key, expected in layout.items():
        if isinstance(expected, np.ndarray) and not np.array_equal(arrays[key], expected):
            return (
                f"{key} {arrays[key][0]}..{arrays[key][-1]}, expected {expected[0]}..{expected[-1]}"
            )
        if finite and arrays[key].dtype.kind == "f" and not np.isfinite(arrays[key]).all():
            return f"{key} has values that are not finite"
    return ""


def digest(arrays: Mapping[str, np.ndarray], name: str = "") -> str:
    """Of what arrays are and hold: sha256 of `name`, and of the name, dtype, shape and bytes of each."""
    sha = hashlib.sha256(name.encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        sha.update(f"\n{key} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.data)
    return sha.hexdigest()


def broken(seal: np.ndarray | None, expected: str) -> str:
    """Why a seal is not the expected one, in words; nothing if it is."""
    if seal is None:
        return "it has no seal, as those of earlier versions"
    return "" if seal.ndim == 0 and seal.item() == expected else OTHER


def sealed_json(name: str, content: Mapping[str, Any]) -> bytes:
    """An object as strict JSON, with a digest of it and of `name`: see `json_back`.

    NaN raises ValueError.
    """
    text = json.dumps({**content, SEAL: digest_json(name, content)}, indent=2, allow_nan=False)
    return f"{text}\n".encode()


def json_back(path: Path, name: str) -> dict[str, Any]:
    """What `sealed_json` made of an object.

    Raises UsageError, naming the file, if it is not that.
    """
    content = reading.json_object(path)
    seal = content.pop(SEAL, None)
    if seal != digest_json(name, content):
        reason = OTHER if seal else "it has no seal"
        raise UsageError(f"{path} is not as it was written: {reason}")
    return content


def digest_json(name: str, content: Mapping[str, Any]) -> str:
    """sha256 of `name` and of what JSON holds, in whatever order and with whatever spaces."""
    plain = json.loads(json.dumps(content, allow_nan=False))  # keys that are no text become text
    return hashlib.sha256(f"{name}\n{json.dumps(plain, sort_keys=True)}".encode()).hexdigest()


def slug(name: str) -> str:
    """A name as part of a path: paths, modules and splices have signs that folders should not."""
    return re.sub(r"[^\w.=,@+-]+", "-", name).strip("-.")
