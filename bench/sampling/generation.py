"""From ids to uint8 images, one chunk at a time, with the per-step trace."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.files import Layout
from bench.images import noise_std, to_uint8
from bench.machine import fitting
from bench.noise import START, noise
from bench.sampling.samplers import Sampler, Step, start
from bench.sampling.starts import Guess
from denoisers.errors import UsageError, foreign
from denoisers.precision import able, where

WORK = 2500  # steps of images, at least, that are written together: seconds of a network's
SHARES = 16  # chunks of a run, at least, as far as it has so many batches, for workers to share
TRACE = ["sigma", "sigma_hat", "autocorrelation", "mean", "std", "clipped"]


class Chunk(NamedTuple):
    """Finished images and what was seen on the way.

    ids     int64 (n,)
    images  uint8 (n, H, W), or (n, H, W, 3) in colour
    noise_std  float32 (n,), white noise left in each image, in [-1, 1] units and before its levels
               were cut
    trace   float64 (steps, 7): images that made the step; and summed over them sigma and the means
            over pixels of r^2 with the residual r = x - D, of r times its right neighbour, of x,
            x^2 and |D| > 1
    cost    float64 (3,): seconds in all, seconds inside the denoiser, calls of it, each image
            counted by itself
    unconverged  int64 (): images whose sampler ran out of steps before it was done
    """

    ids: np.ndarray
    images: np.ndarray
    noise_std: np.ndarray
    trace: np.ndarray
    cost: np.ndarray
    unconverged: np.ndarray


def layout(ids: range, size: tuple[int, ...], steps: int) -> Layout:
    """What the chunk of the images `ids`, of (H, W) pixels or (H, W, 3) values, holds."""
    n = len(ids)
    return {
        "ids": np.array(ids),
        "images": ("uint8", (n, *size)),
        "noise_std": ("float32", (n,)),
        "trace": ("float64", (steps, 7)),
        "cost": ("float64", (3,)),
        "unconverged": ("int64", ()),
    }


def chunks(num: int, batch_size: int, steps: int) -> list[range]:
    """Ids 0 .. num-1 in runs of whole batches, so that every batch is the same after a restart, with whatever workers.

    As few batches as make WORK, and as few as make SHARES: a kill costs little, and files and
    processes less than work.
    """
    batches = -(-num // batch_size)
    size = batch_size * max(1, min(batches // SHARES, -(-WORK // (batch_size * steps))))
    return [range(begin, min(begin + size, num)) for begin in range(0, num, size)]


def missing(wanted: list[range], there: Iterable[range]) -> list[range]:
    """The parts of `wanted` that are not `there`, both in rising order.

    All of one or nothing, unless what is there was made in other batches.
    """
    parts, there = [], list(there)
    for ids in wanted:
        begin = ids.start
        for other in there:
            if other.stop > begin and other.start < ids.stop:
                parts.append(range(begin, other.start))
                begin = other.stop
        parts.append(range(begin, ids.stop))
    return [part for part in parts if part]


@dataclasses.dataclass(frozen=True)
class Setup:
    """All that decides an image besides its id, and how many are made at once.

    denoiser    as it is run: see `execution.Runner`; the state between steps stays float32
    sigmas      float64 (steps + 1,), falling to 0
    shape       (C, H, W) of the sampler's images, of which `pad` pixels on each side are cut off at
                the end
    member      sampler and settings, one of `samplers.SAMPLERS` or a variation
    guess       x0 to begin from, under noise; None for pure noise
    """

    denoiser: Callable[[Tensor, Tensor], Tensor]
    sigmas: Tensor
    member: Sampler
    seed: int
    shape: tuple[int, int, int]
    pad: int
    batch_size: int
    clip: bool = True
    device: str = "cpu"
    guess: Guess | None = None


class Metered:
    """The denoiser of a run, whose calls and seconds are counted without making an accelerator wait."""

    def __init__(self, setup: Setup) -> None:
        self.denoiser, self.device = setup.denoiser, setup.device
        self.calls = 0
        self.marks: list[tuple[Any, Any]] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x; sigma) in the dtype of x. Raises ForeignError if the denoiser fails."""
        began = mark(self.device)
        with foreign("the denoiser"):
            denoised = self.denoiser(x, sigma)
            if isinstance(denoised, Tensor):
                denoised = denoised.to(x.dtype)
        self.marks.append((began, mark(self.device)))
        self.calls += len(x)
        return denoised

    def seconds(self) -> float:
        """In the denoiser so far."""
        synchronize(self.device)
        return sum(elapsed(began, ended) for began, ended in self.marks)


def mark(device: str) -> Any:
    """Now: on a clock of the CPU, or in the queue of a GPU, which need not have come so far."""
    if device.startswith("cuda"):
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
    synchronize(device)
    return time.perf_counter()


def elapsed(began: Any, ended: Any) -> float:
    """Seconds between two marks that have been passed."""
    return ended - began if isinstance(began, float) else began.elapsed_time(ended) / 1000


