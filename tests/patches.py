"""A small convolutional network that is really trained, in seconds, on digits with or without their frame.

It takes images of any multiple of four and knows where a digit is by what is not there: its kernels
reach over the edges. So it is right for images of the size that it was trained on, and answers for
others without a word.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisers.base import expand_as


class Patches(nn.Module):
    """f(image in [-1, 1], noise level (B,)) -> clean image: patches of 4 x 4 pixels, mixed over the whole image."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.into = nn.Conv2d(2, width, 4, stride=4)
        self.mix = nn.ModuleList(nn.Conv2d(width, width, 7, padding=3) for _ in range(2))
        self.out = nn.ConvTranspose2d(width, 1, 4, stride=4)

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        noise = expand_as(level, image)
        hidden = F.relu(
            self.into(
                torch.cat([image / (1 + noise**2).sqrt(), (noise.log() / 4).expand_as(image)], 1)
            )
        )
        for layer in self.mix:
            hidden = F.relu(layer(hidden))
        return self.out(hidden)


def train(images: Tensor, steps: int = 300, batch: int = 32, rate: float = 3e-3) -> Patches:
    """The network, trained to restore `images` (N, 1, H, W) under noise of all levels around 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Patches()
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for step in range(steps):
        x0 = images[torch.randint(len(images), (batch,), generator=generator)]
        level = (torch.randn(batch, generator=generator) + 0.3).exp()
        x = x0 + expand_as(level, x0) * torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        F.mse_loss(net(x, level), x0).backward()
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimizer.step()
    return net.eval()
