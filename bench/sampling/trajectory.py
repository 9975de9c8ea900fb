"""The first images of a run on their way from noise to image, beside real digits on the way from image to noise."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench import files
from bench.data.dataset import Dataset
from bench.files import Say
from bench.images import to_float, to_uint8
from bench.noise import START, noise
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.sampling import generation
from bench.sampling.generation import Setup
from bench.sampling.samplers import Step
from denoisers.base import expand_as
from denoisers.schedule import vp_scale

IDS = 8
LEVELS = 10
DIGITS = 4


def levels(steps: int) -> list[int]:
    """The steps that are kept, of `steps`: the first, the last, and others at equal distances, LEVELS at most."""
    return np.unique(np.linspace(0, steps - 1, LEVELS).round().astype(int)).tolist()


def record(
    generate: Callable[[Callable[[Step], None]], object], dataset: Dataset, steps: int, seed: int
) -> dict[str, np.ndarray]:
    """Run `generate`, which is given what to call at every step, and keep the steps at `levels`.

    Returns what trajectory.npz holds, with L levels:

    sigma     float64 (L,), falling
    x         uint8 (n, L, H, W), the state divided by sqrt(1 + sigma^2), so that noise keeps within
    the grey levels
    denoised  uint8 (n, L, H, W), D(x; sigma) clipped
    forward   uint8 (DIGITS, L, H, W), held-out digits under the noise of each level, scaled like x

    Steps at which an image is missing, as its sampler was done with it, are left out.
    """
    wanted, kept = set(levels(steps)), []

    def keep(step: Step) -> None:
        if step.index in wanted and (not kept or len(step.x) == len(kept[0][1])):
            scaled = step.x * expand_as(vp_scale(torch.as_tensor(step.sigma)), step.x)
            kept.append(
                (step.level, to_uint8(scaled, dataset.pad), to_uint8(step.denoised, dataset.pad))
            )

    generate(keep)
    if not kept:  # a sampler of the user's own that never says what it does
        return {}
    sigmas, x, denoised = zip(*kept, strict=True)
    forward = [to_uint8(noised(dataset, sigma, seed), dataset.pad) for sigma in sigmas]
    stacked = (np.stack(images, axis=1) for images in (x, denoised, forward))
    return dict(
        zip(("sigma", "x", "denoised", "forward"), (np.array(sigmas), *stacked), strict=True)
    )


def write(
    run: Run,
    setup: Setup,
    dataset: Dataset,
    num: int,
    say: Say,
    progress: Progress = SILENT,
) -> None:
    """The first of `num` images once more, with what lay on their way, unless that is on disk.

    They are the same again, as they depend on (seed, id) alone.
    """
    name = "trajectory.npz"
    if len((run.trace() or "").splitlines()) == 1:  # the sampler never says what it does
        return
    if files.read_back(run.path / name, say, name=run.seal(name)) is not None:
        return
    if run.complete and not (run.path / name).exists():
        say(f"{run.path / name} is not there; made again")
    progress.stage("trajectories")
    ids = range(min(IDS, num))

    def again(watch: Callable[[Step], None]) -> None:
        generation.generate(setup, ids, watch=watch)

    run.write_sealed(name, record(again, dataset, len(setup.sigmas) - 1, setup.seed))


def noised(dataset: Dataset, sigma: float, seed: int) -> Tensor:
    """The first held-out digits under noise, (x0 + sigma eps) / sqrt(1 + sigma^2): the same eps at every level."""
    x0 = to_float(dataset.held_out[:DIGITS], dataset.pad)
    eps = noise(seed, torch.arange(DIGITS), START, tuple(x0.shape[1:]))
    return (x0 + sigma * eps) * vp_scale(torch.tensor(sigma))
