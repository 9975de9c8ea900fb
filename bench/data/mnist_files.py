"""The four files of MNIST, and of the sets in its form, checked: from a folder, or from the net."""

import gzip
import hashlib
import os
import tempfile
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import IO, NamedTuple

from bench.data import reachable
from bench.notices import notice
from denoisers import files, reading
from denoisers.errors import UsageError, concerning, in_one_line

MISSING = "must be there too; copy it to there, or choose another folder"
REPLACE = "delete it, put the right file there, or choose another folder"
SMALLEST = "t10k-labels-idx1-ubyte.gz"
GZIP = b"\x1f\x8b"  # what a gzip file begins with, and no login page

Contents = dict[str, bytearray]  # by the names of the four files


class File(NamedTuple):
    """What a file must be.

    sha256  of it; of sets whose bytes nobody here has seen it is not known, and torchvision's md5 of
            the packed file and the header take its place
    """

    size: int
    sha256: str = ""


MNIST = {
    "train-images-idx3-ubyte": File(
        47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": File(
        60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": File(
        7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": File(
        10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}


HEADERS = {"images": b"\0\0\x08\3", "labels": b"\0\0\x08\1"}  # of idx files of bytes


def files_of(family: str) -> dict[str, File]:
    """The four files of a set, by name."""
    return MNIST if family == "MNIST" else {name: File(file.size) for name, file in MNIST.items()}


def below(root: Path, about: str = "", family: str = "MNIST") -> Contents | None:
    """A set in torchvision's layout below `root`, unpacked or as .gz; None if none of it is there.

    Raises UsageError, about that flag, for files that are not the set's, and if some of the four are
    missing.
    """
    folder = root / family / "raw"
    paths = {name: first_of(folder / name, folder / f"{name}.gz") for name in files_of(family)}
    if not any(paths.values()):
        return None
    with concerning(about):
        if absent := [name for name, path in paths.items() if path is None]:
            raise UsageError(
                f"{folder} holds a part of {family}; {' and '.join(absent)} of its files {MISSING}"
            )
        return {name: content(name, path, family) for name, path in paths.items()}


def first_of(*paths: Path) -> Path | None:
    """The first path at which something lies, if only a link."""
    return next((path for path in paths if os.path.lexists(path)), None)


def content(name: str, path: Path, family: str = "MNIST") -> bytearray:
    """The bytes of one of the files of a set.

    Raises UsageError if what is at `path` is anything else.
    """
    file_of = files_of(family)[name]
    most, reason = file_of.size, ""
    try:
        with reading.allowing(most), reading.opened(path) as file:
            if path.suffix == ".gz" and not file_of.sha256:
                reason = other_md5(file, path.name, family)
            read = unpacked(file, most + 1) if path.suffix == ".gz" else file.read(most + 1)
            data = bytearray(read)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path} is damaged ({in_one_line(error)}); {REPLACE}") from None
    if reason := reason or misfit(name, data, file_of):
        raise UsageError(f"{path} is damaged, or not {family}'s: {reason}; {REPLACE}")
    return data


def other_md5(file: IO[bytes], name: str, family: str) -> str:
    """Why a packed file is not the one that torchvision knows, in words; nothing if it is."""
    from torchvision import datasets  # slow to import, and only needed here

    expected = dict(getattr(datasets, family).resources).get(name)
    found = hashlib.file_digest(file, "md5").hexdigest()
    file.seek(0)
    return f"expected md5 {expected}, found {found}" if found != expected else ""


def unpacked(file: IO[bytes], most: int) -> bytes:
    """What a gzip file holds, up to so many bytes."""
    with gzip.GzipFile(fileobj=file) as inner:
        return inner.read(most)


def misfit(name: str, data: bytes, expected: File) -> str:
    """Why these bytes are not those of such a file, in words; nothing if they are."""
    if len(data) != expected.size:
        size = f"{len(data)} bytes" if len(data) < expected.size else "more"
        return f"expected {expected.size} bytes, found {size}"
    header = HEADERS["images" if "images" in name else "labels"]
    if not data.startswith(header):
        return f"expected a file that begins with {header.hex()}, found {bytes(data[:4]).hex()}"
    digest = hashlib.sha256(data).hexdigest()
    if expected.sha256 and digest != expected.sha256:
        return f"expected sha256 {expected.sha256}, found {digest}"
    return ""


def download(root: Path | None, family: str = "MNIST") -> Contents | None:
    """A set downloaded by torchvision, and kept below `root` if that takes files.

    None without a network, which is known after seconds, or if anything else was sent.
    """
    from torchvision import datasets  # slow to import, and only needed here

    kind = getattr(datasets, family)
    if not reachable.reachable(kind.mirrors, answers):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            with reachable.patience():
                kind(folder, download=True)
            raw = Path(folder) / family / "raw"
            contents = {name: content(name, raw / name, family) for name in files_of(family)}
        # torchvision reads what it has got, and asserts that it is the set.
        except Exception as error:
            notice(f"the download of {family} failed: {in_one_line(error)}")
            return None
    if root:
        keep(contents, root, family)
    return contents


def keep(contents: Contents, root: Path, family: str) -> None:
    """Write the files of a set below `root`; a notice if they cannot be."""
    try:
        for name, data in contents.items():
            path = root / family / "raw" / name
            files.write(path, lambda file, data=data: file.write(data), root)
    except (OSError, UsageError) as error:
        notice(f"{error}; {family} is downloaded each time")


def answers(url: str) -> bool:
    """Whether a GET of `url` + the smallest MNIST file succeeds."""
    try:
        with urllib.request.urlopen(url + SMALLEST, timeout=reachable.PROBE_SECONDS) as reply:
            return reply.status == 200 and reply.read(2) == GZIP
    except (OSError, ValueError, HTTPException):
        return False
