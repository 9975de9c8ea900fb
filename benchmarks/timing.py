"""What the benchmarks share: works timed in turns, peak memory, and lines that are each a ratio."""

import gc
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
    memory  GB that it took at its peak beyond what was there: of a GPU, else of this process
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


def made(make: Callable[[], Work], device: str) -> tuple[Work, float | None]:
    """A work, made and called once, and the GB that it took at its peak: weights, what it recorded, and all.

    None where this machine does not tell.
    """
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work = make()
        seconds_of(work, device)
        return work, (torch.cuda.max_memory_allocated(device) - before) / 1e9
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = resident("VmRSS")
    except OSError:  # no Linux, or not allowed
        work = make()
        work()
        return work, None
    work = make()
    work()
    return work, resident("VmHWM") - before


def in_turns(
    part: str,
    makers: Mapping[str, Callable[[], Work]],
    device: str,
    rounds: int,
    value: Callable[[float], float],
    unit: str,
) -> list[Line]:
    """A line for each of some works; the first is what the others are compared to.

    They are called by turns, so that a slow moment is everyone's, after one call of each that is not
    counted. The ratio is the median of those of the rounds.

    makers  name -> what makes the work
    value   value(seconds) in `unit`
    """
    works, peaks = {}, {}
    for name, make in makers.items():
        works[name], peaks[name] = made(make, device)
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
        lines.append(Line(part, name, value(median), unit, *shown, peaks[name]))
    return lines
