"""One training loop for every network of the project: AdamW, warm-up and cosine, EMA, checkpoints that resume.

Everything random in step k comes from a generator seeded by (seed, k) and the order of epoch e from (seed, e), so an
interrupted run continues on the same batches and the same noise as one that was never interrupted.
"""

import copy
import dataclasses
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

Loss = Callable[[nn.Module, list[Tensor], torch.Generator], Tensor]


@dataclasses.dataclass(frozen=True)
class Progress:
    """What the training loop reports: steps done and due, loss averaged since the last report, images per second."""

    step: int
    steps: int
    loss: float
    images_per_second: float

    def __str__(self) -> str:
        return f"step {self.step}/{self.steps}  loss {self.loss:.5f}  {self.images_per_second:.0f} images/s"


def fit(
    build: Callable[[], nn.Module],
    data: list[Tensor],
    loss: Loss,
    checkpoint: Path,
    *,
    epochs: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    ema_decay: float = 0.999,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
    report_every: int = 100,
) -> nn.Module:
    """Train the network that `build` makes; return its exponential moving average, in eval mode.

    data        tensors of equal length; a batch is the same rows of each
    loss        called as loss(net, batch, generator), gives a scalar; all its randomness comes from the generator
    checkpoint  written at the end of every epoch and read if it exists; to start over, delete it
    """
    torch.manual_seed(seed)  # for the initialisation, and for layers that draw by themselves, such as dropout
    net = build().to(device, memory_format=torch.channels_last).train()
    average = copy.deepcopy(net).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(net.parameters(), lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)
    per_epoch = len(data[0]) // batch_size
    steps, step = epochs * per_epoch, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    total, since, started = 0.0, 0, time.perf_counter()
    for epoch in range(step // per_epoch, epochs):
        order = torch.randperm(len(data[0]), generator=torch.Generator().manual_seed(seed + epoch))
        for rows in order[: per_epoch * batch_size].split(batch_size):
            for group in optimizer.param_groups:
                group["lr"] = lr * learning_rate(step, steps)
            generator = torch.Generator(device).manual_seed((seed << 32) + step)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                value = loss(net, [tensor[rows].to(device) for tensor in data], generator)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            step, since, total = step + 1, since + 1, total + value.item()
            update_average(average, net, min(ema_decay, (1 + step) / (10 + step)))
            if since == report_every or step == steps:
                rate = since * batch_size / (time.perf_counter() - started)
                report(Progress(step, steps, total / since, rate))
                total, since, started = 0.0, 0, time.perf_counter()
        save_checkpoint(checkpoint, net=net, average=average, optimizer=optimizer, step=step)
    return average


def learning_rate(step: int, steps: int, warm_up: int = 200, final: float = 0.01) -> float:
    """Factor on the peak rate: linear warm-up, then cosine to `final`."""
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * net; counters and running statistics are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - decay)
    for kept, current in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(current)


def save_checkpoint(
    path: Path, *, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write the whole state beside `path`, then rename: a kill leaves the previous checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)
