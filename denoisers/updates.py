"""One step of a training, after the drawing: loss to average; on CUDA recorded as one graph."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import parallel
from denoisers.muon import Muon
from denoisers.precision import bfloat16_is_fast

WARM_UP, FINAL = 200, 0.01  # steps until the peak rate; what is left of it at the end
CLIP = 1.0  # norm of all gradients together


class State:
    """What a training leaves to the next step, and a checkpoint keeps."""

    def __init__(self, net: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        self.net, self.optimizers = net, optimizers
        self.average = copy.deepcopy(net).eval().requires_grad_(False)
        self.cuda = next(net.parameters()).is_cuda

    def taken(self, step: int) -> dict[str, Any]:
        """All of it after `step` steps, with the state of torch's own generators."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generators": [
                torch.get_rng_state(),
                *([torch.cuda.get_rng_state()] if self.cuda else []),
            ],
            "step": step,
        }

    def restore(self, taken: dict[str, Any] | None) -> int:
        """Go on from what was taken, if anything was; returns the number of steps done before."""
        if taken is None:
            return 0
        self.net.load_state_dict(taken["net"])
        self.average.load_state_dict(taken["average"])
        for optimizer, saved in zip(self.optimizers, taken["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        host, *on_cuda = taken["generators"]
        torch.set_rng_state(host)
        if on_cuda:
            torch.cuda.set_rng_state(*on_cuda)
        return taken["step"]

    @torch.no_grad()
    def update_average(self, weight: float | Tensor) -> None:
        """average <- average + weight * (net - average); counters and running statistics are copied."""
        kept = list(self.average.parameters())
        change = torch._foreach_sub(list(self.net.parameters()), kept)
        torch._foreach_mul_(change, weight)
        torch._foreach_add_(kept, change)
        for copied, current in zip(self.average.buffers(), self.net.buffers(), strict=True):
            copied.copy_(current)


class Update:
    """A step as written, called with what was drawn, the share of the peak rates and the decay."""

    def __init__(self, state: State, loss: Callable[..., Tensor]) -> None:
        self.state, self.loss, self.net = state, loss, parallel.averaging(state.net)
        self.device = next(state.net.parameters()).device
        self.groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
        self.fast = bfloat16_is_fast(self.device.type)
        self.weight: float | Tensor = 0.0
        self.total, self.number = torch.zeros((), device=self.device), 0

    def __call__(self, drawn: list[Tensor], rate: float, decay: float) -> None:
        for group in self.groups:
            group["lr"] = rate * group["peak"]
        self.weight = 1 - decay
        self.take(drawn)
        self.number += 1

    def take(self, drawn: list[Tensor]) -> None:
        drawn, weight = parallel.share(drawn)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast):
            value = weight * self.loss(self.net, *drawn)
        self.net.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        for optimizer in self.state.optimizers:
            optimizer.step()
        self.state.update_average(self.weight)
        self.total += value.detach()

    def mean_loss(self) -> float:
        """Over the steps since the last time. Raises FloatingPointError if it is not finite."""
        mean = parallel.mean(self.total).item() / self.number
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss became {mean}: the training has diverged")
        self.total.zero_()
        self.number = 0
        return mean


class Recorded(Update):
    """The same with a compiled network, recorded once as a CUDA graph and then replayed.

    The kernels of a small network are shorter than their launches. Rates are tensors that a replay
    reads anew; what is drawn is copied to where it was when the graph was recorded.
    """

    # Steps before the recording, in which libraries and optimisers allocate what they keep.
    FIRST = 3

    def __init__(self, state: State, loss: Callable[..., Tensor]) -> None:
        super().__init__(state, loss)
        self.net = torch.compile(state.net, dynamic=False)
        self.weight = torch.zeros((), device=self.device)
        for group in self.groups:
            group["lr"] = torch.zeros((), device=self.device)
        self.done, self.inputs = 0, []
        self.graph, self.stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()

    def __call__(self, drawn: list[Tensor], rate: float, decay: float) -> None:
        for group in self.groups:
            group["lr"].fill_(rate * group["peak"])
        self.weight.fill_(1 - decay)
        if self.done < self.FIRST:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.take(drawn)
            torch.cuda.current_stream().wait_stream(self.stream)
        else:
            if not self.inputs:
                self.inputs = [tensor.clone() for tensor in drawn]
                self.net.zero_grad()
                with torch.cuda.graph(self.graph):
                    self.take(self.inputs)
            for kept, new in zip(self.inputs, drawn, strict=True):
                kept.copy_(new, non_blocking=True)
            self.graph.replay()
        self.done += 1
        self.number += 1


def chosen(state: State) -> type[Update]:
    """How steps are taken: recorded on a GPU, unless ranks share them, which wait for each other inside."""
    return Recorded if state.cuda and parallel.size() == 1 else Update


def optimizers(
    net: nn.Module, lr: float, muon_lr: float | None, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for everything; with `muon_lr`, Muon for the weights with at least 64 rows and columns.

    Smaller ones are the first and last convolutions, whose few directions all matter; Muon's
    authors leave those out.
    """
    wide = [p for p in net.parameters() if muon_lr and is_wide(p)]
    rest = [p for p in net.parameters() if not (muon_lr and is_wide(p))]
    on_cuda = next(net.parameters()).is_cuda
    adamw = torch.optim.AdamW(
        rest, lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True, capturable=on_cuda
    )
    made = [adamw, Muon(wide, muon_lr, weight_decay)] if wide else [adamw]
    for optimizer, peak in zip(made, (lr, muon_lr), strict=False):
        for group in optimizer.param_groups:
            group["peak"] = peak
    return made


def is_wide(weight: Tensor) -> bool:
    """Whether a parameter is a matrix, or a kernel, with at least 64 rows and columns."""
    return weight.ndim in (2, 4) and min(len(weight), weight[0].numel()) >= 64


def named(lr: float, muon_lr: float | None, weight_decay: float) -> str:
    """The optimisers in the words of a card."""
    rates = f"AdamW {lr:g}"
    if muon_lr:
        rates = f"Muon {muon_lr:g} for weight matrices, {rates} for the rest"
    return f"{rates}; weight decay {weight_decay:g}, gradients clipped to norm {CLIP:g}"


def schedule_named(steps: int) -> str:
    """What `learning_rate` does, in the words of a card."""
    return f"warm-up of {WARM_UP} steps, cosine to {FINAL:g} in {steps}"


def learning_rate(step: int, steps: int) -> float:
    """Factor on the peak rate: linear warm-up, then cosine to `FINAL`."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return FINAL + (1 - FINAL) * (1 + math.cos(math.pi * done)) / 2
