"""From ids to uint8 images, one chunk at a time, with the per-step trace."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.files import Layout
from bench.images import noise_std, to_uint8
from bench.noise import START, noise
from bench.sampling.samplers import Sampler, Step, start
from bench.sampling.starts import Guess
from denoisers.base import Denoiser
from denoisers.errors import UsageError, foreign
from denoisers.precision import able

WORK = 2500  # steps of images, at least, that are written together: seconds of a network's
SHARES = 16  # chunks of a run, at least, as far as it has so many batches, for workers to share
TRACE = ["sigma", "sigma_hat", "autocorrelation", "mean", "std", "clipped"]


class Chunk(NamedTuple):
    """Finished images and what was seen on the way.

    ids     int64 (n,)
    images  uint8 (n, H, W)
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


def layout(ids: range, size: tuple[int, int], steps: int) -> Layout:
    """What the chunk of the images `ids`, of (H, W) pixels, holds."""
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


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def generate(
    denoiser: Denoiser,
    ids: range,
    sigmas: Tensor,
    *,
    seed: int,
    shape: tuple[int, int, int],
    pad: int,
    member: Sampler,
    clip: bool,
    batch_size: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    guess: Guess | None = None,
    advance: Callable[[int], None] = lambda images: None,
    watch: Callable[[Step], None] = lambda step: None,
) -> Chunk:
    """The images called `ids`: image i depends on (seed, i) alone, up to the rounding of the network's kernels.

    shape    (C, H, W) of the sampler's images, of which `pad` pixels on each side are cut off at
             the end
    member   sampler and settings, one of `sampler.SAMPLERS` or a variation
    guess    x0 to begin from, under noise; None for pure noise
    dtype    of the network's arithmetic (autocast); the state between steps stays float32
    advance  called after every step with the number of images that made it
    watch    called at every step with what the sampler says of it
    """
    images, left, inside, calls, late, began = [], [], 0.0, 0, 0, time.perf_counter()
    trace = np.zeros((len(sigmas) - 1, 7))
    for batch in (ids[i : i + batch_size] for i in range(0, len(ids), batch_size)):
        index = torch.tensor(batch, device=device)

        def call(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal inside, calls
            calls += len(x)
            entered = time.perf_counter()
            lower = dtype is not torch.float32
            cast = (
                torch.autocast(torch.device(device).type, dtype)
                if lower
                else contextlib.nullcontext()
            )
            with foreign("the denoiser"), cast:
                denoised = denoiser(x, sigma)
                denoised = denoised.to(x.dtype) if isinstance(denoised, Tensor) else denoised
            synchronize(device)
            inside += time.perf_counter() - entered
            return denoised

        def record(step: Step, n: int = len(batch)) -> None:
            nonlocal late
            late += step.unconverged
            residual, clipped = step.x - step.denoised, (step.denoised.abs() > 1).float()
            beside = residual[..., 1:] * residual[..., :-1]
            seen = (residual.square(), beside, step.x, step.x.square(), clipped)
            means = [step.level, *(able(value).mean(dtype=torch.float64).item() for value in seen)]
            trace[step.index] += len(step.x) * np.array([1.0, *means])
            advance(n)
            watch(step)

        def fresh(step: int, index: Tensor = index) -> Tensor:
            return noise(seed, index, step + 1, shape)

        z, first = noise(seed, index, START, shape), sigmas[0].item()
        x = start(z, first) if guess is None else guess(index) + first * z
        x = solved(member, call, x, sigmas, fresh, clip, record)
        images.append(to_uint8(x, pad))
        left.append(noise_std(x).cpu().numpy())
    cost = np.array([time.perf_counter() - began, inside, calls])
    return Chunk(
        np.array(ids), np.concatenate(images), np.concatenate(left), trace, cost, np.array(late)
    )


def solved(
    member: Sampler,
    denoiser: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigmas: Tensor,
    fresh: Callable[[int], Tensor],
    clip: bool,
    callback: Callable[[Step], None],
) -> Tensor:
    """The images that a sampler makes of x.

    Raises UsageError if they are none, ForeignError if its code fails.
    """
    shape = x.shape
    with foreign("the sampler"):
        x = member.solve(
            denoiser, x, sigmas, fresh, **member.settings, clip=clip, callback=callback
        )
    if not isinstance(x, Tensor) or x.shape != shape:
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UsageError(
            f"the sampler returned {found}, expected images of shape {tuple(shape)}", "--sampler"
        )
    return x


def rehearse(member: Sampler, sigmas: Tensor, shape: tuple[int, int, int], clip: bool) -> None:
    """Run a sampler on one image with a denoiser that returns black: whether it samples, known before images are made.

    Raises as `solved` does.
    """
    x = torch.zeros(1, *shape)
    solved(
        member,
        lambda x, sigma: torch.full_like(x, -1),
        x,
        sigmas,
        lambda step: x,
        clip,
        lambda step: None,
    )


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
