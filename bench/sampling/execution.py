"""How the networks of a denoiser are run: in which arithmetic, as a CUDA graph, compiled. Decided here alone.

In which order their weights lie is decided where they are loaded, by what was measured for that kind.
What changes the images beyond the rounding of kernels is part of a run's id (`Way.identity`); all of
it is in `run.json`. A network that refuses a way is run in the plain one, and that is said there.
"""

import copy
import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.sampling.networks import (
    KNOWN,
    Autocast,
    Cast,
    Change,
    Compiled,
    Graphs,
    Net,
    changed,
    keep_compiled,
    networks,
    parts,
    tensor_float,
)
from denoisers.base import Denoiser
from denoisers.errors import UsageError, in_one_line
from denoisers.precision import bfloat16_is_fast

DTYPES = ("auto", "float32", "tf32", "bfloat16")
COMPILE = ("auto", "on", "off")
LEVELS = (0.02, 0.5, 10.0, 100.0)  # of noise, at which a network's arithmetic is compared
WORSE = 1.5  # times the error of autocast, that of cast weights may be
WORTH = (
    2e15  # operations of a run on CUDA from which compiling, half a minute or more, is paid back
)
LARGEST = 4096  # images at once on CUDA, where memory allows it
SHARE = 0.4  # of the free memory, that a batch may take; a graph keeps as much again


@dataclasses.dataclass(frozen=True)
class Way:
    """How a run's networks compute, as it was decided before the first image.

    dtype     float32, tf32 (products of float32 in TF32, on CUDA alone) or bfloat16
    cast      whether the weights of all networks are cast once; else each call does it (autocast)
    graph     whether calls are recorded as CUDA graphs
    compiled  whether networks go through torch.compile
    """

    dtype: str = "float32"
    cast: bool = False
    graph: bool = False
    compiled: bool = False

    @property
    def identity(self) -> list[str]:
        """What distinguishes the images from those of the plain way, beyond dtype and the rounding of kernels."""
        return ["cast weights"] * self.cast + ["compiled"] * self.compiled


class Runner:
    """A denoiser, changed in place, as a run calls it: D(x; sigma) in the run's arithmetic, float32 in and out.

    batch     images in the batches that are worth compiling for; None for all, each size anew
    refusals  the ways that could not be gone, and why
    """

    def __init__(self, denoiser: Denoiser, way: Way, device: str) -> None:
        self.way, self.device = way, device
        self.batch: int | None = None
        self.refusals: dict[str, str] = {}
        self.call: Net = denoiser
        if way.cast:
            self.change(networks(lambda net: Cast(net, torch.bfloat16)))
        elif way.dtype == "bfloat16":
            autocast = functools.partial(Autocast, dtype=torch.bfloat16)
            self.change(networks(autocast, otherwise=autocast))
        if way.compiled:
            keep_compiled()
            self.change(
                networks(lambda net: Compiled(net, lambda: self.batch, self.refuser("compiled")))
            )
        if way.graph:
            self.change(lambda part: Graphs(part, self.refuser("graph")))

    def change(self, change: Change) -> None:
        """Make a change to each part of the denoiser that has networks."""
        self.call = changed(self.call, change)

    def refuser(self, way: str) -> Callable[[Exception], None]:
        """What notes why a way could not be gone."""
        return lambda error: self.refusals.setdefault(way, in_one_line(error))

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        with tensor_float(self.way.dtype == "tf32"):
            return self.call(x, sigma)

    def to_json(self) -> dict[str, Any]:
        """What was taken, and why not what was tried: for `run.json`."""
        facts = dataclasses.asdict(self.way) | dict.fromkeys(self.refusals, False)
        return facts | ({"refused": self.refusals} if self.refusals else {})


