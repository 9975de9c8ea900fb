"""A part of work that machines share: a file says who is at it and that they live; that of the dead is taken over."""

import contextlib
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench import files
from bench.files import Say
from denoisers.errors import UsageError

BEAT, STALE = 10.0, 60.0  # seconds: between two signs of life, and after which there is none
LOOK = 1.0  # seconds between two looks at another's
HOLDER = re.compile(r"process (\d+) of ")


@contextlib.contextmanager
def lease(path: Path, say: Say) -> Iterator[None]:
    """Hold the file `path` while this process lives and is inside; whoever finds it held waits.

    say  is told who holds it, before waiting

    It needs no locks of the file system, which not all that machines share have: a file is nobody's
    when it was not touched for STALE seconds, or by a process that is gone from this machine. Two
    that take it over in the same moment are both inside, so what is done there must bear to be done
    twice. Where no file can be made nothing is held.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    who = f"process {os.getpid()} of {files.whoami()} on {platform.node()}, since {began}"
    mine, announced = f"{who}\n{here()}\n{uuid.uuid4().hex}\n", False
    over = threading.Event()
    try:
        while not taken(path, mine):
            if not announced:
                say(holder(path).partition("\n")[0] or "another process")
            announced = True
            time.sleep(LOOK)
        threading.Thread(target=beat, args=(path, over), daemon=True).start()
        yield
    finally:
        over.set()
        if holder(path) == mine:
            files.remove(path)


def taken(path: Path, mine: str) -> bool:
    """Whether the file is this process's now, or cannot be anybody's."""
    try:
        with files.created(path, "xb") as file:
            file.write(mine.encode())
        return True
    except FileExistsError:
        pass
    except (OSError, UsageError):
        return True
    try:
        if not is_stale(path):
            return False
        files.write(path, lambda file: file.write(mine.encode()))
    except (OSError, UsageError):
        return os.path.lexists(path)  # nothing can be written, or it has just gone
    time.sleep(min(LOOK, 0.1))  # who else takes it over in this moment has done so by then
    return holder(path) == mine


def is_stale(path: Path) -> bool:
    """Whether nobody gives signs of life: by the clock of the file system, on which machines agree.

    Raises OSError where that cannot be told.
    """
    said = holder(path)
    gone = HOLDER.match(said)
    if gone and here() in said.splitlines() and not is_alive(int(gone[1])):
        return True
    with files.temporary(path) as beside:
        return os.fstat(beside.fileno()).st_mtime - path.lstat().st_mtime > STALE


def here() -> str:
    """What tells processes that see each other from all others: this start of the machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return f"{platform.node()} {uuid.getnode():x}"


def is_alive(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def holder(path: Path) -> str:
    """What the file says; nothing where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def beat(path: Path, over: threading.Event) -> None:
    """Touch the file until it is over."""
    while not over.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
