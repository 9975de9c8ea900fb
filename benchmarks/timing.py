"""What the benchmarks share: works timed in turns, peak memory, and lines that are each a ratio."""

import contextlib
import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

Work = Callable[[], Any]


class Line(NamedTuple):
    """One measurement.

    value   median, in `unit`
    ratio   how many times as fast as `beside`, which was measured in the same minute; None if it is
            what others are compared to
    memory  peak in GB while it ran: of the device if it is a GPU, else of this process
    """

    part: str
    what: str
    value: float
    unit: str
    ratio: float | None
    beside: str
    memory: float | None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:5.3g} x {self.beside}"
        memory = "" if self.memory is None else f"{self.memory:6.2f} GB"
        value = f"{self.value:10.4g} {self.unit}"
        return f"{self.part:<48} {self.what:<34} {value:<26} {memory:<10} {ratio}".rstrip()


def wait(device: str) -> None:
    """Until the device has done what it was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds_of(work: Work, device: str = "cpu") -> float:
    """Seconds of one call, until the device is done with it."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def resident(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in GB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1e6


def peak_of(work: Work, device: str = "cpu") -> float | None:
    """GB at the peak of one call, weights included; None where this machine does not tell."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        seconds_of(work, device)
        return torch.cuda.max_memory_allocated(device) / 1e9
    forgotten = False
    with contextlib.suppress(OSError):  # no Linux, or not allowed
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        forgotten = True
    work()
    if forgotten:
        return resident("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_turns(
    part: str,
    works: Mapping[str, Work],
    device: str,
    rounds: int,
    value: Callable[[str, float], float],
    unit: str,
) -> list[Line]:
    """A line for each work; the first is what the others are compared to.

    They are called by turns, so that a slow moment is everyone's, after one call of each that is not
    counted and tells the memory. The ratio is the median of those of the rounds.

    value  value(name, seconds) in `unit`
    """
    peaks = {name: peak_of(work, device) for name, work in works.items()}
    taken: list[dict[str, float]] = []
    for turn in range(rounds):
        names = list(works) if turn % 2 == 0 else list(works)[::-1]
        taken.append({name: seconds_of(works[name], device) for name in names})
    first, *_ = works
    lines = []
    for name in works:
        median = statistics.median(took[name] for took in taken)
        ratio = statistics.median(took[first] / took[name] for took in taken)
        shown = (None, "") if name == first else (ratio, first)
        lines.append(Line(part, name, value(name, median), unit, *shown, peaks[name]))
    return lines
