"""Which files lie below a folder: a person's, not a machine's; links followed, each once."""

import os
from collections.abc import Callable
from pathlib import Path

from denoisers.errors import UsageError

# What file managers, archivers and storage boxes put into folders. Names that begin with a dot are
# left out as well: copies of notebooks (.ipynb_checkpoints), what a Mac puts beside files (._x.png,
# .DS_Store), what is half-written.
LEFT = (
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)


def hidden(name: str) -> bool:
    """Whether a file or folder of that name is a machine's, or is not meant to be seen."""
    return name.startswith(".") or name.lower() in LEFT


Lost = Callable[[Path, str], None]  # a folder that cannot be read, and why


def files(folder: Path, *, strict: bool = False, lost: Lost | None = None) -> list[Path]:
    """Everything below a folder that is no folder and not `hidden`, in the order of the paths.

    Links to folders are followed, and no folder is visited twice: one that lies below `folder`
    counts under its own name, one that holds `folder` does not count. What links to files lead to,
    or whether to any, is not looked at.

    strict  raise UsageError for a folder that cannot be read, which is left out otherwise
    lost    is told of each that is left out
    """
    try:
        root = folder.resolve()
        seen = {identity(str(parent)) for parent in root.parents}
    except OSError:
        seen = set()
    paths: list[str] = []
    folders, links = [str(folder)], []
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        try:
            if (known := identity(place)) in seen:
                continue
            seen.add(known)
            with os.scandir(place) as entries:
                shown = [entry for entry in entries if not hidden(entry.name)]
        except OSError as error:
            if strict:
                raise UsageError(f"{place} cannot be read: {error.strerror or error}") from None
            if lost is not None:
                lost(Path(place), f"cannot be read: {error.strerror or error}")
            continue
        for entry in sorted(shown, key=lambda entry: entry.name):
            kind = links if entry.is_symlink() else folders
            (kind if is_folder(entry) else paths).append(entry.path)
    return sorted(map(Path, paths))


def named(folder: Path, name: str) -> list[Path]:
    """Those of the `files` below a folder that have that name."""
    return [path for path in files(folder) if path.name == name]


def identity(place: str) -> tuple[int, int]:
    """What tells a folder from every other, whatever leads to it. Raises OSError."""
    status = os.stat(place)
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or leads to one; a link in a circle does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False
