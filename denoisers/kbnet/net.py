"""KBNet_s: an image-restoration U-Net whose blocks mix learned kernel bases at every pixel.

Zhang et al. 2023, "KBNet: Kernel Basis Network for Image Restoration" (arXiv 2303.02881).
Parameters are named and shaped as in the authors' checkpoints, so that those load.
"""

import itertools

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

# Without a gradient to keep:
# Values held at once by each thread of a CPU: 2 MB in float32, which stay in its caches.
TILE = 1 << 19
PART = 1 << 19  # values between two layers of a CPU, as whole images: 2 MB in float32
LARGE_TILE = 1 << 27  # values held at once by an accelerator, which wants few and large operations
# Pixels that should lie side by side on a CPU, from one row of as many images as that takes.
RUN = 256
FEW = 8  # channels below which adding one after the other is faster than a sum over them
# Channels out of each of the products into which a 1x1 convolution to very many channels is cut.
BLOCK = 256
WIDE = 128  # channels from which a 1x1 convolution is faster as a product of matrices


def kernel_basis_attention(x: Tensor, attention: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A grouped 3x3 convolution whose kernel at each pixel is a mixture of N bases (section 3.1, equations 1-3).

    x          (B, C, H, W)
    attention  (B, N, H, W), the share of each basis at each pixel; not normalised
    weight     (1, N, C * C/g * 9): the bases, as [g groups, C/g outputs, C/g inputs, 3, 3]
    bias       (1, N, C)
    returns    (B, C, H, W), channels last

    A convolution is linear in its kernel, so all bases filter the image and their results are
    mixed: no kernel is ever made. With a gradient to keep, all at once, N times the size of `x`.
    Without, for some groups of channels of some pixels at a time, so few that they are used up
    before they leave the cache.
    """
    batch, c, h = x.shape[:3]
    n, inputs = attention.shape[1], weight.shape[2] // (9 * c)
    groups = c // inputs
    bases = weight[0].to(x.dtype).view(n, groups, inputs, 9 * inputs).permute(1, 2, 0, 3)
    offset = bias[0].t().to(x.dtype)
    # Rows, columns, images, channels: a tile turns into planes (C, rows, columns, images) by one transposition, and
    # what lies side by side in them is long even where images are small.
    image, shares = (
        F.pad(x.permute(2, 3, 0, 1), (0, 0, 0, 0, 1, 1, 1, 1)),
        attention.permute(2, 3, 0, 1).to(x.dtype),
    )
    out = torch.empty_like(x, memory_format=torch.channels_last)
    mixed = out.permute(2, 3, 0, 1)

    values = inputs * (n + 9)
    images, lines, together = tile_size(x, groups, values)
    room, mixture = None, None
    if not torch.is_grad_enabled():
        most = lines * images * x.shape[3]  # pixels
        room, mixture = x.new_empty(values * together * most), x.new_empty(c * most)
    for first in range(0, batch, images):
        for line in range(0, h, lines):
            tile = slice(line, line + lines), slice(None), slice(first, first + images)
            share = shares[tile].flatten(0, 2).t().contiguous()  # (N, pixels)
            part = image[line : line + lines + 2, :, tile[2]]
            planes = part.flatten(0, 2).t().contiguous().view(-1, inputs, *part.shape[:3])
            windows = planes.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 1, 5, 6, 2, 3, 4)
            if mixture is None:
                answers = filter_and_mix(bases, windows, share)
            else:
                answers = mixture[: c * share.shape[1]].view(c, -1)
                pieces = (
                    bases.split(together),
                    windows.split(together),
                    answers.split(together * inputs),
                )
                for base, window, answer in zip(*pieces, strict=True):
                    filter_and_mix(base, window, share, room, out=answer)
            mixed[tile] = answers.addmm_(offset, share).t().contiguous().view(mixed[tile].shape)
    return out


def tile_size(x: Tensor, groups: int, values: int) -> tuple[int, int, int]:
    """Images, lines and groups of channels to work on at once, where one group of one pixel takes `values` numbers."""
    batch, _, height, width = x.shape
    if torch.is_grad_enabled():
        return batch, height, groups
    capacity, together, images = LARGE_TILE, groups, batch
    if x.device.type == "cpu":
        threads = torch.get_num_threads()
        # Threads share out a product of many small matrices better than a single one.
        capacity, together, images = (
            TILE * threads,
            min(groups, 2 * threads),
            min(batch, max(1, RUN // width)),
        )
    lines = min(height, max(1, capacity // (values * together * width * images)))
    return images, lines, min(groups, max(together, capacity // (values * width * lines * images)))


def filter_and_mix(
    bases: Tensor,
    windows: Tensor,
    share: Tensor,
    room: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Answers of all bases, mixed.

    bases    (groups, outputs, N, inputs * 9)
    windows  (groups, inputs, 3, 3, ...), the last dimensions together being the pixels
    share    (N, pixels)
    room     values to work in, where no gradient is kept: new memory for each call can cost as much
             as its use
    returns  (groups * outputs, pixels), in `out` if given
    """
    kernels, pixels, filtered = bases.flatten(1, 2), share.shape[1], None
    if room is not None:
        size = kernels.shape[:2].numel() * pixels
        filtered = room[:size].view(len(kernels), -1, pixels)
        windows = room[size : size + windows.numel()].view(windows.shape).copy_(windows)
    filtered = torch.bmm(kernels, windows.reshape(len(kernels), -1, pixels), out=filtered).view(
        -1, *share.shape
    )
    return torch.sum(torch.mul(filtered, share, out=spent(filtered)), 1, out=out)


def spent(x: Tensor) -> Tensor | None:
    """`x` as the place for a result, where no gradient needs its values any more."""
    return None if torch.is_grad_enabled() else x


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution; of many channels, where converting the weights costs more than using them, by `F.linear`.

    To very many channels on a CPU, by blocks: threads share out several products better than a
    single one of few rows.
    """

    def __init__(self, inputs: int, outputs: int, **options: bool) -> None:
        super().__init__(inputs, outputs, 1, **options)

    def forward(self, x: Tensor) -> Tensor:
        if self.in_channels < WIDE:
            return super().forward(x)
        rows, weight = x.permute(0, 2, 3, 1), self.weight.flatten(1)
        blocks, rest = divmod(self.out_channels, BLOCK)
        if torch.is_grad_enabled() or x.device.type != "cpu" or blocks < 4 or rest:
            return F.linear(rows, weight, self.bias).permute(0, 3, 1, 2)
        each = rows.reshape(-1, self.in_channels).expand(blocks, -1, -1)
        out = torch.bmm(each, weight.view(blocks, BLOCK, -1).transpose(1, 2))
        if self.bias is not None:
            out += self.bias.view(blocks, 1, BLOCK)
        return out.transpose(0, 1).reshape(*rows.shape[:3], -1).permute(0, 3, 1, 2)


class GroupedConv2d(nn.Conv2d):
    """A 5x5 convolution in groups of 4 channels.

    Without gradient two groups are taken as one of 8 channels, half of whose weights are zero:
    twice the products, but CPU kernels made for vectors of 8 take them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 5, padding=2, groups=channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu" or self.groups % 2:
            return super().forward(x)
        reach = min(2, max(x.shape[2:]) - 1)  # beyond it lies only padding
        side = 2 * reach + 1
        weight = self.weight.view(-1, 2, 4, 4, 5, 5)[
            ..., 2 - reach : 3 + reach, 2 - reach : 3 + reach
        ]
        pairs = weight.new_zeros(self.groups // 2, 2, 4, 2, 4, side, side)
        pairs.diagonal(dim1=1, dim2=3).copy_(weight.permute(0, 2, 3, 4, 5, 1))
        return F.conv2d(
            x, pairs.view(-1, 8, side, side), self.bias, padding=reach, groups=self.groups // 2
        )


class ReducingConv2d(nn.Conv2d):
    """A 3x3 convolution with as many groups as outputs.

    Without gradient, depthwise and added up, which is faster.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, groups=outputs)

    def forward(self, x: Tensor) -> Tensor:
        each = self.in_channels // self.out_channels
        if torch.is_grad_enabled() or each == 1:
            return super().forward(x)
        filtered = F.conv2d(x, self.weight.reshape(-1, 1, 3, 3), padding=1, groups=self.in_channels)
        total = self.bias.view(-1, 1, 1)
        if each >= FEW:
            return total + filtered.unflatten(1, (-1, each)).sum(2)
        for i in range(each):
            total = total + filtered[:, i::each]
        return total


class SimpleGate(nn.Module):
    """The first half of the channels times the second (Chen et al. 2022, arXiv 2204.04676)."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class KBBlock(nn.Module):
    """Kernel-basis attention, a grouped convolution and a channel gate multiplied (section 3.2), then a gated FFN.

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
        local = nn.Conv2d(c, c, 3, padding=1, groups=c) if lightweight else GroupedConv2d(c)
        self.norm1 = LayerNorm2d(c)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), PointwiseConv2d(c, c))
        self.conv11 = nn.Sequential(PointwiseConv2d(c, c), local)
        self.conv1, self.conv21 = PointwiseConv2d(c, c), nn.Conv2d(c, c, 3, padding=1, groups=c)
        self.conv2 = nn.Sequential(
            ReducingConv2d(c, gated), SimpleGate(), PointwiseConv2d(gated // 2, bases)
        )
        self.conv211 = PointwiseConv2d(c, bases)
        self.w, self.b = (
            nn.Parameter(torch.empty(1, bases, c * group * 9)),
            nn.Parameter(torch.empty(1, bases, c)),
        )
        self.attgamma = nn.Parameter(torch.full((1, bases, 1, 1), 0.01))
        self.ga1, self.beta, self.gamma = (
            nn.Parameter(torch.full((1, c, 1, 1), 0.01)) for _ in range(3)
        )
        self.conv3 = PointwiseConv2d(c, c)
        self.norm2 = LayerNorm2d(c)
        self.conv4, self.gate, self.conv5 = (
            PointwiseConv2d(c, wide),
            SimpleGate(),
            PointwiseConv2d(wide // 2, c),
        )
        # As nn.Conv2d would draw the kernels of a convolution with this fan-in.
        bound = (9 * group) ** -0.5
        nn.init.uniform_(self.w, -bound, bound)
        nn.init.uniform_(self.b, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.addcmul(x, self.beta, self.conv3(self.fuse(self.norm1(x))))
        return torch.addcmul(
            y, self.gamma, self.conv5(self.gate(self.conv4(self.norm2(y)))), out=spent(y)
        )

    def fuse(self, n: Tensor) -> Tensor:
        """The product of the three branches: attention, grouped convolution, channel gate."""
        local = self.conv21(self.conv1(n))
        attention = torch.addcmul(self.conv211(n), self.attgamma, self.conv2(n))
        mixed = kernel_basis_attention(local, attention, self.w, self.b)
        fused = torch.addcmul(local, mixed, self.ga1, out=spent(local))
        fused = torch.mul(fused, self.conv11(n), out=spent(fused))
        return torch.mul(fused, self.sca(n), out=spent(fused))


class KBNet(nn.Module):
    """f(noisy) -> clean: image (B, channels, H, W) in [0, 1] plus noise, any H and W; told no noise level, not clipped.

    The defaults are KBNet_s for grey images, 142 M parameters. H and W are padded with zeros to
    multiples of 2 ** len(encoder), as the authors do.
    """

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
        h = self.intro(F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple)))
        skips = []
        for stage, down in zip(self.encoders, self.downs, strict=True):
            h = in_parts(stage, h)
            skips.append(h)
            h = down(h)
        h = self.middle_blks(h)
        for rise, stage in zip(self.ups, self.decoders, strict=True):
            h = rise(h)
            h = in_parts(stage, torch.add(h, skips.pop(), out=spent(h)))
        return x + self.ending(h)[..., :height, :width]


def in_parts(stage: nn.Module, x: Tensor) -> Tensor:
    """A stage applied to so many images at a time that what lies between its layers stays in the caches of a CPU."""
    images = max(1, PART // x[0].numel())
    if torch.is_grad_enabled() or x.device.type != "cpu" or images >= len(x):
        return stage(x)
    return torch.cat([stage(part) for part in x.split(images)])
