"""Files that are absent, as before, or whole: every write is temporary, then renamed, and none is left over.

A temporary file is locked by who writes it. The kernel frees a lock when its holder ends, in whatever way: what can be
locked was left by the dead and is removed by the next who writes into the folder. A pid in the name would not do, since
another process, on this machine or on one that shares the folder, may have it. A file system that knows no locks gives
none, and nothing is removed there.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from denoisers.errors import UsageError

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")


def write(path: Path, fill: Callable[[BinaryIO], Any]) -> None:
    """Fill a file, in a folder that is made for it; if that fails or is interrupted, the file is as it was before.

    Raises an OSError of the same kind, but naming the file and the reason, and UsageError if no file can be there.
    """
    make_folder(path.parent)
    with naming(f"cannot write {path}"):
        if path.exists() and not path.is_file():
            found = "a folder" if path.is_dir() else "no regular file"
            raise UsageError(f"cannot write {path}: what is there is {found}; move it away, or choose another place")
        sweep(path.parent)
        with temporary(path) as file:
            fill(file)
            file.flush()
            os.replace(file.name, path)


@contextmanager
def temporary(path: Path) -> Iterator[BinaryIO]:
    """A locked file beside `path`, to be renamed to it; removed at the end if that has not been done."""
    while True:
        name = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}.tmp")  # names end at 255 bytes
        with open(name, "xb") as file:
            try:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink:  # nobody took it for left over before it was locked
                    yield file
                    return
            finally:
                name.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers have died."""
    with suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if TEMPORARY.fullmatch(entry.name)]
        for path in left:
            with suppress(OSError), open(path, "r+b") as file:  # for writing: NFS locks no other
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises UsageError for a folder, OSError naming the file and the reason."""
    if path.is_dir() and not path.is_symlink():
        raise UsageError(f"a file belongs at {path}, where there is a folder; move it away")
    with naming(f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder, and those above it, where they are missing.

    Raises UsageError if a file is in the way, OSError naming the folder and the reason.
    """
    with naming(f"cannot make the folder {path}"):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            way = next((part for part in (path, *path.parents) if os.path.lexists(part) and not part.is_dir()), path)
            raise UsageError(f"a folder belongs at {way}, where there is a file; move it away") from None


@contextmanager
def naming(what: str) -> Iterator[None]:
    """An OSError inside says `what` could not be done, and the reason, in words; its type and number stay."""
    try:
        yield
    except OSError as error:
        text = f"{what}: {error.strerror or error}"
        try:
            named = type(error)(text)
        except TypeError:  # a type with more arguments
            named = OSError(text)
        named.errno = error.errno  # with a text alone, and not as an argument, which would be printed before it
        raise named from error
