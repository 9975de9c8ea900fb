"""One training loop for all networks: AdamW or Muon, warm-up and cosine, EMA, checkpoints.

What is drawn for step k comes from generators seeded by (seed, k), and the order of epoch e from
(seed, e); what a network draws by itself, such as dropout, comes from generators whose state a
checkpoint keeps. So an interrupted training ends, on a CPU bit for bit, where one that was never
interrupted does.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from denoisers import parallel, resuming, schedule, updates, weights
from denoisers.bounds import number
from denoisers.errors import UsageError
from denoisers.precision import bfloat16_is_fast

# Every noise level a sampler asks for.
CHAIN = schedule.sigmas_of(schedule.alphas_cumprod(schedule.linear_betas()))
ENDS = CHAIN[0].item(), CHAIN[-1].item()
SAVE_AFTER = 20.0  # seconds since the last checkpoint, which a GPU waits for
AHEAD = 256  # steps whose numbers from the CPU are drawn, and copied to the device, at once


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a network is trained on.

    draw      draw(batch, levels, generator) gives what a step sees: images, noise, levels; all that
              it draws comes from `generator`, on the device of the batch
    loss      loss(net, *drawn) gives a scalar; it draws nothing, so that it can be recorded and
              replayed
    levels    levels(size, generator) gives what is to be drawn on the CPU, which has float64, for a
              batch of that size; before `draw`, and for many steps before the first
    settings  what all depend on beside the data, for the recipe
    """

    draw: Callable[[list[Tensor], list[Tensor], torch.Generator], list[Tensor]]
    loss: Callable[..., Tensor]
    levels: Callable[[int, torch.Generator], list[Tensor]] = lambda size, generator: []
    settings: resuming.Recipe = dataclasses.field(default_factory=dict)


def sample_sigma(
    batch: int, generator: torch.Generator, low: float = ENDS[0], high: float = ENDS[1]
) -> Tensor:
    """Noise levels of one batch, for images in [-1, 1]; stratified, float64 (B,) on the CPU.

    Four fifths follow ln sigma ~ N(0.6, 1.5^2), the shape of Karras et al. 2022 moved up: digits
    are decided between 0.4 and 8, and real images noised to sigma = 0.8 come back about as good as
    they were, so that more practice below would buy little. One fifth is uniform in ln sigma, so
    that no level goes untrained.
    """
    uniform = torch.arange(batch, dtype=torch.float64)
    uniform += torch.rand(batch, generator=generator, dtype=torch.float64)
    uniform /= batch
    ends = torch.tensor([low, high], dtype=torch.float64).log()
    first, last = torch.special.ndtr((ends - 0.6) / 1.5)
    normal = 0.6 + 1.5 * torch.special.ndtri(torch.lerp(first, last, (uniform * 1.25).clamp(max=1)))
    flat = torch.lerp(*ends, (uniform * 5 - 4).clamp(min=0))
    return torch.where(uniform < 0.8, normal, flat).exp()


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a training reports: steps done and due, mean loss since the last report, images per second."""

    step: int
    steps: int
    loss: float
    images_per_second: float

    def __str__(self) -> str:
        speed = f"{self.images_per_second:.0f} images/s"
        return f"step {self.step}/{self.steps}  loss {self.loss:.5f}  {speed}"


class Reports:
    """`Progress` every so many steps, and after the last."""

    def __init__(
        self, report: Callable[[Progress], None], every: int, steps: int, batch_size: int
    ) -> None:
        self.report, self.every, self.steps, self.batch_size = report, every, steps, batch_size
        self.since, self.began = 0, time.perf_counter()

    def after(self, step: int, mean_loss: Callable[[], float]) -> None:
        """A step was made. Raises FloatingPointError if the loss, where it is due, is not finite."""
        self.since += 1
        if self.since == self.every or step == self.steps:
            loss, seconds = mean_loss(), time.perf_counter() - self.began
            self.report(Progress(step, self.steps, loss, self.since * self.batch_size / seconds))
            self.since, self.began = 0, time.perf_counter()


class Trained(NamedTuple):
    """The average of a network's weights, in eval mode, and the recipe that made it."""

    net: nn.Module
    recipe: resuming.Recipe


