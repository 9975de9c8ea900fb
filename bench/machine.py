"""The machine a run takes place on: device, dtype, memory, and the versions that decide a number."""

import contextlib
import ctypes
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import bench
from denoisers import memory
from denoisers.errors import UsageError

# Distributions whose version can change an image or a score.
TORCH = ("torch", "torchvision", "torch-fidelity", "torchmetrics", "timm")
DECIDING = (*TORCH, "scipy", "numpy", "scikit-learn", "pillow")

GIT_SECONDS = 10  # that an answer of git's may take


@contextmanager
def fitting(batch_size: int) -> Iterator[None]:
    """Inside, every kind of exhausted memory is a MemoryError that names the flag."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not memory.exhausted(error):
            raise
        raise MemoryError(
            f"a batch of {batch_size} images does not fit into memory; "
            "choose a smaller --batch-size"
        ) from None


@contextmanager
def restored() -> Iterator[None]:
    """Afterwards the current CUDA device and how products are rounded are what they were: they are the caller's."""
    if not torch.cuda.is_available():
        yield
        return
    device = torch.cuda.current_device()
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    try:
        yield
    finally:
        torch.cuda.set_device(device)
        convolutions.allow_tf32, products.allow_tf32 = before


def current_device(name: str) -> str:
    """The device of that name; for `auto`, of several of CUDA the one that is the caller's."""
    if name == "auto" and torch.cuda.is_available():
        return f"cuda:{torch.cuda.current_device()}"
    return name


def choose_device(name: str) -> str:
    """`auto` is the first of cuda, mps and cpu that is available.

    Raises UsageError for a device that is not.
    """
    available = devices()
    kind, colon, index = (available[0] if name == "auto" else name).partition(":")
    if kind not in available or (colon and not is_device_index(index, kind)):
        raise UsageError(
            f"no device {name[:40]!r} on this machine; available: {', '.join(available)}",
            "--device",
        )
    if kind == "cpu":
        return kind
    memory.lift_limit()
    if kind == "cuda":
        torch.cuda.set_device(name if colon else 0)  # streams, graphs and clocks are those of one
    # PyTorch lets convolutions round to a third of the digits of float32, unless told not to.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return name if colon and kind == "cuda" else kind


def devices() -> list[str]:
    """The kinds of device that are available, the fastest first."""
    available = []
    if torch.cuda.is_available():
        available.append("cuda")
    if torch.backends.mps.is_available():
        available.append("mps")
    return [*available, "cpu"]


def is_device_index(text: str, kind: str) -> bool:
    """Whether "0", "1", ... numbers a device of that kind that is available."""
    if not (text.isascii() and text.isdecimal()) or str(int(text[:9])) != text:
        return False
    count = torch.cuda.device_count() if kind == "cuda" else 1
    return int(text) < count


def device_name(device: str) -> str:
    """The device with the name of its processor."""
    on_cuda = device.startswith("cuda")
    processor = torch.cuda.get_device_name(device) if on_cuda else platform.machine()
    return f"{device} ({processor})"


def check_writable(folder: Path, about: str = "--out") -> None:
    """Try to write into a folder, or where it would be made, before work begins. Leaves nothing.

    Raises UsageError about that flag if nothing can be written.
    """
    try:
        places = (folder, *folder.absolute().parents)
        existing = next(place for place in places if exists(place))
        for name in folder.absolute().relative_to(existing.absolute()).parts:
            exists(existing / name)  # not; but it may be no name that a file can have
        # Under a name of its own, as others may try at the same time.
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror}; choose another", about
        ) from None


def exists(place: Path) -> bool:
    """Whether something lies in a place, a link that leads nowhere too.

    Raises OSError for what can be no place.
    """
    try:
        place.lstat()
    except FileNotFoundError:
        return False
    return True


def check_target(file: Path, about: str) -> None:
    """`check_writable` for one file: its folder takes files, and it is no folder itself."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder; expected a file", about)
    check_writable(file.parent, about)


def versions() -> dict[str, str]:
    """Of everything that decides a number, by distribution; what is not installed is left out."""
    versions = {"bench": bench.__version__, "python": platform.python_version()}
    for name in DECIDING:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def commit() -> str | None:
    """The commit of the checkout that holds this very file; None if there is none.

    It ends in `-dirty` if more than results were changed.

    An environment or a copy below another project's checkout is outside of that: its commit has no
    such file.
    """
    if shutil.which("git") is None:
        return None
    try:
        if not git("ls-tree", "HEAD", "--", f"bench/{Path(__file__).name}"):
            return None
        commit = git("rev-parse", "--short=12", "HEAD")
        paths = ("--", ".", ":(exclude)results")
        changed = git("status", "--porcelain", "--untracked-files=no", *paths)
    except (OSError, subprocess.SubprocessError):  # a checkout that does not answer says nothing
        return None
    return f"{commit}-dirty" if changed else commit


def git(*words: str) -> str:
    """What git says in the checkout that this code lies in.

    It leaves no lock if it is killed, and no daemon.

    Whatever would direct it to another checkout, as in a hook, is left out. Raises SubprocessError
    or OSError.
    """
    root = Path(__file__).resolve().parents[1]  # git does not look beyond links
    alone = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    answer = subprocess.run(
        ["git", *alone, *words],
        check=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
    )
    return answer.stdout.strip()


def peak_memory() -> int:
    """Largest resident size so far, in bytes: of this process, or of one that it has waited for."""
    processes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(who).ru_maxrss for who in processes)
    unit = 1 if sys.platform == "darwin" else 1024
    return peak * unit


def keep_freed_memory() -> None:
    """Make this process use freed memory again instead of handing it back.

    Without glibc nothing is done.

    Each step of a sampler asks for what the last one freed, and the kernel fills every page with
    zeros before it gives it out again: up to a fifth of the time of a small network.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX: nothing is mapped for one tensor alone
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks
