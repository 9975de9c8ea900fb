"""The layers of KBNet, each with a faster way where no gradient is kept.

The network that they make up is in `net.py`. The faster ways take the same sums: on a CPU by parts
that stay in the caches of the processor, or in an order that its kernels are made for; on a GPU
with Triton by the kernel in `kernels.py`.
"""

import itertools
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisers.precision import triton_works

# Without a gradient to keep:
# Values held at once by each thread of a CPU: 2 MB in float32, which stay in its caches.
TILE = 1 << 19
PART = 1 << 19  # values between two layers of a CPU, as whole images: 2 MB in float32
LARGE_TILE = 1 << 27  # values held at once by an accelerator, which wants few and large operations
# Pixels that should lie side by side on a CPU, from one row of as many images as that takes.
RUN = 256
# Bases up to which, in bfloat16, a convolution is faster on a CPU than copies for a product: halves
# the time of 4 on one with AVX512_BF16; with 32 it is no faster, and in float32 hardly.
FEW_BASES = 8
FEW = 8  # channels below which adding one after the other is faster than a sum over them
# Channels out of each of the products into which a 1x1 convolution to very many channels is cut.
BLOCK = 256
WIDE = 128  # channels from which a 1x1 convolution is faster as a product of matrices, on a CPU
TRITON = triton_works()


def gpu_kernels(x: Tensor, inputs: int) -> ModuleType | None:
    """Kernels for `x` in groups of so many channels, where they are and no gradient is kept."""
    power_of_two = inputs & (inputs - 1) == 0
    if torch.is_grad_enabled() or not (TRITON and x.is_cuda and power_of_two):
        return None
    from denoisers.kbnet import kernels

    return kernels


