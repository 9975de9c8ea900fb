"""Convolutions in small groups of channels, and mixtures of them at each pixel, as one Triton kernel.

Only where Triton is and there is a GPU: imported when the first image lies on one.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

# What one program works on: pixels, and pairs of an output and an input of its group. Compiled for
# sm_90 this is the largest that stays within the registers, in float32 too.
PIXELS, PAIRS, WARPS = 64, 128, 8


@torch.library.custom_op("kbnet::mixture", mutates_args=())
def mixture(x: Tensor, share: Tensor | None, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Grouped convolutions of which each pixel has its own mixture, padded to the size of the image.

    x        (B, C, H, W); C / groups is a power of two
    share    (B, N, H, W); None for a single convolution, N = 1, as it is
    weight   (N, D, C / groups, side, side)
    bias     (N, D)
    returns  (B, D, H, W), channels last
    """
    batch, channels, height, width = x.shape
    bases, outputs, inputs, side = weight.shape[:4]
    image = x.contiguous(memory_format=torch.channels_last)
    # Rows of weights that are read at once: (side, side, N, D * inputs).
    kernels = weight.to(x.dtype).permute(3, 4, 0, 1, 2).contiguous()
    shares = None if share is None else share.to(x.dtype)
    out = fake(x, share, weight, bias, groups)
    least = 1 if share is None else 16  # outputs; a product of matrices wants no fewer
    pixels, pairs = batch * height * width, max(PAIRS, least * inputs)
    grid = triton.cdiv(pixels, PIXELS), triton.cdiv(outputs * inputs, pairs)
    with torch.cuda.device_of(x):
        mixture_kernel[grid](
            image,
            image if shares is None else shares.contiguous(memory_format=torch.channels_last),
            kernels,
            bias.to(x.dtype).contiguous(),
            out,
            pixels,
            height,
            width,
            channels,
            outputs,
            MIXED=share is not None,
            BASES=bases,
            ROWS=max(16, triton.next_power_of_2(bases)),
            SIDE=side,
            INPUTS=inputs,
            GROUP=outputs // groups,
            PIXELS=PIXELS,
            PAIRS=pairs,
            num_warps=WARPS,
        )
    return out


@mixture.register_fake
def fake(x: Tensor, share: Tensor | None, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """An empty result of `mixture`, for those who trace it."""
    out = x.new_empty(len(x), *x.shape[2:], bias.shape[1])
    return out.permute(0, 3, 1, 2)


@register_flop_formula(torch.ops.kbnet.mixture)
def operations(
    x: torch.Size,
    share: torch.Size | None,
    weight: torch.Size,
    *others: object,
    **named: object,
) -> int:
    """Floating-point operations of `mixture` of such shapes: two for each weight and pixel."""
    return 2 * x[0] * x[2] * x[3] * math.prod(weight)


# Long, as half of it is the list of what a kernel is given, and what it does it does in one pass.
@triton.jit(do_not_specialize=["pixels", "height", "width"])  # compiled once for all sizes
def mixture_kernel(
    image,  # noqa: ANN001 (pointers and numbers: Triton reads no annotations but constexpr)
    shares,  # noqa: ANN001
    kernels,  # noqa: ANN001
    biases,  # noqa: ANN001
    out,  # noqa: ANN001
    pixels,  # noqa: ANN001
    height,  # noqa: ANN001
    width,  # noqa: ANN001
    channels,  # noqa: ANN001
    outputs,  # noqa: ANN001
    MIXED: tl.constexpr,
    BASES: tl.constexpr,
    ROWS: tl.constexpr,
    SIDE: tl.constexpr,
    INPUTS: tl.constexpr,
    GROUP: tl.constexpr,
    PIXELS: tl.constexpr,
    PAIRS: tl.constexpr,
) -> None:
    """Mixes the kernels of each tap by a product of matrices, and filters by them: no more is kept.

    The other order, all filters before the mixture, has products padded from 36 to 64 terms.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < pixels
    row, column = pixel // width % height, pixel % width
    pair = tl.program_id(1) * PAIRS + tl.arange(0, PAIRS)
    there = pair < outputs * INPUTS
    channel = pair // (GROUP * INPUTS) * INPUTS + pair % INPUTS
    basis = tl.arange(0, ROWS)
    known = basis < BASES
    output = tl.program_id(1) * (PAIRS // INPUTS) + tl.arange(0, PAIRS // INPUTS)
    wanted = output < outputs
    if MIXED:
        share = tl.load(
            shares + pixel[:, None].to(tl.int64) * BASES + basis,
            mask=inside[:, None] & known,
            other=0.0,
        )
    total = tl.zeros((PIXELS, PAIRS), tl.float32)
    for tap in range(SIDE * SIDE):
        down, right = tap // SIDE - SIDE // 2, tap % SIDE - SIDE // 2
        rows_in = (row + down >= 0) & (row + down < height)
        seen = inside & rows_in & (column + right >= 0) & (column + right < width)
        neighbour = (pixel + down * width + right).to(tl.int64)  # there may be 2**31 values
        near = tl.load(
            image + neighbour[:, None] * channels + channel, mask=seen[:, None] & there, other=0.0
        )
        if MIXED:
            at = (tap * BASES + basis[:, None]) * (outputs * INPUTS) + pair
            bases = tl.load(kernels + at, mask=known[:, None] & there, other=0.0)
            total += tl.dot(share, bases, input_precision="ieee") * near
        else:
            kernel = tl.load(kernels + tap * (outputs * INPUTS) + pair, mask=there, other=0.0)
            total += kernel[None, :].to(tl.float32) * near
    result = tl.sum(tl.reshape(total, (PIXELS, PAIRS // INPUTS, INPUTS)), 2)
    if MIXED:
        at = basis[:, None] * outputs + output
        offset = tl.load(biases + at, mask=known[:, None] & wanted, other=0.0)
        result += tl.dot(share, offset, input_precision="ieee")
    else:
        result += tl.load(biases + output, mask=wanted, other=0.0).to(tl.float32)[None, :]
    at = pixel[:, None].to(tl.int64) * outputs + output
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside[:, None] & wanted)
