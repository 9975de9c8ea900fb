"""Where scores are computed: arrays on a device, and how much of a large product is held there at once."""

import contextlib
from collections.abc import Iterator

import numpy as np
import threadpoolctl
import torch
from torch import Tensor

from bench import machine
from denoisers import precision

ROWS = 2**17  # of features that are taken in float64 at once
ON_GPU = 2**27  # numbers; 0.5 GB of float32: few and large pieces of work


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, sums are taken in one order, on whatever number of threads outside.

    The square root of an eigenvalue that is zero but for rounding makes 1e-16 of a covariance 1e-8 of
    FID: ranks, workers and machines with other numbers of cores would disagree about it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpoolctl.threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Inside, float32 is float32, whatever a training loop has on: no autocast, and on CUDA no TF32.

    What is found of a reference is kept, and must not depend on who asked first.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(machine.restored())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.cuda.is_available():
            stack.enter_context(torch.autocast("cuda", enabled=False))
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        yield


def place(device: str) -> torch.device:
    """The device of that name, or the CPU if it knows no float64."""
    return precision.where(torch.device(device))


def doubles(array: np.ndarray, device: str) -> Tensor:
    """An array in float64, at that `place`."""
    return torch.from_numpy(array).to(place(device)).double()


def room(cells: int, device: torch.device) -> int:
    """Numbers to hold at once on a device, where `cells` are good for a CPU."""
    return cells if device.type == "cpu" else ON_GPU
