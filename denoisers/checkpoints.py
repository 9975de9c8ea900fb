"""What a checkpoint holds: its tensors, measured before they are read, and nothing of it run."""

import io
import itertools
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from denoisers import reading
from denoisers.errors import UsageError
from denoisers.pickled import Storage, Stored, follow

MAGIC = 0x1950A86A20F9469CFC6C  # what a checkpoint from before PyTorch 1.6 begins with
FAULTS = (  # what damaged and hostile files provoke
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    SafetensorError,
)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever a damaged or hostile file provokes inside becomes a UsageError of one sentence."""
    try:
        yield
    except UsageError:
        raise
    except FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise unreadable(path, f"it is damaged ({reason})") from None


def unreadable(path: Path, reason: str) -> UsageError:
    """The error for a file that is something else."""
    return UsageError(f"{path} cannot be read: {reason}")


class Content(NamedTuple):
    """What a file holds: dicts and lists of literals, `Stored` or tensors, `Named` and `Made`.

    data  the bytes of a storage; only while the file is open
    """

    path: Path
    value: Any
    data: Callable[[Storage], bytearray]

    def read(self, tensors: dict[str, Stored | Tensor]) -> dict[str, Tensor]:
        """Tensors by their names, once they are known to be no larger than allowed."""
        stored = [value for value in tensors.values() if isinstance(value, Stored)]
        storages = {value.storage for value in stored}
        size = max(sum(value.nbytes for value in stored), sum(storage.size for storage in storages))
        reading.hold(size, f"{self.path}, with its tensors,")
        with readable(self.path):
            data = {storage: self.data(storage) for storage in storages}
            return {
                key: value.over(data[value.storage]) if isinstance(value, Stored) else value
                for key, value in tensors.items()
            }


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """The content of a checkpoint of PyTorch's, in either of its formats, or of a safetensors file.

    Raises UsageError, in one sentence, for anything else and for what is damaged.
    """
    with reading.opened(path) as file:
        start = file.read(300)
        file.seek(0)
        if start.startswith(b"PK"):
            with reading.zipped(file, path) as archive:
                yield from_archive(archive, path)
        # After the length of what follows, in eight bytes, of which the first may be that of a pickle.
        elif start[6:9] == b"\0\0{":
            yield from_safetensors(file, path)
        elif start.startswith(b"\x80"):
            yield from_legacy(file, path)
        else:
            neither = "neither a checkpoint of PyTorch's nor a safetensors file"
            raise unreadable(path, f"it is {kind(start)}{neither}")


def kind(start: bytes) -> str:
    """What else a file is, by its first bytes, in words that end in a comma; nothing if unknown."""
    if start[257:262] == b"ustar":
        return "a tar archive, as PyTorch wrote before 0.1.10, "
    kinds = {
        b"\x89HDF": "HDF5, as Keras writes it, ",
        b"\x93NUMPY": "an array of NumPy's, ",
        b"\x1f\x8b": "gzipped, ",
    }
    return next((kind for magic, kind in kinds.items() if start.startswith(magic)), "")


def from_archive(archive: zipfile.ZipFile, path: Path) -> Content:
    """Of a zip file, as PyTorch writes since 1.6."""
    names = archive.namelist()
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    root = pickles[0].removesuffix("data.pkl") if pickles else ""
    if any(name == f"{root}constants.pkl" or name.startswith(f"{root}code/") for name in names):
        raise unreadable(
            path,
            "it is a TorchScript archive, a program, which is not run here; "
            "save the network's state dict instead: torch.save(net.state_dict(), FILE)",
        )
    if len(pickles) != 1:
        raise unreadable(path, "it is a zip archive without the data.pkl of PyTorch's checkpoints")

    def beginning(name: str, size: int) -> bytearray:
        with reading.member(archive, root + name) as file:
            return reading.exactly(file, size)

    with readable(path):
        if f"{root}byteorder" in names and beginning("byteorder", 3) != b"lit":
            raise unreadable(
                path,
                "its bytes are in the order of another kind of machine; save it again on this kind",
            )
        size = archive.getinfo(pickles[0]).file_size
        if size > reading.DESCRIPTION:
            raise ValueError(f"{reading.in_units(size)} to describe its tensors")
        value, _ = follow(io.BytesIO(beginning("data.pkl", size)))
        return Content(path, value, lambda storage: beginning(f"data/{storage.key}", storage.size))


def from_legacy(file: BinaryIO, path: Path) -> Content:
    """Of five pickles and, in a row, the bytes of the storages, each after its number of elements."""
    start = io.BytesIO(file.read(reading.DESCRIPTION))
    with readable(path):
        if follow(start)[0] != MAGIC:
            raise unreadable(
                path, "it is a pickle that torch.save did not write; its objects are not loaded"
            )
        follow(start), follow(start)  # version, sizes of integers
        value, storages = follow(start)
        order, _ = follow(start)
        sizes = [8 + storages[key].size for key in order]
        places = dict(zip(order, itertools.accumulate(sizes, initial=start.tell()), strict=False))

    def data(storage: Storage) -> bytearray:
        file.seek(places[storage.key])
        count = int.from_bytes(reading.exactly(file, 8), "little")
        if count * storage.dtype.itemsize != storage.size:
            belong = storage.size // storage.dtype.itemsize
            raise ValueError(f"{count} elements where {belong} belong")
        return reading.exactly(file, storage.size)

    return Content(path, value, data)


def from_safetensors(file: BinaryIO, path: Path) -> Content:
    """Of a file that describes its tensors first and holds nothing else, as the library checks."""
    length = int.from_bytes(file.read(8), "little")
    with readable(path):
        if length > reading.DESCRIPTION:
            raise ValueError(f"{reading.in_units(length)} to describe its tensors")
        return Content(path, load_file(path), lambda storage: bytearray())
