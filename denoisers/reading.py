"""Files of others, read with care: regular ones, no larger than allowed, measured, then unpacked."""

import json
import math
import os
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, BinaryIO

from denoisers import memory
from denoisers.errors import UsageError

# Bytes of what describes a file's content, such as JSON: a thousand times what is usual.
DESCRIPTION = 2**24
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
USUAL = 2**30  # bytes that a file may hold, and unpack to
_allowed: ContextVar[int] = ContextVar("max_bytes", default=USUAL)


def allow(max_bytes: int) -> None:
    """Let each file hold, and unpack to, that many bytes from now on; USUAL by default."""
    _allowed.set(max_bytes)


def allow_text(text: str) -> int:
    """`allow` what a command line says: 500M, 4G, 1000000.

    Raises UsageError for what is no number of bytes.
    """
    count = parse_bytes(text)
    allow(count)
    return count


def allowed() -> int:
    """Bytes that a file may hold, and unpack to."""
    return _allowed.get()


@contextmanager
def allowing(count: int) -> Iterator[None]:
    """Inside, at least that many bytes are allowed."""
    before = _allowed.set(max(count, allowed()))
    try:
        yield
    finally:
        _allowed.reset(before)


def parse_bytes(text: str) -> int:
    """A number of bytes as the command line has it: 500M, 4G, 1000000. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)B?", text.strip().upper(), re.ASCII)
    if not match or not int(match[1]):
        raise UsageError(f"must be a number of bytes such as 500M or 4G; found {text[:40]!r}")
    return int(match[1]) * UNITS[match[2]]


def in_units(count: int) -> str:
    """A number of bytes for people: 3.5 GB."""
    size, unit = float(min(count, 2**80)), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"


def hold(count: int, what: str) -> None:
    """Raise UsageError if `what` declares more bytes than a file may unpack to."""
    if count > allowed():
        raise UsageError(
            f"{what} declares {in_units(count)}, and no more than {in_units(allowed())} are read; "
            "if it is meant, allow them with --max-bytes"
        )


def regular(path: Path, most: int | None = None) -> int:
    """The size of a file.

    Raises UsageError unless it is one: there, regular, not empty, not too large.

    most  bytes that it may hold; by default as many as are `allowed`
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"no file {str(path)[:300]}: {reason}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or a socket"
        raise UsageError(f"{path} is {kind}, expected a file")
    if not status.st_size:
        raise UsageError(f"{path} is not readable: it is empty")
    if most is not None and status.st_size > most:
        raise UsageError(
            f"{path} is not read: it holds {in_units(status.st_size)}, "
            f"expected {in_units(most)} at most"
        )
    hold(status.st_size, str(path))
    return status.st_size


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """A file of others, open for reading; as `regular`."""
    regular(path, most)
    try:
        # What was a file a moment ago may be a pipe by now, whose opening would wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def content(path: Path, most: int = DESCRIPTION) -> bytes:
    """What a file of others holds. Raises UsageError; as `regular`."""
    with opened(path, most) as file:
        return file.read(most)


def json_object(path: Path) -> dict[str, Any]:
    """A JSON object of finite numbers, no longer than a description is. Raises UsageError."""
    try:
        if regular(path) > DESCRIPTION:
            raise ValueError(f"it is longer than {in_units(DESCRIPTION)}")
        value = json.loads(content(path), parse_constant=finite, parse_float=finite)
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, found {type(value).__name__}")
    except UsageError:
        raise
    except RecursionError:
        raise UsageError(f"{path} is not readable: it is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{path} is not readable: {error}") from None
    return value


def finite(text: str) -> float:
    """A number of JSON. NaN and infinity, which Python would take, are none."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no number that is finite")
    return value


@contextmanager
def zipped(file: BinaryIO, path: Path, most: int = DESCRIPTION) -> Iterator[zipfile.ZipFile]:
    """An archive, after a look at how long its directory is.

    Raises UsageError for what is no archive.

    most  bytes that its directory may have
    """
    length = directory(file)
    if length is None or length > most:
        reason = "it is truncated or damaged" if length is None else "too many entries"
        raise UsageError(f"{path} is no readable archive: {reason}")
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise UsageError(f"{path} is no readable archive: {error}") from None
    with archive:
        yield archive


def directory(file: BinaryIO) -> int | None:
    """Bytes of the directory of a zip file, by what its end says; None if it has no such end."""
    size = file.seek(0, os.SEEK_END)
    # Comment, end, and what a zip64 archive has before it.
    first = file.seek(max(0, size - 2**16 - 98))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        return None
    lengths = struct.unpack_from("<L", tail, end + 12)
    if tail[max(0, end - 20) : end].startswith(b"PK\6\7"):
        if end < 76:
            return None
        (where,) = struct.unpack_from("<Q", tail, end - 12)
        lengths = struct.unpack_from("<Q", tail, end - 76 + 40)
        file.seek(min(where, first + end))
        elsewhere = file.read(56)  # not all readers look at the same place
        lengths += struct.unpack_from("<Q", elsewhere, 40) if len(elsewhere) == 56 else ()
    return max(lengths)


def member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A file in an archive, open.

    Raises ValueError if it is compressed in a way that cannot be read piece by piece.
    """
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name[:60]} is compressed in an unusual way")
    return archive.open(entry)


def exactly(file: IO[bytes], count: int) -> bytearray:
    """`count` bytes of a file from where it is.

    Raises ValueError if there are fewer; holds no more than there are.
    """
    data = bytearray()
    while len(data) < count:
        piece = file.read(min(count - len(data), 2**20))
        if not piece:
            raise ValueError(f"it ends after {len(data)} of {count} bytes")
        data += piece
    return data


def skip(file: IO[bytes], count: int) -> None:
    """Read past `count` bytes, as an archive checks what is read to its end.

    Raises ValueError if there are fewer.
    """
    left = count
    while left:
        piece = len(file.read(min(left, 2**20)))
        if not piece:
            raise ValueError(f"it ends {left} bytes early")
        left -= piece


UNBUILDABLE = (  # what sizes that fit nothing provoke
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def building(what: str) -> Iterator[None]:
    """Inside, a network is made of the size that a file says.

    Raises UsageError about `what` if that cannot be.

    It may take twice the memory that a file may: its own, and that of what is read into it.
    """
    try:
        with memory.at_most(2 * allowed()), warnings.catch_warnings(action="ignore"):
            yield
    except UsageError:
        raise
    except UNBUILDABLE as error:
        if memory.exhausted(error):
            raise UsageError(
                f"{what} describes a network that takes more than {in_units(2 * allowed())} "
                "of memory; if it is meant, allow it with --max-bytes"
            ) from None
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(f"{what} describes a network that cannot be made: {reason}") from None
