"""Which numbers a device is good at: bfloat16 where it is fast, float64 everywhere, kernels of ours.

The GPU of a Mac has no float64: what needs it there is done on the CPU, with the same bits.
"""

import functools
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch
from torch import Tensor

WITHOUT = ("mps",)  # kinds of devices that know no float64


def where(device: torch.device) -> torch.device:
    """That device, or the CPU if it knows no float64."""
    return torch.device("cpu") if device.type in WITHOUT else device


def bfloat16_is_fast(device: str) -> bool:
    """Whether the processor has instructions for bfloat16; without, it is slower than float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()


@functools.cache
def triton_works() -> bool:
    """Whether Triton is there with what it builds kernels with: a C compiler, and the headers of Python."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    # Two, as the first is another folder where Debian's Python says where packages go.
    places = sysconfig.get_path("include"), sysconfig.get_config_var("INCLUDEPY")
    headers = any(Path(place, "Python.h").is_file() for place in places if place)
    return bool(compiler) and headers and importlib.util.find_spec("triton") is not None


def able(x: Tensor) -> Tensor:
    """`x` where float64 is known: as it is, or on the CPU."""
    return x.to(where(x.device))


def double(x: Tensor) -> Tensor:
    """`x` in float64, on its device or on the CPU."""
    return able(x).double()


class Doubles:
    """Constants in float64, with the copies of them that have been asked for.

    They are no buffers of a module: it could not be moved to a device without float64, and casting
    it would round them.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.exact = [double(tensor) for tensor in tensors]
        self.copies: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}

    def like(self, x: Tensor) -> list[Tensor]:
        """All of them on the device and in the type of `x`."""
        key = x.device, x.dtype
        if key not in self.copies:
            self.copies[key] = [tensor.to(x.device, x.dtype) for tensor in self.exact]
        return self.copies[key]