class Trace:
    """What is measured at every step, summed over images: `rows` as in `Chunk`; what is on the device is read once."""

    def __init__(self, steps: int, device: str) -> None:
        self.known = np.zeros((steps, 2))
        self.sums = torch.zeros(steps, 5, dtype=torch.float64, device=where(torch.device(device)))
        self.unconverged = 0

    def add(self, step: Step) -> None:
        """What the sampler says of one step of a batch."""
        images, x, denoised = len(step.x), able(step.x), able(step.denoised)
        residual = x - denoised
        energy, square = (
            torch.linalg.vector_norm(part, dtype=torch.float64).square() / part.numel()
            for part in (residual, x)
        )
        beside, mean, clipped = (
            part.mean(dtype=torch.float64)
            for part in (residual[..., 1:] * residual[..., :-1], x, denoised.abs() > 1)
        )
        self.known[step.index] += images * np.array([1.0, step.level])
        self.sums[step.index] += images * torch.stack([energy, beside, mean, square, clipped])
        self.unconverged += step.unconverged

    def rows(self) -> np.ndarray:
        """The sums, float64 (steps, 7)."""
        return np.hstack([self.known, self.sums.cpu().numpy()])


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def generate(
    setup: Setup,
    ids: range,
    advance: Callable[[int], None] = lambda images: None,
    watch: Callable[[Step], None] = lambda step: None,
) -> Chunk:
    """The images called `ids`: image i depends on (seed, i) alone, up to the rounding of kernels.

    advance  called after every step with the number of images that made it
    watch    called at every step with what the sampler says of it

    Raises MemoryError, naming the flag, if a batch is too large; FloatingPointError, ForeignError or
    UsageError if the denoiser or the sampler fails.
    """
    began = time.perf_counter()
    denoiser = Metered(setup)
    trace = Trace(len(setup.sigmas) - 1, setup.device)
    images, noise_left = [], []
    for first in range(0, len(ids), setup.batch_size):
        batch = ids[first : first + setup.batch_size]
        index = torch.tensor(batch, device=setup.device)

        def fresh(step: int, index: Tensor = index) -> Tensor:
            return noise(setup.seed, index, step + 1, setup.shape)

        def record(step: Step, size: int = len(batch)) -> None:
            trace.add(step)
            advance(size)
            watch(step)

        with fitting(setup.batch_size):
            x = initial(setup, index)
            options = {**setup.member.settings, "clip": setup.clip, "callback": record}
            with foreign("the sampler"):
                x = setup.member.solve(denoiser, x, setup.sigmas, fresh, **options)
            check_images(x, (len(batch), *setup.shape))
            images.append(to_uint8(x, setup.pad))
            noise_left.append(noise_std(x).cpu().numpy())
    inside = denoiser.seconds()
    cost = np.array([time.perf_counter() - began, inside, denoiser.calls])
    return Chunk(
        np.array(ids),
        np.concatenate(images),
        np.concatenate(noise_left),
        trace.rows(),
        cost,
        np.array(trace.unconverged),
    )


def initial(setup: Setup, index: Tensor) -> Tensor:
    """The state at the first level of the images with these ids."""
    z, sigma = noise(setup.seed, index, START, setup.shape), setup.sigmas[0].item()
    return start(z, sigma) if setup.guess is None else setup.guess(index) + sigma * z


def check_images(x: object, shape: tuple[int, ...]) -> None:
    """Raise UsageError if what a sampler returned is no batch of images of that shape."""
    if not isinstance(x, Tensor) or x.shape != shape:
        what = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UsageError(
            f"the sampler returned {what}, expected images of shape {tuple(shape)}", "--sampler"
        )


def rehearse(member: Sampler, sigmas: Tensor, shape: tuple[int, int, int], clip: bool) -> None:
    """Run a sampler on one image with a denoiser that returns black: whether it samples at all.

    Raises UsageError if it returns no images, ForeignError if its code fails.
    """

    def black(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.full_like(x, -1)

    x = torch.zeros(1, *shape)
    with foreign("the sampler"):
        x = member.solve(
            black,
            x,
            sigmas,
            lambda step: x,
            **member.settings,
            clip=clip,
            callback=lambda step: None,
        )
    check_images(x, (1, *shape))


def out_of_band(in_band: Callable[[float], bool], trace: np.ndarray) -> float:
    """Share of the images' steps at levels that are not in band; `trace` as in `Chunk`."""
    levels = trace[:, 1] / trace[:, 0]
    outside = [not in_band(sigma) for sigma in levels.tolist()]
    return float(np.average(outside, weights=trace[:, 0]))


def trace_table(trace: np.ndarray) -> pd.DataFrame:
    """Per step: sigma, RMS of the residual and its correlation between neighbours, mean and std of x, share |D| > 1.

    trace  as in `Chunk`, of steps that some image made
    """
    sigma, residual, beside, mean, square, clipped = (trace[:, 1:] / trace[:, :1]).T
    correlation = np.divide(beside, residual, out=np.zeros_like(beside), where=residual > 0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    columns = (sigma, np.sqrt(residual), correlation, mean, std, clipped)
    return pd.DataFrame(dict(zip(TRACE, columns, strict=True)))


def synchronize(device: str) -> None:
    """Wait for the accelerator, so that a clock read next means something."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
