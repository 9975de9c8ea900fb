"""A small U-Net that predicts eps from x_t: residual blocks, skip connections, attention at the lowest resolution."""

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from denoisers.precision import where
from denoisers.schedule import abar_at, alphas_cumprod, linear_betas


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Sinusoids of `t` (B,) in geometric frequencies, (B, width): Vaswani et al. 2017, as in DDPM."""
    rates = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=t.device) / (width // 2))
    angles = t.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the noise level scales and shifts the second normalisation."""

    def __init__(self, in_channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1)
            if in_channels != out_channels
            else nn.Identity()
        )
        nn.init.zeros_(self.conv2.weight)  # every block starts as its shortcut
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), 1 + scale)))
        return self.shortcut(x) + h


class Attention(nn.Module):
    """Self-attention over the pixels of a small map."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        qkv = rearrange(self.qkv(self.norm(x)), "b c h w -> b (h w) c")
        query, key, value = rearrange(
            qkv, "b pixels (part heads c) -> part b heads pixels c", part=3, heads=self.heads
        )
        # For 16 pixels two plain products are faster on a CPU than scaled_dot_product_attention, most of all backward.
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        mixed = weights.to(value.dtype) @ value  # under autocast softmax returns float32
        mixed = rearrange(mixed, "b heads (h w) c -> b h w (heads c)", h=x.shape[2])
        return x + self.out(rearrange(mixed, "b h w c -> b c h w"))


class Level(nn.Module):
    """Residual blocks at one resolution, with attention after the last where it is asked for."""

    def __init__(
        self, in_channels: int, out_channels: int, time_width: int, blocks: int, attention: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * blocks
        self.blocks = nn.ModuleList(
            ResBlock(i, o, time_width) for i, o in itertools.pairwise(widths)
        )
        self.attention = Attention(out_channels) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, time)
        return self.attention(x)


class UNet(nn.Module):
    """eps(x_t, t) for images of `images` channels whose sides are multiples of 8.

    x_t  float32 (B, C, H, W), the VP image sqrt(abar_t) x0 + sqrt(1 - abar_t) eps
    t    float32 (B,), 0-based step of the linear 1000-step chain, fractions allowed
    returns float32 (B, C, H, W), the estimate of eps

    The output is sqrt(1 - abar_t) x_t + sqrt(abar_t) v, where v comes from the convolutions (the v
    of Salimans & Ho 2022, arXiv 2202.00512). At t = 1000 eps equals x_t up to 1 part in 157, and a
    network that had to copy its input to that precision would lose it again to bfloat16; the skip,
    kept in float32, costs nothing and needs no copying.

    The convolutions work on patches of 2x2 pixels (16x16 with 4 channels for a digit), then at half
    and a quarter of that: on a CPU wide layers on small maps run several times faster than narrow
    ones on large maps.
    """

    casts = True  # takes float32 and computes in the dtype of its weights, but for the skip

    def __init__(
        self,
        channels: int = 64,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: tuple[int, ...] = (1, 3, 2),
        attention: tuple[bool, ...] = (False, True, True),
        patch: int = 2,
        images: int = 1,
    ) -> None:
        super().__init__()
        self.images, self.patch, self.time_width = images, patch, 4 * channels
        width = self.time_width
        self.time = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        widths = [channels * m for m in multipliers]
        self.conv_in = nn.Conv2d(images * patch**2, channels, 3, padding=1)
        before, lowest = [channels, *widths[:-1]], widths[-1]
        levels = list(zip(widths, [width] * len(widths), blocks, attention, strict=True))
        self.down = nn.ModuleList(Level(i, *level) for i, level in zip(before, levels, strict=True))
        self.middle1, self.attention = ResBlock(lowest, lowest, width), Attention(lowest)
        self.middle2 = ResBlock(lowest, lowest, width)
        below = [*widths[1:], lowest]  # what comes up from below, beside the skip of the same level
        up = [Level(i + level[0], *level) for i, level in zip(below, levels, strict=True)]
        self.up = nn.ModuleList(reversed(up))
        self.norm_out = nn.GroupNorm(8, widths[0])
        self.conv_out = nn.Conv2d(widths[0], images * patch**2, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)
        # Not a buffer: casting the weights to bfloat16 must leave the schedule in float64.
        with torch.device("cpu"):  # also where the weights are made on no device, to be read later
            abar = alphas_cumprod(linear_betas())
            self.log_snr = (abar / (1 - abar)).log()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        abar = abar_at(t, self.log_snr)[:, None, None, None]
        noise, image = (part.sqrt().float().to(x.device) for part in (1 - abar, abar))
        return noise * x + image * self.trunk(x, t).float()

    def _apply(self, *args: Any, **kwargs: Any) -> "UNet":
        """Move and cast the weights; the schedule moves along, where float64 is known, and stays float64."""
        super()._apply(*args, **kwargs)
        if not self.conv_in.weight.is_meta:
            self.log_snr = self.log_snr.to(where(self.conv_in.weight.device))
        return self

    def trunk(self, x: Tensor, t: Tensor) -> Tensor:
        """v(x_t, t), computed in the dtype of the weights."""
        dtype = self.conv_in.weight.dtype
        time = self.time(time_embedding(t, self.time_width).to(dtype))
        h, skips = self.conv_in(F.pixel_unshuffle(x.to(dtype), self.patch)), []
        for i, level in enumerate(self.down):
            h = level(F.avg_pool2d(h, 2) if i else h, time)
            skips.append(h)
        h = self.middle2(self.attention(self.middle1(h, time)), time)
        for i, level in enumerate(self.up):
            h = F.interpolate(h, scale_factor=2.0, mode="nearest") if i else h
            h = level(torch.cat([h, skips.pop()], dim=1), time)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), self.patch)
