"""KBNet_s: an image-restoration U-Net whose blocks mix learned kernel bases at every pixel.

Zhang et al. 2023, "KBNet: Kernel Basis Network for Image Restoration" (arXiv 2303.02881).
Parameters are named and shaped as in the authors' checkpoints, so that those load.
"""

import itertools

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from denoisers.kbnet.layers import (
    GroupedConv2d,
    LocalConv2d,
    PointwiseConv2d,
    ReducingConv2d,
    in_parts,
    kernel_basis_attention,
    spent,
)


class SimpleGate(nn.Module):
    """The first half of the channels times the second (Chen et al. 2022, arXiv 2204.04676)."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class KBBlock(nn.Module):
    """Attention, a grouped convolution and a channel gate multiplied (section 3.2), then a gated FFN.

    bases        N, the number of kernels that each pixel mixes
    group        channels that one kernel sees
    ffn_scale    width of the FFN before its gate, in units of `channels`
    lightweight  a depthwise 3x3 convolution in place of the grouped 5x5 one
    """

    def __init__(
        self,
        channels: int,
        *,
        bases: int = 32,
        group: int = 4,
        ffn_scale: float = 2,
        lightweight: bool = False,
    ) -> None:
        super().__init__()
        c, wide, gated = channels, int(ffn_scale * channels), min(channels, 32)
        local = LocalConv2d(c, c, 3, c) if lightweight else GroupedConv2d(c)
        self.norm1 = LayerNorm2d(c)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), PointwiseConv2d(c, c))
        self.conv11 = nn.Sequential(PointwiseConv2d(c, c), local)
        self.conv1, self.conv21 = PointwiseConv2d(c, c), LocalConv2d(c, c, 3, c)
        reduced, shares = ReducingConv2d(c, gated), PointwiseConv2d(gated // 2, bases)
        self.conv2 = nn.Sequential(reduced, SimpleGate(), shares)
        self.conv211 = PointwiseConv2d(c, bases)
        self.w = nn.Parameter(torch.empty(1, bases, c * group * 9))
        self.b = nn.Parameter(torch.empty(1, bases, c))
        self.attgamma = nn.Parameter(torch.full((1, bases, 1, 1), 0.01))
        self.ga1, self.beta, self.gamma = (
            nn.Parameter(torch.full((1, c, 1, 1), 0.01)) for _ in range(3)
        )
        self.conv3 = PointwiseConv2d(c, c)
        self.norm2 = LayerNorm2d(c)
        self.conv4 = PointwiseConv2d(c, wide)
        self.gate = SimpleGate()
        self.conv5 = PointwiseConv2d(wide // 2, c)
        # As nn.Conv2d would draw the kernels of a convolution with this fan-in.
        bound = (9 * group) ** -0.5
        nn.init.uniform_(self.w, -bound, bound)
        nn.init.uniform_(self.b, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.addcmul(x, self.beta, self.conv3(self.fuse(self.norm1(x))))
        ffn = self.conv5(self.gate(self.conv4(self.norm2(y))))
        return torch.addcmul(y, self.gamma, ffn, out=spent(y))

    def fuse(self, n: Tensor) -> Tensor:
        """The product of the three branches: attention, grouped convolution, channel gate."""
        local = self.conv21(self.conv1(n))
        attention = torch.addcmul(self.conv211(n), self.attgamma, self.conv2(n))
        mixed = kernel_basis_attention(local, attention, self.w, self.b)
        fused = torch.addcmul(local, mixed, self.ga1, out=spent(local))
        fused = torch.mul(fused, self.conv11(n), out=spent(fused))
        return torch.mul(fused, self.sca(n), out=spent(fused))


class KBNet(nn.Module):
    """f(noisy) -> clean: image (B, channels, H, W) in [0, 1] plus noise, any H and W; not clipped.

    It is told no noise level. The defaults are KBNet_s for grey images, 142 M parameters. H and W
    are padded with zeros to multiples of 2 ** len(encoder), as the authors do. It computes in the
    dtype of its weights; the last skip is kept in that of the image.
    """

    casts = True  # images as they are for weights in another type: it casts inside

    def __init__(
        self,
        channels: int = 1,
        width: int = 64,
        encoder: tuple[int, ...] = (2, 2, 4, 8),
        middle: int = 12,
        decoder: tuple[int, ...] = (2, 2, 2, 2),
        **block: float,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(encoder) + 1)]
        lower = list(itertools.pairwise(widths))

        def stage(c: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(*(KBBlock(c, **block) for _ in range(blocks)))

        def rise(above: int, below: int) -> nn.Sequential:
            return nn.Sequential(PointwiseConv2d(below, 4 * above, bias=False), nn.PixelShuffle(2))

        self.multiple = 2 ** len(encoder)
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(
            stage(c, blocks) for c, blocks in zip(widths, encoder, strict=False)
        )
        self.downs = nn.ModuleList(nn.Conv2d(above, below, 2, stride=2) for above, below in lower)
        self.middle_blks = stage(widths[-1], middle)
        self.ups = nn.ModuleList(rise(above, below) for above, below in reversed(lower))
        self.decoders = nn.ModuleList(
            stage(above, blocks)
            for (above, _), blocks in zip(reversed(lower), decoder, strict=True)
        )
        self.ending = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        added = 0, -width % self.multiple, 0, -height % self.multiple
        h = self.intro(F.pad(x.to(self.intro.weight.dtype), added))
        h, skips = h.contiguous(memory_format=torch.channels_last), []
        for stage, down in zip(self.encoders, self.downs, strict=True):
            h = in_parts(stage, h)
            skips.append(h)
            h = down(h)
        h = self.middle_blks(h)
        for rise, stage in zip(self.ups, self.decoders, strict=True):
            h = rise(h).contiguous(memory_format=torch.channels_last)  # CUDA's shuffle is not
            h = in_parts(stage, torch.add(h, skips.pop(), out=spent(h)))
        return x + self.ending(h)[..., :height, :width]
