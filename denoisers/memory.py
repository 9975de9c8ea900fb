"""How much memory there is, and limits on it, beyond which this process gets a MemoryError."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path


def free_memory() -> int | None:
    """Bytes to be had without swapping; None where the system does not say (it does on Linux)."""
    return kilobytes("/proc/meminfo", "MemAvailable")


def limit_memory(more: int | None) -> None:
    """Let this process take no more than `more` bytes beyond what it holds; None changes nothing."""
    held = kilobytes("/proc/self/status", "VmData")
    if more is not None and held is not None:
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (held + more, hard))


def lift_limit() -> None:
    """Take the limit away, as far as allowed: the libraries of a GPU map far more than they use."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


@contextlib.contextmanager
def at_most(more: int) -> Iterator[None]:
    """The same for what is inside, unless less is allowed already."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    held = kilobytes("/proc/self/status", "VmData")
    if held is not None and (before[0] == resource.RLIM_INFINITY or before[0] > held + more):
        limit_memory(more)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, before)


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; PyTorch says it in a RuntimeError."""
    refused = "allocate memory" in str(error) or "out of memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and refused)


def kilobytes(path: str, field: str) -> int | None:
    """A line "field: 123 kB" of a file of the kernel's, in bytes; None if it is not there."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None
    )
