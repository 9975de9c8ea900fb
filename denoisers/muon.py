"""Muon: momentum whose singular values are all set to about one, for matrices and kernels."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from denoisers.precision import bfloat16_is_fast


class Muon(torch.optim.Optimizer):
    """Momentum with all singular values set to about one (Jordan et al. 2024).

    Directions with small gradients are learnt as fast as the dominant ones. Rates are on AdamW's
    scale (Liu et al. 2025, arXiv 2502.16982, equation 4). torch's own takes no kernels and always
    computes in bfloat16, which costs more than the network on processors without instructions for
    it.

    lr  a number, or a tensor on the device of the weights, which a CUDA graph reads anew at every
        replay
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float | Tensor,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update from the gradients of the weights, with Nesterov's momentum."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}  # one shape, one batched product
            for weight in group["params"]:
                alike.setdefault(as_matrix(weight).shape, []).append(weight)
            for weights in alike.values():
                self.update(weights, group["lr"], group["momentum"], group["weight_decay"])

    def update(
        self, weights: list[nn.Parameter], lr: float | Tensor, momentum: float, weight_decay: float
    ) -> None:
        """One update of weights that are matrices of one shape."""
        for weight in weights:
            if weight not in self.state:
                self.state[weight]["average"] = torch.zeros_like(weight)
        averages = [self.state[weight]["average"] for weight in weights]
        gradients = [weight.grad for weight in weights]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, averages, momentum)
        updates = orthogonal(torch.stack([as_matrix(direction) for direction in ahead]))
        scale = 0.2 * max(updates.shape[1:]) ** 0.5
        matrices = [as_matrix(weight) for weight in weights]
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        torch._foreach_sub_(matrices, (updates * (lr * scale)).unbind())


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About U V^T for each U S V^T of (N, O, I): singular values in 0.5..1.5, by Jordan's iteration."""
    x = matrices.to(torch.bfloat16 if bfloat16_is_fast(matrices.device.type) else torch.float32)
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445
        )
    return (x if wide else x.mT).to(matrices.dtype)


def as_matrix(weight: Tensor) -> Tensor:
    """(O, I) as it is; (O, I, h, w) in channels_last memory as (O, h w I), without a copy."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).flatten(1)