def choose(
    denoiser: Denoiser,
    device: str,
    shape: tuple[int, int, int],
    calls: int,
    dtype: str = "auto",
    compiling: str = "auto",
    *,
    ours: bool = True,
) -> Way:
    """The way for `calls` calls of a denoiser, on `device`, about images (C, H, W).

    dtype      auto: bfloat16 for networks where the processor has instructions for it; closed forms
               stay float32
    compiling  auto: where so much work pays for it, on CUDA; never where nothing can be compiled
    ours       whether all code of the denoiser is known; else it is called as it is, under autocast

    Raises UsageError for what is unknown, and for a dtype that the device does not have.
    """
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}; available: {', '.join(DTYPES)}", "--dtype")
    if compiling not in COMPILE:
        raise UsageError(f"unknown {compiling!r}; available: {', '.join(COMPILE)}", "--compile")
    on_cuda, network = device.startswith("cuda"), bool(denoiser.spec.weights)
    if dtype == "tf32" and not on_cuda:
        raise UsageError(f"tf32 is of CUDA devices; found --device {device}", "--dtype")
    if dtype == "auto":
        dtype = "bfloat16" if bfloat16_is_fast(device) else "float32"
    dtype = dtype if network else "float32"
    cast = dtype == "bfloat16" and ours
    cast = cast and all(bears_casting(part, shape, device) for part in parts(denoiser))
    compiled = compiling == "on"
    if compiling == "auto" and on_cuda and ours and network:
        compiled = calls * operations(denoiser, shape, device) >= WORTH
    known = any(type(part) in KNOWN for part in parts(denoiser))
    return Way(dtype, cast, on_cuda and ours, compiled and known and can_compile(device))


@functools.cache
def can_compile(device: str) -> bool:
    """Whether torch.compile works here, which needs a compiler of C++, or Triton; tried on a sum."""
    keep_compiled()
    x = torch.zeros(8, device=device)
    try:
        with warnings.catch_warnings(action="ignore"):
            return bool((torch.compile(lambda x: x + 1, dynamic=False)(x) == 1).all())
    except Exception:
        return False


@torch.no_grad()
def bears_casting(denoiser: Denoiser, shape: tuple[int, int, int], device: str) -> bool:
    """Whether D with all weights cast to bfloat16 is about as near to float32 as it is under autocast.

    It is not where a network adds its input to its output by itself, which autocast leaves in float32.
    """
    ramp = torch.linspace(-1, 1, shape[-2] * shape[-1]).view(1, 1, *shape[-2:]).expand(1, *shape)
    x0 = torch.cat([ramp, -ramp]).to(device)
    z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)).to(device)
    cast = changed(copy.deepcopy(denoiser), networks(lambda net: Cast(net, torch.bfloat16)))
    for level in LEVELS:
        x, sigma = x0 + level * z, torch.tensor(level, device=device)
        exact = denoiser(x, sigma)
        with torch.autocast(x.device.type, torch.bfloat16):
            usual = rms(denoiser(x, sigma) - exact)
        try:
            error = rms(cast(x, sigma) - exact)
        except (RuntimeError, TypeError, ValueError):  # it has something of its own in float32
            return False
        if not error <= WORSE * usual + 1e-6:
            return False
    return True


def rms(x: Tensor) -> float:
    """The root of the mean square."""
    return x.float().square().mean().sqrt().item()


@torch.no_grad()
def operations(denoiser: Denoiser, shape: tuple[int, int, int], device: str) -> int:
    """Floating-point operations of one image's call, those of convolutions and products of matrices."""
    from torch.utils.flop_counter import FlopCounterMode  # it brings a compiler

    counter = FlopCounterMode(display=False)
    with counter:
        denoiser(torch.full((1, *shape), -1.0, device=device), torch.tensor(1.0, device=device))
    return counter.get_total_flops()


@torch.no_grad()
def batch_size(runner: Runner, shape: tuple[int, int, int], num: int) -> int:
    """Images at once, of `num`: on a CPU so many as caches like; on CUDA as fit, up to LARGEST; in equal batches."""
    if not runner.device.startswith("cuda"):
        return min(num, 128)
    runner.batch = 0
    x, sigma = (torch.ones(size, device=runner.device) for size in ((8, *shape), ()))
    runner(x, sigma)  # libraries take what they keep
    torch.cuda.reset_peak_memory_stats(runner.device)
    before = torch.cuda.memory_allocated(runner.device)
    runner(x, sigma)
    each = (torch.cuda.max_memory_allocated(runner.device) - before) / len(x)
    free, _ = torch.cuda.mem_get_info(runner.device)
    most = max(1, min(LARGEST, int(SHARE * free / max(each, 1))))
    return -(-num // -(-num // most))