def kernel_basis_attention(x: Tensor, attention: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A grouped 3x3 convolution whose kernel is a mixture of N bases at each pixel (equations 1-3).

    x          (B, C, H, W)
    attention  (B, N, H, W), the share of each basis at each pixel; not normalised
    weight     (1, N, C * C/g * 9): the bases, as [g groups, C/g outputs, C/g inputs, 3, 3]
    bias       (1, N, C)
    returns    (B, C, H, W), channels last

    A convolution is linear in its kernel, so all bases can filter the image and their results be
    mixed, or the bases be mixed and filter it.
    """
    n, inputs = attention.shape[1], weight.shape[2] // (9 * x.shape[1])
    if kernels := gpu_kernels(x, inputs):
        kernel = weight.view(n, x.shape[1], inputs, 3, 3)
        return kernels.mixture(x, attention, kernel, bias[0], x.shape[1] // inputs)
    few = n <= FEW_BASES and x.dtype is torch.bfloat16 and x.device.type == "cpu"
    if few and not torch.is_grad_enabled():
        return by_convolution(x, attention, weight, bias)
    return by_tiles(x, attention, weight, bias)


def by_tiles(x: Tensor, attention: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `kernel_basis_attention`: all bases filter, by products of matrices, and are mixed.

    With a gradient to keep, all at once, N times the size of `x`. Without, for some groups of
    channels of some pixels at a time, so few that they are used up before they leave the cache.
    """
    batch, c, height, width = x.shape
    n, inputs = attention.shape[1], weight.shape[2] // (9 * c)
    groups = c // inputs
    bases = weight[0].to(x.dtype).view(n, groups, inputs, 9 * inputs).permute(1, 2, 0, 3)
    offset = bias[0].t().to(x.dtype)
    # Rows, columns, images, channels: one transposition turns a tile into planes
    # (C, rows, columns, images), whose neighbours are many even where images are small.
    image = F.pad(x.permute(2, 3, 0, 1), (0, 0, 0, 0, 1, 1, 1, 1))
    shares = attention.permute(2, 3, 0, 1).to(x.dtype)
    out = torch.empty_like(x, memory_format=torch.channels_last)
    result = out.permute(2, 3, 0, 1)

    values = inputs * (n + 9)
    images, lines, together = tile_size(x, groups, values)
    room, mixture = None, None
    if not torch.is_grad_enabled():
        most = lines * images * width  # pixels
        room, mixture = x.new_empty(values * together * most), x.new_empty(c * most)
    for first, line in itertools.product(range(0, batch, images), range(0, height, lines)):
        tile = slice(line, line + lines), slice(None), slice(first, first + images)
        share = shares[tile].flatten(0, 2).t().contiguous()  # (N, pixels)
        windows = windows_of(image[line : line + lines + 2, :, tile[2]], inputs)
        if mixture is None:
            mixed = filter_and_mix(bases, windows, share)
        else:
            mixed = mixture[: c * share.shape[1]].view(c, -1)
            outs = mixed.split(together * inputs)
            parts = zip(bases.split(together), windows.split(together), outs, strict=True)
            for base, window, part in parts:
                filter_and_mix(base, window, share, room, out=part)
        tile_out = mixed.addmm_(offset, share).t().contiguous()
        result[tile] = tile_out.view(result[tile].shape)
    return out


def by_convolution(x: Tensor, attention: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `kernel_basis_attention`: one convolution to the answers of all bases, for some images.

    They are added up by a product with a matrix of ones and zeros, as a sum over a dimension that is
    not the last costs more than the rest together.
    """
    _, c, height, width = x.shape
    n, inputs = attention.shape[1], weight.shape[2] // (9 * c)
    groups = c // inputs
    # The outputs of a group side by side: (groups, N, C / groups).
    kernels = weight.to(x.dtype).view(n, groups, -1, inputs, 3, 3).transpose(0, 1)
    offsets = bias.to(x.dtype).view(n, groups, -1).transpose(0, 1).flatten()
    shares = attention.to(x.dtype).permute(0, 2, 3, 1).repeat_interleave(inputs, -1)
    ones = torch.eye(inputs, dtype=x.dtype, device=x.device).repeat(1, n)
    images = max(1, TILE * torch.get_num_threads() // (n * c * height * width))
    mixed = []
    for part, share in zip(x.split(images), shares.unsqueeze(3).split(images), strict=True):
        answers = F.conv2d(part, kernels.flatten(0, 2), offsets, padding=1, groups=groups)
        answers = answers.permute(0, 2, 3, 1).unflatten(-1, (groups, -1))
        mixed.append(F.linear(answers.mul_(share), ones).flatten(3))
    return torch.cat(mixed).permute(0, 3, 1, 2)


def windows_of(part: Tensor, inputs: int) -> Tensor:
    """The 3x3 neighbourhoods in an image (rows + 2, columns + 2, images, channels), as a view.

    returns  (groups, inputs, 3, 3, rows, columns, images)
    """
    planes = part.flatten(0, 2).t().contiguous().view(-1, inputs, *part.shape[:3])
    return planes.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 1, 5, 6, 2, 3, 4)


def tile_size(x: Tensor, groups: int, values: int) -> tuple[int, int, int]:
    """Images, lines and groups of channels to work on at once.

    values  numbers that one group of one pixel takes
    """
    batch, _, height, width = x.shape
    if torch.is_grad_enabled():
        return batch, height, groups
    capacity, together, images = LARGE_TILE, groups, batch
    if x.device.type == "cpu":
        threads = torch.get_num_threads()
        # Threads share out a product of many small matrices better than a single one.
        capacity, together = TILE * threads, min(groups, 2 * threads)
        images = min(batch, max(1, RUN // width))
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
    filtered = torch.bmm(kernels, windows.reshape(len(kernels), -1, pixels), out=filtered)
    filtered = filtered.view(-1, *share.shape)
    return torch.sum(torch.mul(filtered, share, out=spent(filtered)), 1, out=out)


def spent(x: Tensor) -> Tensor | None:
    """`x` as the place for a result, where no gradient needs its values any more."""
    return None if torch.is_grad_enabled() else x


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution.

    Of many channels by `F.linear`, as converting the weights costs more than using them. To very
    many channels on a CPU, by blocks: threads share out several products better than a single one
    of few rows.
    """

    def __init__(self, inputs: int, outputs: int, **options: bool) -> None:
        super().__init__(inputs, outputs, 1, **options)

    def forward(self, x: Tensor) -> Tensor:
        if self.in_channels < WIDE and x.device.type == "cpu":
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


class LocalConv2d(nn.Conv2d):
    """A convolution in groups of few channels, padded to the size of the image.

    Without gradient on a GPU by a kernel of its own: cuDNN is slow with many groups.
    """

    def __init__(self, inputs: int, outputs: int, side: int, groups: int) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if kernels := gpu_kernels(x, self.in_channels // self.groups):
            return kernels.mixture(x, None, self.weight[None], self.bias[None], self.groups)
        return super().forward(x)


class GroupedConv2d(LocalConv2d):
    """A 5x5 convolution in groups of 4 channels.

    Without gradient two groups are taken as one of 8 channels, half of whose weights are zero:
    twice the products, but CPU kernels made for vectors of 8 take them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 5, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu" or self.groups % 2:
            return super().forward(x)
        reach = min(2, max(x.shape[2:]) - 1)  # beyond it lies only padding
        side = 2 * reach + 1
        taps = slice(2 - reach, 3 + reach)
        weight = self.weight.view(-1, 2, 4, 4, 5, 5)[..., taps, taps]
        pairs = weight.new_zeros(self.groups // 2, 2, 4, 2, 4, side, side)
        pairs.diagonal(dim1=1, dim2=3).copy_(weight.permute(0, 2, 3, 4, 5, 1))
        kernels = pairs.view(-1, 8, side, side)
        return F.conv2d(x, kernels, self.bias, padding=reach, groups=self.groups // 2)


class ReducingConv2d(LocalConv2d):
    """A 3x3 convolution with as many groups as outputs.

    Without gradient, depthwise and added up, which is faster on a CPU.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, outputs)

    def forward(self, x: Tensor) -> Tensor:
        each = self.in_channels // self.out_channels
        if torch.is_grad_enabled() or x.device.type != "cpu" or each == 1:
            return super().forward(x)
        filtered = F.conv2d(x, self.weight.reshape(-1, 1, 3, 3), padding=1, groups=self.in_channels)
        total = self.bias.view(-1, 1, 1)
        if each >= FEW:
            return total + filtered.unflatten(1, (-1, each)).sum(2)
        for i in range(each):
            total = total + filtered[:, i::each]
        return total


def in_parts(stage: nn.Module, x: Tensor) -> Tensor:
    """A stage on so many images at a time that what lies between its layers stays in the caches."""
    images = max(1, PART // x[0].numel())
    if torch.is_grad_enabled() or x.device.type != "cpu" or images >= len(x):
        return stage(x)
    return torch.cat([stage(part) for part in x.split(images)])
