"""One training loop for every network of the project: AdamW or Muon, warm-up and cosine, EMA, checkpoints that resume.

Everything random in step k comes from a generator seeded by (seed, k) and the order of epoch e from (seed, e), so an
interrupted run continues on the same batches and the same noise as one that was never interrupted.
"""

import copy
import dataclasses
import io
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from denoisers import schedule, weights
from denoisers.files import write

CHAIN = schedule.sigmas_of(schedule.alphas_cumprod(schedule.linear_betas()))  # every noise level a sampler asks for
ENDS = CHAIN[0].item(), CHAIN[-1].item()
Loss = Callable[[nn.Module, list[Tensor], torch.Generator], Tensor]


def sample_sigma(batch: int, generator: torch.Generator, low: float = ENDS[0], high: float = ENDS[1]) -> Tensor:
    """Noise levels of one batch between `low` and `high`, for images in [-1, 1]; stratified, float64 (B,).

    Four fifths follow ln sigma ~ N(0.6, 1.5^2), the shape of Karras et al. 2022 moved up: digits are decided between
    0.4 and 8, and real images noised to sigma = 0.8 come back about as good as they were, so that more practice below
    would buy little. One fifth is uniform in ln sigma, so that no level goes untrained.
    """
    uniform = torch.arange(batch, dtype=torch.float64)
    uniform += torch.rand(batch, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    uniform /= batch
    ends = torch.tensor([low, high], dtype=torch.float64).log()
    first, last = torch.special.ndtr((ends - 0.6) / 1.5)
    normal = 0.6 + 1.5 * torch.special.ndtri(torch.lerp(first, last, (uniform * 1.25).clamp(max=1)))
    flat = torch.lerp(*ends, (uniform * 5 - 4).clamp(min=0))
    return torch.where(uniform < 0.8, normal, flat).exp()


def bfloat16_is_fast(device: str) -> bool:
    """Whether the processor has instructions for bfloat16; without, it is slower than float32."""
    return torch.cuda.is_bf16_supported() if device.startswith("cuda") else torch.cpu._is_avx512_bf16_supported()


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
    start: dict[str, Tensor] | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
    report_every: int = 100,
) -> nn.Module:
    """Train the network that `build` makes; return its exponential moving average, in eval mode.

    data        tensors of equal length; a batch is the same rows of each
    loss        called as loss(net, batch, generator), gives a scalar; all its randomness comes from the generator
    lr          peak rate of AdamW
    muon_lr     peak rate of Muon, which then trains the weight matrices instead; see `Muon`
    start       parameters to begin with, instead of random ones
    checkpoint  written at the end of every epoch and read if it exists; to start over, delete it

    Raises UsageError if `start` does not fit the network.
    """
    torch.manual_seed(seed)  # for the initialisation, and for layers that draw by themselves, such as dropout
    net = build()
    if start:
        weights.load_into(net, start, "the file to start from")
    net = net.to(device, memory_format=torch.channels_last).train()
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
    total, since, started, fast = 0.0, 0, time.perf_counter(), bfloat16_is_fast(device)
    for epoch in range(step // per_epoch, epochs):
        order = torch.randperm(len(data[0]), generator=torch.Generator().manual_seed(seed + epoch))
        for rows in order[: per_epoch * batch_size].split(batch_size):
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, peak, strict=True):
                    group["lr"] = rate * learning_rate(step, steps)
            generator = torch.Generator(device).manual_seed((seed << 32) + step)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=fast):
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


class Muon(torch.optim.Optimizer):
    """Momentum with all singular values set to about one (Jordan et al. 2024), for matrices and convolution kernels.

    Directions with small gradients are learnt as fast as the dominant ones. Rates are on AdamW's scale (Liu et al.
    2025, arXiv 2502.16982, equation 4). torch's own takes no kernels and always computes in bfloat16, which costs more
    than the network on processors without instructions for it.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update from the gradients of the weights, with Nesterov's momentum."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight not in self.state:
                    self.state[weight]["average"] = torch.zeros_like(weight)
                average = self.state[weight]["average"]
                average.lerp_(weight.grad, 1 - momentum)
                update = orthogonal(as_matrix(weight.grad.lerp(average, momentum)))
                matrix = as_matrix(weight)
                scale = 0.2 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * scale)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About U V^T for matrix = U S V^T: singular values between 0.5 and 1.5, by Jordan's quintic iteration."""
    x = matrix.to(torch.bfloat16 if bfloat16_is_fast(matrix.device.type) else torch.float32)
    x = x if len(x) <= x.shape[1] else x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x if len(matrix) <= matrix.shape[1] else x.T).to(matrix.dtype)


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
    """Write the whole state; a kill leaves the previous checkpoint."""
    state = {
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
    }
    content = io.BytesIO()  # not the file: a full disk is an error of another kind to torch
    torch.save(state, content)
    write(path, lambda file: file.write(content.getbuffer()))
