"""One training loop for every network of the project: AdamW or Muon, warm-up and cosine, EMA, checkpoints that resume.

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
    muon_lr: float | None = None,
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
    lr          peak rate of AdamW
    muon_lr     peak rate of Muon, which then trains the weight matrices instead; see `Muon`
    checkpoint  written at the end of every epoch and read if it exists; to start over, delete it
    """
    torch.manual_seed(seed)  # for the initialisation, and for layers that draw by themselves, such as dropout
    net = build().to(device, memory_format=torch.channels_last).train()
    average = copy.deepcopy(net).eval().requires_grad_(False)
    optimizers = make_optimizers(net, lr, muon_lr, weight_decay)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    batch_size = min(batch_size, len(data[0]))
    per_epoch = len(data[0]) // batch_size
    steps, step = epochs * per_epoch, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step = state["step"]
    total, since, started = 0.0, 0, time.perf_counter()
    for epoch in range(step // per_epoch, epochs):
        order = torch.randperm(len(data[0]), generator=torch.Generator().manual_seed(seed + epoch))
        for rows in order[: per_epoch * batch_size].split(batch_size):
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, peak, strict=True):
                    group["lr"] = rate * learning_rate(step, steps)
            generator = torch.Generator(device).manual_seed((seed << 32) + step)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                value = loss(net, [tensor[rows].to(device) for tensor in data], generator)
            net.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            step, since, total = step + 1, since + 1, total + value.item()
            update_average(average, net, min(ema_decay, (1 + step) / (10 + step)))
            if since == report_every or step == steps:
                rate = since * batch_size / (time.perf_counter() - started)
                report(Progress(step, steps, total / since, rate))
                total, since, started = 0.0, 0, time.perf_counter()
        save_checkpoint(checkpoint, net=net, average=average, optimizers=optimizers, step=step)
    return average


class Muon(torch.optim.Muon):
    """torch's Muon (Jordan et al. 2024) for convolutions too: a kernel counts as a matrix, outputs by everything else.

    Its update is the momentum with all singular values set to one, so that directions with small gradients are
    learnt as fast as the dominant ones. Rates are on AdamW's scale (Liu et al. 2025, arXiv 2502.16982, equation 4).
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        self.weights = weights
        # Views of the same memory: what the base class writes into a matrix is in the kernel.
        self.matrices = [nn.Parameter(as_matrix(weight.detach())) for weight in weights]
        super().__init__(self.matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: None = None) -> None:
        """One update from the gradients of the weights."""
        for matrix, weight in zip(self.matrices, self.weights, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)
        super().step(closure)


def as_matrix(weight: Tensor) -> Tensor:
    """(O, I) as it is; (O, I, h, w) in channels_last memory as (O, h w I), without a copy."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).flatten(1)


def make_optimizers(
    net: nn.Module, lr: float, muon_lr: float | None, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for everything; with `muon_lr`, Muon for the weights with at least 64 rows and columns.

    Smaller ones are the first and last convolutions, whose few directions all matter; Muon's authors leave those out.
    """
    wide = [p for p in net.parameters() if muon_lr and p.ndim in (2, 4) and min(len(p), p[0].numel()) >= 64]
    taken = {id(p) for p in wide}
    rest = [p for p in net.parameters() if id(p) not in taken]
    adamw = torch.optim.AdamW(rest, lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)
    return [adamw, Muon(wide, muon_lr, weight_decay)] if wide else [adamw]


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
    path: Path, *, net: nn.Module, average: nn.Module, optimizers: list[torch.optim.Optimizer], step: int
) -> None:
    """Write the whole state beside `path`, then rename: a kill leaves the previous checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)