# Half of its lines are its keywords and what they mean; the other half is a training in its order.
def fit(
    build: Callable[[], nn.Module],
    data: list[Tensor],
    objective: Objective,
    checkpoint: Path,
    *,
    epochs: int,
    batch_size: int,
    lr: float = 1e-3,
    muon_lr: float | None = None,
    weight_decay: float = 0.01,
    ema_decay: float | None = 0.999,
    seed: int = 0,
    start: dict[str, Tensor] | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
    report_every: int = 100,
) -> Trained:
    """Train the network that `build` makes, and keep the exponential moving average of its weights.

    data        tensors of equal length; a batch is the same rows of each
    lr          peak rate of AdamW
    muon_lr     peak rate of Muon, which then trains the weight matrices instead; see `muon.Muon`
    ema_decay   highest decay of the average; None for (1 + i) / (10 + i) at every step i, about the
                last tenth of them
    start       parameters to begin with, instead of random ones
    checkpoint  written at the end of an epoch, and continued if it is there; to start over, remove
                it

    The ranks of a process group share every batch and end with the same weights; the first alone
    writes.

    Raises UsageError if `start` does not fit the network, the checkpoint this recipe, or a batch
    the data; FloatingPointError if the loss is no longer a number.
    """
    check_batch(batch_size, data[0])
    per_epoch = len(data[0]) // batch_size
    steps = epochs * per_epoch
    with seeded(seed, device):
        net = build()
        parallel.check(net)
        if start:
            weights.load_into(net, start, "the file to start from")
        recipe = {
            **origin(net, start, data),
            **objective.settings,
            "seed": seed,
            "epochs": epochs,
            "batch": batch_size,
            "optimizer": updates.named(lr, muon_lr, weight_decay),
            "schedule": updates.schedule_named(steps),
            "average": f"EMA {'(1 + i) / (10 + i)' if ema_decay is None else number(ema_decay)}",
            "precision": "bfloat16" if bfloat16_is_fast(device) else "float32",
            "device": torch.device(device).type,
        }
        net = net.to(device, memory_format=torch.channels_last).train()
        state = updates.State(net, updates.optimizers(net, lr, muon_lr, weight_decay))
        step = state.restore(parallel.of_first(lambda: resuming.load(checkpoint, recipe)))
        update = updates.chosen(state)(state, objective.loss)
        data = [tensor.to(device) for tensor in data]
        reports, saved = Reports(report, report_every, steps, batch_size), -math.inf
        for epoch in range(step // per_epoch, epochs):
            order = batches(len(data[0]), batch_size, seed + epoch, device)
            ahead = drawn_ahead(objective, batch_size, seed, step, len(order), device)
            for rows, (levels, generator) in zip(order, ahead, strict=True):
                drawn = objective.draw([tensor[rows] for tensor in data], levels, generator)
                rate, decay = updates.learning_rate(step, steps), decay_at(step, ema_decay)
                update(drawn, rate, decay)
                step += 1
                reports.after(step, update.mean_loss)
            due = time.perf_counter() - saved > SAVE_AFTER or step == steps
            if due and parallel.rank() == 0:
                resuming.save(checkpoint, recipe, state.taken(step))
                saved = time.perf_counter()
    return Trained(state.average, recipe)


def origin(net: nn.Module, start: dict[str, Tensor] | None, data: list[Tensor]) -> resuming.Recipe:
    """What is trained, from where, on what: the beginning of a recipe."""
    layers = hashlib.sha256(repr(net).encode()).hexdigest()
    return {
        "network": f"{type(net).__name__} {layers[:8]}",
        "start": resuming.digest(list(start.values())) if start else "random",
        "data": resuming.digest(data),
    }


def decay_at(step: int, highest: float | None) -> float:
    """The decay of the average: at first that of the mean so far, which is short."""
    decay = (2 + step) / (11 + step)
    return decay if highest is None else min(highest, decay)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """torch's own generators, seeded for first weights and layers that draw; then as they were."""
    with torch.random.fork_rng([torch.cuda.current_device()] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def batches(number: int, size: int, seed: int, device: str) -> tuple[Tensor, ...]:
    """The rows of each batch of one epoch; what does not fill a batch is left out."""
    order = torch.randperm(number, generator=torch.Generator().manual_seed(seed)).to(device)
    return order[: number // size * size].split(size)


def drawn_ahead(
    objective: Objective, size: int, seed: int, step: int, steps: int, device: str
) -> Iterator[tuple[list[Tensor], torch.Generator]]:
    """For each of `steps` steps from `step` on: its levels, on the device, and its generator there.

    Levels are drawn and copied in blocks: a GPU that had to wait for those of every step would
    wait for the CPU in every step.
    """
    for first in range(step, step + steps, AHEAD):
        block = range(first, min(first + AHEAD, step + steps))
        hosts = [generator_of(seed, each, "cpu") for each in block]
        levels = [objective.levels(size, host) for host in hosts]
        tables = [torch.stack(column).to(device) for column in zip(*levels, strict=True)]
        for row, each in enumerate(block):
            # On a CPU it is one generator, whose numbers are used in turn.
            own = hosts[row] if device == "cpu" else generator_of(seed, each, device)
            yield [table[row] for table in tables], own


def generator_of(seed: int, step: int, device: str) -> torch.Generator:
    """The generator of one step, as it begins."""
    return torch.Generator(device).manual_seed((seed << 32) + step)


def most(size: int, images: Tensor) -> int:
    """A batch of that size, or of all images if there are fewer."""
    return min(size, len(images))


def check_batch(size: int, images: Tensor) -> None:
    """Raise UsageError for a batch of more images than there are."""
    if size > len(images):
        raise UsageError(
            f"must be at most {len(images)}, the number of images to train on; found {size}",
            "--batch-size",
        )
