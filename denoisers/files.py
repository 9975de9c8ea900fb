"""Files that are absent, as before, or whole.

Every write is temporary, then renamed, and none is left over.

Nothing is written through a link that lies in a folder of results, or of ours, as such folders come
from others, too. In the place of a file a link is replaced, in the place of a folder it is refused.
Links that a user names are followed: the folder of --out or BENCH_HOME and all above it, and the
file of --figure.

A temporary file is locked by who writes it. The kernel frees a lock when its holder ends, in
whatever way: what can be locked was left by the dead and is removed by the next who writes into the
folder. A pid in the name would not do, since another process, on this machine or on one that shares
the folder, may have it. A file system that knows no locks gives none, and nothing is removed there.
"""

import fcntl
import os
import platform
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from denoisers.errors import UsageError
from denoisers.places import whoami

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")


def write(path: Path, fill: Callable[[BinaryIO], Any], within: Path | None = None) -> None:
    """Fill a file, in a folder that is made for it; if that fails, the file is as it was before.

    within  the folder that the user named, below which no folder may be a link; by default the
            file's own

    Raises an OSError of the same kind, but naming the file and the reason, and UsageError if no
    file can be there.
    """
    make_folder(path.parent, within)
    with naming(f"cannot write {path}"):
        if path.exists() and not path.is_file() and not path.is_symlink():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise UsageError(
                f"cannot write {path}: what is there is {kind}; "
                "move it away, or choose another place"
            )
        sweep(path.parent)
        with temporary(path) as file:
            fill(file)
            file.flush()
            os.replace(file.name, path)


@contextmanager
def temporary(path: Path) -> Iterator[BinaryIO]:
    """A locked file beside `path`, to be renamed to it; removed at the end unless it was."""
    while True:
        # Names end at 255 bytes.
        name = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}.tmp")
        with created(name, "xb") as file:
            try:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                # Nobody took it for left over before it was locked.
                if os.fstat(file.fileno()).st_nlink:
                    yield file
                    return
            finally:
                name.unlink(missing_ok=True)


def created(path: Path, mode: str) -> BinaryIO:
    """A file, opened in a folder that may go at any moment: whoever finds it empty may remove it.

    It is no link.
    """
    for _ in range(100):
        with suppress(FileNotFoundError):
            return open(path, mode, opener=not_linked)
        make_folder(path.parent)
    return open(path, mode, opener=not_linked)


def not_linked(path: str | Path, flags: int) -> int:
    """What `open` opens, unless it is a link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def sweep(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers have died."""
    with suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if TEMPORARY.fullmatch(entry.name)]
        for path in left:
            # For writing: NFS locks no other.
            with suppress(OSError), open(path, "r+b", opener=not_linked) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)


@contextmanager
def alone(path: Path, say: Callable[[str], Any]) -> Iterator[None]:
    """Hold the lock `path`, a file that says who does, and that is gone afterwards.

    say  is told who holds it, before waiting for another process

    Within this process whoever holds it may hold it again. Where no file can be made or locked
    nothing is held: files are whole there, too, but the same work may be done twice.
    """
    key = os.path.abspath(path)
    if key in HELD:
        yield
        return
    file = locked(path, say)
    if file is None:
        yield
        return
    HELD[key] = file
    try:
        yield
    finally:
        del HELD[key]
        # While it is held, so that whoever waits for it sees that it is another's no more.
        with suppress(OSError):
            path.unlink()
        file.close()


HELD: dict[str, BinaryIO] = {}  # locks of this process


def locked(path: Path, say: Callable[[str], Any]) -> BinaryIO | None:
    """A locked file that says who holds it; None if there can be none.

    What is no such file makes room.
    """
    announced = False
    while True:
        try:
            if is_strange(path):
                path.unlink()
            file = created(path, "a+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not announced:
                    file.seek(0)
                    say(file.read(1000).decode(errors="replace").strip() or "another process")
                announced = True
                fcntl.flock(file, fcntl.LOCK_EX)
        except (OSError, UsageError):  # a place or a file system without locks
            return None
        # Else whoever held it has removed it, and the next has a new one.
        if os.fstat(file.fileno()).st_nlink == 1:
            file.truncate(0)
            began = datetime.now(UTC).isoformat(timespec="seconds")
            holder = f"process {os.getpid()} of {whoami()} on {platform.node()}, since {began}"
            file.write(f"{holder}\n".encode())
            file.flush()
            return file
        file.close()


def is_strange(path: Path) -> bool:
    """Whether a link, a second name of another file, or no file at all is where a lock belongs."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        return not stat.S_ISREG(status.st_mode) or status.st_nlink > 1
    return False


def let_go() -> None:
    """In a copy of this process: it does not hold the locks, as it may outlive the holder."""
    for file in HELD.values():
        file.close()
    HELD.clear()


os.register_at_fork(after_in_child=let_go)


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises UsageError for a folder, OSError naming the file and the reason.
    """
    if path.is_dir() and not path.is_symlink():
        raise UsageError(f"a file belongs at {path}, where there is a folder; move it away")
    with naming(f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def followed(path: Path) -> Path:
    """The file that a user means who names `path`: where it leads, if it is a link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def check_links(path: Path, within: Path | None) -> None:
    """Raise UsageError if a folder between `within`, which itself may be one, and `path` is a link."""
    place = within
    for part in path.relative_to(within).parts if within else ():
        place = place / part
        if place.is_symlink():
            raise UsageError(
                f"a folder belongs at {place}, where there is a link, which is not followed; "
                "move it away"
            )


def make_folder(path: Path, within: Path | None = None) -> None:
    """Create a folder, and those above it, where they are missing.

    within  a folder above it, or itself: see `check_links`

    Raises UsageError if a file is in the way, or a link, OSError naming the folder and the reason.
    """
    check_links(path, within)
    with naming(f"cannot make the folder {path}"):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            files = [x for x in (path, *path.parents) if os.path.lexists(x) and not x.is_dir()]
            place = next(iter(files), path)
            raise UsageError(
                f"a folder belongs at {place}, where there is a file; move it away"
            ) from None


@contextmanager
def naming(what: str) -> Iterator[None]:
    """An OSError inside says in words what could not be done, and why; its type and number stay."""
    try:
        yield
    except OSError as error:
        text = f"{what}: {error.strerror or error}"
        try:
            named = type(error)(text)
        except TypeError:  # a type with more arguments
            named = OSError(text)
        # With a text alone, and not as an argument, which would be printed before it.
        named.errno = error.errno
        raise named from error
